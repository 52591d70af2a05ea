#![allow(clippy::unwrap_used)]

use super::*;

fn resolve(name: &str, settings: &[(&str, &str)]) -> Result<Connection, ConnectionError> {
    Connection::resolve(name, |wanted| {
        let found = settings.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn text(connection: Connection) -> ConnectionString {
    match connection {
        Connection::ConnectionString(text) => text,
        Connection::Identity(_) => panic!("resolved to an identity"),
    }
}

fn identity(connection: Connection) -> IdentityConnection {
    match connection {
        Connection::Identity(identity) => identity,
        Connection::ConnectionString(_) => panic!("resolved to a connection string"),
    }
}

#[test]
fn the_hosts_own_prefix_comes_first() {
    let settings = [
        ("Storage", "AccountName=plain"),
        ("AzureWebJobsStorage", "AccountName=prefixed"),
    ];
    let found = text(resolve("Storage", &settings).unwrap());
    assert_eq!(found.get("AccountName"), Some("prefixed"));
    let found = text(resolve("Storage", &settings[..1]).unwrap());
    assert_eq!(found.get("AccountName"), Some("plain"));
}

#[test]
fn values_may_contain_equals_signs_and_names_have_no_case() {
    let settings = [(
        "Db",
        "AccountEndpoint=https://a/?x=1;AccountKey=abc==;Empty=;",
    )];
    let found = text(resolve("Db", &settings).unwrap());
    assert_eq!(found.get("accountendpoint"), Some("https://a/?x=1"));
    assert_eq!(found.get("ACCOUNTKEY"), Some("abc=="));
    assert_eq!(found.get("Empty"), None);
}

#[test]
fn a_connection_string_shows_no_values() {
    let connection = resolve("Db", &[("Db", "AccountKey=secret==")]).unwrap();
    let shown = format!("{connection:?}");
    assert!(
        shown.contains("AccountKey") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn what_is_no_connection_string_is_named_but_not_shown() {
    for value in ["secret", "https://secret/?sig=1", "=secret", ";;"] {
        let error = resolve("Db", &[("Db", value)]).unwrap_err();
        assert_eq!(
            error,
            ConnectionError::Malformed("Db".to_owned()),
            "{value}"
        );
        assert!(!error.to_string().contains("secret"));
    }
}

#[test]
fn an_identity_is_resolved_with_either_separator() {
    for (separator, prefix) in [
        ("__", "Storage"),
        (":", "Storage"),
        ("__", "AzureWebJobsStorage"),
    ] {
        let uri = format!("{prefix}{separator}blobServiceUri");
        let settings = [(uri.as_str(), "https://a.blob.core.windows.net")];
        let found = identity(resolve("Storage", &settings).unwrap());
        assert_eq!(found.credential, Credential::Default);
        assert_eq!(
            found.uri("BlobServiceUri").unwrap(),
            "https://a.blob.core.windows.net"
        );
    }
}

#[test]
fn a_managed_identity_may_name_its_client() {
    let base = ("S__serviceUri", "https://s");
    let with = |more: &[(&str, &str)]| {
        let settings: Vec<_> = std::iter::once(base).chain(more.iter().copied()).collect();
        resolve("S", &settings).map(|connection| identity(connection).credential)
    };
    let client_id = Some("c".to_owned());
    let credential = ("S__credential", "ManagedIdentity");
    assert_eq!(
        with(&[credential]),
        Ok(Credential::ManagedIdentity { client_id: None })
    );
    assert_eq!(
        with(&[credential, ("S__clientId", "c")]),
        Ok(Credential::ManagedIdentity {
            client_id: client_id.clone()
        })
    );
    assert_eq!(
        with(&[("S__clientId", "c")]),
        Ok(Credential::ManagedIdentity { client_id })
    );
    for wrong in [("S__credential", "password"), ("S__clientSecret", "hush")] {
        let error = with(&[wrong]).unwrap_err().to_string();
        assert!(
            error.contains(wrong.0) && !error.contains(wrong.1),
            "{error}"
        );
    }
}

#[test]
fn an_address_is_checked_and_its_setting_named() {
    let settings = [
        ("S__fullyQualifiedNamespace", "ns.servicebus.windows.net"),
        ("S__blobServiceUri", "secret"),
    ];
    let found = identity(resolve("S", &settings).unwrap());
    assert_eq!(
        found.uri("fullyQualifiedNamespace").unwrap(),
        "ns.servicebus.windows.net"
    );
    assert_eq!(
        found.uri("blobServiceUri").unwrap_err().to_string(),
        "the app setting S__blobServiceUri cannot be used: expected a URI that begins with https://"
    );
    assert_eq!(
        found.uri("queueServiceUri").unwrap_err().to_string(),
        "the app setting S__queueServiceUri is missing: expected a URI that begins with https://"
    );
}

#[test]
fn an_account_name_stands_for_its_storage_services() {
    let found = identity(resolve("S", &[("S__accountName", "acct")]).unwrap());
    assert_eq!(
        found.uri("queueServiceUri").unwrap(),
        "https://acct.queue.core.windows.net"
    );
    assert!(found.uri("accountEndpoint").is_err());
}

#[test]
fn a_connection_without_settings_is_named() {
    for settings in [&[][..], &[("S", " ")], &[("S__clientId", "c")]] {
        let error = resolve("S", settings).unwrap_err();
        assert_eq!(error, ConnectionError::Missing("S".to_owned()));
    }
}

#[test]
fn the_environment_is_searched_in_any_case() {
    // CARGO_PKG_NAME is set for tests and is no connection string; that it is found at all is the point.
    let error = Connection::from_env("Cargo_Pkg_Name").unwrap_err();
    assert_eq!(
        error,
        ConnectionError::Malformed("Cargo_Pkg_Name".to_owned())
    );
}
