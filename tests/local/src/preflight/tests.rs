#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use async_trait::async_trait;
use clap::Parser;

use super::checks::PROVIDERS;
use super::finding::Outcome;
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../fixtures/az/", $name, ".json"))
    };
}

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

fn resource(kind: &str, name: &str, location: &str) -> serde_json::Value {
    serde_json::json!({
        "id": format!("{GROUP}/providers/{kind}/{name}"), "name": name, "type": kind,
        "location": location, "resourceGroup": "drones", "tags": {}, "sku": null
    })
}

/// The group after a deployment.
fn deployed(location: &str) -> String {
    let names = names();
    let mut resources = vec![
        resource(
            "Microsoft.DocumentDB/databaseAccounts",
            &names.cosmos,
            location,
        ),
        resource("Microsoft.EventHub/namespaces", &names.event_hubs, location),
        resource("Microsoft.Devices/IotHubs", &names.iot_hub, location),
        resource("Microsoft.Web/sites", &names.app, location),
    ];
    for name in &names.storage {
        resources.push(resource(
            "Microsoft.Storage/storageAccounts",
            name,
            location,
        ));
    }
    serde_json::Value::from(resources).to_string()
}

fn all_names_taken(az: Recorded) -> Recorded {
    az.but("storage account check-name", fixture!("storage_name_taken"))
        .but("cosmosdb check-name-exists", "true")
        .but(
            "eventhubs namespace exists",
            fixture!("event_hubs_name_taken"),
        )
        .but(
            "rest Microsoft.Devices/checkNameAvailability",
            fixture!("iot_hub_name_taken"),
        )
        .but(
            "rest Microsoft.Web/checknameavailability",
            fixture!("app_name_taken"),
        )
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

#[tokio::test]
async fn old_or_missing_tools_are_found() {
    let old = fixture!("version").replace("2.77.0", "2.58.1");
    let (subject, why, mend) = fault(Recorded::good().but("version", old)).await;
    assert_eq!((subject, &*mend), ("az", &["az upgrade".to_owned()][..]));
    assert!(why.contains("2.58.1"), "{why}");

    let old = "Bicep CLI version 0.30.23 (ec3b6bbf5f)";
    let (subject, why, mend) = fault(Recorded::good().but("bicep version", old)).await;
    assert_eq!(
        (subject, &*mend),
        ("Bicep", &["az bicep upgrade".to_owned()][..])
    );
    assert!(why.contains("0.30.23"), "{why}");

    let missing = "ERROR: Bicep CLI not found. Install it now by running \"az bicep install\".";
    let (subject, _, mend) = fault(Recorded::good().refusing("bicep version", missing)).await;
    assert_eq!(
        (subject, &*mend),
        ("Bicep", &["az bicep install".to_owned()][..])
    );
}

#[tokio::test]
async fn a_subscription_that_is_off_and_a_group_that_is_not_there_are_found() {
    let disabled = fixture!("account").replace("Enabled", "Disabled");
    let (subject, _, mend) = fault(Recorded::good().but("account show", disabled)).await;
    assert_eq!(subject, "subscription");
    assert_eq!(mend[1], "az account set --subscription NAME");

    let missing = "ERROR: (ResourceGroupNotFound) Resource group 'drones' could not be found.\nCode: ResourceGroupNotFound";
    let (subject, _, mend) = fault(Recorded::good().refusing("group show", missing)).await;
    assert_eq!(subject, "resource group");
    assert_eq!(
        mend,
        ["az group create --name drones --location westeurope"]
    );

    let deleting = fixture!("group").replace("Succeeded", "Deleting");
    let (subject, _, mend) = fault(Recorded::good().but("group show", deleting)).await;
    assert_eq!(subject, "resource group");
    assert_eq!(mend, ["az group wait --deleted --resource-group drones"]);
}

#[tokio::test]
async fn providers_that_are_not_registered_are_found() {
    let without_app = r#"[{"namespace": "Microsoft.App", "registrationState": "NotRegistered"}, "#;
    let others = fixture!("providers").replace("Microsoft.App\"", "Microsoft.Other\"");
    let answer = format!(
        "{without_app}{}",
        others.trim_start().strip_prefix('[').unwrap()
    );
    let az = Recorded::good().but("provider list", answer.clone());
    let (subject, why, mend) = fault(az).await;
    assert_eq!(
        (subject, &*why),
        ("resource providers", "not registered: Microsoft.App")
    );
    assert_eq!(
        mend,
        ["az provider register --namespace Microsoft.App --wait"]
    );

    // Which nobody needs without a network of one's own.
    let plain = Wanted::parse("", |_| None).unwrap();
    let all = findings(&Recorded::good().but("provider list", answer), &plain).await;
    assert!(!all.iter().any(Finding::fails), "{all:#?}");

    let (_, why, mend) = fault(Recorded::good().but("provider list", "[]")).await;
    assert_eq!(mend.len(), PROVIDERS.len(), "{why}");
}

/// The roles of somebody who has these, the second of each pair being a condition.
fn roles(held: &[(&str, Option<&str>)]) -> String {
    let owner: Vec<serde_json::Value> = serde_json::from_str(fixture!("roles")).unwrap();
    let roles = held.iter().map(|(role, condition)| {
        let mut one = owner[0].clone();
        one["roleDefinitionName"] = (*role).into();
        one["condition"] = (*condition).into();
        one
    });
    serde_json::Value::from_iter(roles).to_string()
}

#[tokio::test]
async fn missing_roles_are_found() {
    const COMMAND: &str = "role assignment list";
    let create = |role: &str| {
        format!(
            "az role assignment create --assignee ada@example.com --role {role} --scope {GROUP}"
        )
    };
    let administrator = create("'Role Based Access Control Administrator'");

    let (subject, why, mend) =
        fault(Recorded::good().but(COMMAND, roles(&[("Contributor", None)]))).await;
    assert_eq!(subject, "roles");
    assert!(
        why.starts_with("ada@example.com may not assign roles"),
        "{why}"
    );
    assert_eq!(mend, [administrator.clone()]);

    let held = roles(&[
        ("User Access Administrator", None),
        ("Storage Blob Data Reader", None),
    ]);
    let (_, _, mend) = fault(Recorded::good().but(COMMAND, held)).await;
    assert_eq!(mend, [create("Contributor")]);

    let (_, _, mend) = fault(Recorded::good().but(COMMAND, "[]")).await;
    assert_eq!(mend, [create("Contributor"), administrator]);

    for assigner in [
        "User Access Administrator",
        "Role Based Access Control Administrator",
    ] {
        let held = roles(&[("Contributor", None), (assigner, None)]);
        let all = findings(&Recorded::good().but(COMMAND, held), &everything()).await;
        assert!(!all.iter().any(Finding::fails), "{all:#?}");
    }
}

#[tokio::test]
async fn what_roles_may_allow_is_not_called_a_fault() {
    let condition = Some("@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] …");
    for held in [
        roles(&[
            ("Contributor", None),
            ("User Access Administrator", condition),
        ]),
        roles(&[("Fleet deployer", None)]),
    ] {
        let all = findings(
            &Recorded::good().but("role assignment list", held),
            &everything(),
        )
        .await;
        assert!(!all.iter().any(Finding::fails), "{all:#?}");
        assert_eq!(unknown(&all)[0], "roles");
    }
    let identity = fixture!("account").replace("ada@example.com", "systemAssignedIdentity");
    let all = findings(
        &Recorded::good().but("account show", identity),
        &everything(),
    )
    .await;
    assert_eq!(unknown(&all)[0], "roles");
}

#[tokio::test]
async fn a_region_that_lacks_something_is_found() {
    let lacking = |name: &str| name.replace("westeurope", "westindia");
    let flex = "functionapp list-flexconsumption-locations";
    let az = Recorded::good().but(flex, lacking(fixture!("flex_locations")));
    let (subject, _, mend) = fault(az).await;
    assert_eq!(subject, "Flex Consumption");
    assert_eq!(
        mend,
        [format!("az {flex} --query \"sort([].name)\" --output tsv")]
    );

    let zones = format!("{flex} --zone-redundant=true");
    let az = Recorded::good().but(&zones, lacking(fixture!("flex_locations_zones")));
    let (subject, _, mend) = fault(az).await;
    assert_eq!(subject, "zones for the app");
    assert_eq!(
        mend[0],
        format!("az {zones} --query \"sort([].name)\" --output tsv")
    );
    assert_eq!(mend[1], "export DRONES_ZONE_REDUNDANT=false");

    let az = Recorded::good().but(
        "rest Microsoft.Storage/skus",
        lacking(fixture!("storage_skus")),
    );
    let (subject, why, mend) = fault(az).await;
    assert_eq!(subject, "storage redundancy");
    assert!(why.contains("Standard_ZRS"), "{why}");
    assert!(mend[0].contains("value[?name=='Standard_ZRS'"), "{mend:?}");

    for (from, to, expected) in [
        (
            "\"supportsAvailabilityZone\": true",
            "\"supportsAvailabilityZone\": false",
            "no zones",
        ),
        (
            "AllowedForAz\": true",
            "AllowedForAz\": false",
            "closed to this subscription for accounts over zones",
        ),
        ("Online", "Offline", "is Offline"),
    ] {
        let answer = fixture!("cosmos_location").replace(from, to);
        let (subject, why, mend) =
            fault(Recorded::good().but("cosmosdb locations show", answer)).await;
        assert_eq!(subject, "Cosmos DB in the region");
        assert!(why.contains(expected), "{why}");
        assert!(
            mend[0].starts_with("az cosmosdb locations list"),
            "{mend:?}"
        );
    }
    // Without zones it is another access that counts.
    let plain = Wanted::parse("", |_| None).unwrap();
    let closed = fixture!("cosmos_location").replace("ForRegular\": true", "ForRegular\": false");
    let all = findings(
        &Recorded::good().but("cosmosdb locations show", closed),
        &plain,
    )
    .await;
    assert!(
        all.iter()
            .any(|one| one.subject == "Cosmos DB in the region" && one.fails())
    );
}

#[tokio::test]
async fn names_that_somebody_else_has_are_found() {
    let names = names();
    for (command, answer, subject, name) in [
        (
            "storage account check-name",
            fixture!("storage_name_taken"),
            "names of the storage accounts",
            &names.storage[0],
        ),
        (
            "cosmosdb check-name-exists",
            "true",
            "name of the Cosmos DB account",
            &names.cosmos,
        ),
        (
            "eventhubs namespace exists",
            fixture!("event_hubs_name_taken"),
            "name of the Event Hubs namespace",
            &names.event_hubs,
        ),
        (
            "rest Microsoft.Devices/checkNameAvailability",
            fixture!("iot_hub_name_taken"),
            "name of the IoT hub",
            &names.iot_hub,
        ),
        (
            "rest Microsoft.Web/checknameavailability",
            fixture!("app_name_taken"),
            "name of the function app",
            &names.app,
        ),
    ] {
        let (found, why, mend) = fault(Recorded::good().but(command, answer)).await;
        assert_eq!(found, subject);
        assert!(why.starts_with(&format!("{name} is taken")), "{why}");
        assert_eq!(mend, ["export DRONES_NAME=drones2"]);
    }
}

#[tokio::test]
async fn what_the_group_has_already_is_no_fault_unless_it_is_elsewhere() {
    let full = fixture!("storage_usage").replace("12", "250");
    let hubs = fixture!("iot_hub_usages").replace("\"currentValue\": 3", "\"currentValue\": 50");
    let again = |location| {
        all_names_taken(Recorded::good())
            .but("resource list", deployed(location))
            .but("storage account show-usage", full.clone())
            .but("rest Microsoft.Devices/usages", hubs.clone())
    };
    let all = findings(&again("westeurope"), &everything()).await;
    assert!(!all.iter().any(Finding::fails), "{all:#?}");

    let all = findings(&again("East US"), &everything()).await;
    let failing: Vec<&Finding> = all.iter().filter(|finding| finding.fails()).collect();
    assert_eq!(failing.len(), 5, "{failing:#?}");
    for finding in failing {
        let Outcome::WillFail { mend, .. } = &finding.outcome else {
            continue;
        };
        let command = "az deployment group create --resource-group drones --name drone-delivery \
                       --parameters infra/try.bicepparam location=eastus";
        assert_eq!(mend, &[command]);
    }

    // Whose they are nobody knows, where the group cannot be listed.
    let hidden = again("westeurope").refusing("resource list", "ERROR: (AuthorizationFailed) No.");
    let all = findings(&hidden, &everything()).await;
    let names = all
        .iter()
        .filter(|finding| finding.subject.starts_with("name"));
    assert!(
        names
            .clone()
            .all(|finding| matches!(finding.outcome, Outcome::Unknown(_)))
    );
    assert_eq!(names.count(), 5);
}

#[tokio::test]
async fn quotas_that_are_used_up_are_found() {
    // One is left, and two are to come.
    let full = fixture!("storage_usage").replace("12", "249");
    let (subject, why, mend) =
        fault(Recorded::good().but("storage account show-usage", full)).await;
    assert_eq!(subject, "quota of storage accounts");
    assert!(
        why.starts_with("249 of 250 in westeurope, and 2 more"),
        "{why}"
    );
    assert!(mend[0].starts_with("az storage account list"), "{mend:?}");

    let full = fixture!("iot_hub_usages").replace("\"currentValue\": 3", "\"currentValue\": 50");
    let (subject, _, mend) =
        fault(Recorded::good().but("rest Microsoft.Devices/usages", full)).await;
    assert_eq!(subject, "quota of IoT hubs");
    assert_eq!(mend[1], "export DRONES_INGRESS=eventHubs");
}

#[tokio::test]
async fn a_sign_in_that_lets_nobody_in_is_found() {
    let missing = "ERROR: Resource 'c0ffee00-1111-4222-8333-444455556666' does not exist or one of its queried \
                   reference-property objects are not present.";
    let (subject, _, mend) = fault(Recorded::good().refusing("ad app show", missing)).await;
    assert_eq!(subject, "sign-in");
    assert!(mend[0].starts_with("az ad app create"), "{mend:?}");

    let (_, _, mend) = fault(Recorded::good().but("ad app show", r#"{"appRoles": []}"#)).await;
    assert!(
        mend[0].starts_with("az ad app update --id c0ffee00-"),
        "{mend:?}"
    );
    // The roles that are there must not be lost.
    let other =
        fixture!("app_registration").replace("\"value\": \"GetStatus\"", "\"value\": \"Other\"");
    let (_, _, mend) = fault(Recorded::good().but("ad app show", other)).await;
    assert!(mend[1].ends_with("--app-roles @roles.json"), "{mend:?}");
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_no_fault() {
    for (command, _) in GOOD {
        // Without it there is nothing to look at; with the next nobody asks.
        if ["account show", "role definition list"].contains(&command) {
            continue;
        }
        for az in [
            Recorded::good().but(command, "<html>Service unavailable</html>"),
            Recorded::good().but(command, r#"{"value": 1}"#),
            Recorded::good().refusing(command, "WARNING: slow\nERROR: (TooManyRequests) Later."),
        ] {
            let all = findings(&az, &everything()).await;
            assert!(!all.iter().any(Finding::fails), "{command}: {all:#?}");
            // Where nothing is free, a list that is not known is not missed.
            let expected = if command == "resource list" { 1 } else { 2 };
            assert!(unknown(&all).len() >= expected, "{command}: {all:#?}");
        }
    }
}

#[tokio::test]
async fn without_az_or_somebody_who_is_signed_in_there_is_one_sentence() {
    let nobody = "ERROR: Please run 'az login' to setup account.";
    // A session that is over is noticed with the first question to Azure itself.
    for command in ["account show", "group show"] {
        let az = Recorded::good().refusing(command, nobody);
        let error = look(&az, &options(None), &everything(), |_| {})
            .await
            .unwrap_err();
        assert_eq!(error, AzError::NotSignedIn);
        assert_eq!(
            error.to_string(),
            "nobody is signed in to `az`: run `az login`"
        );
    }
    let az = AzureCli::at("/nowhere/az");
    let error = look(&az, &options(None), &everything(), |_| {})
        .await
        .unwrap_err();
    assert_eq!(error, AzError::Missing);
    assert!(!PreflightError::from(error).is_of_options());

    let az = Recorded::good().but("account show", "Hello");
    let error = look(&az, &options(None), &everything(), |_| {})
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "`az account show` has answered something else than expected"
    );
}

#[cfg(unix)]
#[tokio::test]
async fn a_program_is_run_and_its_first_error_is_told() {
    let az = AzureCli::at("sh");
    let answer = az.run(&["-c", "echo $AZURE_CORE_ONLY_SHOW_ERRORS"]).await;
    assert_eq!(answer.unwrap(), "true\n");
    let refused = az
        .run(&["-c", "echo secret; echo 'ERROR: (Denied) No.' >&2; exit 3"])
        .await;
    let error = refused.unwrap_err();
    assert!(error.says("(Denied) No."), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn the_region_is_the_groups_unless_it_is_said() {
    let az = Recorded::good();
    let plain = Wanted::parse("", |_| None).unwrap();
    let all = look(&az, &options(None), &plain, |_| {}).await.unwrap();
    assert!(all.contains(&Finding::ok("Flex Consumption", "westeurope offers it")));
    let all = look(&az, &options(Some("eastus")), &plain, |_| {})
        .await
        .unwrap();
    assert!(all.contains(&Finding::ok("Flex Consumption", "eastus offers it")));
    // The deployment would go where the group is.
    let group = all
        .iter()
        .find(|one| one.subject == "resource group")
        .unwrap();
    assert!(group.to_string().ends_with("location=eastus"), "{group}");

    let missing = "ERROR: (ResourceGroupNotFound) Resource group 'drones' could not be found.";
    let az = Recorded::good().refusing("group show", missing);
    let all = look(&az, &options(None), &plain, |_| {}).await.unwrap();
    assert!(unknown(&all).contains(&"Flex Consumption"));
}

#[tokio::test]
async fn the_report_has_a_line_for_each_and_commands_under_faults() {
    let az = Recorded::good().but("provider list", "[]");
    let plain = Wanted::parse("param ingress = 'eventHubs'", |_| None).unwrap();
    let mut shown = Vec::new();
    let all = look(&az, &options(Some("westeurope")), &plain, |finding| {
        shown.push(finding.to_string())
    });
    let all = all.await.unwrap();
    assert_eq!(shown.len(), all.len());
    assert_eq!(shown[0], "ok                    az: 2.77.0");
    let lines: Vec<&str> = shown[4].lines().collect();
    assert!(lines[0].starts_with(
        "will fail             resource providers: not registered: Microsoft.DocumentDB, "
    ));
    assert_eq!(
        lines[1],
        "                        az provider register --namespace Microsoft.DocumentDB --wait"
    );
    assert!(
        shown
            .last()
            .unwrap()
            .starts_with("could not be checked  quota of cores")
    );
    assert_eq!(
        view::summary(&all),
        "1 of 14 will fail, 1 could not be checked. Run the commands, and look again."
    );
}

/// Every Bicep file of the deployment, as one text.
fn bicep() -> String {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra");
    let modules = std::fs::read_dir(folder.join("modules")).unwrap();
    let files = modules
        .map(|file| file.unwrap().path())
        .chain([folder.join("main.bicep")]);
    files
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect()
}

#[test]
fn the_providers_are_those_of_the_template() {
    let bicep = bicep();
    let mut used: Vec<&str> = bicep
        .split("'Microsoft.")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('/')?.0))
        .filter(|namespace| *namespace != "Authorization")
        .collect();
    used.sort_unstable();
    used.dedup();
    let mut known: Vec<&str> = PROVIDERS
        .iter()
        .filter_map(|provider| provider.namespace.strip_prefix("Microsoft."))
        .collect();
    known.sort_unstable();
    assert_eq!(known, used);
}

#[test]
fn the_names_are_made_as_the_template_makes_them() {
    let bicep = bicep();
    for rule in [
        "var prefix = toLower(replace(name, '-', ''))",
        "var suffix = uniqueString(resourceGroup().id, prefix)",
        "'evhns-${prefix}-${suffix}'",
        "take('stdata${name}${suffix}', 24)",
        "take('strun${name}${suffix}', 24)",
        "'cosmos-${name}-${suffix}'",
        "'iot-${name}-${suffix}'",
        "'func-${name}-${suffix}'",
    ] {
        assert!(bicep.contains(rule), "the template has not {rule}");
    }
    let names = names::Names::new(GROUP, "Dro-Nes");
    assert_eq!(names, self::names());
    let suffix = names::unique_string(&[GROUP, "drones"]);
    assert_eq!(names.cosmos, format!("cosmos-drones-{suffix}"));
    assert_eq!(names.storage[0].len(), 24);
}

#[test]
fn options_that_mean_nothing_are_refused() {
    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: PreflightOptions,
    }
    let parse = |arguments: &[&str]| Cli::try_parse_from([&["preflight"], arguments].concat());
    let good = parse(&["--resource-group", "drones", "--location", "West Europe"]).unwrap();
    assert_eq!(good.options.location.as_deref(), Some("westeurope"));
    for wrong in [
        &[][..],
        &["--resource-group", "drones; rm"],
        &["--resource-group", "drones."],
        &["--resource-group", "drones", "--location", "west/europe"],
    ] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
    let error = Wanted::read(std::path::Path::new("no.bicepparam"), |_| None).unwrap_err();
    assert!(PreflightError::from(error).is_of_options());
}
