#![allow(clippy::unwrap_used)]

use super::*;

fn read(text: &str, naming: &Naming) -> Result<ServiceAddress, StorageConnectionError> {
    ServiceAddress::read(
        &ConnectionString::parse("FleetStorage", text).unwrap(),
        naming,
    )
}

#[test]
fn every_form_of_connection_string_leads_somewhere() {
    let sas = "SharedAccessSignature=?sv=2021&sig=a%2Fb%3D";
    for (text, naming, endpoint, account) in [
        (
            "UseDevelopmentStorage=true",
            &BLOB,
            "http://127.0.0.1:10000/devstoreaccount1",
            Some(DEVELOPMENT_ACCOUNT),
        ),
        (
            "usedevelopmentstorage=True;",
            &QUEUE,
            "http://127.0.0.1:10001/devstoreaccount1",
            Some(DEVELOPMENT_ACCOUNT),
        ),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite/",
            &QUEUE,
            "http://azurite:10001/devstoreaccount1",
            Some(DEVELOPMENT_ACCOUNT),
        ),
        (
            "AccountName=fleet;AccountKey=a2V5",
            &BLOB,
            "https://fleet.blob.core.windows.net/",
            Some("fleet"),
        ),
        (
            "DefaultEndpointsProtocol=http;AccountName=fleet;AccountKey=a2V5==;EndpointSuffix=core.chinacloudapi.cn",
            &QUEUE,
            "http://fleet.queue.core.chinacloudapi.cn/",
            Some("fleet"),
        ),
        (
            "AccountName=fleet;AccountKey=a2V5;BlobEndpoint=http://h:1/fleet/",
            &BLOB,
            "http://h:1/fleet",
            Some("fleet"),
        ),
        (
            "AccountName=fleet;AccountKey=a2V5;BlobEndpoint=http://h:1/fleet/",
            &QUEUE,
            "https://fleet.queue.core.windows.net/",
            Some("fleet"),
        ),
        (
            &format!("BlobEndpoint=https://fleet.example/;{sas}"),
            &BLOB,
            "https://fleet.example/?sv=2021&sig=a%2Fb%3D",
            None,
        ),
        (
            &format!("AccountName=fleet;{sas}"),
            &QUEUE,
            "https://fleet.queue.core.windows.net/?sv=2021&sig=a%2Fb%3D",
            None,
        ),
    ] {
        let address = read(text, naming).unwrap();
        assert_eq!(address.endpoint.as_str(), endpoint, "{text}");
        let name = match address.opened_by {
            OpenedBy::Key { account, .. } => Some(account),
            OpenedBy::Sas => None,
        };
        assert_eq!(name.as_deref(), account, "{text}");
    }
}

#[test]
fn what_is_missing_is_named_and_no_value_shown() {
    for (text, expected) in [
        (
            "BlobEndpoint=http://h/secret",
            "neither SharedAccessSignature nor AccountName with AccountKey",
        ),
        (
            "AccountName=secret",
            "neither SharedAccessSignature nor AccountName with AccountKey",
        ),
        ("AccountKey=secret", "neither BlobEndpoint nor AccountName"),
        (
            "UseDevelopmentStorage=false",
            "neither BlobEndpoint nor AccountName",
        ),
        (
            "AccountName=a;AccountKey=secret;BlobEndpoint=secret",
            "the Blob endpoint is not a URL",
        ),
    ] {
        let error = read(text, &BLOB).unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains("secret"),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_place_holds_no_secret_and_is_known_of_every_kind() {
    let settings = [
        ("ByKey", "UseDevelopmentStorage=true"),
        (
            "BySas",
            "BlobEndpoint=https://fleet.example/;SharedAccessSignature=sig=secret",
        ),
        (
            "ById__blobServiceUri",
            "https://fleet.blob.core.windows.net/",
        ),
    ];
    for (name, expected) in [
        ("ByKey", "http://127.0.0.1:10000/devstoreaccount1"),
        ("BySas", "https://fleet.example/"),
        ("ById", "https://fleet.blob.core.windows.net/"),
    ] {
        let connection = Connection::resolve(name, |wanted| {
            let found = settings.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        });
        let place = ServiceAddress::place(&connection.unwrap(), &BLOB).unwrap();
        assert_eq!(place.as_str(), expected, "{name}");
    }
}

fn answer(status: StatusCode, code: &str) -> azure_core::Error {
    let kind = ErrorKind::HttpResponse {
        status,
        error_code: Some(code.to_owned()),
        raw_response: None,
    };
    azure_core::Error::with_message(kind, "the request, and what is secret in it")
}

#[test]
fn what_is_missing_is_named_with_the_command_that_makes_it() {
    for (code, at, expected) in [
        (
            "ContainerNotFound",
            "http://127.0.0.1:10000/devstoreaccount1/alert-state",
            "the container alert-state does not exist: `cargo local prepare` makes it",
        ),
        (
            "ContainerNotFound",
            "https://fleet.blob.core.windows.net/telemetry-archive?sig=secret",
            "the container telemetry-archive does not exist: `az storage container create --name telemetry-archive \
             --account-name fleet --auth-mode login` makes it",
        ),
        (
            "QueueNotFound",
            "https://fleet.queue.core.windows.net/drone-alerts",
            "the queue drone-alerts does not exist: `az storage queue create --name drone-alerts --account-name fleet \
             --auth-mode login` makes it",
        ),
        (
            "BlobNotFound",
            "https://fleet.blob.core.windows.net/a",
            "storage answered 404",
        ),
    ] {
        let at = Url::parse(at).unwrap();
        let error = store_error("read snapshot", &answer(StatusCode::NotFound, code), &at);
        assert_eq!(error.message, expected);
        assert!(!error.transient);
    }
}
