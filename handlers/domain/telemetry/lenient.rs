//! The one thing that is forgiven: trailing commas. The published samples of this telemetry have them.

/// Overwrites trailing commas with spaces, so that every other byte keeps its place and a parser's
/// complaint about the rest points at the right column. `None` where there are none.
///
/// A comma is trailing where, outside of strings and but for white space, it follows a value and comes
/// before `}` or `]`. So `{,}` and `[1,,]` stay as wrong as they are. The text need not be JSON.
pub(super) fn without_trailing_commas(text: &str) -> Option<String> {
    let mut commas = Vec::new();
    // The last comma, if nothing but white space came after it.
    let mut open_comma = None;
    // The last byte that is not white space: `{` to begin with, as if a document began inside one.
    let mut before = b'{';
    let mut in_string = false;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => continue,
            b',' if !matches!(before, b'{' | b'[' | b',' | b':') => open_comma = Some(index),
            b'}' | b']' => commas.extend(open_comma.take()),
            _ => {
                open_comma = None;
                in_string = byte == b'"';
            }
        }
        before = byte;
    }
    if commas.is_empty() {
        return None;
    }
    let mut forgiven = String::with_capacity(text.len());
    let mut rest = 0;
    for comma in commas {
        forgiven.push_str(&text[rest..comma]);
        forgiven.push(' ');
        rest = comma + 1;
    }
    forgiven.push_str(&text[rest..]);
    Some(forgiven)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn trailing_commas_become_spaces() {
        for (text, expected) in [
            (r#"{"a":1,}"#, r#"{"a":1 }"#),
            ("{\"a\":1,\r\n\t}", "{\"a\":1 \r\n\t}"),
            (
                r#"{"a":[1,2,],"b":{"c":"x",},}"#,
                r#"{"a":[1,2 ],"b":{"c":"x" } }"#,
            ),
            (r#"[[],]"#, r#"[[] ]"#),
            (r#"["\"",]"#, r#"["\"" ]"#),
            (r#"["é\\",]"#, r#"["é\\" ]"#),
        ] {
            assert_eq!(
                without_trailing_commas(text).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn nothing_else_is_touched() {
        for text in [
            "",
            "{}",
            "{,}",
            "[,]",
            "[ ,\n]",
            "[1,,]",
            "{\"a\":,}",
            r#"{"a":",}"}"#,
            r#"{"a":"\",}"}"#,
            r#"{"a":1,"#,
            r#"{"a":1},"#,
            "[1,2]",
            "[1,\u{a0}]",
            r#"{"a":1,/**/}"#,
        ] {
            assert_eq!(without_trailing_commas(text), None, "{text}");
        }
    }
}
