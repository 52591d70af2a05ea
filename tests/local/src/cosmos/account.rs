//! The emulated account: requests in, answers out, and what they cost.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use azure_core::http::headers::{HeaderName, HeaderValue, Headers};
use azure_core::http::{AsyncRawResponse, Method, Request, Url};
use azure_data_cosmos_driver::in_memory_emulator::{
    ContainerConfig, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// A region's name must be one that clients know.
const REGION: &str = "West US";

const PARTITION_KEY: &str = "x-ms-documentdb-partitionkey";
const REQUEST_CHARGE: &str = "x-ms-request-charge";

/// Request units are counted in hundredths, as finely as the service tells them.
const HUNDREDTHS: f64 = 100.0;

/// Gets the name of a container and an item that was written to it, alone or in a batch.
pub type WriteWatcher = Box<dyn Fn(&str, &[u8]) + Send + Sync>;

/// One account, without a socket.
pub(super) struct Account {
    emulator: InMemoryEmulatorHttpClient,
    root: Url,
    writes: AtomicU64,
    hundredths: AtomicU64,
    watcher: OnceLock<WriteWatcher>,
}

/// An answer, complete.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    fn request_units(&self) -> Option<f64> {
        self.headers
            .get_optional_str(&HeaderName::from_static(REQUEST_CHARGE))?
            .parse()
            .ok()
    }

    /// Cosmos DB tells errors in this form.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let mut headers = Headers::new();
        headers.insert("content-type", "application/json");
        headers.insert(REQUEST_CHARGE, "0");
        Self {
            status,
            headers,
            body: json!({"code": code, "message": message}).to_string().into(),
        }
    }
}

impl Account {
    /// `address` is the socket that clients will use.
    pub(super) fn new(address: SocketAddr) -> Result<Self, String> {
        let root = Url::parse(&format!("http://{address}")).map_err(|error| error.to_string())?;
        let region = VirtualRegion::new(REGION, root.clone());
        let emulator = VirtualAccountConfig::new(vec![region])
            .and_then(InMemoryEmulatorHttpClient::try_new)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            emulator,
            root,
            writes: AtomicU64::new(0),
            hundredths: AtomicU64::new(0),
            watcher: OnceLock::new(),
        })
    }

    pub(super) fn watch_writes(&self, watcher: WriteWatcher) -> Result<(), WriteWatcher> {
        self.watcher.set(watcher)
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    pub(super) fn request_units(&self) -> f64 {
        self.hundredths.load(Ordering::Relaxed) as f64 / HUNDREDTHS
    }

    /// Answers a client's request and counts it.
    pub(super) async fn answer(&self, request: &http::Request<()>, body: Bytes) -> Answer {
        let Some(forwarded) = self.forwarded(request, body.clone()) else {
            return Answer::error(405, "MethodNotAllowed", "this method means nothing here");
        };
        let answer = self.execute(&forwarded).await;
        if let Some(units) = answer.request_units() {
            let hundredths = (units * HUNDREDTHS).round().max(0.0) as u64;
            self.hundredths.fetch_add(hundredths, Ordering::Relaxed);
        }
        let writes = item_writes(request, &body, answer.status);
        self.writes.fetch_add(writes, Ordering::Relaxed);
        if writes > 0
            && let Some(watcher) = self.watcher.get()
            && let Some(container) = written_container(request)
        {
            if is_batch(request) {
                for item in items_of_batch(&body) {
                    watcher(container, item.get().as_bytes());
                }
            } else {
                watcher(container, &body);
            }
        }
        answer
    }

    fn forwarded(&self, request: &http::Request<()>, body: Bytes) -> Option<Request> {
        let method = request.method().as_str().parse::<Method>().ok()?;
        let mut url = self.root.clone();
        // Some clients put a slash at the end, which the emulator refuses.
        url.set_path(request.uri().path().trim_end_matches('/'));
        url.set_query(request.uri().query());
        let mut forwarded = Request::new(url, method);
        for (name, value) in request.headers() {
            if let Ok(value) = value.to_str() {
                forwarded.insert_header(
                    HeaderName::from(name.as_str().to_owned()),
                    HeaderValue::from(value.to_owned()),
                );
            }
        }
        forwarded.set_body(body);
        Some(forwarded)
    }

    /// Makes something. Nobody counts it.
    pub(super) async fn post(&self, parent: &[&str], body: &Value) -> Answer {
        let mut request = Request::new(self.url(parent), Method::Post);
        request.set_body(body.to_string());
        self.execute(&request).await
    }

    /// Makes a container of so many physical partitions, in a database that is there.
    pub(super) fn create_container(
        &self,
        database: &str,
        container: &str,
        partition_key: &str,
        partitions: u32,
    ) -> Result<(), serde_json::Error> {
        let key = json!({"paths": [partition_key], "kind": "Hash", "version": 2});
        let config = ContainerConfig::default().with_partition_count(partitions);
        self.emulator.store().create_container_with_config(
            database,
            container,
            serde_json::from_value(key)?,
            config,
        );
        Ok(())
    }

    /// Stores an item whatever it is. Nobody counts it.
    pub(super) async fn upsert(&self, path: &[&str], partition_key: &str, item: &Value) -> Answer {
        let mut request = Request::new(self.url(path), Method::Post);
        request.insert_header(PARTITION_KEY, json!([partition_key]).to_string());
        request.insert_header("x-ms-documentdb-is-upsert", "true");
        request.set_body(item.to_string());
        self.execute(&request).await
    }

    /// Reads an item or a feed. Nobody counts it.
    pub(super) async fn get(&self, path: &[&str], partition_key: Option<&str>) -> Answer {
        let mut request = Request::new(self.url(path), Method::Get);
        if let Some(value) = partition_key {
            request.insert_header(PARTITION_KEY, json!([value]).to_string());
        }
        self.execute(&request).await
    }

    /// Deletes an item. Nobody counts it.
    pub(super) async fn delete(&self, path: &[&str], partition_key: &str) -> Answer {
        let mut request = Request::new(self.url(path), Method::Delete);
        request.insert_header(PARTITION_KEY, json!([partition_key]).to_string());
        self.execute(&request).await
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.root.clone();
        // An http URL always takes a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(path);
        }
        url
    }

    async fn execute(&self, request: &Request) -> Answer {
        let response = match self.emulator.execute_request(request).await {
            Ok(response) => response,
            Err(error) => return Answer::error(500, "InternalServerError", &error.to_string()),
        };
        match complete(response).await {
            Ok(answer) => answer,
            Err(error) => Answer::error(500, "InternalServerError", &error.to_string()),
        }
    }
}

async fn complete(response: AsyncRawResponse) -> azure_core::Result<Answer> {
    let (status, headers, body) = response.deconstruct();
    Ok(Answer {
        status: status.into(),
        headers,
        body: body.collect().await?,
    })
}

/// The container of items that are created or replaced whole.
fn written_container(request: &http::Request<()>) -> Option<&str> {
    let whole = matches!(request.method().as_str(), "POST" | "PUT");
    let mut segments = request.uri().path().split('/').filter(|it| !it.is_empty());
    whole.then(|| segments.nth(3)).flatten()
}

fn is_batch(request: &http::Request<()>) -> bool {
    request
        .headers()
        .contains_key("x-ms-cosmos-is-batch-request")
}

/// The items that a batch writes.
fn items_of_batch(body: &[u8]) -> impl Iterator<Item = &RawValue> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Operation<'a> {
        #[serde(borrow)]
        resource_body: Option<&'a RawValue>,
    }
    let operations: Vec<Operation<'_>> = serde_json::from_slice(body).unwrap_or_default();
    operations
        .into_iter()
        .filter_map(|operation| operation.resource_body)
}

/// How many items a request has written, given the status of its answer.
fn item_writes(request: &http::Request<()>, body: &[u8], status: u16) -> u64 {
    if !(200..300).contains(&status) {
        return 0;
    }
    let says = |name: &str| {
        request
            .headers()
            .get(name)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
    };
    let segments: Vec<&str> = request
        .uri()
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    match (request.method().as_str(), segments.as_slice()) {
        ("POST", ["dbs", _, "colls", _, "docs"]) => {
            if says("x-ms-documentdb-isquery")
                || says("x-ms-documentdb-query")
                || says("x-ms-cosmos-is-query-plan-request")
            {
                0
            } else if says("x-ms-cosmos-is-batch-request") {
                // A batch that failed answers 207, and then nothing of it was kept.
                if status == 200 {
                    writes_of_batch(body)
                } else {
                    0
                }
            } else {
                1
            }
        }
        ("PUT" | "PATCH" | "DELETE", ["dbs", _, "colls", _, "docs", _]) => 1,
        _ => 0,
    }
}

fn writes_of_batch(body: &[u8]) -> u64 {
    let operations: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    let writes = operations
        .iter()
        .filter(|operation| operation["operationType"] != "Read");
    writes.count() as u64
}
