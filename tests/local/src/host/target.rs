//! What becomes of a request's target on its way through the host: what its routes are held against, and what the handler gets.
//!
//! The real host hands a path on in two steps that do not undo each other. Kestrel decodes it and removes dots; the host then puts the
//! decoded text into a `Uri` of .NET, which takes `#` and `?` for the end of the path and `\` for a slash. So the path that arrives
//! may be another one than was sent. `tests/fixtures/host/real/http.tsv` has what a real host 4.1037 made of 83 requests.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What .NET's `Uri` escapes in a path. A `%` is treated on its own.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What .NET's `UrlEncoder` escapes in a name or value of a query.
const IN_QUERY: &AsciiSet = &IN_PATH
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'+')
    .add(b'/')
    .add(b'=')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']');

/// A path that the host answers with a 400 itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadPath;

/// The path as routes see it: decoded, but for `%2F` and for what is not UTF-8, and without segments of dots.
pub(crate) fn routed_path(path: &str) -> Result<String, BadPath> {
    let decoded = decoded_once(path, Some(b'/'));
    if decoded.contains('\0') {
        return Err(BadPath);
    }
    Ok(without_dots(&decoded))
}

/// Path and query as they reach the handler. `routed` is what [`routed_path`] has made.
pub(crate) fn forwarded(routed: &str, query: Option<&str>) -> String {
    let query = query.unwrap_or_default();
    let mut path = routed;
    if query.is_empty() {
        path = path.trim_end_matches([' ', '\t', '\n', '\r']);
    }
    let end = path.find(['#', '?']).unwrap_or(path.len());
    let mut target = without_dots(&escaped_path(&path[..end].replace('\\', "/")));
    let pairs = joined(query);
    for (index, (name, value)) in pairs.iter().enumerate() {
        target.push(if index == 0 { '?' } else { '&' });
        target.extend(utf8_percent_encode(name, IN_QUERY));
        target.push('=');
        target.extend(utf8_percent_encode(value, IN_QUERY));
    }
    target
}

/// A query's parameters as the host knows them: names without regard to case, the values of one name joined by commas.
pub(crate) fn joined(query: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let decoded = |text: &str| decoded_once(&text.replace('+', " "), None);
        let (name, value) = (decoded(name), decoded(value));
        match pairs
            .iter_mut()
            .find(|(known, _)| known.eq_ignore_ascii_case(&name))
        {
            Some((known, values)) => {
                *known = name;
                values.push(',');
                values.push_str(&value);
            }
            None => pairs.push((name, value)),
        }
    }
    pairs
}

/// Every `%XX` as its character, but for one that is left alone and for bytes that are no UTF-8, which stay as they were sent.
fn decoded_once(text: &str, but: Option<u8>) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut bytes = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        bytes.clear();
        let mut encoded = 0;
        while let Some(byte) = hex_at(&rest[encoded..]).filter(|byte| Some(*byte) != but) {
            bytes.push(byte);
            encoded += 3;
        }
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            decoded.push_str(chunk.valid());
            at += chunk.valid().len();
            for _ in chunk.invalid() {
                decoded.push_str(&rest[3 * at..3 * at + 3]);
                at += 1;
            }
        }
        rest = &rest[encoded..];
        if let Some(first) = rest.chars().next() {
            decoded.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    decoded
}

/// The byte of a `%XX` that a text begins with.
fn hex_at(text: &str) -> Option<u8> {
    let digits = text.strip_prefix('%')?.get(..2)?;
    // The standard parser would take a sign.
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| plain)
}

/// As .NET's `Uri` writes a path: `%XX` of an unreserved character is that character, of any other it stays, a `%` alone is `%25`.
fn escaped_path(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        escaped.extend(utf8_percent_encode(&rest[..at], IN_PATH));
        rest = &rest[at..];
        match hex_at(rest) {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                escaped.push(char::from(byte));
                rest = &rest[3..];
            }
            Some(_) => {
                escaped.push_str(&rest[..3]);
                rest = &rest[3..];
            }
            None => {
                escaped.push_str("%25");
                rest = &rest[1..];
            }
        }
    }
    escaped.extend(utf8_percent_encode(rest, IN_PATH));
    escaped
}

/// RFC 3986, 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn through(path: &str) -> String {
        forwarded(&routed_path(path).unwrap(), None)
    }

    #[test]
    fn a_path_may_arrive_as_another_one() {
        for (sent, arrives) in [
            ("/api/drones/drone%237", "/api/drones/drone"),
            ("/api/drones/drone%3F7", "/api/drones/drone"),
            ("/api/drones/drone%20", "/api/drones/drone"),
            ("/api/drones/a%5Cb", "/api/drones/a/b"),
            ("/api/drones/%252e%252e/health", "/api/health"),
            ("/api/drones/a%FF%C3%A9%fe", "/api/drones/a%FF%C3%A9%fe"),
            ("/api/drones/a%2fb", "/api/drones/a%2fb"),
            ("/api/drones/%", "/api/drones/%25"),
            ("/api/drones/%+1", "/api/drones/%25+1"),
        ] {
            assert_eq!(through(sent), arrives, "{sent}");
        }
        assert_eq!(routed_path("/a%00"), Err(BadPath));
        // A query stands after the space, so nothing is lost.
        assert_eq!(forwarded("/a ", Some("b")), "/a%20?b=");
    }

    #[test]
    fn a_parameter_that_comes_twice_is_one_with_a_comma() {
        let pairs = joined("a=1&B=x%2Fy&A=2&&c=%zz&d=x%252Fy");
        let expected = [("A", "1,2"), ("B", "x/y"), ("c", "%zz"), ("d", "x%2Fy")];
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(pairs, expected);
    }
}
