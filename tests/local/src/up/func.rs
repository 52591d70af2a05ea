//! `cargo local up --host func`: the same system with Microsoft's host in the place of ours.
//!
//! It is seen from outside only: by its output, its checkpoints, and what ends up in the stores.

use std::error::Error;
use std::time::Duration;

use super::options::UpOptions;
use super::services::{self, Started};
use super::{KEPT_BYTES, SETTLE, binary, browser, drones, stop_requested, view};
use crate::func;
use crate::hub::Retention;
use crate::npm::output::Output;
use crate::report::{Report, Stores};
use crate::running::RunningSystem;

/// Real partitions change hands when a host starts or ends, which takes time that ours does not.
const PATIENCE: Duration = Duration::from_secs(SETTLE.as_secs() * 2);

pub(super) fn run(options: &UpOptions) -> Result<(), Box<dyn Error>> {
    // Before minutes are spent on building.
    func::find()?;
    if options.services.http_port == 0 {
        return Err("func needs a port of its own: pass --http-port PORT".into());
    }
    let (source, binary) = binary(options.services.binary.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut service_options = options.services.clone();
        let telemetry = options
            .otlp
            .start(options.telemetry_port, &mut service_options.settings)
            .await?;
        let started = services::start(&service_options, &source, binary).await?;
        let _announcement = RunningSystem::beside(&started.services).announce(&source)?;
        let mut host = func::start(&started.script_root, options.services.http_port)?;
        let output = Output::of(&mut host);
        view::services(
            &started.services,
            telemetry.as_ref(),
            &started.settings,
            &started.command,
        );
        if options.open {
            let port = options.services.http_port;
            browser::open(&format!("http://127.0.0.1:{port}/api/map"));
            if let Some(telemetry) = &telemetry {
                browser::open(&telemetry.url());
            }
        }
        tokio::select! {
            outcome = fly(&started, options) => outcome,
            never = show(output) => match never {},
            ended = host.wait() => Err(match ended {
                Ok(status) => format!("func has ended: {status}"),
                Err(error) => format!("func has ended: {error}"),
            }
            .into()),
            () = started.azurite.died() => Err("Azurite has died; run the command again".into()),
            () = stop_requested() => {
                view::say("Stopping");
                Ok(())
            }
        }
    })
}

/// Passes on what the host says; when it has nothing more to say, whoever waits for its end has.
async fn show(mut output: Output) -> std::convert::Infallible {
    while let Some(line) = output.next_line().await {
        view::say(&format!("[func] {line}"));
    }
    std::future::pending().await
}

async fn fly(started: &Started, options: &UpOptions) -> Result<(), Box<dyn Error>> {
    let services = &started.services;
    services.hub.set_retention(match options.duration {
        // The report compares what was sent with what arrived.
        Some(_) => Retention::Everything,
        None => Retention::Newest { bytes: KEPT_BYTES },
    });
    drones::fly(
        services.hub.clone(),
        options.drones,
        options.duration,
        &options.services,
    )
    .await;
    view::say(&format!(
        "{} events are in the hub; waiting until the host has seen them all",
        services.hub.appended()
    ));
    func::settled(services, started.takes_alerts, PATIENCE).await?;
    let report = Report::count(&Stores {
        hub: &services.hub,
        cosmos: &services.cosmos,
        storage: &services.storage,
        keeps_alerts: !started.takes_alerts,
    })
    .await?;
    view::report(&report);
    if let Some(path) = &options.report {
        report.write(path)?;
    }
    match report.faults.is_empty() {
        true => Ok(()),
        false => Err("not every event is accounted for".into()),
    }
}
