//! Who may do what: role assignments by the name of the role and what it is for.

use crate::bicep::{Resource, Template};

pub const ROLE_ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments";

/// The built-in roles in use, and some that are not enough, under the names that Azure gives them.
const ROLES: [(&str, &str); 14] = [
    (
        "Azure Event Hubs Data Receiver",
        "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
    ),
    (
        "Azure Event Hubs Data Sender",
        "2b629674-e913-4c01-ae53-ef4638d8f975",
    ),
    (
        "IoT Hub Data Contributor",
        "4fc6c259-987e-4a07-842e-c321cc9d413f",
    ),
    (
        "Device Provisioning Service Data Contributor",
        "dfce44e4-17b7-4bd1-a6d1-04996ec95633",
    ),
    (
        "Monitoring Metrics Publisher",
        "3913510d-42f4-4e42-8a64-420c390055eb",
    ),
    (
        "Storage Blob Data Owner",
        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    ),
    (
        "Storage Blob Data Contributor",
        "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    ),
    (
        "Storage Blob Data Reader",
        "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    ),
    (
        "Storage Queue Data Contributor",
        "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    ),
    (
        "Storage Queue Data Reader",
        "19e7f393-937e-4f77-808e-94535e297925",
    ),
    (
        "Storage Queue Data Message Processor",
        "8a0f0c08-91a1-4084-bc3d-661d67233fed",
    ),
    (
        "Storage Queue Data Message Sender",
        "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a",
    ),
    (
        "Storage Table Data Contributor",
        "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    ),
    (
        "Storage Table Data Reader",
        "76199698-9eea-4c19-bc75-cec21354c6b6",
    ),
];

const QUEUE: &str = "Microsoft.Storage/storageAccounts/queueServices/queues";
const BLOB: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";

/// What the roles allow, as far as it is asked for here: the end of each action, after [`QUEUE`] or [`BLOB`] and a slash
/// for storage, whole for the rest. From "Azure built-in roles" in the documentation of Azure RBAC.
const ALLOWED: [(&str, &[&str]); 8] = [
    (
        "Azure Event Hubs Data Receiver",
        &["Microsoft.EventHub/namespaces/messages/receive/action"],
    ),
    (
        "Azure Event Hubs Data Sender",
        &["Microsoft.EventHub/namespaces/messages/send/action"],
    ),
    (
        "Storage Blob Data Owner",
        &["read", "write", "blobs/read", "blobs/write", "blobs/delete"],
    ),
    (
        "Storage Blob Data Contributor",
        &["read", "write", "blobs/read", "blobs/write", "blobs/delete"],
    ),
    (
        "Storage Queue Data Contributor",
        &[
            "read",
            "write",
            "messages/read",
            "messages/write",
            "messages/delete",
            "messages/process/action",
        ],
    ),
    ("Storage Queue Data Reader", &["read", "messages/read"]),
    (
        "Storage Queue Data Message Processor",
        &["messages/read", "messages/process/action"],
    ),
    (
        "Storage Queue Data Message Sender",
        &["messages/add/action"],
    ),
];

/// Whether a role allows an action, directly or by a wider one: who may write messages may add one, and who may process
/// them may delete what it has taken.
pub fn allows(role: &str, action: &str) -> bool {
    let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == role) else {
        return false;
    };
    let service = if role.contains("Queue") { QUEUE } else { BLOB };
    let has = |action: &str| {
        allowed
            .iter()
            .any(|end| *end == action || format!("{service}/{end}") == action)
    };
    let wider = match action.strip_prefix(&format!("{QUEUE}/messages/")) {
        Some("add/action") => "messages/write",
        Some("delete") => "messages/process/action",
        _ => action,
    };
    has(action) || (service == QUEUE && has(wider))
}

/// An action on a queue or its messages, in full.
pub fn on_queue(end: &str) -> String {
    format!("{QUEUE}/{end}")
}

/// An action on a container or its blobs, in full.
pub fn on_container(end: &str) -> String {
    format!("{BLOB}/{end}")
}

/// One role that somebody has on one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub role: &'static str,
    /// `appPrincipalId`, `operatorPrincipalId`, or an expression.
    pub to: String,
    pub on_kind: String,
    /// The name of the resource, as it is written: a literal, or an expression.
    pub on: String,
    /// The symbol of the assignment.
    pub symbol: String,
}

/// Every role assignment, read; or what cannot be read of one.
pub fn grants(template: &Template) -> Result<Vec<Grant>, String> {
    template
        .of(ROLE_ASSIGNMENT)
        .map(|assignment| grant(template, assignment))
        .collect()
}

fn grant(template: &Template, assignment: &Resource) -> Result<Grant, String> {
    let Resource { module, symbol, .. } = assignment;
    let wrong = |what: &str| format!("{module}.bicep: {symbol}: {what}");
    let role = assignment
        .body
        .at("properties.roleDefinitionId")
        .map(|role| template.resolve(module, role))
        .and_then(|role| role.code())
        .ok_or_else(|| wrong("its role is not a variable"))?;
    let role = ROLES
        .iter()
        .find(|(_, id)| role.contains(id))
        .map(|(name, _)| *name)
        .ok_or_else(|| wrong("its role is none of the known ones"))?;
    let to = assignment
        .body
        .at("properties.principalId")
        .and_then(|principal| principal.code())
        .ok_or_else(|| wrong("it has no principalId"))?;
    let scope = assignment
        .body
        .get("scope")
        .and_then(|scope| scope.code())
        .ok_or_else(|| wrong("it has no scope, and so is for the whole resource group"))?;
    let target = scope.rsplit("::").next().unwrap_or(scope);
    let target = template
        .resource_of(module, target)
        .ok_or_else(|| wrong("its scope is no resource of the file"))?;
    let name = target
        .body
        .get("name")
        .map(|name| template.resolve(module, name));
    Ok(Grant {
        role,
        to: to.to_owned(),
        on_kind: target.kind.clone(),
        on: name
            .and_then(|name| name.text().or_else(|| name.code()))
            .unwrap_or_default()
            .to_owned(),
        symbol: symbol.clone(),
    })
}
