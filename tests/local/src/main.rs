//! `cargo local`: the whole system on one machine. `cargo stage`: the folder that `func` runs.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program talks to its terminal"
)]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use local::app::AppFolder;
use local::archive::{self, ArchiveOptions};
use local::browser::{self, Script};
use local::build::{self, Profile};
use local::chaos::{self, ChaosOptions};
use local::insights::{self, InsightsOptions};
use local::load::{self, LoadOptions};
use local::preflight::{self, PreflightOptions};
use local::prepare::prepare;
use local::queries::{self, QueriesOptions};
use local::replay::{self, ReplayOptions};
use local::skip::{self, SkipOptions};
use local::stage::{StageOptions, package, stage, stage_app};
use local::summarize::{self, SummarizeOptions};
use local::up::{self, ServiceOptions, ServicesOptions, UpOptions};

/// The Cosmos DB emulator copies every document for each query, which asks for much memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Drone Delivery on one machine: no cloud, no Docker.
#[derive(Parser)]
#[command(name = "cargo local", bin_name = "cargo local", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs everything: Azurite, Cosmos DB, a hub, the Functions host with the handler, and drones.
    ///
    /// Builds the handler first. Stops at Ctrl-C, or after --for. With --app it runs somebody else's function app.
    ///
    /// Exit code: 0 when the run ended as asked and, with --for, every event was accounted for;
    /// 1 when something did not start, died, or an event was lost; 2 for wrong options.
    Up(UpOptions),
    /// Runs everything but the Functions host: Azurite, Cosmos DB, the hub, and drones if wanted.
    ///
    /// For Core Tools, without cloud and Docker: builds the handler, lays out target/app, writes what `func start` needs
    /// into target/app/local.settings.json, and prints the command. The hub speaks AMQP, as Event Hubs does. Stops at Ctrl-C.
    ///
    /// Exit code: 0 when it was stopped; 1 when something did not start or died; 2 for wrong options.
    Services(ServicesOptions),
    /// Looks at the map of a running system with headless Chromium.
    Map(MapArguments),
    /// Takes a picture of "What happens" of a running system with headless Chromium.
    WhatHappens(WhatHappensArguments),
    /// Measures the whole system under load: throughput, latencies, costs, and what limits it.
    ///
    /// Runs what `up` runs, on free ports, with the article's fleet: 10,000 drones, 2,500 events a second.
    /// The figures are of the time after the ramp-up; what was lost is counted over the whole run.
    ///
    /// With --outage, Cosmos DB is out of reach in the middle of it.
    ///
    /// Exit code: 0 when the rate was held and every event accounted for; 1 when not, when something did
    /// not start, or when the handler had to be started again after an outage; 2 for wrong options.
    Load(LoadOptions),
    /// Breaks the system in every way while events come, and then looks for what is lost or wrong.
    ///
    /// Handler and host are killed, a second host holds the same partitions, batches come again with other
    /// boundaries; Cosmos DB, blobs and queues fail, hang, break connections, lose answers and are slow. Drones
    /// send late, twice, with wrong clocks, and one event in a hundred is poison. At the end states, dead
    /// letters, archive and alerts are held against what was sent.
    ///
    /// Exit code: 0 when everything is as it has to be (PASS); 1 when not, or when something did not start;
    /// 2 for wrong options.
    Chaos(ChaosOptions),
    /// Asks a running system for drones and deliveries, and tells how long the answers take.
    ///
    /// One request at a time: one drone, one delivery, pages of 500, and what a map asks for. The fleet is
    /// read once before, which is not measured. Nothing is changed.
    ///
    /// Exit code: 0 when every request was answered; 1 when not, or when there is nobody to ask or nothing
    /// to ask for; 2 for wrong options.
    Queries(QueriesOptions),
    /// Sends events again: dead letters once their cause is mended, or archived events after a bug.
    ///
    /// Works on the system of `cargo local up`. With FleetStorage set, as the app has it, it works on a
    /// system in Azure: FleetStorage__blobServiceUri and FleetStorage__queueServiceUri, and
    /// EVENT_HUBS_NAMESPACE and EVENT_HUB_NAME, as whoever is signed in to `az` or `azd`; connection
    /// strings in FleetStorage and EVENT_HUBS_CONNECTION_STRING do as well.
    ///
    /// Examples:
    ///   cargo local replay --dead-letters --dry-run
    ///   cargo local replay --dead-letters --reason out-of-range --repair "sed s/90.4/45.0/"
    ///   cargo local replay --archive --from 2024-05-01T00:00:00Z --to 2024-05-02T00:00:00Z
    ///   cargo local replay --alerts-poison
    ///
    /// A dead letter is taken off the queue once the hub has accepted its event. One that would be
    /// dead-lettered again stays, and so does one from another device than it names: replayed, it
    /// would be believed. A replay that is killed hides the letters in its hands for 15 minutes.
    ///
    /// Events keep the time at which the hub took them first, and may come any number of times: the
    /// state is then what it would have been. They do reach every function: the archive gets them
    /// once more, and alerts are told again, under the same ids. Functions remember what they have
    /// written: after documents were deleted, restart the app before the archive is replayed.
    ///
    /// Ctrl-C ends it between events; the same command goes on from there.
    ///
    /// Exit code: 0 when all that was chosen is done; 1 when something was left or failed; 2 for
    /// wrong options.
    #[command(verbatim_doc_comment)]
    Replay(Box<ReplayOptions>),
    /// Moves a checkpoint past an event that the Functions host cannot bind, so that its partition goes on.
    ///
    /// Such an event (an AMQP body of another kind than data) fails each batch that it is in before any function is called,
    /// again and again. For a system in Azure, while the app is stopped; `az functionapp stop` and two minutes. Reads the
    /// storage account of the Functions host from AzureWebJobsStorage: AzureWebJobsStorage__blobServiceUri, or a connection
    /// string. What is passed over is written to a file first.
    ///
    /// Exit code: 0 when the checkpoint was moved; 1 when not; 2 for wrong options.
    Skip(SkipOptions),
    /// Says before a deployment to Azure what of it will fail, and the commands that mend it.
    ///
    /// Asks `az`, as whoever is signed in there, and changes nothing: resource providers, roles, what the region
    /// offers, names, quotas, the versions of `az` and Bicep. The DRONES_… variables count as in the deployment.
    ///
    /// Examples:
    ///   cargo local preflight --resource-group drones --location westeurope
    ///   cargo local preflight --resource-group drones --parameters infra/fleet.bicepparam
    ///   DRONES_PRIVATE_NETWORKING=true cargo local preflight --resource-group drones
    ///
    /// What could not be checked is said, and fails nothing.
    ///
    /// Exit code: 0 when nothing will fail that was looked at; 1 when something will, `az` is missing or nobody
    /// is signed in; 2 for wrong options, a parameter file that is missing or wrong among them.
    #[command(verbatim_doc_comment)]
    Preflight(PreflightOptions),
    /// Writes an archive as ArchiveTelemetry would have written it into a directory, in no time.
    ///
    /// For trying `cargo local summarize`, a query or a cluster on hours of telemetry without waiting for them.
    Archive(ArchiveOptions),
    /// Makes the tables of the insights from an archive, in this process rather than by the app's queue.
    ///
    /// For hours that SummarizeDeliveries does not look at any more (it looks back 72 hours), and for a copy of an
    /// archive in a folder. Works on the system of `cargo local up`; with FleetStorage set, as the app has it, on the
    /// account in Azure: FleetStorage__blobServiceUri, as whoever is signed in to `az` or `azd`, or a connection string.
    /// RequireAuthenticatedDevice and EarliestOccurrence say which events count, and must be as the app has them.
    ///
    /// Examples:
    ///   cargo local archive --out target/archive --for 2h
    ///   cargo local summarize --archive target/archive --tables target/tables
    ///   cargo local summarize --from 2024-05-01T00:00:00Z --to 2024-05-02T00:00:00Z --hub telemetry
    ///
    /// A unit is one hour of one partition. Those that are as they should be are passed over, so that the same command
    /// goes on where one was stopped. The app may work on the same tables meanwhile.
    ///
    /// Exit code: 0 when all that was chosen is made; 1 when something could not be made or a file of the archive
    /// could not be read, or it was stopped; 2 for wrong options.
    #[command(verbatim_doc_comment)]
    Summarize(SummarizeOptions),
    /// Shows what the fleet did in the last days, hour by hour, and how to ask the tables more.
    ///
    /// Works on the system of `cargo local up`; with FleetStorage set, as the app has it, on the account in Azure:
    /// FleetStorage__blobServiceUri, as whoever is signed in to `az` or `azd`, or a connection string. Nothing there
    /// is changed.
    ///
    /// Exit code: 0; 1 when there are no insights or they cannot be read; 2 for wrong options.
    Insights(InsightsOptions),
    /// Lays out target/app as `func start` and `func azure functionapp publish` need it.
    ///
    /// The handler is built for this machine, small and fast; with --quick in less time; with --release
    /// as it is sent to Azure: static, reproducible, and packed into target/app.zip as well.
    Stage(StageArguments),
    /// Makes the database, the containers and the queues in the emulators of infra/emulators.
    ///
    /// Reads the app settings CosmosDb, CosmosDbDatabase and FleetStorage from the environment.
    Prepare,
}

#[derive(Args)]
struct MapArguments {
    /// The map's address, as `cargo local up` prints it.
    #[arg(long, default_value = "http://127.0.0.1:7071/api/map")]
    url: String,
    #[command(subcommand)]
    look: Look,
}

#[derive(Subcommand)]
enum Look {
    /// Takes a picture once the fleet has flown for a while.
    Picture {
        /// Where to write it.
        #[arg(
            long,
            value_name = "FILE",
            default_value = "tests/browser/fleet-map.png"
        )]
        out: PathBuf,
        /// As a dark screen shows it.
        #[arg(long)]
        dark: bool,
        /// As a phone shows it.
        #[arg(long)]
        phone: bool,
    },
    /// Counts the frames that are drawn in 20 seconds, and the bytes that come.
    Frames,
}

#[derive(Args)]
struct WhatHappensArguments {
    /// The page's address, as `cargo local up` prints it.
    #[arg(long, default_value = "http://127.0.0.1:4318")]
    url: String,
    /// Where to write the picture.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "tests/local/what-happens.png"
    )]
    out: PathBuf,
    /// As a dark screen shows it.
    #[arg(long)]
    dark: bool,
}

#[derive(Args)]
struct StageArguments {
    /// Lay out the function app in this folder instead, made with azure_functions_sdk; its package is built.
    #[arg(long, value_name = "DIR")]
    app: Option<PathBuf>,
    /// Where to lay it out: target/app by default, with --app in that folder.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Stage this executable instead of building the handler.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Build quickly, for running here, rather than small and fast.
    #[arg(long, conflicts_with = "binary")]
    quick: bool,
    /// Build for Azure: a static executable for x86-64 Linux, and beside the folder a zip of it that
    /// `az functionapp deployment source config-zip` takes. The same sources give the same zip, byte for
    /// byte. Needs the Rust target x86_64-unknown-linux-musl and musl-gcc.
    #[arg(long, conflicts_with_all = ["binary", "quick"])]
    release: bool,
    /// Leave local.settings.json out. `func … publish` never sends it anyway.
    #[arg(long)]
    no_local_settings: bool,
}

impl StageArguments {
    fn profile(&self) -> Profile {
        match (self.quick, self.release) {
            (true, _) => Profile::Here,
            (_, true) => Profile::Static,
            _ => Profile::Publish,
        }
    }
}

impl Command {
    /// Whether what it measures, or how much it works through, asks for an optimized program.
    fn is_heavy(&self) -> bool {
        match self {
            Self::Load(_)
            | Self::Chaos(_)
            | Self::Queries(_)
            | Self::Summarize(_)
            | Self::Archive(_) => true,
            Self::Up(options) => is_fast(options.drones, &options.services),
            Self::Services(options) => is_fast(options.drones, &options.services),
            _ => false,
        }
    }
}

/// More events a second than the unoptimized system takes easily beside a browser and an editor.
fn is_fast(drones: u32, services: &ServiceOptions) -> bool {
    services.events_per_second(drones) > 1000.0
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    if command.is_heavy() && !build::is_optimized() {
        eprintln!("This asks for the optimized system; the first time, building it takes minutes");
        return match build::run_optimized() {
            Ok(ended) if ended.success() => ExitCode::SUCCESS,
            Ok(ended) => {
                let code = ended.code().and_then(|code| u8::try_from(code).ok());
                code.map_or(ExitCode::FAILURE, ExitCode::from)
            }
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let outcome = match command {
        Command::Up(options) => up::run(&options),
        Command::Services(options) => up::run_services(&options),
        Command::Map(arguments) => run_map(&arguments),
        Command::WhatHappens(arguments) => run_what_happens(&arguments),
        Command::Load(options) => load::run(&options),
        Command::Chaos(options) => chaos::run(&options),
        Command::Queries(options) => queries::run(&options).map_err(Into::into),
        Command::Replay(options) => match replay::run(&options) {
            Ok(true) => Ok(()),
            // The summary has said what is left.
            Ok(false) => return ExitCode::FAILURE,
            Err(error) => Err(error),
        },
        Command::Skip(options) => skip::run(&options),
        Command::Preflight(options) => match preflight::run(&options) {
            Ok(true) => Ok(()),
            // The report has said what.
            Ok(false) => return ExitCode::FAILURE,
            Err(error) if error.is_of_options() => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
            Err(error) => Err(error.into()),
        },
        Command::Summarize(options) => match summarize::run(&options) {
            Ok(true) => Ok(()),
            // It has been said what.
            Ok(false) => return ExitCode::FAILURE,
            Err(error) if error.is_of_options() => {
                eprintln!("error: {error}");
                return ExitCode::from(2);
            }
            Err(error) => Err(error.into()),
        },
        Command::Insights(options) => insights::run(&options),
        Command::Archive(options) => archive::run(&options),
        Command::Stage(arguments) => run_stage(arguments),
        Command::Prepare => run_prepare(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_prepare() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(prepare(|name| std::env::var(name).ok()))?;
    println!("The database, its containers, the Blob containers and the queues are there");
    Ok(())
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn run_map(arguments: &MapArguments) -> Result<(), Box<dyn std::error::Error>> {
    let mut settings = vec![("MAP", arguments.url.clone())];
    let script = match &arguments.look {
        Look::Picture { out, dark, phone } => {
            settings.push(("OUT", std::path::absolute(out)?.display().to_string()));
            settings.push(("SCHEME", if *dark { "dark" } else { "light" }.to_owned()));
            settings.push(("SCREEN", if *phone { "phone" } else { "desk" }.to_owned()));
            Script::Picture
        }
        Look::Frames => Script::Frames,
    };
    look(script, &settings)
}

fn run_what_happens(arguments: &WhatHappensArguments) -> Result<(), Box<dyn std::error::Error>> {
    let out = std::path::absolute(&arguments.out)?;
    let scheme = if arguments.dark { "dark" } else { "light" };
    look(
        Script::WhatHappensPicture,
        &[
            ("PAGE", arguments.url.clone()),
            ("OUT", out.display().to_string()),
            ("SCHEME", scheme.to_owned()),
        ],
    )
}

fn look(script: Script, settings: &[(&str, String)]) -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(browser::run(script, settings, |line| println!("{line}")))?;
    Ok(())
}

fn run_stage(arguments: StageArguments) -> Result<(), Box<dyn std::error::Error>> {
    let (profile, local_settings) = (arguments.profile(), !arguments.no_local_settings);
    let target = PathBuf::from("target/app");
    let staged = match arguments.app {
        Some(folder) => {
            let app = AppFolder::read(&folder)?;
            let binary = match arguments.binary {
                Some(binary) => binary,
                None => build::app(&app.root, &app.executable, profile)?,
            };
            let out = arguments.out.unwrap_or_else(|| app.root.join(target));
            stage_app(&app, &binary, &out, local_settings)?
        }
        None => {
            let source = build::repository()?;
            let binary = match arguments.binary {
                Some(binary) => binary,
                None => build::handler(&source, profile)?,
            };
            stage(&StageOptions {
                binary,
                source,
                out: arguments.out.unwrap_or(target),
                local_settings,
            })?
        }
    };
    println!(
        "Staged {} in {}",
        staged.functions.join(", "),
        staged.root.display()
    );
    println!(
        "Run it with: func start --script-root {}",
        staged.root.display()
    );
    if arguments.release {
        let package = package(&staged)?;
        println!(
            "Packed {} ({:.1} MB; the executable is {:.1} MB)",
            package.file.display(),
            megabytes(package.bytes),
            megabytes(package.executable_bytes),
        );
        println!("SHA-256 {}", package.sha256);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn what_measures_or_works_through_much_is_optimized() {
        let is_heavy = |words: &str| {
            let words = std::iter::once("cargo local").chain(words.split(' '));
            let parsed = Cli::try_parse_from(words).ok();
            parsed.map(|cli| cli.command.is_heavy())
        };
        for heavy in [
            "load",
            "queries",
            "up --drones 10000",
            "up --drones 200 --rate 2500",
            "services --drones 1 --rate 2500",
        ] {
            assert_eq!(is_heavy(heavy), Some(true), "{heavy}");
        }
        for light in [
            "up",
            "up --drones 200 --rate 1000",
            // Nobody sends.
            "up --drones 0 --rate 2500",
            "services",
            "insights",
            "stage",
        ] {
            assert_eq!(is_heavy(light), Some(false), "{light}");
        }
    }

    /// Every command that a page, a script or a text of the code prints is one that this program takes.
    #[test]
    fn printed_commands_can_be_typed() {
        Cli::command().debug_assert();
        let mut wrong = Vec::new();
        let mut whole = 0;
        for printed in pages::commands() {
            let words = match printed.words.first().map(String::as_str) {
                Some("local") => &printed.words[1..],
                Some("stage") => &printed.words[..],
                _ => continue,
            };
            if words.is_empty() && !printed.complete {
                continue;
            }
            whole += usize::from(printed.complete);
            let parsed = Cli::try_parse_from(
                std::iter::once("cargo local").chain(words.iter().map(String::as_str)),
            );
            let Err(error) = parsed else { continue };
            let may_be_left_out = matches!(
                error.kind(),
                ErrorKind::MissingRequiredArgument
                    | ErrorKind::MissingSubcommand
                    | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
            );
            let is_fine =
                error.kind() == ErrorKind::DisplayHelp || (may_be_left_out && !printed.complete);
            if !is_fine {
                wrong.push(format!("{}: {} {error}", printed.place, words.join(" ")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(whole >= 15, "only {whole} commands");
    }
}
