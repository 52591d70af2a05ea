//! `Name=value;Name=value`, as the portal shows it. Its text is never repeated in an error.

use super::DestinationError;

/// The parts of a connection string. No `Debug`: one of them is a key.
pub(super) struct ConnectionString<'a> {
    setting: &'static str,
    text: &'a str,
}

impl<'a> ConnectionString<'a> {
    /// `setting` is where it comes from, for errors.
    pub(super) fn new(setting: &'static str, text: &'a str) -> Self {
        Self { setting, text }
    }

    /// The value of a part; names know no case.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.text.split(';').find_map(|part| {
            // A key may end with '=' characters.
            let (key, value) = part.split_once('=')?;
            (key.trim().eq_ignore_ascii_case(name) && !value.is_empty()).then_some(value.trim())
        })
    }

    /// The value of a part that must be there.
    pub(super) fn require(&self, name: &'static str) -> Result<&'a str, DestinationError> {
        self.get(name).ok_or(DestinationError::Part {
            setting: self.setting,
            name,
        })
    }

    /// Whether it is for an emulator on this machine: no TLS, and any port.
    pub(super) fn is_emulator(&self) -> bool {
        self.get("UseDevelopmentEmulator")
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_whatever_their_case_and_keys_keep_their_padding() {
        let text = "HostName=fleet.azure-devices.net; sharedaccesskeyname = device;SharedAccessKey=YWJj=;Empty=;";
        let parts = ConnectionString::new("SETTING", text);
        assert_eq!(parts.get("hostname"), Some("fleet.azure-devices.net"));
        assert_eq!(parts.get("SharedAccessKeyName"), Some("device"));
        assert_eq!(parts.get("SharedAccessKey"), Some("YWJj="));
        assert_eq!(parts.get("Empty"), None);
        assert!(!parts.is_emulator());
        let error = parts
            .require("DeviceId")
            .err()
            .map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("SETTING has no valid DeviceId="));
    }
}
