//! Builds the handler with Cargo, alone: built together with this crate it would share the emulator's
//! features, and what runs here should be what is published.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the handler is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Optimized and quick to build: for running here.
    Release,
    /// Small, fast and slow to build: for publishing.
    Publish,
}

/// The handler could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No repository around the current folder.
    #[error("this is not the drone-delivery repository: run it from a folder inside it")]
    NotHere,
    /// Cargo could not be run.
    #[error("cannot run {cargo}: {error}")]
    Cargo {
        /// What was run.
        cargo: String,
        /// Why not.
        error: std::io::Error,
    },
    /// Cargo ran, and said why on the terminal.
    #[error("the handler does not compile: see above")]
    Failed,
    /// Cargo succeeded but named no executable.
    #[error("cargo built no executable named drone-delivery")]
    NoExecutable,
}

/// The repository's root: the nearest folder upwards with `host.json` and `handlers`.
///
/// # Errors
/// Outside of the repository.
pub fn repository() -> Result<PathBuf, BuildError> {
    let here = std::env::current_dir().map_err(|_| BuildError::NotHere)?;
    here.ancestors()
        .find(|folder| folder.join("host.json").is_file() && folder.join("handlers").is_dir())
        .map(Path::to_owned)
        .ok_or(BuildError::NotHere)
}

/// Builds the handler and returns its executable. Cargo's progress goes to the terminal.
///
/// # Errors
/// Where Cargo is missing or the build fails.
pub fn handler(repository: &Path, profile: Profile) -> Result<PathBuf, BuildError> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(&cargo);
    command
        .args(["build", "--locked", "--package", "drone-delivery"])
        .args(["--bin", "drone-delivery"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(repository)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    command.args(match profile {
        Profile::Release => ["--profile", "release"],
        Profile::Publish => ["--profile", "dist"],
    });
    let output = command
        .output()
        .map_err(|error| BuildError::Cargo { cargo, error })?;
    if !output.status.success() {
        return Err(BuildError::Failed);
    }
    // One JSON object a line; the last artifact with an executable is the binary.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .ok_or(BuildError::NoExecutable)
}
