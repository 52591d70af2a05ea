//! The query of a URL, read strictly, and the parameter in its path.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use time::UtcDateTime;

use crate::domain::timestamp::{self, TimestampError};
use crate::error::Problem;

/// Set by callers for the Functions host, which checks it: the function key.
const FUNCTION_KEY: &str = "code";

/// How much of an unknown parameter's name an answer repeats, in characters.
const SHOWN: usize = 40;

/// A parameter cannot be what the caller meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {problem}")]
pub struct ParameterError {
    /// Its name.
    pub parameter: String,
    /// What is wrong, to follow the name.
    pub problem: String,
}

impl ParameterError {
    /// `problem` follows the name: `limit: is not a number`.
    pub fn new(parameter: impl Into<String>, problem: impl fmt::Display) -> Self {
        Self {
            parameter: parameter.into(),
            problem: problem.to_string(),
        }
    }
}

impl From<ParameterError> for Problem {
    fn from(error: ParameterError) -> Self {
        Self::bad_request(error.to_string())
    }
}

/// What the Functions host makes something else of on a path's way through it, however it is encoded: it takes `#` and `?` for the
/// path's end, `\` for a slash, and decodes what follows a `%` once more or once too little. The routes in function.json keep the host
/// from forwarding such a path at all; this is for whatever else stands before this program.
const CHANGED_IN_PATHS: [char; 4] = ['#', '?', '%', '\\'];

/// The parameter of a path, such as `deviceId` in `/drones/{deviceId}`. `instead` is the request that takes any id in its query.
///
/// # Errors
/// What `T` says of the text; a text that need not be the one that was sent, which could name another drone. A path that axum itself
/// refuses, because it is not UTF-8, is told of in the same way.
pub fn in_path<T>(
    name: &'static str,
    path: Result<Path<String>, PathRejection>,
    instead: &str,
) -> Result<T, ParameterError>
where
    T: FromStr<Err: fmt::Display>,
{
    let Path(text) = path.map_err(|_| ParameterError::new(name, "is not UTF-8"))?;
    let id = text
        .parse()
        .map_err(|error| ParameterError::new(name, error))?;
    if text.contains(CHANGED_IN_PATHS) {
        let problem = format!("may have been changed on its way, ask with {instead}");
        return Err(ParameterError::new(name, problem));
    }
    Ok(id)
}

/// The parameters of one query, each at most once and each known.
#[derive(Debug, Clone, Default)]
pub struct Parameters<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Reads a query, without its `?`. The function key may always be there and is left out.
    ///
    /// # Errors
    /// A name that is not among `known`, because a filter that is mistyped and so ignored would answer
    /// with everything; a name that comes twice; a value that is empty.
    pub fn parse(
        query: Option<&'a str>,
        known: &'static [&'static str],
    ) -> Result<Self, ParameterError> {
        let mut parameters = Self::default();
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if name == FUNCTION_KEY {
                continue;
            }
            let Some(&name) = known.iter().find(|known| **known == name) else {
                let shown: String = name.chars().take(SHOWN).collect();
                let problem = format!("is not one of {}", known.join(", "));
                return Err(ParameterError::new(shown, problem));
            };
            if parameters.get(name).is_some() {
                return Err(ParameterError::new(name, "is given twice"));
            }
            if value.is_empty() {
                return Err(ParameterError::new(name, "is empty"));
            }
            parameters.0.push((name, value));
        }
        Ok(parameters)
    }

    /// A parameter's text; `None` where it is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.as_ref())
    }

    /// A parameter's value by its [`FromStr`]; `None` where it is absent.
    ///
    /// # Errors
    /// What `T` says of the text.
    pub fn value<T>(&self, name: &'static str) -> Result<Option<T>, ParameterError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.value_with(name, str::parse)
    }

    /// A parameter's value by a function of its text; `None` where it is absent.
    ///
    /// # Errors
    /// What the function says of the text.
    pub fn value_with<T, E: fmt::Display>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ParameterError> {
        self.get(name)
            .map(read)
            .transpose()
            .map_err(|error| ParameterError::new(name, error))
    }

    /// A time of RFC 3339; `None` where it is absent.
    ///
    /// # Errors
    /// Anything else.
    pub fn time(&self, name: &'static str) -> Result<Option<UtcDateTime>, ParameterError> {
        self.value_with(name, |text| {
            timestamp::parse_rfc3339(text).map_err(|error| match error {
                // In a query a `+` is a space.
                _ if text.contains(' ')
                    && timestamp::parse_rfc3339(&text.replace(' ', "+")).is_ok() =>
                {
                    "has a space before its offset: write + as %2B in a query"
                }
                TimestampError::Shape => "is not an RFC 3339 time such as 2024-05-01T12:00:00Z",
                TimestampError::Value => "is not a time that exists",
            })
        })
    }

    /// A whole number from 1 to `most`; `None` where it is absent.
    ///
    /// # Errors
    /// Anything else.
    pub fn count(&self, name: &'static str, most: u16) -> Result<Option<u16>, ParameterError> {
        self.value_with(name, |text| {
            // Digits alone: the standard parser would take a sign too.
            Some(text)
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok())
                .filter(|count| (1..=most).contains(count))
                .ok_or_else(|| format!("is not a whole number from 1 to {most}"))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const KNOWN: &[&str] = &["deviceId", "limit"];

    fn parse(query: &str) -> Result<Parameters<'_>, ParameterError> {
        Parameters::parse(Some(query), KNOWN)
    }

    #[test]
    fn values_are_decoded_and_the_key_is_left_out() {
        let parameters = parse("code=secret&deviceId=a%23b+c&limit=7").unwrap();
        assert_eq!(parameters.get("deviceId"), Some("a#b c"));
        assert_eq!(parameters.count("limit", 10), Ok(Some(7)));
        assert_eq!(parameters.get("code"), None);
        let empty = Parameters::parse(None, KNOWN).unwrap();
        assert_eq!(empty.count("limit", 10), Ok(None));
    }

    #[test]
    fn what_is_mistyped_doubled_or_empty_is_named() {
        for (query, error) in [
            ("devceId=a", "devceId: is not one of deviceId, limit"),
            ("DEVICEID=a", "DEVICEID: is not one of deviceId, limit"),
            ("limit=1&limit=1", "limit: is given twice"),
            ("limit=", "limit: is empty"),
            ("limit", "limit: is empty"),
            ("=1", ": is not one of deviceId, limit"),
        ] {
            assert_eq!(parse(query).unwrap_err().to_string(), error, "{query}");
        }
    }

    #[test]
    fn a_time_is_one_of_rfc_3339() {
        let time = |text: &str| {
            let query = format!("since={text}");
            let parameters = Parameters::parse(Some(&query), &["since"]).unwrap();
            parameters.time("since").map_err(|error| error.to_string())
        };
        assert_eq!(
            time("2024-05-01T14:00:00%2B02:00"),
            Ok(Some(time::macros::utc_datetime!(2024-05-01 12:00:00)))
        );
        assert_eq!(time("2018-04-17t20:25:09z"), time("2018-04-17T20:25:09Z"));
        for (text, error) in [
            (
                "2024-05-01T14:00:00+02:00",
                "since: has a space before its offset: write + as %2B in a query",
            ),
            (
                "2024-05-01%2014:00:00Z",
                "since: is not an RFC 3339 time such as 2024-05-01T12:00:00Z",
            ),
            (
                "05/01/2024%2012:00:00%20%2B00:00",
                "since: is not an RFC 3339 time such as 2024-05-01T12:00:00Z",
            ),
            ("2024-02-30T12:00:00Z", "since: is not a time that exists"),
        ] {
            assert_eq!(time(text), Err(error.to_owned()));
        }
    }

    #[test]
    fn a_long_name_is_not_repeated_whole() {
        let query = "x".repeat(5_000);
        assert!(parse(&query).unwrap_err().to_string().len() < 100);
    }
}
