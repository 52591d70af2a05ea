//! `cargo local preflight`: says before a deployment of infra/main.bicep what of it will fail, and the commands that mend it.
//!
//! | module | what it is |
//! |---|---|
//! | [`options`] | what it can be told |
//! | [`parameters`] | what a parameter file asks for |
//! | [`az`] | the way to Azure: `az`, or recorded answers |
//! | [`names`] | what the resources will be called |
//! | [`context`] | what is known before the checks: who asks, for which group and region, and what is there |
//! | [`checks`] | the checks, a file for each subject |
//! | [`finding`] | what they find, and in `view.rs` how it is said |
//!
//! It only asks: nothing is made, changed or registered. A check that gets no answer says so and fails nothing: a preflight
//! that is in the way where it knows nothing would be left out. Whoever deploys needs more rights than whoever looks.

#![allow(clippy::print_stdout, reason = "this is the program's voice")]

pub mod az;
pub mod checks;
pub mod context;
pub mod finding;
pub mod names;
pub mod options;
pub mod parameters;
mod view;

use std::path::PathBuf;

use futures_util::StreamExt;

use crate::build;

use az::{Az, AzError, AzureCli};
use context::Context;
use finding::Finding;
pub use options::PreflightOptions;
use parameters::{ParametersError, Wanted};

/// `az` is a Python program of some 100 MB that takes a second to start: so many at a time.
const AT_A_TIME: usize = 4;

/// There is no report.
#[derive(Debug, thiserror::Error)]
pub enum PreflightError {
    /// The parameter file says nothing that could be checked.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
    /// `az` is missing, or does not know who asks.
    #[error(transparent)]
    Az(#[from] AzError),
    /// There is no runtime.
    #[error("cannot start: {0}")]
    Setup(#[from] std::io::Error),
}

impl PreflightError {
    /// Whether it is for what was asked, rather than for what was found.
    pub fn is_of_options(&self) -> bool {
        matches!(self, Self::Parameters(_))
    }
}

/// Looks, prints what it finds, and returns whether nothing will fail.
///
/// # Errors
/// Where nothing could be looked at.
pub fn run(options: &PreflightOptions) -> Result<bool, PreflightError> {
    let wanted = Wanted::read(&file(&options.parameters), |name| std::env::var(name).ok())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let findings = runtime.block_on(look(&AzureCli::default(), options, &wanted, |finding| {
        println!("{finding}");
    }))?;
    println!("\n{}", view::summary(&findings));
    Ok(!findings.iter().any(Finding::fails))
}

/// The file as it is named, or, where there is none, the one that the repository has under this name.
fn file(named: &PathBuf) -> PathBuf {
    match build::repository() {
        Ok(repository) if !named.exists() => repository.join(named),
        _ => named.clone(),
    }
}

/// Looks at everything, and shows each finding as soon as those before it are known.
///
/// # Errors
/// Where `az` is missing or does not say who is signed in.
pub async fn look(
    az: &dyn Az,
    options: &PreflightOptions,
    wanted: &Wanted,
    mut show: impl FnMut(&Finding),
) -> Result<Vec<Finding>, AzError> {
    let context = Context::learn(az, options, wanted).await?;
    let mut found = futures_util::stream::iter(checks::all(&context)).buffered(AT_A_TIME);
    let mut findings = Vec::new();
    while let Some(finding) = found.next().await {
        show(&finding);
        findings.push(finding);
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
