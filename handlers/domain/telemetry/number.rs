//! Numbers as drones write them: JSON's grammar, in JSON text or as a JSON number.

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberError {
    /// It is not written as one.
    Grammar,
    /// It is, but is larger than any number that can be held.
    Overflow,
}

/// Reads a number: finite, and never -0, which would equal 0 and yet sort before it.
///
/// ASCII white space around it and one `+` before it are forgiven, because devices send both. Names
/// such as `NaN` and `Infinity`, hexadecimal and leading zeros are not numbers.
pub(super) fn parse(text: &str) -> Result<f64, NumberError> {
    let text = text.trim_ascii();
    let text = match text.strip_prefix('+') {
        Some(unsigned) if unsigned.starts_with('-') => return Err(NumberError::Grammar),
        Some(unsigned) => unsigned,
        None => text,
    };
    if !is_json_number(text.as_bytes()) {
        return Err(NumberError::Grammar);
    }
    // The standard parser takes everything that the grammar does, and more: it never fails here.
    let value: f64 = text.parse().map_err(|_| NumberError::Grammar)?;
    if value.is_infinite() {
        Err(NumberError::Overflow)
    } else if value == 0.0 {
        Ok(0.0)
    } else {
        Ok(value)
    }
}

/// RFC 8259, section 6.
fn is_json_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (integer, text) = split_digits(text);
    if matches!(integer, [] | [b'0', _, ..]) {
        return false;
    }
    let text = match text {
        [b'.', fraction @ ..] => match split_digits(fraction) {
            ([], _) => return false,
            (_, rest) => rest,
        },
        _ => text,
    };
    match text {
        [] => true,
        [b'e' | b'E', exponent @ ..] => {
            let exponent = match exponent {
                [b'+' | b'-', digits @ ..] => digits,
                digits => digits,
            };
            matches!(split_digits(exponent), ([_, ..], []))
        }
        _ => false,
    }
}

fn split_digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_the_json_grammar_are_read() {
        for (text, expected) in [
            ("0", 0.0),
            ("58.08", 58.08),
            ("+58.08", 58.08),
            ("-99.579919", -99.579919),
            (" 1 ", 1.0),
            ("\t+2\n", 2.0),
            ("1e2", 100.0),
            ("1.5E-1", 0.15),
            ("1e-400", 0.0),
            ("10", 10.0),
            ("0.0000001", 0.0000001),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn minus_zero_becomes_zero() {
        for text in ["-0", "-0.0", "-0e5", "-1e-400"] {
            assert!(parse(text).unwrap().is_sign_positive(), "{text}");
        }
    }

    #[test]
    fn what_json_does_not_call_a_number_is_not_one() {
        for text in [
            "",
            " ",
            "+",
            "-",
            "+-1",
            "-+1",
            "++1",
            "- 1",
            "01",
            "-01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1 2",
            "0x1F",
            "1_000",
            "1,5",
            "1f",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "-Infinity",
            "+infinity",
            "\u{661}",
            "1\u{a0}",
            "true",
            "1e5.0",
            "--1",
        ] {
            assert_eq!(parse(text), Err(NumberError::Grammar), "{text}");
        }
    }

    #[test]
    fn a_number_too_large_to_hold_is_told_from_nonsense() {
        for text in ["1e400", "-1e400", "+1e99999999999999999999"] {
            assert_eq!(parse(text), Err(NumberError::Overflow), "{text}");
        }
        let long = "9".repeat(1_000);
        assert_eq!(parse(&long), Err(NumberError::Overflow));
    }

    proptest! {
        #[test]
        fn the_grammar_is_that_of_a_json_parser(text in "[-0-9.eE][-+0-9.eE]{0,7}") {
            // Raw, because a JSON parser that makes a number of it also refuses what overflows.
            let json = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(parse(&text) != Err(NumberError::Grammar), json, "{}", text);
        }

        #[test]
        fn any_number_comes_back_as_it_was(value in proptest::num::f64::NORMAL) {
            prop_assert_eq!(parse(&value.to_string()), Ok(value));
        }
    }
}
