//! `cargo local services`: everything but the Functions host, which is somebody else's to start.

use std::error::Error;
use std::path::{Path, PathBuf};

use super::options::{ServiceOptions, ServicesOptions};
use super::{azurite, binary, drones, stop_requested, view};
use crate::azurite::Azurite;
use crate::func;
use crate::hub::{ConsumerGroups, Retention};
use crate::running::RunningSystem;
use crate::services::Services;
use crate::stage::{StageOptions, stage};

/// Runs until Ctrl-C.
///
/// # Errors
/// Where something does not start or dies.
pub fn run(options: &ServicesOptions) -> Result<(), Box<dyn Error>> {
    let (source, binary) = binary(options.services.binary.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // Leaving this future, also by Ctrl-C or a panic, ends everything.
    runtime.block_on(async {
        let started = start(&options.services, &source, binary).await?;
        let services = &started.services;
        let _announcement = RunningSystem::beside(services).announce(&source)?;
        services.hub.set_retention(Retention::Newest {
            bytes: super::KEPT_BYTES,
        });
        view::services(services, None, &started.settings, &started.command);
        let flight = drones::fly(
            services.hub.clone(),
            options.drones,
            None,
            &options.services,
        );
        tokio::select! {
            _ = flight => {}
            () = started.azurite.died() => return Err("Azurite has died; run the command again".into()),
            () = stop_requested() => view::say("Stopping"),
        }
        Ok(())
    })
}

/// Services that run, and what `func` needs to run on them.
pub(super) struct Started {
    /// Before the storage in it ends.
    pub(super) services: Services,
    pub(super) azurite: Azurite,
    pub(super) script_root: PathBuf,
    /// The file.
    pub(super) settings: PathBuf,
    pub(super) command: String,
    /// Whether the host takes messages off the alert queue.
    pub(super) takes_alerts: bool,
}

/// Stages the app, starts the services, and writes the settings that lead from one to the other.
pub(super) async fn start(
    options: &ServiceOptions,
    source: &Path,
    binary: PathBuf,
) -> Result<Started, Box<dyn Error>> {
    let staged = stage(&StageOptions {
        binary,
        source: source.to_owned(),
        out: source.join("target/app"),
        local_settings: false,
    })?;
    let (azurite, storage) = azurite(options).await?;
    let services = Services::start(storage, options.partitions, options.ports()).await?;
    services
        .hub
        .set_consumer_groups(match options.consumer_groups() {
            ConsumerGroups::Any => ConsumerGroups::Any,
            ConsumerGroups::Listed(listed) => {
                let own = func::GROUPS.map(str::to_owned);
                ConsumerGroups::Listed(listed.into_iter().chain(own).collect())
            }
        });
    let values = func::settings(&services, &options.settings);
    let disabled = values.get("AzureWebJobs.NotifyAlert.Disabled");
    let takes_alerts = disabled.is_none_or(|disabled| !disabled.eq_ignore_ascii_case("true"));
    Ok(Started {
        command: func::command_line(&staged.root, options.http_port),
        settings: func::write_settings(&staged.root, &values)?,
        services,
        azurite,
        script_root: staged.root,
        takes_alerts,
    })
}
