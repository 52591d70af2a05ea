//! The handler's answer to a call: `{"Outputs": {…}, "Logs": […], "ReturnValue": …}`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::CallFailure;

/// How much of a failed answer is kept.
const QUOTED_CHARS: usize = 200;

/// An answer that is an envelope. Values are the handler's own text, because what becomes of an output depends on it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub outputs: BTreeMap<String, Box<RawValue>>,
    pub logs: Vec<String>,
    pub return_value: Option<Box<RawValue>>,
}

/// What an answer amounts to.
#[derive(Debug)]
pub(crate) enum Verdict {
    Answer(Answer),
    /// A 2xx answer without a body, or `null`: the real host waits on until functionTimeout.
    Hangs,
}

/// Judges an answer as the host does.
///
/// # Errors
/// Where the answer fails the call.
pub(crate) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Verdict, CallFailure> {
    if !status.is_success() {
        return Err(CallFailure::Status {
            status: status.as_u16(),
            body: quoted(body),
        });
    }
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok(Verdict::Hangs);
    }
    if !is_json(headers) {
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .map_or("no content type", |value| {
                value.to_str().unwrap_or("an unreadable one")
            });
        return Err(CallFailure::NoEnvelope(format!(
            "the content type must be application/json, not {content_type}"
        )));
    }
    if body == b"null" {
        return Ok(Verdict::Hangs);
    }
    parse(body).map(Verdict::Answer)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| {
            ["application/json", "text/json"]
                .iter()
                .any(|json| media_type.trim().eq_ignore_ascii_case(json))
        })
}

fn parse(body: &[u8]) -> Result<Answer, CallFailure> {
    let wrong = |error: serde_json::Error| CallFailure::NoEnvelope(error.to_string());
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(wrong)?;
    let mut answer = Answer::default();
    for (name, value) in members {
        match name.to_lowercase().as_str() {
            "outputs" => answer.outputs = member(&value).map_err(wrong)?.unwrap_or_default(),
            "logs" => answer.logs = logs(&value).map_err(wrong)?,
            "returnvalue" => answer.return_value = member(&value).map_err(wrong)?,
            _ => {}
        }
    }
    Ok(answer)
}

/// A member that is null counts as absent.
fn member<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Result<Option<T>, serde_json::Error> {
    if value.get() == "null" {
        return Ok(None);
    }
    serde_json::from_str(value.get()).map(Some)
}

fn logs(value: &RawValue) -> Result<Vec<String>, serde_json::Error> {
    let lines: Vec<Box<RawValue>> = member(value)?.unwrap_or_default();
    let text = |line: &RawValue| {
        serde_json::from_str::<String>(line.get()).unwrap_or_else(|_| line.get().to_owned())
    };
    Ok(lines.iter().map(|line| text(line)).collect())
}

fn quoted(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .take(QUOTED_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use axum::http::HeaderValue;

    use super::*;

    fn judged(content_type: &'static str, body: &str) -> Result<Verdict, CallFailure> {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        judge(StatusCode::OK, &headers, body.as_bytes())
    }

    fn answer(body: &str) -> Answer {
        match judged("application/json; charset=utf-8", body).unwrap() {
            Verdict::Answer(answer) => answer,
            Verdict::Hangs => panic!("the answer hangs"),
        }
    }

    #[test]
    fn envelope_names_have_no_case_and_binding_names_have() {
        let answer = answer(
            r#"{"OUTPUTS":{"deadLetters":["a"]},"logs":["one",{"b":2}],"returnValue":null}"#,
        );
        assert_eq!(answer.outputs["deadLetters"].get(), r#"["a"]"#);
        assert!(!answer.outputs.contains_key("deadletters"));
        assert_eq!(answer.logs, ["one", r#"{"b":2}"#]);
        assert!(answer.return_value.is_none());
    }

    #[test]
    fn an_envelope_may_be_empty_but_not_absent() {
        assert!(answer("{}").outputs.is_empty());
        for body in ["", "  ", "null"] {
            assert!(
                matches!(judged("application/json", body), Ok(Verdict::Hangs)),
                "{body:?}"
            );
        }
        let no_content = judge(StatusCode::NO_CONTENT, &HeaderMap::new(), b"");
        assert!(matches!(no_content, Ok(Verdict::Hangs)));
    }

    #[test]
    fn json_under_another_name_fails_the_call() {
        let failure = judged("text/plain", "{}").unwrap_err();
        assert!(failure.to_string().contains("text/plain"), "{failure}");
        assert!(judge(StatusCode::OK, &HeaderMap::new(), b"{}").is_err());
    }

    #[test]
    fn what_is_not_an_envelope_fails_the_call() {
        for body in ["[]", "true", "{", r#"{"Outputs":[]}"#, r#"{"Logs":"one"}"#] {
            assert!(judged("application/json", body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_failed_answer_is_quoted_up_to_200_characters() {
        let body = "é".repeat(500);
        let failure = judge(
            StatusCode::INTERNAL_SERVER_ERROR,
            &HeaderMap::new(),
            body.as_bytes(),
        )
        .unwrap_err();
        assert_eq!(
            failure,
            CallFailure::Status {
                status: 500,
                body: "é".repeat(200),
            }
        );
    }
}
