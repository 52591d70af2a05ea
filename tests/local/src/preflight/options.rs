//! What `cargo local preflight` can be told.

use std::path::PathBuf;

use clap::Args;

/// See `cargo local preflight --help`.
#[derive(Debug, Clone, Args)]
pub struct PreflightOptions {
    /// The resource group that everything goes into; it need not exist yet.
    #[arg(long, value_name = "NAME", value_parser = resource_group)]
    pub resource_group: String,
    /// The region, such as westeurope. Without it that of the resource group.
    #[arg(long, value_name = "REGION", value_parser = region)]
    pub location: Option<String>,
    /// What is to be deployed: infra/fleet.bicepparam is the other size. DRONES_… in the environment count as in the deployment.
    #[arg(long, value_name = "FILE", default_value = "infra/try.bicepparam")]
    pub parameters: PathBuf,
}

/// Azure's rule for the names of groups. A name that keeps it, quoted, is safe in the commands that are printed.
fn resource_group(value: &str) -> Result<String, String> {
    let fits = (1..=90).contains(&value.chars().count())
        && !value.ends_with('.')
        && value
            .chars()
            .all(|character| character.is_alphanumeric() || "_-.()".contains(character));
    if fits {
        Ok(value.to_owned())
    } else {
        Err("a group's name is up to 90 letters, digits and _ - . ( ), and does not end with a full stop".to_owned())
    }
}

/// `West Europe` is westeurope.
fn region(value: &str) -> Result<String, String> {
    let region = normal(value);
    if !region.is_empty() && region.chars().all(|c| c.is_ascii_alphanumeric()) {
        Ok(region)
    } else {
        Err("a region is called like westeurope".to_owned())
    }
}

/// Azure writes regions as `West Europe` and as `westeurope`.
pub(super) fn normal(region: &str) -> String {
    region
        .chars()
        .filter(|character| !character.is_whitespace())
        .flat_map(char::to_lowercase)
        .collect()
}
