//! What deploys: `az`, and the Bicep that it brings.

use std::collections::HashMap;
use std::fmt;

use crate::preflight::az::{AzError, ask};
use crate::preflight::context::Context;
use crate::preflight::finding::Finding;

/// A version of three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32, u32, u32);

/// The first with Flex Consumption. From memory of its release notes, not verified.
pub const OLDEST_AZ: Version = Version(2, 60, 0);

/// The first that takes modules without names, which is the newest that infra/ makes use of. From memory of its release notes,
/// not verified.
pub const OLDEST_BICEP: Version = Version(0, 34, 1);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Version {
    /// The first in a text.
    fn find(text: &str) -> Option<Self> {
        text.split(|character: char| !(character.is_ascii_digit() || character == '.'))
            .find_map(|word| {
                let mut numbers = word.split('.').map(|number| number.parse().ok());
                let version = Self(numbers.next()??, numbers.next()??, numbers.next()??);
                numbers.next().is_none().then_some(version)
            })
    }
}

pub(super) async fn az(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "az";
    let versions: HashMap<String, serde_json::Value> = match ask(context.az, &["version"]).await {
        Ok(versions) => versions,
        Err(error) => return Finding::not_answered(SUBJECT, &error),
    };
    let version = versions
        .get("azure-cli")
        .and_then(|version| version.as_str());
    match version.and_then(Version::find) {
        Some(version) if version >= OLDEST_AZ => Finding::ok(SUBJECT, version.to_string()),
        Some(version) => Finding::will_fail(
            SUBJECT,
            format!("{version} is too old: {OLDEST_AZ} or newer is needed"),
            vec!["az upgrade".to_owned()],
        ),
        None => Finding::not_answered(SUBJECT, &AzError::Unreadable("version".to_owned())),
    }
}

pub(super) async fn bicep(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "Bicep";
    // A line for people, also where JSON is asked for.
    match context.az.run(&["bicep", "version"]).await {
        Ok(text) => match Version::find(&text) {
            Some(version) if version >= OLDEST_BICEP => Finding::ok(SUBJECT, version.to_string()),
            Some(version) => Finding::will_fail(
                SUBJECT,
                format!("{version} is too old: {OLDEST_BICEP} or newer is needed"),
                vec!["az bicep upgrade".to_owned()],
            ),
            None => {
                Finding::not_answered(SUBJECT, &AzError::Unreadable("bicep version".to_owned()))
            }
        },
        // A deployment installs it by itself, and then the newest.
        Err(error) if error.says("Bicep CLI not found") => Finding::ok(
            SUBJECT,
            "is not there yet; the deployment installs the newest",
        ),
        Err(error) => Finding::not_answered(SUBJECT, &error),
    }
}
