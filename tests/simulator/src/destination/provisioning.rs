//! The Device Provisioning Service: a drone that nobody has registered says which group it is of, and is told its IoT hub.
//!
//! Its REST interface for devices, with the symmetric key of an enrolment group: each drone proves itself by a key that is made of
//! the group's and of its own name.

use std::time::Duration;

use azure_functions_sdk::connection::SharedAccessKey;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header};
use serde::Deserialize;
use serde_json::json;
use time::UtcDateTime;
use tokio::time::{Instant, sleep};

use super::DestinationError;
use crate::tls;

const ID_SCOPE: &str = "DPS_ID_SCOPE";
const GROUP_KEY: &str = "DPS_GROUP_KEY";
const ENDPOINT: &str = "DPS_ENDPOINT";

/// Of all of Azure's services; the ID scope leads to one's own.
const GLOBAL: &str = "https://global.azure-devices-provisioning.net";

const API_VERSION: &str = "2021-06-01";

/// The name that tokens of devices are signed under.
const POLICY: &str = "registration";

/// One request, and a registration with all of them; the service says how long to wait between two, or it is this.
const REQUEST: Duration = Duration::from_secs(30);
const REGISTRATION: Duration = Duration::from_secs(120);
const BETWEEN: Duration = Duration::from_secs(2);
const LONGEST_BETWEEN: Duration = Duration::from_secs(30);

/// A group of devices at the service.
pub(super) struct Provisioning {
    endpoint: Url,
    id_scope: String,
    key: SharedAccessKey,
    client: Client,
}

/// Where a drone belongs.
pub(super) struct Assigned {
    /// The hub's host; for a service on this machine with a port.
    pub(super) hub: String,
    /// The drone's own key.
    pub(super) key: SharedAccessKey,
}

/// A drone was not assigned to a hub. No text has a key or a token in it.
#[derive(Debug)]
pub(super) enum NotAssigned {
    /// It will not be better the next time.
    Refused(String),
    /// It may be.
    Later,
}

/// What the service says of a registration.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    #[serde(default)]
    operation_id: String,
    status: String,
    registration_state: Option<State>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    assigned_hub: Option<String>,
    device_id: Option<String>,
    error_message: Option<String>,
}

impl Provisioning {
    /// What the settings say; `None` without `DPS_ID_SCOPE`. `DPS_GROUP_KEY` is the group's primary or secondary key, `DPS_ENDPOINT` the
    /// service where it is not Azure's: https, or http on this machine.
    pub(super) fn from_settings(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Option<Self>, DestinationError> {
        let Some(id_scope) = variable(ID_SCOPE) else {
            return Ok(None);
        };
        let unusable = |setting| DestinationError::Part {
            setting,
            name: "value",
        };
        let key = variable(GROUP_KEY).ok_or(DestinationError::Missing(GROUP_KEY))?;
        let key = SharedAccessKey::base64(key.trim()).ok_or(unusable(GROUP_KEY))?;
        let endpoint = variable(ENDPOINT).unwrap_or_else(|| GLOBAL.to_owned());
        let endpoint = Url::parse(endpoint.trim()).map_err(|_| unusable(ENDPOINT))?;
        let here = matches!(endpoint.host_str(), Some("127.0.0.1" | "localhost"));
        if endpoint.scheme() != "https" && !(endpoint.scheme() == "http" && here) {
            return Err(unusable(ENDPOINT));
        }
        tls::choose();
        let client = Client::builder()
            .timeout(REQUEST)
            .build()
            .map_err(|error| DestinationError::Unreachable(error.without_url().to_string()))?;
        Ok(Some(Self {
            endpoint,
            id_scope: id_scope.trim().to_owned(),
            key,
            client,
        }))
    }

    /// Whether the service, and so its hubs, are on this machine and speak without TLS.
    pub(super) fn is_emulator(&self) -> bool {
        self.endpoint.scheme() == "http"
    }

    /// Asks for the drone's hub until there is one.
    pub(super) async fn assign(&self, device: &str) -> Result<Assigned, NotAssigned> {
        let key = self.key.of_device(device);
        let give_up = Instant::now() + REGISTRATION;
        let token = key.token(
            &format!("{}/registrations/{device}", self.id_scope),
            Some(POLICY),
            UtcDateTime::now() + REGISTRATION + REQUEST,
        );
        let register = self.client.put(self.url(&[device, "register"])?);
        let register = register
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({ "registrationId": device }).to_string());
        let (mut operation, mut pause) = ask(register, &token).await?;
        while operation.status == "assigning" {
            if Instant::now() + pause >= give_up {
                return Err(NotAssigned::Later);
            }
            sleep(pause).await;
            let url = self.url(&[device, "operations", &operation.operation_id])?;
            let id = operation.operation_id;
            (operation, pause) = ask(self.client.get(url), &token).await?;
            operation.operation_id = id;
        }
        let state = operation.registration_state;
        let (hub, named, why) = match state {
            Some(state) => (state.assigned_hub, state.device_id, state.error_message),
            None => (None, None, None),
        };
        let refused = |why: String| Err(NotAssigned::Refused(format!("{device}: {why}")));
        match (operation.status.as_str(), hub) {
            ("assigned", Some(_)) if named.as_deref().is_some_and(|named| named != device) => {
                refused("the service has registered it under another name".to_owned())
            }
            ("assigned", Some(hub)) => Ok(Assigned { hub, key }),
            (status, _) => refused(why.unwrap_or_else(|| format!("the registration is {status}"))),
        }
    }

    fn url(&self, path: &[&str]) -> Result<Url, NotAssigned> {
        let mut url = self.endpoint.clone();
        // Every https URL has a path.
        url.path_segments_mut()
            .map_err(|()| NotAssigned::Refused(format!("{ENDPOINT} has no path")))?
            .pop_if_empty()
            .extend([self.id_scope.as_str(), "registrations"])
            .extend(path);
        url.query_pairs_mut()
            .append_pair("api-version", API_VERSION);
        Ok(url)
    }
}

/// The service's answer, and how long it wants to be left alone.
async fn ask(request: RequestBuilder, token: &str) -> Result<(Operation, Duration), NotAssigned> {
    let sent = request.header(header::AUTHORIZATION, token).send().await;
    let response = sent.map_err(|_| NotAssigned::Later)?;
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        sleep(pause(&response)).await;
        return Err(NotAssigned::Later);
    }
    if !status.is_success() {
        return Err(NotAssigned::Refused(format!(
            "the Device Provisioning Service answered {}",
            status.as_u16()
        )));
    }
    let pause = pause(&response);
    let body = response.bytes().await.map_err(|_| NotAssigned::Later)?;
    let operation = serde_json::from_slice(&body).map_err(|_| NotAssigned::Later)?;
    Ok((operation, pause))
}

fn pause(response: &Response) -> Duration {
    let seconds = response.headers().get(header::RETRY_AFTER);
    let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(BETWEEN, |seconds| {
        Duration::from_secs(seconds).min(LONGEST_BETWEEN)
    })
}
