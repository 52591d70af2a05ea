//! The identifiers that drones are known by.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest identifier that IoT Hub takes, in characters.
pub const MAX_LENGTH: usize = 128;

/// Why a text is not an identifier. The text comes after the name of what it should have been, as in
/// `deviceId: is empty`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentifierError {
    /// There is nothing in it.
    #[error("is empty")]
    Empty,
    /// It is longer than [`MAX_LENGTH`].
    #[error("is longer than {MAX_LENGTH} characters")]
    TooLong,
    /// A character outside IoT Hub's set.
    #[error(
        "holds '{}' at character {position}, which IoT Hub does not allow",
        .character.escape_default()
    )]
    Character {
        /// The first such character.
        character: char,
        /// Where it is, counted from 1.
        position: usize,
    },
}

/// IoT Hub's set: ASCII letters, digits and ``- : . + % _ # * ? ! ( ) , = @ ; $ '``.
const ALLOWED: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        allowed[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let special = b"-:.+%_#*?!(),=@;$'";
    let mut index = 0;
    while index < special.len() {
        allowed[special[index] as usize] = true;
        index += 1;
    }
    allowed
};

fn check(text: &str) -> Result<(), IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    // The set is ASCII, so where every byte is in it, bytes are characters.
    if text.bytes().all(|byte| ALLOWED[usize::from(byte)]) {
        return if text.len() <= MAX_LENGTH {
            Ok(())
        } else {
            Err(IdentifierError::TooLong)
        };
    }
    let stranger =
        |character: &char| !u8::try_from(*character).is_ok_and(|byte| ALLOWED[usize::from(byte)]);
    match text
        .chars()
        .zip(1..)
        .find(|(character, _)| stranger(character))
    {
        Some((character, position)) => Err(IdentifierError::Character {
            character,
            position,
        }),
        None => Ok(()),
    }
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// 1 to 128 characters of the set that IoT Hub allows for devices; case matters. Clones share
        /// one text, because an identifier is in the event, in the state, in the cache and in the
        /// map's key.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and copies a text.
            ///
            /// # Errors
            /// Where the text is empty, too long, or holds a character outside the set.
            pub fn new(text: &str) -> Result<Self, IdentifierError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdentifierError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdentifierError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(&text).map_err(de::Error::custom)
            }
        }
    };
}

identifier! {
    /// A drone, by the name under which it is registered with IoT Hub.
    DeviceId
}

identifier! {
    /// A delivery, by the name that the drone reports it under.
    DeliveryId
}

impl DeviceId {
    /// The `id` of the drone's item in Cosmos DB.
    ///
    /// An item's id must not hold `/ \ ? #`, and `%` and others make trouble in the URLs that name
    /// it. So every byte but letters, digits and `- _ . :` is written as `~` and two hexadecimal
    /// digits; no device has a `~` in its name, hence no two devices share an item. A URL takes path
    /// segments of dots for directions, so an id of dots alone has them written the same way. At most
    /// 384 bytes, where Cosmos DB takes 1,023.
    pub fn item_id(&self) -> String {
        let only_dots = self.0.bytes().all(|byte| byte == b'.');
        let mut id = String::with_capacity(self.0.len());
        for byte in self.0.bytes() {
            match byte {
                b'.' if only_dots => id.push_str("~2E"),
                b'-' | b'_' | b'.' | b':' => id.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => id.push(char::from(byte)),
                // Writing to a String cannot fail.
                _ => _ = write!(id, "~{byte:02X}"),
            }
        }
        id
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exactly_the_characters_of_iot_hub_are_allowed() {
        let allowed: String = (0..=255_u8)
            .map(char::from)
            .filter(|character| DeviceId::new(&character.to_string()).is_ok())
            .collect();
        assert_eq!(
            allowed,
            "!#$%'()*+,-.0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
        );
    }

    #[test]
    fn an_identifier_has_1_to_128_characters() {
        assert_eq!(DeviceId::new(""), Err(IdentifierError::Empty));
        assert!(DeviceId::new(&"x".repeat(128)).is_ok());
        assert_eq!(
            DeviceId::new(&"x".repeat(129)),
            Err(IdentifierError::TooLong)
        );
    }

    #[test]
    fn an_error_says_where_the_first_strange_character_is() {
        let error = DeliveryId::new("ab é/").unwrap_err();
        assert_eq!(
            error.to_string(),
            "holds ' ' at character 3, which IoT Hub does not allow"
        );
    }

    #[test]
    fn the_item_id_of_an_ordinary_device_is_its_name() {
        let item_id = |text| DeviceId::new(text).unwrap().item_id();
        assert_eq!(item_id("Simulated.drone-01.35"), "Simulated.drone-01.35");
        assert_eq!(item_id("a#b?c%2F"), "a~23b~3Fc~252F");
        assert_eq!(item_id(".."), "~2E~2E");
        assert_eq!(item_id("..a"), "..a");
    }

    #[test]
    fn an_identifier_is_checked_when_it_is_read_from_json() {
        assert_eq!(
            serde_json::from_str::<DeviceId>("\"drone-1\"")
                .unwrap()
                .as_str(),
            "drone-1"
        );
        assert!(serde_json::from_str::<DeviceId>("\"a/b\"").is_err());
    }

    proptest! {
        #[test]
        fn no_item_id_holds_what_cosmos_db_refuses(text in "[-A-Za-z0-9:.+%_#*?!(),=@;$']{1,128}") {
            let id = DeviceId::new(&text).unwrap().item_id();
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:~".contains(&byte)));
            prop_assert!(id.len() <= 1023);
            prop_assert!(id.bytes().any(|byte| byte != b'.'));
        }

        /// Few characters, so that an encoding that mixes two of them up is caught.
        #[test]
        fn no_two_devices_share_an_item(texts in prop::collection::vec("[.%#2E]{1,4}", 2..40)) {
            let mut owners: HashMap<String, &str> = HashMap::new();
            for text in &texts {
                let id = DeviceId::new(text).unwrap().item_id();
                let owner = owners.entry(id).or_insert(text);
                prop_assert_eq!(*owner, text.as_str());
            }
        }
    }
}
