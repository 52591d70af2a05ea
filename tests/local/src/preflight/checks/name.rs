//! Names that are given out once in the whole of Azure. They end in a hash of the group's id, so they are seldom taken, but for
//! one case: a group of the same name was there before, and what was in it is deleted and not yet gone.

use serde::Deserialize;

use crate::preflight::az::{AzError, ask};
use crate::preflight::context::Context;
use crate::preflight::finding::Finding;
use crate::preflight::options::normal;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    name_available: bool,
    /// Filled also where the name can be had.
    reason: Option<String>,
}

/// A name, and whether the group has it, can have it or cannot.
enum State {
    Here,
    Free,
    Elsewhere(String),
    Taken(String),
}

pub(super) async fn storage(context: &Context<'_>) -> Finding {
    const SUBJECT: &str = "names of the storage accounts";
    let mut states = Vec::new();
    for name in &context.names.storage {
        let arguments = ["storage", "account", "check-name", "--name", name];
        let answer = ask(context.az, &arguments);
        states.push((
            &**name,
            state(context, "Microsoft.Storage/storageAccounts", name, answer).await,
        ));
    }
    told(context, SUBJECT, states)
}

pub(super) async fn cosmos(context: &Context<'_>) -> Finding {
    let name = &*context.names.cosmos;
    let answer = async {
        let arguments = ["cosmosdb", "check-name-exists", "--name", name];
        let exists: bool = ask(context.az, &arguments).await?;
        Ok(Answer {
            name_available: !exists,
            reason: None,
        })
    };
    let state = state(
        context,
        "Microsoft.DocumentDB/databaseAccounts",
        name,
        answer,
    )
    .await;
    told(
        context,
        "name of the Cosmos DB account",
        vec![(name, state)],
    )
}

pub(super) async fn event_hubs(context: &Context<'_>) -> Finding {
    let name = &*context.names.event_hubs;
    let arguments = ["eventhubs", "namespace", "exists", "--name", name];
    let answer = ask(context.az, &arguments);
    let state = state(context, "Microsoft.EventHub/namespaces", name, answer).await;
    told(
        context,
        "name of the Event Hubs namespace",
        vec![(name, state)],
    )
}

pub(super) async fn iot_hub(context: &Context<'_>) -> Finding {
    let name = &*context.names.iot_hub;
    let url = "Microsoft.Devices/checkNameAvailability?api-version=2023-06-30";
    let answer = asked_for(context, url, serde_json::json!({"name": name}));
    let state = state(context, "Microsoft.Devices/IotHubs", name, answer).await;
    told(context, "name of the IoT hub", vec![(name, state)])
}

pub(super) async fn app(context: &Context<'_>) -> Finding {
    let name = &*context.names.app;
    let url = "Microsoft.Web/checknameavailability?api-version=2024-11-01";
    let body = serde_json::json!({"name": name, "type": "Microsoft.Web/sites"});
    let answer = asked_for(context, url, body);
    let state = state(context, "Microsoft.Web/sites", name, answer).await;
    told(context, "name of the function app", vec![(name, state)])
}

/// Where `az` has no command of its own. The request changes nothing, though it is a POST.
async fn asked_for(
    context: &Context<'_>,
    url: &str,
    body: serde_json::Value,
) -> Result<Answer, AzError> {
    let url = context.below_subscription(url);
    let body = body.to_string();
    ask(
        context.az,
        &["rest", "--method", "post", "--url", &url, "--body", &body],
    )
    .await
}

async fn state(
    context: &Context<'_>,
    kind: &str,
    name: &str,
    answer: impl Future<Output = Result<Answer, AzError>>,
) -> Result<State, AzError> {
    if let Ok(Some(resource)) = context.existing(kind, name) {
        let place = normal(&resource.location);
        return Ok(match &context.location {
            Some(location) if *location != place => State::Elsewhere(place),
            _ => State::Here,
        });
    }
    let answer = answer.await?;
    if answer.name_available {
        return Ok(State::Free);
    }
    // Perhaps by the group itself.
    if let Err(error) = &context.existing {
        return Err(error.clone());
    }
    Ok(State::Taken(answer.reason.unwrap_or_default()))
}

/// The worst of them decides.
fn told(
    context: &Context<'_>,
    subject: &'static str,
    states: Vec<(&str, Result<State, AzError>)>,
) -> Finding {
    let mut unknown = None;
    let mut well = Vec::new();
    for (name, state) in states {
        match state {
            Ok(State::Here) => well.push(format!("{name} is this group's own")),
            Ok(State::Free) => well.push(format!("{name} is free")),
            Ok(State::Elsewhere(place)) => {
                return Finding::will_fail(
                    subject,
                    format!("{name} is there already, in {place}, and does not move"),
                    vec![context.deployment(&format!("location={place}"))],
                );
            }
            Ok(State::Taken(reason)) => {
                let why = match &*reason {
                    "" | "AlreadyExists" | "NameInUse" => "is taken".to_owned(),
                    reason => format!("is refused ({reason})"),
                };
                return Finding::will_fail(
                    subject,
                    format!("{name} {why}: another beginning makes another name"),
                    vec![format!(
                        "export DRONES_NAME={}",
                        another(&context.wanted.name)
                    )],
                );
            }
            Err(error) => unknown = Some(error),
        }
    }
    match unknown {
        Some(error) => Finding::not_answered(subject, &error),
        None => Finding::ok(subject, well.join(", ")),
    }
}

/// Another name of at most ten characters.
fn another(name: &str) -> String {
    let beginning: String = name.chars().take(9).collect();
    let number = if name.ends_with('2') { '3' } else { '2' };
    format!("{}{number}", beginning.trim_end_matches('2'))
}
