//! What is known before the checks.

use serde::Deserialize;

use super::az::{Az, AzError, ask};
use super::names::Names;
use super::options::{PreflightOptions, normal};
use super::parameters::Wanted;

/// Who asks, for what, and what is there.
pub struct Context<'a> {
    /// The way to Azure.
    pub az: &'a dyn Az,
    /// What is to be deployed.
    pub wanted: &'a Wanted,
    /// What was asked for.
    pub options: &'a PreflightOptions,
    /// The subscription, and who is signed in.
    pub account: Account,
    /// The resource group, if it is there.
    pub group: Result<Option<Group>, AzError>,
    /// Its id, which it has before it is made as well.
    pub group_id: String,
    /// Where everything will go, if anybody has said so.
    pub location: Option<String>,
    /// What the group has already.
    pub existing: Result<Vec<Resource>, AzError>,
    /// What everything will be called.
    pub names: Names,
}

/// The subscription that `az` works in.
#[derive(Debug, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// `Enabled`, or why it is not.
    pub state: String,
    /// Who is signed in.
    pub user: User,
}

/// Whom `az` has signed in.
#[derive(Debug, Deserialize)]
pub struct User {
    /// The user's name, or the client id of a service principal.
    pub name: String,
}

/// A resource group.
#[derive(Debug, Deserialize)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its region.
    pub location: String,
    /// What is happening to it.
    pub properties: GroupProperties,
}

/// What is happening to a resource group.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupProperties {
    /// `Succeeded`, or, while it is being deleted, `Deleting`.
    pub provisioning_state: String,
}

/// Something in the group.
#[derive(Debug, Deserialize)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// What it is, such as `Microsoft.Web/sites`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its region.
    pub location: String,
}

impl<'a> Context<'a> {
    /// Asks who is signed in, and for the group.
    ///
    /// # Errors
    /// Where nobody is signed in, or `az` does not say who. An unknown group is left to the checks.
    pub async fn learn(
        az: &'a dyn Az,
        options: &'a PreflightOptions,
        wanted: &'a Wanted,
    ) -> Result<Self, AzError> {
        let account: Account = ask(az, &["account", "show"]).await?;
        let name = &*options.resource_group;
        let group = group(az, name).await;
        // What comes before was answered from a file of `az`, also where its session is long over.
        if let Err(AzError::NotSignedIn) = group {
            return Err(AzError::NotSignedIn);
        }
        let existing = match &group {
            Ok(None) => Ok(Vec::new()),
            _ => ask(az, &["resource", "list", "--resource-group", name]).await,
        };
        let known = group.as_ref().ok().and_then(Option::as_ref);
        let group_id = known.map_or_else(
            || format!("/subscriptions/{}/resourceGroups/{name}", account.id),
            |group| group.id.clone(),
        );
        let location = options
            .location
            .as_deref()
            .or(wanted.location.as_deref())
            .or(known.map(|group| &*group.location))
            .map(normal);
        Ok(Self {
            az,
            wanted,
            options,
            names: Names::new(&group_id, &wanted.name),
            account,
            group,
            group_id,
            location,
            existing,
        })
    }

    /// What the group has under this name, if that is known.
    ///
    /// # Errors
    /// Where the group's resources could not be listed.
    pub fn existing(&self, kind: &str, name: &str) -> Result<Option<&Resource>, &AzError> {
        let resources = self.existing.as_ref()?;
        Ok(resources.iter().find(|resource| {
            resource.kind.eq_ignore_ascii_case(kind) && resource.name.eq_ignore_ascii_case(name)
        }))
    }

    /// A path below the subscription, as `az rest` takes it.
    pub fn below_subscription(&self, path: &str) -> String {
        format!("/subscriptions/{}/providers/{path}", self.account.id)
    }

    /// The deployment, as `infra/README.md` has it, with this added.
    pub fn deployment(&self, addition: &str) -> String {
        format!(
            "az deployment group create --resource-group {} --name drone-delivery --parameters {} {addition}",
            quoted(&self.options.resource_group),
            quoted(&self.options.parameters.to_string_lossy()),
        )
    }
}

async fn group(az: &dyn Az, name: &str) -> Result<Option<Group>, AzError> {
    match ask(az, &["group", "show", "--name", name]).await {
        Ok(group) => Ok(Some(group)),
        Err(error) if error.says("ResourceGroupNotFound") => Ok(None),
        Err(error) => Err(error),
    }
}

/// As a shell takes it for one word.
pub fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./:@".contains(character);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
