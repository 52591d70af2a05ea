//! What a parameter file of infra/ asks for, as far as it decides whether a deployment fails.
//!
//! Not a reader of Bicep: it knows the forms that these files have (a text, a number, a truth value, and the same from an
//! environment variable). Lines that nobody here asks for, secrets among them, are not looked at.

use std::path::{Path, PathBuf};

/// What decides. The rest of the parameters cannot make a deployment fail that this program could foresee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Begins every name.
    pub name: String,
    /// Where everything goes, if the file says so itself.
    pub location: Option<String>,
    /// Whether drones come by way of an IoT hub.
    pub iot_hub: bool,
    /// Whether the data services leave the internet.
    pub private_networking: bool,
    /// Whether all is spread over zones.
    pub zone_redundant: bool,
    /// The storage accounts' redundancy.
    pub storage_sku: String,
    /// Memory of an instance of the app, in MB.
    pub instance_memory: u32,
    /// How far each scaling group may scale out.
    pub maximum_instances: u32,
    /// The app registration by which people sign in.
    pub sign_in_client: Option<String>,
    /// Whether there is a budget, which is a resource of another provider.
    pub budget: bool,
}

/// The file does not say what is to be deployed.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A value is of a form that is not known here, or is not what the template takes.
    #[error("{parameter}: {why}")]
    Value {
        /// The parameter.
        parameter: &'static str,
        /// What is wrong with it. The value itself is not said: it may come from the environment.
        why: String,
    },
}

impl Wanted {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read or means nothing to the template.
    pub fn read(
        file: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ParametersError> {
        let text = std::fs::read_to_string(file).map_err(|error| ParametersError::Unreadable {
            file: file.to_owned(),
            error,
        })?;
        Self::parse(&text, environment)
    }

    /// Reads the text of a file. What it leaves out has the default of infra/main.bicep, which a test holds against these.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ParametersError> {
        let file = File { text, environment };
        let ingress = file.text("ingress", "iotHub")?;
        if !["iotHub", "eventHubs"].contains(&&*ingress) {
            return Err(wrong("ingress", "neither iotHub nor eventHubs"));
        }
        let name = file.text("name", "drones")?;
        check_name(&name)?;
        let zone_redundant = file.truth("zoneRedundant", false)?;
        let storage_sku = file.text("storageSku", "Standard_LRS")?;
        Ok(Self {
            name,
            location: Some(file.text("location", "")?).filter(|location| !location.is_empty()),
            iot_hub: ingress == "iotHub",
            private_networking: file.truth("privateNetworking", false)?,
            // As the template has it.
            storage_sku: match &*storage_sku {
                "Standard_LRS" if zone_redundant => "Standard_ZRS".to_owned(),
                _ => storage_sku,
            },
            zone_redundant,
            instance_memory: file.number("instanceMemoryMB", 512)?,
            maximum_instances: file.number("maximumInstances", 40)?,
            sign_in_client: Some(file.text("signInClientId", "")?).filter(|id| !id.is_empty()),
            budget: file.number("monthlyBudget", 0)? > 0
                && !file.text("alertEmail", "")?.is_empty(),
        })
    }
}

/// What the template and every service take: the names of storage accounts have neither hyphens nor anything else.
fn check_name(name: &str) -> Result<(), ParametersError> {
    let fits = (3..=10).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '-');
    if fits {
        return Ok(());
    }
    Err(wrong(
        "name",
        "must be 3 to 10 letters, digits and hyphens, and begin with a letter: `export DRONES_NAME=drones`",
    ))
}

fn wrong(parameter: &'static str, why: impl Into<String>) -> ParametersError {
    ParametersError::Value {
        parameter,
        why: why.into(),
    }
}

struct File<'a, E> {
    text: &'a str,
    environment: E,
}

impl<E: Fn(&str) -> Option<String>> File<'_, E> {
    fn text(&self, parameter: &'static str, default: &str) -> Result<String, ParametersError> {
        Ok(self.value(parameter)?.unwrap_or_else(|| default.to_owned()))
    }

    fn truth(&self, parameter: &'static str, default: bool) -> Result<bool, ParametersError> {
        match self.value(parameter)?.map(|value| value.to_lowercase()) {
            None => Ok(default),
            Some(value) => value
                .parse()
                .map_err(|_| wrong(parameter, "neither true nor false")),
        }
    }

    fn number(&self, parameter: &'static str, default: u32) -> Result<u32, ParametersError> {
        match self.value(parameter)? {
            None => Ok(default),
            Some(value) => value
                .parse()
                .map_err(|_| wrong(parameter, "not a whole number")),
        }
    }

    /// What the file gives the parameter, if anything.
    fn value(&self, parameter: &'static str) -> Result<Option<String>, ParametersError> {
        let line = self.text.lines().find_map(|line| {
            let rest = line.trim().strip_prefix("param ")?.trim_start();
            rest.strip_prefix(parameter)?.trim_start().strip_prefix('=')
        });
        let Some(line) = line else {
            return Ok(None);
        };
        let value = evaluate(line.trim(), &self.environment).ok_or_else(|| {
            wrong(parameter, "its value is of a form that is not understood here, or its environment variable is not set")
        })?;
        Ok(Some(value))
    }
}

/// The value of an expression as text; `None` where it is of no known form.
fn evaluate(expression: &str, environment: &impl Fn(&str) -> Option<String>) -> Option<String> {
    if let Some(inner) = call(expression, "bool").or_else(|| call(expression, "int")) {
        return evaluate(inner, environment);
    }
    if let Some(arguments) = call(expression, "readEnvironmentVariable") {
        let (variable, rest) = quoted(arguments)?;
        let default = match rest.trim_start().strip_prefix(',') {
            Some(default) => Some(quoted(default.trim_start())?.0.to_owned()),
            None => None,
        };
        return environment(variable).or(default);
    }
    if let Some((text, rest)) = quoted(expression) {
        return comment_or_nothing(rest).then(|| text.to_owned());
    }
    let (word, rest) = match expression.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest),
        None => (expression, ""),
    };
    let known = word == "true" || word == "false" || word.parse::<u32>().is_ok();
    (known && comment_or_nothing(rest)).then(|| word.to_owned())
}

fn comment_or_nothing(rest: &str) -> bool {
    let rest = rest.trim();
    rest.is_empty() || rest.starts_with("//")
}

/// What stands between the brackets of a call of this function.
fn call<'a>(expression: &'a str, function: &str) -> Option<&'a str> {
    let arguments = expression.strip_prefix(function)?.strip_prefix('(')?;
    let end = arguments.rfind(')')?;
    Some(arguments[..end].trim())
}

/// A text without anything escaped or put into it, and what follows.
fn quoted(expression: &str) -> Option<(&str, &str)> {
    let (text, rest) = expression.strip_prefix('\'')?.split_once('\'')?;
    (!text.contains(['\\', '$'])).then_some((text, rest))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TEMPLATE: &str = include_str!("../../../../infra/main.bicep");
    const TRY: &str = include_str!("../../../../infra/try.bicepparam");
    const FLEET: &str = include_str!("../../../../infra/fleet.bicepparam");

    #[test]
    fn what_a_file_leaves_out_is_as_the_template_has_it() {
        let defaults = Wanted::parse("", |_| None).unwrap();
        // Of the template's lines, those with a default read like those of a parameter file.
        let lines = TEMPLATE.lines().filter(|line| line.starts_with("param "));
        let as_file: Vec<String> = lines
            .filter(|line| !line.contains("resourceGroup()") && line.contains(" = "))
            .map(|line| {
                let (declared, default) = line.split_once(" = ").unwrap();
                let name = declared.split(' ').nth(1).unwrap();
                format!("param {name} = {default}")
            })
            .collect();
        let template = Wanted::parse(&as_file.join("\n"), |_| None).unwrap();
        assert_eq!(defaults, template);
        for parameter in [
            "name",
            "ingress",
            "privateNetworking",
            "zoneRedundant",
            "storageSku",
            "instanceMemoryMB",
            "maximumInstances",
            "signInClientId",
            "monthlyBudget",
            "alertEmail",
        ] {
            let start = format!("param {parameter} = ");
            assert!(
                as_file.iter().any(|line| line.starts_with(&start)),
                "the template has no {parameter}"
            );
        }
    }

    #[test]
    fn both_sizes_are_read_and_the_environment_chooses() {
        let small = Wanted::parse(TRY, |_| None).unwrap();
        assert_eq!((&*small.name, small.iot_hub), ("drones", true));
        assert_eq!((small.instance_memory, small.maximum_instances), (512, 40));
        assert_eq!(small.storage_sku, "Standard_LRS");
        let fleet = Wanted::parse(FLEET, |name| {
            let value = match name {
                "DRONES_NAME" => "Fleet-1",
                "DRONES_INGRESS" => "eventHubs",
                "DRONES_PRIVATE_NETWORKING" | "DRONES_ZONE_REDUNDANT" => "true",
                "DRONES_SIGN_IN_CLIENT_ID" => "3f1d",
                "DRONES_MONTHLY_BUDGET" => "100",
                "DRONES_ALERT_EMAIL" => "you@example.com",
                _ => return None,
            };
            Some(value.to_owned())
        })
        .unwrap();
        assert_eq!((&*fleet.name, fleet.iot_hub), ("Fleet-1", false));
        assert!(fleet.private_networking && fleet.zone_redundant && fleet.budget);
        assert_eq!(fleet.sign_in_client.as_deref(), Some("3f1d"));
        assert_eq!(
            (fleet.instance_memory, &*fleet.storage_sku),
            (2048, "Standard_ZRS")
        );
    }

    #[test]
    fn zones_make_local_redundancy_zonal() {
        let wanted = Wanted::parse("param zoneRedundant = true // all of it", |_| None).unwrap();
        assert_eq!(wanted.storage_sku, "Standard_ZRS");
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_what_nobody_asks_for_is_not() {
        for line in [
            "param zoneRedundant = 'perhaps'",
            "param name = concat('a', 'b')",
            "param name = 'dr'",
            "param name = 'drone_fleet'",
            "param ingress = 'mqtt'",
            "param name = readEnvironmentVariable('NOT_SET')",
            "param maximumInstances = 'many'",
        ] {
            let parameter = line.split(' ').nth(1).unwrap();
            let error = Wanted::parse(line, |_| None).unwrap_err().to_string();
            assert!(error.starts_with(parameter), "{line}: {error}");
        }
        let other = "param tags = union({ a: 'b' }, other)\nparam nameless = concat('a')";
        assert!(Wanted::parse(other, |_| None).is_ok());
    }
}
