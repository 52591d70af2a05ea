//! Sign-in, networks, logs of what is deleted, zones, budget: what is off by default and has to be right where it is on.

use drone_delivery::FUNCTIONS;

use crate::bicep::Value;
use crate::provided::settings;
use crate::sizes::Size;
use crate::sources;

/// What anybody may see stays open where people sign in; everything else asks who it is.
#[test]
fn sign_in_leaves_open_what_is_anonymous_and_nothing_else() {
    let template = sources::template();
    let sign_in = template.of("Microsoft.Web/sites/config").next().unwrap();
    assert_eq!(
        sign_in.condition.as_deref(),
        Some("(!empty(signInClientId))"),
        "off by default"
    );
    let validation = sign_in.body.at("properties.globalValidation").unwrap();
    let asks = validation.get("requireAuthentication").unwrap();
    assert_eq!(asks.code(), Some("true"));
    let open: Vec<_> = validation
        .get("excludedPaths")
        .unwrap()
        .list()
        .iter()
        .map(|path| path.text().unwrap())
        .collect();
    for function in FUNCTIONS {
        let trigger = function.config().unwrap().trigger;
        let Some(route) = trigger.get("route") else {
            continue;
        };
        let path = format!("/api/{}", route.split("/{*").next().unwrap());
        let anonymous = trigger.get("authLevel") == Some("anonymous");
        assert_eq!(
            open.contains(&path.as_str()),
            anonymous,
            "{}: {path}",
            function.name
        );
    }
}

/// Otherwise whoever can sign in reads everything: the handler holds the role against nobody.
#[test]
fn where_people_sign_in_the_handler_is_told_to_ask_for_the_role() {
    let module = sources::read("infra/modules/function-app.bicep");
    let told = "var signInSettings = empty(signInClientId) ? [] : [{ name: 'RequireReaderRole', value: 'true' }]";
    assert!(module.contains(told));
    let settings = settings(&sources::template());
    assert_eq!(
        settings.get("RequireReaderRole").map(String::as_str),
        Some("true")
    );
}

/// A secret in a vault is read by the app's own identity, which has to be named where it is not the system's.
#[test]
fn a_webhook_address_can_come_from_a_vault() {
    let template = sources::template();
    let app = template.of("Microsoft.Web/sites").next().unwrap();
    let identity = app.body.at("properties.keyVaultReferenceIdentity").unwrap();
    assert_eq!(identity.code(), Some("identityId"));
    let text = sources::read("infra/modules/function-app.bicep");
    assert!(text.contains("@Microsoft.KeyVault(SecretUri=${alertWebhookSecretUri})"));
}

#[test]
fn every_subnet_has_rules() {
    let template = sources::template();
    let network = template
        .of("Microsoft.Network/virtualNetworks")
        .next()
        .unwrap();
    let subnets = network.body.at("properties.subnets").unwrap().list();
    assert_eq!(subnets.len(), 2);
    for subnet in subnets {
        let rules = subnet.at("properties.networkSecurityGroup.id");
        assert!(rules.is_some(), "{:?}", subnet.get("name"));
    }
}

/// Who deleted it is the first question after something is gone.
#[test]
fn deletions_of_blobs_are_logged_in_every_account() {
    let template = sources::template();
    for service in template.of("Microsoft.Storage/storageAccounts/blobServices") {
        let logged = template
            .of("Microsoft.Insights/diagnosticSettings")
            .any(|setting| {
                let scope = setting.body.get("scope").and_then(Value::code);
                let logs = setting.body.at("properties.logs").map(Value::list);
                setting.module == service.module
                    && scope == Some(&service.symbol)
                    && logs.is_some_and(|logs| {
                        logs.iter().any(|log| {
                            log.get("category").and_then(Value::text) == Some("StorageDelete")
                        })
                    })
            });
        assert!(logged, "{}.bicep", service.module);
    }
}

/// One parameter for all of it: a zone that takes one service down takes the system down.
#[test]
fn zone_redundancy_is_everywhere_or_nowhere() {
    let template = sources::template();
    let plan = template.of("Microsoft.Web/serverfarms").next().unwrap();
    let zones = plan.body.at("properties.zoneRedundant").unwrap();
    assert_eq!(zones.code(), Some("zoneRedundant"));
    let account = template
        .of("Microsoft.DocumentDB/databaseAccounts")
        .next()
        .unwrap();
    let place = &account.body.at("properties.locations").unwrap().list()[0];
    let zones = place.get("isZoneRedundant").unwrap();
    assert_eq!(zones.code(), Some("zoneRedundant"));
    for module in ["data-storage", "runtime-storage"] {
        let sku = &template.passed[&(module.to_owned(), "sku".to_owned())];
        assert_eq!(sku.code(), Some("redundantSku"), "{module}");
    }
    let app = template.of("Microsoft.Web/sites").next().unwrap();
    let ready = app
        .body
        .at("properties.functionAppConfig.scaleAndConcurrency.alwaysReady")
        .unwrap();
    let ready = template.items(&app.module, ready);
    let count = ready[0].get("instanceCount").unwrap();
    let count = count.code().unwrap();
    assert!(count.starts_with("zoneRedundant ? max(2,"), "{count}");
}

/// A comparison before a deployment sees into what a module makes of a name only where the name is known before.
#[test]
fn names_of_what_is_referred_to_are_known_before_the_deployment() {
    let template = sources::template();
    for ((module, parameter), value) in &template.passed {
        if parameter == "namespaceName" {
            assert_eq!(
                value,
                &Value::Code("namespaceName".into()),
                "{module}.bicep"
            );
        }
    }
}

/// Behind a parameter, and there once it is set.
#[test]
fn what_is_off_by_default_comes_with_its_parameter() {
    let main = sources::read("infra/main.bicep");
    for (module, condition) in [
        ("availability", "availabilityTestMinutes > 0"),
        ("budget", "monthlyBudget > 0 && !empty(alertEmail)"),
        ("network", "privateNetworking"),
        ("private-endpoints", "privateNetworking"),
        ("provisioning", "usesIotHub && provisioning"),
    ] {
        let declared = format!(" 'modules/{module}.bicep' = if ({condition}) {{\n");
        assert!(main.contains(&declared), "main.bicep has no{declared}");
    }
}

/// What does not run at all writes nothing that a rule over logs could find: somebody has to ask from outside.
#[test]
fn the_fleet_is_asked_from_outside_whether_it_answers() {
    assert!(Size::read("fleet").int("availabilityTestMinutes") > 0);
    let template = sources::template();
    let test = template
        .of("Microsoft.Insights/webtests")
        .next()
        .expect("nobody asks");
    let health = FUNCTIONS
        .iter()
        .find(|function| function.name == "Health")
        .unwrap();
    let trigger = health.config().unwrap().trigger;
    let asked = format!("https://${{host}}/api/{}", trigger.get("route").unwrap());
    let url = test.body.at("properties.Request.RequestUrl").unwrap();
    assert_eq!(url.text(), Some(asked.as_str()));
}

#[test]
fn the_workspace_takes_no_more_a_day_than_was_said() {
    let template = sources::template();
    let workspace = template
        .of("Microsoft.OperationalInsights/workspaces")
        .next()
        .unwrap();
    let cap = workspace
        .body
        .at("properties.workspaceCapping.dailyQuotaGb");
    assert_eq!(cap.and_then(Value::code), Some("dailyCapGb"));
    let passed = &template.passed[&("monitoring".to_owned(), "dailyCapGb".to_owned())];
    assert_eq!(passed.code(), Some("dailyLogCapGb"));
}

/// A region that is lost is no rule's affair: the page says what is lost, what comes again, and how long it takes.
#[test]
fn the_runbook_says_what_a_lost_region_takes_along() {
    let page = sources::read("infra/runbook.md");
    let (_, part) = page.split_once("\n## When a region is lost\n").unwrap();
    for word in [
        "### What is lost, and what comes again",
        "### What to do",
        "Recovery point: ",
        "Recovery time: ",
    ] {
        assert!(part.contains(word), "{word}");
    }
}
