//! A background of somebody else's map tiles, where the app settings name one.

/// Where tiles come from, and whom they belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileLayer {
    template: String,
    origin: String,
    attribution: String,
}

/// The setting is not a template for tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a URL such as https://tiles.example.com/{{z}}/{{x}}/{{y}}.png")]
pub struct TileTemplateError;

impl TileLayer {
    /// `template` is a URL with `{z}`, `{x}` and `{y}`; `attribution` is plain text for the map's corner.
    ///
    /// # Errors
    /// Where the template is no such URL: `https`, or `http` on this machine, with a host that is the
    /// same for all tiles. Its origin goes into the page's Content-Security-Policy.
    pub fn new(template: &str, attribution: &str) -> Result<Self, TileTemplateError> {
        let (scheme, rest) = template.split_once("://").ok_or(TileTemplateError)?;
        let (host, path) = rest.split_once('/').ok_or(TileTemplateError)?;
        let local = matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"));
        let secure = scheme == "https" || (scheme == "http" && local);
        let plain_host = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte));
        let complete = ["{z}", "{x}", "{y}"].iter().all(|part| path.contains(part));
        if !(secure && plain_host && complete) {
            return Err(TileTemplateError);
        }
        Ok(Self {
            template: template.to_owned(),
            origin: format!("{scheme}://{host}"),
            attribution: attribution.to_owned(),
        })
    }

    /// The URL with its `{z}`, `{x}` and `{y}`.
    pub fn template(&self) -> &str {
        &self.template
    }

    /// Scheme and host, which the browser may load pictures from.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whom the tiles belong to; may be empty.
    pub fn attribution(&self) -> &str {
        &self.attribution
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_template_has_an_origin() {
        let tiles = TileLayer::new("https://tiles.example.com:8443/a/{z}/{x}/{y}.png?k=1", "Me");
        assert_eq!(tiles.unwrap().origin(), "https://tiles.example.com:8443");
        assert!(TileLayer::new("http://127.0.0.1:9/{z}/{x}/{y}", "").is_ok());
    }

    #[test]
    fn what_could_widen_the_policy_is_refused() {
        for template in [
            "",
            "tiles.example.com/{z}/{x}/{y}",
            "http://tiles.example.com/{z}/{x}/{y}",
            "https://tiles.example.com/{z}/{x}",
            "https:///{z}/{x}/{y}",
            "https://{s}.example.com/{z}/{x}/{y}",
            "https://*.example.com/{z}/{x}/{y}",
            "https://a.example.com;script-src *;/{z}/{x}/{y}",
            "https://a b/{z}/{x}/{y}",
            "data://x/{z}/{x}/{y}",
        ] {
            assert_eq!(
                TileLayer::new(template, ""),
                Err(TileTemplateError),
                "{template}"
            );
        }
    }
}
