//! What Bicep provides, in the same words as what is demanded.

use std::collections::{BTreeMap, BTreeSet};

use crate::access::{Grant, allows, grants};
use crate::bicep::Template;

pub const HUBS: &str = "Microsoft.EventHub/namespaces/eventhubs";
const GROUPS: &str = "Microsoft.EventHub/namespaces/eventhubs/consumergroups";
pub const QUEUES: &str = "Microsoft.Storage/storageAccounts/queueServices/queues";
pub const CONTAINERS: &str = "Microsoft.Storage/storageAccounts/blobServices/containers";
pub const ACCOUNTS: &str = "Microsoft.Storage/storageAccounts";
pub const COSMOS_CONTAINERS: &str = "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers";
const APP: &str = "appPrincipalId";

/// Something that a deployment has to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    Setting(String),
    ConsumerGroup(String),
    Queue(String),
    BlobContainer(String),
    CosmosContainer(String),
    CosmosAction(String),
    /// Role, type of the resource, its name (empty for any).
    Role(&'static str, &'static str, String),
    /// An action on data that some role of the app has to allow, type of the resource, its name (empty for any).
    DataAction(String, &'static str, String),
}

impl Need {
    /// The words by which a person finds the place in Bicep.
    pub fn name(&self) -> &str {
        match self {
            Self::Setting(name)
            | Self::ConsumerGroup(name)
            | Self::Queue(name)
            | Self::BlobContainer(name)
            | Self::CosmosContainer(name)
            | Self::CosmosAction(name) => name,
            Self::Role(role, ..) => role,
            Self::DataAction(action, ..) => action,
        }
    }
}

/// What Bicep provides.
#[derive(Clone)]
pub struct Provided {
    pub needs: BTreeSet<Need>,
    pub grants: Vec<Grant>,
}

pub fn provided(template: &Template) -> Provided {
    let mut needs = BTreeSet::new();
    for name in settings(template).into_keys() {
        needs.insert(Need::Setting(name));
    }
    let mut named = |kind: &str, need: fn(String) -> Need| {
        for resource in template.of(kind) {
            needs.insert(need(resource.name().unwrap().to_owned()));
        }
    };
    named(GROUPS, Need::ConsumerGroup);
    named(QUEUES, Need::Queue);
    named(CONTAINERS, Need::BlobContainer);
    named(COSMOS_CONTAINERS, Need::CosmosContainer);
    for action in cosmos_actions(template) {
        needs.insert(Need::CosmosAction(action));
    }
    Provided {
        needs,
        grants: grants(template).unwrap(),
    }
}

/// The app settings of the function app, by name.
pub fn settings(template: &Template) -> BTreeMap<String, String> {
    let apps: Vec<_> = template.of("Microsoft.Web/sites").collect();
    assert_eq!(apps.len(), 1, "one function app");
    let settings = apps[0]
        .body
        .at("properties.siteConfig.appSettings")
        .unwrap();
    let items = template.items(&apps[0].module, settings);
    items
        .into_iter()
        .filter_map(|item| {
            // A loop over a parameter: nobody knows its names here.
            let name = item.get("name").unwrap().text()?;
            let value = item.get("value").unwrap();
            let text = value.text().or_else(|| value.code()).unwrap().to_owned();
            Some((name.to_owned(), text))
        })
        .collect()
}

/// What the app may do with data in Cosmos DB: the actions of the role that it is assigned.
fn cosmos_actions(template: &Template) -> BTreeSet<String> {
    const ACCOUNT: &str = "Microsoft.DocumentDB/databaseAccounts";
    let mut actions = BTreeSet::new();
    for assignment in template.of(&format!("{ACCOUNT}/sqlRoleAssignments")) {
        let property = |name: &str| {
            assignment
                .body
                .get("properties")
                .unwrap()
                .get(name)
                .unwrap()
        };
        if property("principalId").code() != Some(APP) {
            continue;
        }
        let role = property("roleDefinitionId").code().unwrap();
        let role = template
            .resource_of(&assignment.module, role.trim_end_matches(".id"))
            .expect("the app's Cosmos DB role is one of the file");
        let permissions = role.body.at("properties.permissions").unwrap().list();
        for action in permissions
            .iter()
            .flat_map(|p| p.get("dataActions").unwrap().list())
        {
            let action = action.text().unwrap();
            let last = action.rsplit("/containers/").next().unwrap();
            actions.insert(last.replace(&format!("{ACCOUNT}/"), ""));
        }
    }
    actions
}

pub fn satisfies(grant: &Grant, need: &Need) -> bool {
    if let Need::DataAction(action, kind, on) = need {
        return grant.to == APP
            && allows(grant.role, action)
            && grant.on_kind.eq_ignore_ascii_case(kind)
            && (on.is_empty() || grant.on == *on);
    }
    let Need::Role(role, kind, on) = need else {
        return false;
    };
    let to_whom = match *role {
        "Azure Event Hubs Data Sender" => "identity.properties.principalId",
        _ => APP,
    };
    grant.role == *role
        && grant.to == to_whom
        && grant.on_kind.eq_ignore_ascii_case(kind)
        && (on.is_empty() || grant.on == *on)
}
