//! The same for what the region has, and for the names and numbers that are given out.

use super::*;

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
