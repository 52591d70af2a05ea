//! What Azure refuses, keeps or changes without a word.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::bicep::{Resource, Value};
use crate::provided::{CONTAINERS, settings};
use crate::sources;

/// Two systems in one group have two names; whatever is called the same in both would be one resource.
#[test]
fn every_resource_is_named_after_its_system() {
    let template = sources::template();
    for resource in &template.resources {
        let Resource { module, symbol, .. } = resource;
        // What lies in or on another resource is told apart by that one. The zones of private links have fixed names, and
        // one of each serves a whole network.
        let is_inner = resource.parent().is_some() || resource.body.get("scope").is_some();
        if resource.existing || is_inner || resource.is("Microsoft.Network/privateDnsZones") {
            continue;
        }
        let name = resource.body.get("name").unwrap();
        let name = name.text().or_else(|| name.code()).unwrap();
        assert!(
            ["${name}", "${prefix}", ", name,", "namespaceName"]
                .iter()
                .any(|part| name.contains(part)),
            "{module}.bicep: {symbol} is called {name} in every system"
        );
    }
}

/// Storage accounts and Cosmos DB refuse capitals and hyphens, in the middle of a deployment.
#[test]
fn names_are_made_of_what_storage_takes() {
    let template = sources::template();
    let prefix = &template.variables[&("main".to_owned(), "prefix".to_owned())];
    let prefix = prefix.code().unwrap();
    assert!(prefix.starts_with("toLower("), "{prefix}");
    for ((module, parameter), value) in &template.passed {
        if parameter == "name" {
            assert_eq!(value, &Value::Code("prefix".into()), "{module}.bicep");
        }
    }
}

/// A template has no fractions: `string()` of one fails the deployment.
#[test]
fn thresholds_are_strings() {
    let main = sources::read("infra/main.bicep");
    assert!(main.contains("\nparam alertThresholds { *: string } = {}\n"));
    let app = sources::read("infra/modules/function-app.bicep");
    assert!(app.contains("value: threshold.value\n"));
}

#[test]
fn an_s3_hub_of_more_than_ten_units_is_refused_before_the_deployment() {
    let template = sources::template();
    let units = &template.passed[&("iot-hub".to_owned(), "units".to_owned())];
    let Value::Several(branches) = units else {
        panic!("units go to the IoT hub as they are: {units:?}");
    };
    let refusal = branches[0].code().unwrap();
    assert!(refusal.starts_with("fail("), "{refusal}");
    let main = sources::read("infra/main.bicep");
    assert!(main.contains("iotHubSku == 'S3' && iotHubUnits > 10 ? fail("));
}

/// The service takes it for each group of functions that scale together; who reads it as the app's pays for many times it.
#[test]
fn the_maximum_of_instances_is_said_to_be_of_each_group() {
    let main = sources::read("infra/main.bicep");
    let (before, _) = main.split_once("\nparam maximumInstances int").unwrap();
    let (_, described) = before.rsplit_once("@description(").unwrap();
    assert!(
        described.contains("each of the app\\'s scaling groups"),
        "{described}"
    );
}

/// Each deployment sets the whole list of app settings: what has no parameter is gone after it.
#[test]
fn settings_of_an_operator_have_a_parameter_each() {
    let template = sources::template();
    let settings = settings(&template);
    for (name, value) in [
        ("RUST_LOG", "logLevel"),
        ("RUST_LIB_BACKTRACE", "0"),
        (
            "AlertWebhookTimeoutSeconds",
            "string(alertWebhookTimeoutSeconds)",
        ),
        ("SummarizeDeliveriesSchedule", "insightsSchedule"),
        ("InsightsLive", "string(insightsLive)"),
        ("FleetMapTiles", "fleetMapTiles"),
        ("FleetMapTilesAttribution", "fleetMapTilesAttribution"),
    ] {
        assert_eq!(
            settings.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    let app = sources::read("infra/modules/function-app.bicep");
    assert!(app.contains("in items(extraSettings)"));
    let site = template.of("Microsoft.Web/sites").next().unwrap();
    let list = site.body.at("properties.siteConfig.appSettings").unwrap();
    let Value::Several(parts) = list else {
        panic!("the list is not put together: {list:?}");
    };
    for part in ["thresholdSettings", "extraSettingsList"] {
        assert!(parts.contains(&Value::Code(part.into())), "{part}");
    }
}

/// Snapshots are overwritten at each batch: seven days of what was overwritten would be a terabyte.
#[test]
fn what_is_overwritten_lies_where_nothing_keeps_it() {
    let template = sources::template();
    let holds = |module: &str, name: &str| {
        template
            .of(CONTAINERS)
            .any(|container| container.module == module && container.name() == Some(name))
    };
    for service in template.of("Microsoft.Storage/storageAccounts/blobServices") {
        let properties = service.body.get("properties");
        let keeps = ["deleteRetentionPolicy", "isVersioningEnabled", "changeFeed"]
            .iter()
            .any(|key| properties.is_some_and(|properties| properties.get(key).is_some()));
        let is_overwritten = holds(&service.module, local::system::ALERT_STATE);
        assert!(!(keeps && is_overwritten), "{}.bicep", service.module);
    }
    assert!(holds("runtime-storage", local::system::ALERT_STATE));
    let settings = settings(&template);
    let address = &settings["StateStorage__blobServiceUri"];
    assert!(address.contains("runtimeStorageName"), "{address}");
}

/// Flex Consumption joins a subnet of `Microsoft.App`, which a subscription has to know.
#[test]
fn private_networking_says_what_it_needs_registered() {
    let page = sources::read("infra/README.md");
    assert!(page.contains("az provider register --namespace Microsoft.App"));
}

/// Runs the refusal with an `az` that answers so.
fn change(to: &str, serverless: &str, storage: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let az = folder.path().join("az");
    let script = format!(
        "#!/bin/sh\ncase \"$1 $2\" in\n'cosmosdb list') printf '{serverless}';;\n'storage account') printf '{storage}';;\n\
         *) exit 9;;\nesac\n"
    );
    fs::write(&az, script).unwrap();
    make_executable(&az);
    let path = std::env::var("PATH").unwrap();
    Command::new("sh")
        .arg(sources::repository().join("infra/refuse-change-of-size.sh"))
        .args(["drones", to])
        .env("PATH", format!("{}:{path}", folder.path().display()))
        .env_remove("DRONES_NAME")
        .output()
        .unwrap()
}

fn make_executable(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    fs::set_permissions(path, permissions).unwrap();
}

/// Serverless to provisioned and LRS to ZRS are no in-place changes: the deployment would fail halfway.
#[test]
fn one_size_is_not_deployed_over_another() {
    for (to, serverless, storage) in [
        ("try", "", ""),
        ("fleet", "", ""),
        ("try", "1\\n", "Standard_LRS\\n"),
        ("fleet", "0\\n", "Standard_ZRS\\n"),
    ] {
        let output = change(to, serverless, storage);
        assert!(output.status.success(), "{to}: {output:?}");
    }
    for (to, serverless, storage, word) in [
        ("fleet", "1\\n", "Standard_ZRS\\n", "is serverless"),
        (
            "try",
            "0\\n",
            "Standard_LRS\\n",
            "of provisioned throughput",
        ),
        ("fleet", "0\\n", "Standard_LRS\\n", "are Standard_LRS"),
    ] {
        let output = change(to, serverless, storage);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{to}: {said}");
        assert!(
            said.contains(word) && said.contains("second group"),
            "{said}"
        );
    }
    assert!(sources::read("infra/README.md").contains("\n## From try to fleet\n"));
}
