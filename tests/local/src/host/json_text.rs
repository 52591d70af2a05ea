//! JSON as text: escaped once more, without its spaces, or indented. Working on the text keeps what a parsed value would lose:
//! the order of names, repeated names, and how a number is written.

use std::fmt::Write as _;

use serde::de::IgnoredAny;

/// Appends `text` as it stands inside a JSON string, without the quotes, escaped as Newtonsoft.Json does.
pub(crate) fn escape_into(out: &mut String, text: &str) {
    out.reserve(text.len() + text.len() / 8);
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (index, &byte) in bytes.iter().enumerate() {
        if !NEEDS_A_LOOK[usize::from(byte)] {
            continue;
        }
        let (escape, length): (&str, usize) = match byte {
            b'"' => ("\\\"", 1),
            b'\\' => ("\\\\", 1),
            b'\n' => ("\\n", 1),
            b'\r' => ("\\r", 1),
            b'\t' => ("\\t", 1),
            0x08 => ("\\b", 1),
            0x0c => ("\\f", 1),
            // Line separators that JavaScript once would not take in a string: U+0085, U+2028, U+2029.
            0xc2 if bytes[index + 1] == 0x85 => ("\\u0085", 2),
            0xe2 if bytes[index + 1..].starts_with(&[0x80, 0xa8]) => ("\\u2028", 3),
            0xe2 if bytes[index + 1..].starts_with(&[0x80, 0xa9]) => ("\\u2029", 3),
            0xc2 | 0xe2 => continue,
            _ => ("", 1),
        };
        out.push_str(&text[copied..index]);
        if escape.is_empty() {
            _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(escape);
        }
        copied = index + length;
    }
    out.push_str(&text[copied..]);
}

/// The bytes that are escaped, or begin a character that may be.
const NEEDS_A_LOOK: [bool; 256] = {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table[0xc2] = true;
    table[0xe2] = true;
    table
};

/// Appends `text` as a JSON string.
pub(crate) fn string_into(out: &mut String, text: &str) {
    out.push('"');
    escape_into(out, text);
    out.push('"');
}

/// Appends a string encoded twice.
pub(crate) fn string_twice_into(out: &mut String, text: &str) {
    let mut once = String::with_capacity(text.len() + 2);
    string_into(&mut once, text);
    string_into(out, &once);
}

/// # Errors
/// Where `text` is not one JSON value.
pub(crate) fn check(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ())
}

/// Appends valid JSON without the spaces between its tokens.
pub(crate) fn minify_into(out: &mut String, json: &str) {
    for token in tokens(json) {
        out.push_str(token);
    }
}

/// Valid JSON indented as Newtonsoft.Json does: two spaces, a line for each item, `{}` and `[]` where there is none.
pub(crate) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut previous = "";
    for token in tokens(json) {
        match token {
            "}" | "]" => {
                depth -= 1;
                if !matches!(previous, "{" | "[") {
                    line(&mut out, depth);
                }
            }
            "," | ":" => {}
            _ => {
                if matches!(previous, "{" | "[" | ",") {
                    line(&mut out, depth);
                }
            }
        }
        out.push_str(token);
        match token {
            "{" | "[" => depth += 1,
            ":" => out.push(' '),
            _ => {}
        }
        previous = token;
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// The tokens of valid JSON.
fn tokens(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json.trim_ascii_start();
    std::iter::from_fn(move || {
        let length = match rest.as_bytes().first()? {
            b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
            b'"' => string_length(rest.as_bytes()),
            _ => rest
                .find(|c: char| c.is_ascii_whitespace() || "{}[],:\"".contains(c))
                .unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at(length);
        rest = tail.trim_ascii_start();
        Some(token)
    })
}

fn string_length(bytes: &[u8]) -> usize {
    let mut index = 1;
    while index < bytes.len() {
        match bytes[index] {
            b'"' => return index + 1,
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn every_character_comes_back_from_an_escaped_string() {
        let all: String = (0..0x2100)
            .filter_map(char::from_u32)
            .chain(['\u{10ffff}'])
            .collect();
        let mut escaped = String::new();
        string_into(&mut escaped, &all);
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), all);
        for raw in ['\u{85}', '\u{2028}', '\u{2029}', '\n', '\u{1}'] {
            assert!(!escaped.contains(raw), "{raw:?} is not escaped");
        }
    }

    #[test]
    fn twice_encoded_text_comes_back_after_two_decodings() {
        let mut twice = String::new();
        string_twice_into(&mut twice, "a \"b\" \\ \n");
        let once: String = serde_json::from_str(&twice).unwrap();
        assert_eq!(
            serde_json::from_str::<String>(&once).unwrap(),
            "a \"b\" \\ \n"
        );
    }

    #[test]
    fn indenting_keeps_order_repeats_and_numbers() {
        let text = r#"{"b":1.0,"a":[1,{}, "x, {y\"}" ],"b":[],"c":{"d":1e400}}"#;
        let expected = "{\n  \"b\": 1.0,\n  \"a\": [\n    1,\n    {},\n    \"x, {y\\\"}\"\n  ],\n  \"b\": [],\n  \"c\": {\n    \"d\": 1e400\n  }\n}";
        assert_eq!(indented(text), expected);
    }

    #[test]
    fn minifying_takes_spaces_between_tokens_only() {
        let mut out = String::new();
        minify_into(&mut out, " { \"a b\" : [ 1 , true ,\n null ] } ");
        assert_eq!(out, r#"{"a b":[1,true,null]}"#);
    }
}
