#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use azure_core::http::RequestContent;
use tokio::net::TcpListener;

use super::*;

const ACCOUNT: &str = "fleet";

async fn start() -> (Azurite, StorageAccount) {
    let azurite = Azurite::start(options(0, 0)).await.unwrap();
    let account = azurite.account(ACCOUNT).unwrap();
    (azurite, account)
}

fn options(blob_port: u16, queue_port: u16) -> AzuriteOptions {
    AzuriteOptions {
        blob_port,
        queue_port,
        accounts: vec![ACCOUNT.to_owned(), "other".to_owned()],
    }
}

#[tokio::test]
async fn blobs_and_messages_come_back() {
    let (azurite, account) = start().await;

    account.create_container("archive").await.unwrap();
    account.create_container("archive").await.unwrap();
    let names = ["hub/0/a b.avro", "hub/0/é.avro", "hub/1/c.avro"];
    for name in names {
        account
            .container("archive")
            .unwrap()
            .blob_client(name)
            .upload(RequestContent::from(name.as_bytes().to_vec()), None)
            .await
            .unwrap();
    }
    assert_eq!(
        account.blob_names("archive", "hub/0/").await.unwrap(),
        names[..2]
    );
    assert_eq!(account.blob_names("archive", "").await.unwrap(), names);
    for name in names {
        assert_eq!(account.read_blob("archive", name).await.unwrap(), name);
    }
    let error = account.read_blob("archive", "nothing").await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("cannot read the blob nothing of archive"),
        "{error}"
    );

    account.create_queue("letters").await.unwrap();
    account.create_queue("letters").await.unwrap();
    assert_eq!(
        account.take_queue_messages("letters").await.unwrap(),
        Vec::<String>::new()
    );
    // More than one request takes, and as large as the Functions host may send.
    let mut sent: BTreeSet<String> = (0..40).map(|number| format!("<é> & {number}")).collect();
    sent.insert("x".repeat(48 * 1024));
    for text in &sent {
        account.send_queue_message("letters", text).await.unwrap();
    }
    assert_eq!(account.queue_length("letters").await.unwrap(), 41);
    let taken = account.take_queue_messages("letters").await.unwrap();
    assert_eq!(taken.len(), 41, "each once");
    assert_eq!(BTreeSet::from_iter(taken), sent);
    assert!(
        account
            .take_queue_messages("letters")
            .await
            .unwrap()
            .is_empty()
    );

    let other = azurite.account("other").unwrap();
    assert!(
        other.queue_length("letters").await.is_err(),
        "accounts share nothing"
    );
    assert!(azurite.account("unknown").is_none());
}

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let (_azurite, account) = start().await;
    let (_, key) = account_with_key(ACCOUNT).unwrap();
    let parts = account
        .connection_string()
        .split(';')
        .map(|part| match part.split_once('=') {
            Some(("AccountKey", _)) => format!("AccountKey={key}"),
            _ => part.to_owned(),
        });
    let stranger =
        StorageAccount::from_connection_string(&Vec::from_iter(parts).join(";")).unwrap();
    let error = stranger.create_container("archive").await.unwrap_err();
    assert!(error.to_string().contains("403"), "{error}");
}

#[tokio::test]
async fn more_blobs_than_a_page_are_all_listed() {
    let (_azurite, account) = start().await;
    account.create_container("archive").await.unwrap();
    let client = account.container("archive").unwrap();
    let names: Vec<String> = (0..7).map(|number| format!("{number:05}")).collect();
    for name in &names {
        let content = RequestContent::from(Vec::new());
        client
            .blob_client(name)
            .upload(content, None)
            .await
            .unwrap();
    }
    let listed = account
        .blob_names_by_page("archive", "", Some(3))
        .await
        .unwrap();
    assert_eq!(listed, names);
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_option_that_chooses_another() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = taken.local_addr().unwrap().port();
    for (options, option) in [
        (options(port, 0), "--azurite-blob-port"),
        (options(0, port), "--azurite-queue-port"),
    ] {
        let error = Azurite::start(options).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("port {port} is in use: stop what uses it or pass {option} PORT")
        );
    }
}

#[tokio::test]
async fn its_death_is_told() {
    let (mut azurite, _) = start().await;
    let watching = async { tokio::time::timeout(START, azurite.died()).await };
    assert!(
        futures_util::FutureExt::now_or_never(watching).is_none(),
        "it lives"
    );
    azurite.process.kill();
    tokio::time::timeout(START, azurite.died()).await.unwrap();
}

#[test]
fn a_name_that_would_break_the_list_of_accounts_is_refused() {
    for name in ["", "a;b", "a:b", "a/b"] {
        assert!(
            matches!(account_with_key(name), Err(AzuriteError::AccountName(_))),
            "{name}"
        );
    }
}

#[test]
fn neither_key_nor_connection_string_shows_in_debug_output() {
    let (_, key) = account_with_key(ACCOUNT).unwrap();
    let account =
        StorageAccount::new(ACCOUNT, &key, "http://127.0.0.1:1", "http://127.0.0.1:2").unwrap();
    assert!(account.connection_string().contains(&key));
    let shown = format!("{account:?}");
    assert!(shown.contains(ACCOUNT) && !shown.contains(&key), "{shown}");
}

/// The value of local.settings.json, and what else has a key.
#[test]
fn an_account_is_read_from_any_connection_string_with_a_key() {
    for (text, name, endpoint) in [
        (
            "UseDevelopmentStorage=true",
            "devstoreaccount1",
            "127.0.0.1:10001",
        ),
        (
            "AccountName=a;AccountKey=a2V5",
            "a",
            "a.queue.core.windows.net",
        ),
        (
            "AccountName=a;AccountKey=a2V5;BlobEndpoint=http://h/a/;QueueEndpoint=http://h/a",
            "a",
            "h",
        ),
    ] {
        let account = StorageAccount::from_connection_string(text).unwrap();
        assert_eq!(account.name(), name, "{text}");
        assert_eq!(account.queue_authority().unwrap().as_str(), endpoint);
    }
    for (text, expected) in [
        ("AccountName=a;SharedAccessSignature=sig=x", "no AccountKey"),
        ("AccountKey=a2V5", "AccountName"),
        ("nonsense", "not a connection string"),
    ] {
        let error = StorageAccount::from_connection_string(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{text}: {error}");
    }
}
