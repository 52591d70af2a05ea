#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use async_trait::async_trait;

use super::checks::PROVIDERS;
use super::finding::Outcome;
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../fixtures/az/", $name, ".json"))
    };
}

mod answers;
mod faults;
mod places;
mod template;

const GROUP: &str = "/subscriptions/6d3f9b1e-2c4a-4b8e-9f57-0a1b2c3d4e5f/resourceGroups/drones";

/// What a subscription answers in which nothing is amiss.
const GOOD: [(&str, &str); 20] = [
    ("version", fixture!("version")),
    ("bicep version", "Bicep CLI version 0.38.33 (6bb5d5f859)\n"),
    ("account show", fixture!("account")),
    ("group show", fixture!("group")),
    ("resource list", fixture!("resources")),
    ("provider list", fixture!("providers")),
    ("role assignment list", fixture!("roles")),
    ("role definition list", fixture!("custom_roles")),
    (
        "functionapp list-flexconsumption-locations",
        fixture!("flex_locations"),
    ),
    (
        "functionapp list-flexconsumption-locations --zone-redundant=true",
        fixture!("flex_locations_zones"),
    ),
    ("cosmosdb locations show", fixture!("cosmos_location")),
    ("rest Microsoft.Storage/skus", fixture!("storage_skus")),
    ("storage account check-name", fixture!("storage_name")),
    ("cosmosdb check-name-exists", fixture!("cosmos_name")),
    ("eventhubs namespace exists", fixture!("event_hubs_name")),
    (
        "rest Microsoft.Devices/checkNameAvailability",
        fixture!("iot_hub_name"),
    ),
    (
        "rest Microsoft.Web/checknameavailability",
        fixture!("app_name"),
    ),
    ("storage account show-usage", fixture!("storage_usage")),
    ("rest Microsoft.Devices/usages", fixture!("iot_hub_usages")),
    ("ad app show", fixture!("app_registration")),
];

/// `az` with recorded answers. What is not among them is a command that nobody has thought of, and stops the test: so none is run
/// that would change something.
struct Recorded(HashMap<String, Result<String, String>>);

impl Recorded {
    fn good() -> Self {
        let answers = GOOD.map(|(command, answer)| (command.to_owned(), Ok(answer.to_owned())));
        Self(answers.into_iter().collect())
    }

    fn but(mut self, command: &str, answer: impl Into<String>) -> Self {
        assert!(self.0.contains_key(command), "nobody asks {command}");
        self.0.insert(command.to_owned(), Ok(answer.into()));
        self
    }

    fn refusing(mut self, command: &str, stderr: &str) -> Self {
        assert!(self.0.contains_key(command), "nobody asks {command}");
        self.0.insert(command.to_owned(), Err(stderr.to_owned()));
        self
    }
}

#[async_trait]
impl Az for Recorded {
    async fn run(&self, arguments: &[&str]) -> Result<String, AzError> {
        let words = arguments.iter().take_while(|word| !word.starts_with("--"));
        let mut command: Vec<&str> = words.copied().collect();
        command.extend(arguments.iter().filter(|word| word.starts_with("--zone")));
        if let Some(url) = arguments
            .iter()
            .find(|word| word.starts_with("/subscriptions/"))
            && command == ["rest"]
        {
            let (_, path) = url.split_once("/providers/").unwrap();
            command.push(path.split_once('?').unwrap().0);
        }
        let answer = self.0.get(&command.join(" "));
        let answer = answer.unwrap_or_else(|| panic!("no answer for {arguments:?}"));
        answer
            .clone()
            .map_err(|stderr| AzError::refused(arguments, &stderr))
    }
}

fn options(location: Option<&str>) -> PreflightOptions {
    PreflightOptions {
        resource_group: "drones".to_owned(),
        location: location.map(str::to_owned),
        parameters: "infra/try.bicepparam".into(),
    }
}

/// With all that can be chosen: what a check is left out for is in.
fn everything() -> Wanted {
    let chosen = "param privateNetworking = true\nparam zoneRedundant = true\nparam monthlyBudget = 100\n\
                  param alertEmail = 'ada@example.com'\nparam signInClientId = 'c0ffee00-1111-4222-8333-444455556666'";
    Wanted::parse(chosen, |_| None).unwrap()
}

fn names() -> names::Names {
    names::Names::new(GROUP, "drones")
}

async fn findings(az: &Recorded, wanted: &Wanted) -> Vec<Finding> {
    look(az, &options(Some("westeurope")), wanted, |_| {})
        .await
        .unwrap()
}

/// The one finding that fails, as subject, reason and commands.
async fn fault(az: Recorded) -> (&'static str, String, Vec<String>) {
    let mut failing = findings(&az, &everything()).await;
    failing.retain(Finding::fails);
    let Some(Finding {
        subject,
        outcome: Outcome::WillFail { why, mend },
    }) = failing.pop()
    else {
        panic!("nothing fails");
    };
    assert_eq!(failing, [], "beside {subject}");
    (subject, why, mend)
}

fn unknown(findings: &[Finding]) -> Vec<&'static str> {
    let unknown = findings
        .iter()
        .filter(|finding| matches!(finding.outcome, Outcome::Unknown(_)));
    unknown.map(|finding| finding.subject).collect()
}

#[tokio::test]
async fn in_a_good_subscription_nothing_fails() {
    // Of the cores nobody can know.
    const CORES: [&str; 1] = ["quota of cores for the app"];
    let all = findings(&Recorded::good(), &everything()).await;
    assert!(!all.iter().any(Finding::fails), "{all:#?}");
    assert_eq!(unknown(&all), CORES);
    assert_eq!(all.len(), 19);
    // What is not chosen is not looked at.
    let plain = Wanted::parse("param ingress = 'eventHubs'", |_| None).unwrap();
    let few = findings(&Recorded::good(), &plain).await;
    assert!(!few.iter().any(Finding::fails), "{few:#?}");
    assert_eq!(few.len(), 14);
}
