//! What the pages list of rules, functions and settings is what the code has.

use azure_functions_sdk::FunctionDefinition;
use drone_delivery::FUNCTIONS;
use drone_delivery::domain::alerts::rule::Severity;
use drone_delivery::domain::alerts::rules;
use drone_delivery::domain::alerts::settings::AlertSettings;
use drone_delivery::functions::notify_alert;

use crate::demands::settings_in_code;
use crate::sources;

#[test]
fn every_rule_is_on_its_page() {
    let fence = r#"{"type":"Polygon","coordinates":[[[10,50],[11,50],[11,51],[10,51],[10,50]]]}"#;
    let settings = AlertSettings::from_all([("Alerts__Geofence".to_owned(), fence.to_owned())]);
    let page = sources::read("handlers/ALERTS.md");
    let listed = page.matches("| warning |").count() + page.matches("| critical |").count();
    assert_eq!(listed, rules::ALL.len());
    for make in rules::ALL {
        let rule = make(&settings).unwrap().expect("a rule that is on");
        let severity = match rule.severity {
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        };
        let row = format!("| `{}` | {severity} |", rule.name);
        assert!(page.contains(&row), "handlers/ALERTS.md lacks {row}");
    }
}

#[test]
fn every_function_that_is_asked_is_on_its_page() {
    let page = sources::read("handlers/API.md");
    let mut asked = 0;
    for function in FUNCTIONS.iter().filter(|it| it.trigger == "httpTrigger") {
        asked += 1;
        let route = route(function);
        assert!(
            page.contains(&format!("GET /api/{route}")),
            "handlers/API.md lacks {route} of {}",
            function.name
        );
    }
    assert!(asked > 5);
}

/// Up to the first constraint, and to what may be left out: `drones/{deviceId`, `insights`.
fn route(function: &FunctionDefinition) -> String {
    let config = function.config().unwrap();
    let route = config.trigger.get("route").unwrap();
    let (route, _) = route.split_once(':').unwrap_or((route, ""));
    let may_be_left_out = |part: &&str| part.ends_with("?}") || part.starts_with("{*");
    let parts = route.split('/').take_while(|part| !may_be_left_out(part));
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_setting_is_on_its_page() {
    let page = sources::read("handlers/SETTINGS.md");
    let settings = settings_in_code();
    assert!(settings.len() > 8, "{settings:?}");
    for setting in settings {
        // Those of one rule are told of together, and `StateStorage` takes forms of its own.
        let name = setting.split("__").next().unwrap();
        assert!(
            page.contains(&format!("`{name}")),
            "handlers/SETTINGS.md lacks {setting}"
        );
    }
}

/// How often a post is made is the function's affair, and how long it waits for the next one the host's.
#[test]
fn the_page_says_what_becomes_of_a_post_that_fails() {
    let host: serde_json::Value = serde_json::from_str(drone_delivery::HOST_JSON).unwrap();
    let wait = host["extensions"]["queues"]["visibilityTimeout"]
        .as_str()
        .unwrap();
    let seconds = wait.strip_prefix("00:00:").expect("less than a minute");
    assert_eq!(notify_alert::ATTEMPTS, 3);
    let words = format!("After three attempts, {seconds} seconds apart (`visibilityTimeout`");
    let page = sources::read("handlers/ALERTS.md");
    assert!(page.contains(&words), "handlers/ALERTS.md lacks: {words}");
}
