//! What Flex Consumption refuses or ignores, and what it asks for.

use std::collections::BTreeSet;

use crate::provided::settings;
use crate::sources;
use drone_delivery::FUNCTIONS;

/// "Flex Consumption plan deprecations" in the app settings reference of Azure Functions.
const REFUSED_SETTINGS: [&str; 20] = [
    "ENABLE_ORYX_BUILD",
    "FUNCTIONS_EXTENSION_VERSION",
    "FUNCTIONS_MAX_HTTP_CONCURRENCY",
    "FUNCTIONS_WORKER_DYNAMIC_CONCURRENCY_ENABLED",
    "FUNCTIONS_WORKER_PROCESS_COUNT",
    "FUNCTIONS_WORKER_RUNTIME",
    "FUNCTIONS_WORKER_RUNTIME_VERSION",
    "SCM_DO_BUILD_DURING_DEPLOYMENT",
    "TZ",
    "WEBSITE_CONTENTAZUREFILECONNECTIONSTRING",
    "WEBSITE_CONTENTOVERVNET",
    "WEBSITE_CONTENTSHARE",
    "WEBSITE_DNS_SERVER",
    "WEBSITE_MAX_DYNAMIC_APPLICATION_SCALE_OUT",
    "WEBSITE_NODE_DEFAULT_VERSION",
    "WEBSITE_RUN_FROM_PACKAGE",
    "WEBSITE_SKIP_CONTENTSHARE_VALIDATION",
    "WEBSITE_TIME_ZONE",
    "WEBSITE_VNET_ROUTE_ALL",
    "WEBSITES_CONTAINER_START_TIME_LIMIT",
];

/// The same for the properties of the site, in lower case.
const REFUSED_PROPERTIES: [&str; 17] = [
    "alwayson",
    "containersize",
    "functionappscalelimit",
    "isxenon",
    "javaversion",
    "linuxfxversion",
    "minimumelasticinstancecount",
    "netframeworkversion",
    "nodeversion",
    "phpversion",
    "powershellversion",
    "prewarmedinstancecount",
    "pythonversion",
    "use32bitworkerprocess",
    "vnetprivateportscount",
    "vnetrouteallenabled",
    "windowsfxversion",
];

#[test]
fn the_app_has_no_setting_that_flex_consumption_refuses() {
    let template = sources::template();
    for name in settings(&template).keys() {
        let refused = REFUSED_SETTINGS
            .iter()
            .any(|refused| refused.eq_ignore_ascii_case(name));
        assert!(!refused, "{name} must not be set on Flex Consumption");
    }
    let app = template.of("Microsoft.Web/sites").next().unwrap();
    for path in app.body.keys() {
        let last = path.rsplit('.').next().unwrap().to_ascii_lowercase();
        assert!(
            !REFUSED_PROPERTIES.contains(&last.as_str()),
            "{path} must not be set on Flex Consumption"
        );
    }
}

#[test]
fn the_plan_is_flex_consumption_and_runs_a_custom_handler() {
    let template = sources::template();
    let plan = template.of("Microsoft.Web/serverfarms").next().unwrap();
    assert_eq!(plan.body.at("sku.name").unwrap().text(), Some("FC1"));
    let app = template.of("Microsoft.Web/sites").next().unwrap();
    let config = app.body.at("properties.functionAppConfig").unwrap();
    assert_eq!(config.at("runtime.name").unwrap().text(), Some("custom"));
    let access = config.at("deployment.storage.authentication.type").unwrap();
    assert_eq!(access.text(), Some("UserAssignedIdentity"));
}

/// A setting such as `AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime` changes host.json; one with a
/// slip in its name changes nothing, silently.
#[test]
fn settings_that_override_host_json_name_what_is_there() {
    // Known to the extension, and rightly absent from host.json: only a deployment knows its load.
    const OPTIONS: [&str; 1] = ["extensions.eventHubs.targetUnprocessedEventThreshold"];
    let host: serde_json::Value = serde_json::from_str(drone_delivery::HOST_JSON).unwrap();
    let mut overrides = 0;
    for name in settings(&sources::template()).keys() {
        let Some(path) = name.strip_prefix("AzureFunctionsJobHost__") else {
            continue;
        };
        overrides += 1;
        let known = host
            .pointer(&format!("/{}", path.replace("__", "/")))
            .is_some();
        let path = path.replace("__", ".");
        assert!(
            known || OPTIONS.contains(&path.as_str()),
            "{name}: host.json has no {path}"
        );
    }
    assert!(overrides > 0);
}

/// An instance held ready for a function of another name would be paid for and never used.
#[test]
fn instances_are_held_ready_for_the_functions_that_read_the_hub() {
    let fleet = sources::read("infra/fleet.bicepparam");
    let ready: BTreeSet<_> = fleet
        .split('\'')
        .filter_map(|word| word.strip_prefix("function:"))
        .collect();
    let readers: BTreeSet<_> = FUNCTIONS
        .iter()
        .filter(|function| function.trigger == "eventHubTrigger")
        .map(|function| function.name)
        .collect();
    assert_eq!(ready, readers);
}

#[test]
fn only_a_function_that_exists_is_switched_off() {
    for name in settings(&sources::template()).keys() {
        if let Some(function) = name.strip_prefix("AzureWebJobs.") {
            let function = function.strip_suffix(".Disabled").unwrap();
            assert!(
                FUNCTIONS.iter().any(|known| known.name == function),
                "{name}"
            );
        }
    }
}
