//! Lays out the folder that `func start` runs and `func azure functionapp publish` sends.
//!
//! The Functions host finds functions only in immediate subfolders of its script root, named as the
//! functions are; the sources are ordered otherwise. What is laid out:
//! ```text
//! host.json
//! <FunctionName>/function.json      one for each function
//! <the executable>                  named as host.json says, mode 755
//! local.settings.json               only where asked for
//! ```
//! Nothing else gets in, and nothing old remains. Everything is checked first: a folder that is refused
//! leaves the one before as it was.
//!
//! | module | what it is |
//! |---|---|
//! | `check` | holds the sources and what was compiled against each other |
//! | `layout` | writes the folder beside its place and swaps it in |
//! | `package` | packs the folder into a zip, the same for the same files |

mod check;
mod layout;
mod package;

use std::io;
use std::path::{Path, PathBuf};

use azure_functions_sdk::{DefinitionError, FunctionDefinition, HostConfigError};

use crate::app::AppFolder;

pub(crate) use check::{FUNCTION_JSON, HOST_JSON, LOCAL_SETTINGS, executable_name};
pub use package::{Package, package};

/// What to lay out, and where.
#[derive(Debug, Clone)]
pub struct StageOptions {
    /// The handler's executable.
    pub binary: PathBuf,
    /// The repository's root, with `host.json` and `handlers/functions`.
    pub source: PathBuf,
    /// The folder to make, or to replace where it was staged before.
    pub out: PathBuf,
    /// Whether `local.settings.json` is part of it.
    pub local_settings: bool,
}

/// A folder that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StagedApp {
    /// Where it is; absolute.
    pub root: PathBuf,
    /// The names of its functions, in the order of their registration.
    pub functions: Vec<String>,
    /// The file name of its executable.
    pub executable: String,
}

/// What was compiled into the handler: the code's side of what is checked.
#[derive(Debug, Clone, Copy)]
pub struct Compiled<'a> {
    /// Every registered function.
    pub functions: &'a [FunctionDefinition],
    /// The text of host.json.
    pub host_json: &'a str,
}

/// Nothing was laid out; the text names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A file or folder cannot be read or written.
    #[error("cannot {operation} {path}: {error}")]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// There is no executable to lay out.
    #[error("there is no handler at {0}: build it, or name another with --binary FILE")]
    NoBinary(String),
    /// The sources say something else than what was compiled.
    #[error("{0} has changed since the handler was built: build it again")]
    NotRebuilt(String),
    /// host.json cannot be read by the handler.
    #[error("{path} is wrong: {error}")]
    HostConfig {
        /// Which file.
        path: String,
        /// What is wrong.
        error: HostConfigError,
    },
    /// host.json does not say what to run.
    #[error(
        "{path} does not name the executable: set customHandler.description.defaultExecutablePath to a \
         file name such as \"drone-delivery\""
    )]
    NoExecutable {
        /// Which file.
        path: String,
    },
    /// The executable of host.json cannot be staged.
    #[error(
        "{path} names the executable {name:?}: set customHandler.description.defaultExecutablePath to a \
         file name without folders, and not one that something else has"
    )]
    ExecutableName {
        /// Which file.
        path: String,
        /// What it says.
        name: String,
    },
    /// An app without functions.
    #[error(
        "{0} has no function: make a folder of the function's name in it, with a function.json"
    )]
    NoFunctions(String),
    /// local.settings.json cannot be read.
    #[error("{path} is wrong in line {line}: its Values are texts")]
    LocalSettings {
        /// Which file.
        path: String,
        /// Where in it.
        line: usize,
    },
    /// A function.json without code.
    #[error(
        "{path} belongs to no function: register {name} in drone_delivery::FUNCTIONS or remove the folder"
    )]
    UnknownFunction {
        /// Which file.
        path: String,
        /// The function that it would be.
        name: String,
    },
    /// Code without a function.json.
    #[error("{name} has no {path}: write one or take {name} out of drone_delivery::FUNCTIONS")]
    NoFunctionJson {
        /// The function.
        name: String,
        /// Where its file should be.
        path: String,
    },
    /// A function's name from which no folder's name follows.
    #[error("the function {name} must have a name like UpdateDroneState: rename it in its mod.rs")]
    FunctionName {
        /// The function.
        name: String,
    },
    /// A folder's name that is no function's.
    #[error("the folder {path} must have a name like update_drone_state: rename it to {expected}")]
    FolderName {
        /// Which folder.
        path: String,
        /// The right name.
        expected: String,
    },
    /// Two registrations of one function.
    #[error("{name} is in drone_delivery::FUNCTIONS twice: take one out")]
    RegisteredTwice {
        /// The function.
        name: String,
    },
    /// function.json and the code do not fit each other.
    #[error("{path} is wrong: {error}")]
    Definition {
        /// Which file.
        path: String,
        /// What is wrong.
        error: DefinitionError,
    },
    /// What is there was never staged, and would be lost.
    #[error(
        "{0} holds something else than a staged app: name a new or empty folder with --out FOLDER"
    )]
    Foreign(String),
}

impl StageError {
    pub(crate) fn file(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.display().to_string();
        move |error| Self::File {
            operation,
            path,
            error,
        }
    }
}

/// Lays out the app of this repository.
///
/// # Errors
/// Where sources and code do not fit together, or files cannot be read or written.
pub fn stage(options: &StageOptions) -> Result<StagedApp, StageError> {
    let compiled = Compiled {
        functions: drone_delivery::FUNCTIONS,
        host_json: drone_delivery::HOST_JSON,
    };
    stage_compiled(options, compiled)
}

/// Lays out an app of other functions than this repository's.
///
/// # Errors
/// As [`stage`].
pub fn stage_compiled(
    options: &StageOptions,
    compiled: Compiled<'_>,
) -> Result<StagedApp, StageError> {
    let app = check::check(options, compiled)?;
    lay_out(app, &options.out)
}

/// Lays out an app that was read from its folder.
///
/// # Errors
/// Where there is no executable, or files cannot be read or written.
pub fn stage_app(
    app: &AppFolder,
    binary: &Path,
    out: &Path,
    local_settings: bool,
) -> Result<StagedApp, StageError> {
    let app = check::of_folder(app, binary, local_settings)?;
    lay_out(app, out)
}

fn lay_out(app: check::App<'_>, out: &Path) -> Result<StagedApp, StageError> {
    let out = std::path::absolute(out).map_err(StageError::file("find the folder", out))?;
    layout::write(&app, &out)?;
    Ok(StagedApp {
        root: out,
        functions: app
            .functions
            .iter()
            .map(|function| function.name.to_owned())
            .collect(),
        executable: app.executable,
    })
}

#[cfg(test)]
mod tests;
