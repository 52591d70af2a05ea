//! The roles of whoever deploys: to make resources, and, as the template assigns roles, to assign them.

use std::collections::HashSet;

use serde::Deserialize;

use crate::preflight::az::ask;
use crate::preflight::context::{Context, quoted};
use crate::preflight::finding::Finding;

const SUBJECT: &str = "roles";
const OWNER: &str = "Owner";
const CONTRIBUTOR: &str = "Contributor";
const ASSIGNERS: [&str; 2] = [
    "Role Based Access Control Administrator",
    "User Access Administrator",
];

#[derive(Deserialize)]
struct Assignment {
    #[serde(rename = "roleDefinitionName")]
    role: String,
    /// Which roles may be assigned to whom: in a language of its own, that is not read here.
    condition: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    role_name: String,
}

/// What somebody's roles come to.
struct Rights {
    make: bool,
    assign: bool,
}

impl Rights {
    fn of<'a>(roles: impl Iterator<Item = &'a str>) -> Self {
        let roles: HashSet<&str> = roles.collect();
        let owner = roles.contains(OWNER);
        Self {
            make: owner || roles.contains(CONTRIBUTOR),
            assign: owner || ASSIGNERS.iter().any(|role| roles.contains(role)),
        }
    }

    fn suffice(&self) -> bool {
        self.make && self.assign
    }
}

pub(super) async fn held(context: &Context<'_>) -> Finding {
    let user = &*context.account.user.name;
    // So `az` calls a managed identity, which it does not name.
    if ["systemAssignedIdentity", "userAssignedIdentity"].contains(&user) {
        return Finding::unknown(SUBJECT, "a managed identity is signed in");
    }
    // Who has to make the group needs the rights above it.
    let subscription = format!("/subscriptions/{}", context.account.id);
    let scope = match &context.group {
        Ok(None) => &subscription,
        _ => &context.group_id,
    };
    let arguments = [
        "role",
        "assignment",
        "list",
        "--assignee",
        user,
        "--scope",
        scope,
        "--include-inherited",
        "--include-groups",
    ];
    let assignments: Vec<Assignment> = match ask(context.az, &arguments).await {
        Ok(assignments) => assignments,
        Err(error) => return Finding::not_answered(SUBJECT, &error),
    };
    let roles = |with_conditions: bool| {
        assignments
            .iter()
            .filter(move |one| {
                with_conditions || one.condition.as_deref().is_none_or(str::is_empty)
            })
            .map(|one| &*one.role)
    };
    let rights = Rights::of(roles(false));
    if rights.suffice() {
        return Finding::ok(
            SUBJECT,
            format!("{user} may make resources and assign roles"),
        );
    }
    if Rights::of(roles(true)).suffice() {
        return Finding::unknown(
            SUBJECT,
            "they are held on a condition, which may forbid the roles that the template assigns",
        );
    }
    match custom(context, roles(true)).await {
        Ok(None) => {}
        Ok(Some(role)) => {
            return Finding::unknown(SUBJECT, format!("{role} is a role of your own making"));
        }
        Err(finding) => return finding,
    }
    lacking(user, scope, &rights)
}

/// One of these roles that is not of Azure's making, and so may allow anything.
async fn custom<'a>(
    context: &Context<'_>,
    roles: impl Iterator<Item = &'a str>,
) -> Result<Option<&'a str>, Finding> {
    let mut others = roles
        .filter(|role| *role != OWNER && *role != CONTRIBUTOR && !ASSIGNERS.contains(role))
        .peekable();
    if others.peek().is_none() {
        return Ok(None);
    }
    let arguments = ["role", "definition", "list", "--custom-role-only", "true"];
    let custom: Vec<Definition> = ask(context.az, &arguments)
        .await
        .map_err(|error| Finding::not_answered(SUBJECT, &error))?;
    let is_custom = |role: &str| custom.iter().any(|custom| custom.role_name == role);
    Ok(others.find(|role| is_custom(role)))
}

fn lacking(user: &str, scope: &str, rights: &Rights) -> Finding {
    let mut what = Vec::new();
    let mut roles = Vec::new();
    if !rights.make {
        what.push("make resources");
        roles.push(CONTRIBUTOR);
    }
    if !rights.assign {
        what.push("assign roles");
        roles.push(ASSIGNERS[0]);
    }
    let mend = roles
        .into_iter()
        .map(|role| {
            format!(
                "az role assignment create --assignee {} --role {} --scope {}",
                quoted(user),
                quoted(role),
                quoted(scope)
            )
        })
        .collect();
    Finding::will_fail(
        SUBJECT,
        format!("{user} may not {}; an owner runs", what.join(" nor ")),
        mend,
    )
}
