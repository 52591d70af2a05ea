//! Faults of the subscription and of whoever deploys, each found alone and with what mends it.

use super::*;

#[tokio::test]
async fn old_tools_are_found() {
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

    // Which is no fault: the deployment installs it.
    let missing = "ERROR: Bicep CLI not found. Install it now by running \"az bicep install\".";
    let az = Recorded::good().refusing("bicep version", missing);
    let all = findings(&az, &everything()).await;
    assert!(matches!(all[1].outcome, Outcome::Ok(_)), "{:?}", all[1]);
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
    assert_eq!(mend, std::slice::from_ref(&administrator));

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
