//! `cargo local insights`: what the fleet did, and the tables for whoever wants to ask them.
//!
//! | module | what it is |
//! |---|---|
//! | `options` | what is asked for |
//! | `days` | reads the days' figures from the tables |
//! | `line`, `table` | figures in a line; hours and days as a table |
//! | `copy`, `query` | the tables in a folder; a question to them that works as it is printed |
//! | [`agreement`] | the tables held against the simulator's own record |
//! | [`fresh`] | the tables held against a fresh summary of the archive |
//! | `finish` | lets the functions make what is there, at the end of a run |

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

pub mod agreement;
mod copy;
mod days;
mod finish;
pub mod fresh;
mod line;
mod options;
mod query;
mod table;

use std::error::Error;
use std::path::PathBuf;

use azure_functions_sdk::connection::{Connection, ConnectionError};
use drone_delivery::stores::blob::BlobService;

pub use days::{Days, Latest};
pub use finish::{archive_of, deliveries, finish, let_functions_finish, tables_of};
pub use line::in_a_line;
pub use options::InsightsOptions;

use crate::build;
use crate::running::RunningSystem;
use crate::system::INSIGHTS;

/// The storage connection, named as the app setting.
const STORAGE: &str = "FleetStorage";

/// Where the local system's tables are copied to, in the repository.
const COPY: &str = "target/insights";

/// Prints the last days and a question that can be asked of the tables.
///
/// # Errors
/// Where there are no tables or they cannot be read.
pub fn run(options: &InsightsOptions) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (storage, folder) = place(options)?;
        let tables = BlobService::connect(&storage)?.container(INSIGHTS)?;
        let days = Days::last(&tables, options.days.into()).await?;
        if days.is_empty() {
            return Err(
                "there are no insights yet: the first come once an event is archived and SummarizeDeliveries has run"
                    .into(),
            );
        }
        for day in &*days {
            print!("{}", table::of(day));
        }
        let Some(folder) = folder else {
            println!("To ask the tables yourself, copy them: cargo local insights --copy target/insights");
            return Ok(());
        };
        let copied = copy::copy(&tables, &folder).await?;
        println!("{copied} in {}", folder.display());
        println!("{}", query::printed(&folder));
        Ok(())
    })
}

/// The account that the environment names, else that of the system that runs here, and where its tables are copied to.
fn place(options: &InsightsOptions) -> Result<(Connection, Option<PathBuf>), Box<dyn Error>> {
    match Connection::from_env(STORAGE) {
        Ok(storage) => Ok((storage, options.copy.clone())),
        Err(ConnectionError::Missing(_)) => {
            let repository = build::repository()?;
            let system = RunningSystem::find_alive(&repository).ok_or(
                "no local system runs and FleetStorage is not set: start `cargo local up`, or name the account in \
                 Azure by FleetStorage__blobServiceUri",
            )?;
            let folder = options.copy.clone().unwrap_or_else(|| PathBuf::from(COPY));
            Ok((system.storage()?, Some(folder)))
        }
        Err(error) => Err(error.into()),
    }
}
