//! The envelope of an HTTP call that is not forwarded.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{CallContext, begin, begin_metadata, end};
use crate::host::json_text::{string_into, string_twice_into};

/// A request as the envelope shows it.
pub(crate) struct HttpRequest {
    pub url: String,
    pub method: String,
    pub query: BTreeMap<String, String>,
    pub headers: BTreeMap<String, Vec<String>>,
    /// The route's parameters.
    pub params: BTreeMap<String, String>,
    /// `None` where there is none.
    pub body: Option<String>,
}

/// The envelope: `Data.<binding>` is the request, a real object.
pub(crate) fn envelope(binding: &str, request: &HttpRequest, call: &CallContext<'_>) -> String {
    let mut data = json!({
        "Url": request.url,
        "Method": request.method,
        "Query": request.query,
        "Headers": request.headers,
        "Params": request.params,
        "Identities": [{
            "AuthenticationType": null,
            "IsAuthenticated": false,
            "Actor": null,
            "BootstrapContext": null,
            "Claims": [],
            "Label": null,
            "Name": null,
            "NameClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
            "RoleClaimType": "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
        }],
    });
    if let Some(body) = &request.body {
        data["Body"] = Value::from(body.as_str());
    }
    let mut out = String::with_capacity(2_048);
    begin(&mut out, binding);
    out.push_str(&data.to_string());
    begin_metadata(&mut out);
    // A parameter of the path stands before one of the query with its name.
    let metadata: BTreeMap<_, _> = request.query.iter().chain(&request.params).collect();
    for (name, value) in metadata {
        if name.to_lowercase().ends_with("trigger") {
            continue;
        }
        string_into(&mut out, name);
        out.push(':');
        string_twice_into(&mut out, value);
        out.push(',');
    }
    end(&mut out, call);
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use time::macros::utc_datetime;

    use super::*;

    #[test]
    fn path_and_query_stand_in_data_and_twice_encoded_in_metadata() {
        let one = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let request = HttpRequest {
            url: "http://127.0.0.1/api/drones/d1?full=1".to_owned(),
            method: "GET".to_owned(),
            query: one("full", "1"),
            headers: BTreeMap::from([("Accept".to_owned(), vec!["*/*".to_owned()])]),
            params: one("deviceId", "d1"),
            body: None,
        };
        let call = CallContext {
            function: "GetDrone",
            now: utc_datetime!(2024-05-01 12:00),
            retry: None,
        };
        let envelope: Value = serde_json::from_str(&envelope("req", &request, &call)).unwrap();
        assert_eq!(envelope["Data"]["req"]["Params"]["deviceId"], "d1");
        assert_eq!(envelope["Data"]["req"]["Headers"]["Accept"], json!(["*/*"]));
        assert!(envelope["Data"]["req"].get("Body").is_none());
        assert_eq!(envelope["Metadata"]["deviceId"], "\"d1\"");
        assert_eq!(envelope["Metadata"]["full"], "\"1\"");
        assert_eq!(
            envelope["Metadata"]["sys"]["UtcNow"],
            "2024-05-01T12:00:00Z"
        );
    }
}
