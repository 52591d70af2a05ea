//! The way to a storage account on which requests can be made to fail.
//!
//! Azurite itself always answers; here is what it is like when storage does not. The signatures of requests
//! name no host, so they pass unchanged.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::account::{StorageAccount, StorageError};
use crate::fault::{FaultPlan, Faults};

/// A service of a storage account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageService {
    /// Blobs.
    Blob,
    /// Queues.
    Queue,
}

/// A proxy before a storage account, on free ports. Dropping it closes its connections.
#[derive(Debug)]
pub struct FaultyStorage {
    account: StorageAccount,
    blob: Proxy,
    queue: Proxy,
}

#[derive(Debug)]
struct Proxy {
    faults: Arc<Faults>,
    one: Arc<OneName>,
    server: JoinHandle<()>,
}

impl FaultyStorage {
    /// Opens the way to `account`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Where there is no port left.
    pub async fn before(account: &StorageAccount) -> Result<Self, StorageError> {
        let (blob, blob_address) = Proxy::start(account.blob_authority()?).await?;
        let (queue, queue_address) = Proxy::start(account.queue_authority()?).await?;
        Ok(Self {
            account: account.by_way_of(blob_address, queue_address)?,
            blob,
            queue,
        })
    }

    /// The account as it is reached through the proxy.
    pub fn account(&self) -> &StorageAccount {
        &self.account
    }

    /// Makes a share of a service's requests fail, or, with `None`, none any more.
    pub fn set_fault_plan(&self, service: StorageService, plan: Option<FaultPlan>) {
        match service {
            StorageService::Blob => self.blob.faults.set(plan),
            StorageService::Queue => self.queue.faults.set(plan),
        }
    }

    /// Makes a share of the requests fail whose path ends with `name`, such as `/container/blob`, or, with `None`, none any more.
    /// One name at a time; what is set for the whole service meets the others.
    pub fn set_fault_plan_of_blob(&self, name: &str, plan: Option<FaultPlan>) {
        name.clone_into(&mut lock(&self.blob.one.name));
        self.blob.one.faults.set(plan);
    }

    /// Requests that a fault has met, since the start.
    pub fn faults(&self) -> u64 {
        self.blob.met() + self.queue.met()
    }
}

/// What goes wrong with one blob or queue alone.
#[derive(Debug, Default)]
struct OneName {
    name: Mutex<String>,
    faults: Faults,
}

impl OneName {
    /// Those of a request for it, where something is set.
    fn faults_of(&self, path: &str) -> Option<&Faults> {
        (self.faults.is_set() && path.ends_with(&*lock(&self.name))).then_some(&self.faults)
    }
}

impl Proxy {
    fn met(&self) -> u64 {
        self.faults.met() + self.one.faults.met()
    }

    async fn start(upstream: Authority) -> Result<(Self, SocketAddr), StorageError> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(StorageError::Proxy)?;
        let address = listener.local_addr().map_err(StorageError::Proxy)?;
        let faults = Arc::new(Faults::default());
        let one = Arc::new(OneName::default());
        let forward = Forward {
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            upstream,
        };
        let server = tokio::spawn({
            let (faults, one) = (Arc::clone(&faults), Arc::clone(&one));
            crate::server::serve(listener, move |request: Request<Incoming>| {
                let (faults, one) = (Arc::clone(&faults), Arc::clone(&one));
                let forward = forward.clone();
                async move {
                    let faults = one.faults_of(request.uri().path()).unwrap_or(&faults);
                    faults.meet(refusal, forward.request(request)).await
                }
            })
        });
        Ok((
            Self {
                faults,
                one,
                server,
            },
            address,
        ))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Forward {
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: Authority,
}

impl Forward {
    async fn request(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        parts.uri = self.uri(parts.uri.path_and_query())?;
        without_hops(&mut parts.headers);
        parts.headers.remove(header::HOST);
        let request = Request::from_parts(parts, Full::new(body));
        let response = self.client.request(request).await;
        let (mut parts, body) = response.map_err(io::Error::other)?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        without_hops(&mut parts.headers);
        Ok(Response::from_parts(parts, Full::new(body)))
    }

    fn uri(&self, path_and_query: Option<&PathAndQuery>) -> io::Result<Uri> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.upstream.clone());
        uri.path_and_query = path_and_query
            .cloned()
            .or(Some(PathAndQuery::from_static("/")));
        Uri::from_parts(uri).map_err(io::Error::other)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is meant for one connection only.
fn without_hops(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::TE,
        header::TRAILER,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

/// Storage tells errors in XML, and repeats the code in a header, which is what clients read.
fn refusal(status: u16) -> Response<Full<Bytes>> {
    let code = match status {
        503 => "ServerBusy",
        408 => "OperationTimedOut",
        _ => "InternalError",
    };
    let body =
        format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code></Error>");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/xml"),
    );
    headers.insert("x-ms-error-code", header::HeaderValue::from_static(code));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::azurite::{Azurite, AzuriteOptions};
    use crate::fault::Fault;

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_pass_as_they_are_until_a_fault_meets_them() {
        let azurite = Azurite::start(AzuriteOptions {
            blob_port: 0,
            queue_port: 0,
            accounts: vec!["fleet".to_owned()],
        })
        .await
        .unwrap();
        let direct = azurite.account("fleet").unwrap();
        let faulty = FaultyStorage::before(&direct).await.unwrap();
        let account = faulty.account();

        account.create_container("archive").await.unwrap();
        account.create_queue("letters").await.unwrap();
        account
            .send_queue_message("letters", "a & b")
            .await
            .unwrap();
        assert_eq!(
            account.take_queue_messages("letters").await.unwrap(),
            ["a & b"]
        );
        assert_eq!(
            account.blob_names("archive", "").await.unwrap(),
            Vec::<String>::new()
        );
        assert_eq!(faulty.faults(), 0);

        // The client tries again, so a lost answer is a message that is there more than once.
        let every_second = FaultPlan {
            fault: Fault::LostAnswer,
            one_in: 2,
        };
        faulty.set_fault_plan(StorageService::Queue, Some(every_second));
        account
            .send_queue_message("letters", "twice")
            .await
            .unwrap();
        faulty.set_fault_plan(StorageService::Queue, Some(Fault::Status(503).into()));
        account
            .send_queue_message("letters", "never")
            .await
            .unwrap_err();
        account.blob_names("archive", "").await.unwrap();
        faulty.set_fault_plan(StorageService::Queue, None);
        assert_eq!(
            direct.take_queue_messages("letters").await.unwrap(),
            ["twice", "twice"]
        );
        assert!(faulty.faults() > 1);

        let before = faulty.faults();
        faulty.set_fault_plan_of_blob("/archive/one", Some(Fault::Status(500).into()));
        account.read_blob("archive", "another").await.unwrap_err();
        account.read_blob("archive", "one/more").await.unwrap_err();
        assert_eq!(faulty.faults(), before);
        account.read_blob("archive", "one").await.unwrap_err();
        assert!(faulty.faults() > before);
    }
}
