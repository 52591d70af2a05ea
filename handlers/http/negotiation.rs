//! Which of several forms of an answer the caller would rather have (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

/// The one of `offered` that the `Accept` headers like best; the first of equals. Without the header
/// anything is welcome. `None` where nothing is (406).
///
/// Ranges that cannot be read are passed over: a caller's odd header is no reason to send nothing.
pub fn preferred<'a>(headers: &HeaderMap, offered: &[&'a str]) -> Option<&'a str> {
    let ranges: Vec<Range<'_>> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(Range::parse)
        .collect();
    if ranges.is_empty() {
        return offered.first().copied();
    }
    let mut best = None;
    for kind in offered {
        // Of the ranges that a type falls into, the narrowest one counts.
        let quality = ranges
            .iter()
            .filter_map(|range| Some((range.specificity(kind)?, range.quality)))
            .max()
            .map_or(0, |(_, quality)| quality);
        if quality > 0 && best.is_none_or(|(_, most)| quality > most) {
            best = Some((*kind, quality));
        }
    }
    best.map(|(kind, _)| kind)
}

/// `application/*;q=0.5`
struct Range<'a> {
    kind: &'a str,
    /// In thousandths, 0 to 1000.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| kind.contains('/'))?;
        let quality = parts
            .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
            .map_or(Some(1.0), |text| text.parse::<f64>().ok())
            .filter(|quality| (0.0..=1.0).contains(quality))?;
        Some(Self {
            kind,
            // 0 to 1000, as checked.
            quality: (quality * 1000.0).round() as u16,
        })
    }

    /// `None` where the type is not in this range.
    fn specificity(&self, kind: &str) -> Option<u8> {
        if self.kind == "*/*" {
            return Some(0);
        }
        if let Some(family) = self.kind.strip_suffix("/*") {
            let same = kind.split('/').next()?.eq_ignore_ascii_case(family);
            return same.then_some(1);
        }
        self.kind.eq_ignore_ascii_case(kind).then_some(2)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_caller_chooses() {
        let offered = ["application/json", "application/geo+json"];
        for (accept, expected) in [
            (None, Some("application/json")),
            (Some(""), Some("application/json")),
            (Some("*/*"), Some("application/json")),
            (Some("application/geo+json"), Some("application/geo+json")),
            (
                Some("Application/GEO+json; q=1"),
                Some("application/geo+json"),
            ),
            (Some("application/*"), Some("application/json")),
            (
                Some("application/json;q=0.5, application/geo+json;q=0.6"),
                Some("application/geo+json"),
            ),
            (
                Some("application/json;q=0, */*;q=0.1"),
                Some("application/geo+json"),
            ),
            (
                Some("text/html,application/xhtml+xml,*/*;q=0.8"),
                Some("application/json"),
            ),
            (Some("text/html"), None),
            (Some("*/*;q=0"), None),
            (
                Some("application/json;q=7, nonsense"),
                Some("application/json"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(preferred(&headers, &offered), expected, "{accept:?}");
        }
    }
}
