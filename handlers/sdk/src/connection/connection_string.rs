//! Connection strings: `Name=value;Name=value`.

use std::fmt;

use super::ConnectionError;

/// A connection string. Its `Debug` shows names, never values.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionString {
    parts: Vec<(String, String)>,
}

impl ConnectionString {
    /// Reads a connection string; `setting` is the name of the app setting that holds it, for errors.
    ///
    /// # Errors
    /// Where a part between two `;` has no name or no `=`, or there is none at all.
    pub fn parse(setting: &str, text: &str) -> Result<Self, ConnectionError> {
        let malformed = || ConnectionError::Malformed(setting.to_owned());
        let mut parts = Vec::new();
        for part in text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            // At the first `=` only: keys in base64 end with some of their own.
            let (name, value) = part.split_once('=').ok_or_else(malformed)?;
            let name = name.trim();
            // A URL with a query has a `=` too.
            if name.is_empty() || name.contains([':', '/']) {
                return Err(malformed());
            }
            parts.push((name.to_owned(), value.trim().to_owned()));
        }
        if parts.is_empty() {
            return Err(malformed());
        }
        Ok(Self { parts })
    }

    /// The value of a part, whatever the case of its name; `None` where it is absent or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parts
            .iter()
            .find(|(part, _)| part.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, _) in &self.parts {
            map.entry(name, &format_args!("[redacted]"));
        }
        map.finish()
    }
}
