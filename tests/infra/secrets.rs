//! No key is kept, asked for or put out, and no service takes one.

use crate::bicep::Template;
use crate::expression::{Known, Scope};
use crate::sizes::Size;
use crate::sources;

/// Types that would take a key, and the property that says they do not.
const KEYLESS: [(&str, &str, &str); 6] = [
    (
        "Microsoft.EventHub/namespaces",
        "properties.disableLocalAuth",
        "true",
    ),
    (
        "Microsoft.Devices/IotHubs",
        "properties.disableLocalAuth",
        "!simulatedDrones && !provisioning",
    ),
    (
        "Microsoft.DocumentDB/databaseAccounts",
        "properties.disableLocalAuth",
        "true",
    ),
    (
        "Microsoft.Storage/storageAccounts",
        "properties.allowSharedKeyAccess",
        "false",
    ),
    (
        "Microsoft.Insights/components",
        "properties.DisableLocalAuth",
        "true",
    ),
    (
        "Microsoft.OperationalInsights/workspaces",
        "properties.features.disableLocalAuth",
        "true",
    ),
];

/// What a provisioning service comes to its IoT hub by. It is read while that is deployed, and stays there.
const PROVISIONING_KEY: &str = "listKeys('${iotHubId}/IotHubKeys/${iotHubPolicy}', '2023-06-30')";

#[test]
fn no_service_takes_a_key() {
    let template = sources::template();
    for (kind, property, expected) in KEYLESS {
        assert!(template.of(kind).count() > 0, "{kind} is not deployed");
        for resource in template.of(kind) {
            let value = resource.body.at(property).and_then(|value| value.code());
            assert_eq!(value, Some(expected), "{}.{property}", resource.symbol);
        }
    }
    let publishing = template.of("Microsoft.Web/sites/basicPublishingCredentialsPolicies");
    let mut names = Vec::new();
    for policy in publishing {
        assert_eq!(
            policy.body.at("properties.allow").unwrap().code(),
            Some("false")
        );
        names.push(policy.name().unwrap());
    }
    names.sort_unstable();
    assert_eq!(names, ["ftp", "scm"]);
}

/// The two exceptions are asked for by name, and no size asks for them; each key may do what it is for and no more.
#[test]
fn shared_keys_of_the_iot_hub_are_for_devices_only_and_off_by_default() {
    let template = sources::template();
    for name in ["simulatedDrones", "provisioning"] {
        let switch = template
            .parameters
            .iter()
            .find(|parameter| parameter.module == "main" && parameter.name == name)
            .unwrap();
        let default = switch.default.as_ref().and_then(|value| value.code());
        assert_eq!(default, Some("false"), "{name}");
        for size in ["try", "fleet"] {
            let flag = Size::read(size).name(name);
            assert_eq!(flag, Known::Flag(false), "{size}: {name}");
        }
    }
    let hub = template.of("Microsoft.Devices/IotHubs").next().unwrap();
    let policies = &template.variables[&(hub.module.clone(), "policies".to_owned())];
    let rights: Vec<_> = template
        .items(&hub.module, policies)
        .into_iter()
        .map(|policy| policy.get("rights").unwrap().text().unwrap())
        .collect();
    assert_eq!(
        rights,
        [
            "DeviceConnect",
            "RegistryRead, RegistryWrite, ServiceConnect"
        ]
    );
    let service = template
        .of("Microsoft.Devices/provisioningServices")
        .next()
        .unwrap();
    let main = sources::read("infra/main.bicep");
    assert!(main.contains(&format!(
        "'modules/{}.bicep' = if (usesIotHub && provisioning) {{",
        service.module
    )));
}

#[test]
fn what_is_passed_in_secret_is_marked_so() {
    let template = sources::template();
    let unmarked = unmarked(&template);
    assert!(unmarked.is_empty(), "not @secure(): {unmarked:?}");
}

/// The check itself can fail.
#[test]
fn a_secret_that_is_not_marked_is_found() {
    let mut template = Template::default();
    template.add(
        "sample",
        "param apiKey string\n@secure()\nparam adminPassword string\n",
    );
    assert_eq!(unmarked(&template), ["sample.bicep: apiKey"]);
}

fn unmarked(template: &Template) -> Vec<String> {
    template
        .parameters
        .iter()
        .filter(|parameter| {
            let name = parameter.name.to_lowercase();
            let secret = ["key", "secret", "password", "webhook", "token"];
            parameter.kind == "string"
                && secret.iter().any(|word| name.contains(word))
                && !parameter.secure
        })
        .map(|parameter| format!("{}.bicep: {}", parameter.module, parameter.name))
        .collect()
}

#[test]
fn nothing_that_is_deployed_or_committed_holds_a_key() {
    let mut files = sources::files("infra");
    files.extend(sources::files(".github"));
    files.extend(
        ["host.json", "local.settings.json"].map(|path| (path.to_owned(), sources::read(path))),
    );
    for (path, mut text) in files {
        if path == "infra/modules/provisioning.bicep" {
            assert_eq!(text.matches(PROVISIONING_KEY).count(), 1, "{path}");
            text = text.replace(PROVISIONING_KEY, "");
        }
        if let Some(found) = secret_in(&text) {
            panic!("{path} holds what looks like a secret: {found}");
        }
    }
}

#[test]
fn keys_are_told_from_names() {
    for secret in [
        "listKeys(storage.id, '2024-01-01')",
        "AccountKey=Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyCg==;",
        "x: Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyMTIz=",
        "https://a.blob.core.windows.net/c?sv=2024&sig=abc%3D",
        "-----BEGIN PRIVATE KEY-----",
    ] {
        assert!(secret_in(secret).is_some(), "{secret}");
    }
    for name in [
        "AccountKey=bG9jYWw=;",
        "SharedAccessKey=SAS_KEY_VALUE",
        "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create",
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
        "AzureFunctionsJobHost__extensions__eventHubs__targetUnprocessedEventThreshold",
    ] {
        assert_eq!(secret_in(name), None, "{name}");
    }
}

/// Functions that read keys, and words that only a key looks like: 40 letters of base64 or more, of mixed case
/// and with digits. The emulators' placeholders are shorter.
fn secret_in(text: &str) -> Option<&str> {
    // What the emulators of Azurite and Cosmos DB are published with.
    const PUBLISHED: [&str; 2] = [
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw",
        "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw",
    ];
    let calls = [
        "listKeys(",
        "listConnectionStrings(",
        "listAccountSas(",
        "-----BEGIN",
        "sig=",
    ];
    if let Some(call) = calls.into_iter().find(|call| text.contains(call)) {
        return Some(call);
    }
    text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "+/=".contains(letter)))
        .flat_map(|word| word.split_inclusive('='))
        .map(|word| word.trim_end_matches('='))
        .find(|word| {
            let has = |test: fn(&char) -> bool| word.chars().any(|letter| test(&letter));
            word.len() >= 40
                && !PUBLISHED.contains(word)
                && has(char::is_ascii_uppercase)
                && has(char::is_ascii_lowercase)
                && has(char::is_ascii_digit)
        })
}
