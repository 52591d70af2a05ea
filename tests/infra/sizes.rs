//! The sizes that can be deployed: what a parameter file makes of the template's parameters and variables.

use std::collections::BTreeMap;

use crate::bicep::Value;
use crate::expression::{Known, Scope, value};
use crate::sources;

/// A parameter file on top of the defaults.
#[derive(Debug, Clone)]
pub struct Size {
    pub file: String,
    /// Parameters and variables of main.bicep, as they are written.
    names: BTreeMap<String, String>,
    /// Of functions with one parameter: its name, and what it makes of it.
    functions: BTreeMap<String, (String, String)>,
}

impl Size {
    /// Reads `infra/<name>.bicepparam`.
    pub fn read(name: &str) -> Self {
        let template = sources::template();
        let mut names = BTreeMap::new();
        let parameters = template.parameters.iter().filter_map(|parameter| {
            let default = parameter.default.as_ref()?;
            (parameter.module == "main").then(|| (parameter.name.clone(), source(default)))
        });
        names.extend(parameters);
        let main = sources::read("infra/main.bicep");
        let variables = main
            .lines()
            .filter_map(|line| line.strip_prefix("var ")?.split_once(" = "));
        names.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let file = format!("infra/{name}.bicepparam");
        names.extend(parameters_of(&sources::read(&file)));
        let functions = main
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("func ")?.split_once('(')?;
                let (parameter, rest) = rest.split_once(' ')?;
                let (_, body) = rest.split_once("=>")?;
                Some((name.to_owned(), (parameter.to_owned(), body.to_owned())))
            })
            .collect();
        Self {
            file,
            names,
            functions,
        }
    }

    /// The same with one parameter set to something else.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        assert!(
            other
                .names
                .insert(name.to_owned(), value.to_string())
                .is_some(),
            "{name} is no parameter"
        );
        other
    }

    pub fn int(&self, name: &str) -> i64 {
        self.name(name).int()
    }

    pub fn flag(&self, name: &str) -> bool {
        self.name(name).flag()
    }

    pub fn number(&self, name: &str) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let number = self.int(name) as f64;
        number
    }

    pub fn text(&self, name: &str) -> String {
        match self.name(name) {
            Known::Text(text) => text,
            other => panic!("{}: {name} is {other:?}", self.file),
        }
    }

    /// `00:00:10` in seconds.
    pub fn seconds(&self, name: &str) -> f64 {
        self.text(name)
            .split(':')
            .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    }

    /// How many instances are always there.
    pub fn always_ready(&self) -> f64 {
        self.names["alwaysReady"]
            .split("instanceCount:")
            .skip(1)
            .map(|rest| {
                let count = rest.trim().split(|letter: char| !letter.is_ascii_digit());
                let count: f64 = count.clone().next().unwrap().parse().unwrap();
                // As function-app.bicep has it: one instance is in one zone.
                match self.name("zoneRedundant").flag() {
                    true => count.max(2.0),
                    false => count,
                }
            })
            .sum()
    }
}

impl Scope for Size {
    fn name(&self, name: &str) -> Known {
        let source = self
            .names
            .get(name)
            .unwrap_or_else(|| panic!("{}: nothing is called {name}", self.file));
        value(source, self)
    }

    fn call(&self, function: &str, arguments: &[Known]) -> Known {
        let (parameter, body) = self
            .functions
            .get(function)
            .unwrap_or_else(|| panic!("no function is called {function}"));
        let argument = arguments[0].int().to_string();
        let body = body.replace(parameter.as_str(), &argument);
        value(&body, self)
    }
}

/// The parameters that a file sets, as they are written.
pub fn parameters_of(text: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    let mut last = None;
    for line in text.lines().filter(|line| !line.starts_with("//")) {
        if let Some((name, value)) = line
            .strip_prefix("param ")
            .and_then(|line| line.split_once('='))
        {
            let name = name.trim().to_owned();
            parameters.insert(name.clone(), value.trim().to_owned());
            last = Some(name);
        } else if let Some(value) = last.as_ref().and_then(|name| parameters.get_mut(name)) {
            value.push_str(line);
        }
    }
    parameters
}

fn source(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("'{text}'"),
        Value::Code(code) => code.clone(),
        _ => String::new(),
    }
}

#[test]
fn a_size_is_the_defaults_and_what_its_file_says() {
    let fleet = Size::read("fleet");
    assert_eq!(fleet.text("iotHubSku"), "S3");
    assert_eq!(fleet.int("partitions"), 32);
    assert!((fleet.seconds("batchWait") - 10.0).abs() < 1e-9);
    assert!((fleet.always_ready() - 4.0).abs() < 1e-9);
    assert!(Size::read("try").always_ready() < 0.5);
    assert_eq!(fleet.with("partitions", "4").int("partitions"), 4);
}

/// Cosmos DB takes autoscale maxima in thousands, from 1,000.
#[test]
fn throughput_maxima_are_what_cosmos_db_takes() {
    let fleet = Size::read("fleet");
    for (asked, given) in [(0, 0), (1, 1_000), (4_000, 4_000), (14_600, 15_000)] {
        assert_eq!(
            fleet.call("wholeThousands", &[Known::Int(asked)]).int(),
            given
        );
    }
    let main = sources::read("infra/main.bicep");
    for maximum in ["dronesMaximumThroughput", "alertsMaximumThroughput"] {
        assert!(
            main.contains(&format!("{maximum}: wholeThousands({maximum})")),
            "{maximum} goes to Cosmos DB as it is"
        );
    }
}
