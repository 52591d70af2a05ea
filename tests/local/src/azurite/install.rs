//! Puts Azurite into the target folder on first use.
//!
//! npm installs exactly what the lock file says, runs no script of any package, and works in a folder
//! that gets its final name only when it is complete: a broken installation is never taken for a good
//! one.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::AzuriteError;
use super::output::Output;
use crate::child::{Child, ChildError};

/// The program that runs Azurite.
pub(super) const NODE: &str = "node";

const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// Azurite's dependencies need it.
const OLDEST_NODE: u32 = 20;

const PACKAGE: &str = include_str!("../../azurite/package.json");
const LOCK: &str = include_str!("../../azurite/package-lock.json");

/// Azurite's main script, inside of an installation.
const SCRIPT: &str = "node_modules/azurite/dist/src/azurite.js";

/// The main script's path. Installs Azurite where that has not happened yet.
pub(super) async fn installed() -> Result<PathBuf, AzuriteError> {
    let version = node_version().await?;
    if major(&version).is_none_or(|major| major < OLDEST_NODE) {
        return Err(AzuriteError::NodeTooOld(version));
    }
    let folder = installations();
    let mut hasher = DefaultHasher::new();
    (PACKAGE, LOCK).hash(&mut hasher);
    let home = folder.join(format!("azurite-{:016x}", hasher.finish()));
    let script = home.join(SCRIPT);
    if !script.is_file() {
        fs::create_dir_all(&folder).map_err(|error| refused(&folder, error))?;
        // Whoever comes second waits for the first, also in another process.
        let _lock = lock(folder.join("azurite.lock")).await;
        if !script.is_file() {
            install(&folder, &home).await?;
        }
    }
    Ok(script)
}

async fn install(folder: &Path, home: &Path) -> Result<(), AzuriteError> {
    say("Installing Azurite 3.37.0 (first use, about a minute)…");
    // A sibling, so that the last step is a rename. It is removed where anything fails.
    let work = tempfile::Builder::new()
        .prefix("azurite-unfinished-")
        .tempdir_in(folder)
        .map_err(|error| refused(folder, error))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
        fs::write(work.path().join(name), text).map_err(|error| refused(folder, error))?;
    }
    let mut npm = Command::new(NPM);
    npm.args([
        "ci",
        "--omit=dev",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
    ])
    .arg("--loglevel=error")
    .current_dir(work.path());
    let mut process = spawn(npm, "npm", NPM)?;
    let mut output = Output::of(&mut process);
    output.finish().await;
    let success = process.wait().await.is_ok_and(|status| status.success());
    if !success || !work.path().join(SCRIPT).is_file() {
        return Err(AzuriteError::Install(output.tail()));
    }
    match fs::rename(work.path(), home) {
        Ok(()) => {
            // It has its final name now, so there is nothing to remove.
            _ = work.keep();
            Ok(())
        }
        // Without a lock, where the file system has none, somebody may have been faster.
        Err(_) if home.join(SCRIPT).is_file() => Ok(()),
        Err(error) => Err(refused(home, error)),
    }
}

async fn node_version() -> Result<String, AzuriteError> {
    let mut command = Command::new(NODE);
    command.arg("--version");
    let mut process = spawn(command, "Node.js", NODE)?;
    let version = Output::of(&mut process).next_line().await;
    Ok(version.unwrap_or_else(|| "one that does not tell its version".to_owned()))
}

fn spawn(command: Command, name: &str, program: &'static str) -> Result<Child, AzuriteError> {
    Child::spawn(command, name).map_err(|error| match error {
        ChildError::Missing { .. } => AzuriteError::NodeMissing(program),
        refused @ ChildError::Refused { .. } => refused.into(),
    })
}

/// The 20 of `v20.19.0`.
fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// `local` in Cargo's target folder, which is where this program was built.
fn installations() -> PathBuf {
    let target = std::env::current_exe().ok().and_then(|program| {
        program
            .ancestors()
            // Cargo marks the folder as one that backups leave out.
            .find(|folder| folder.join("CACHEDIR.TAG").is_file())
            .map(Path::to_owned)
    });
    target
        .unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"))
        .join("local")
}

/// `None` where the file system knows no locks; the rename still keeps things right.
async fn lock(path: PathBuf) -> Option<fs::File> {
    let locking = tokio::task::spawn_blocking(move || {
        let file = fs::File::create(path).ok()?;
        file.lock().ok()?;
        Some(file)
    });
    locking.await.ok().flatten()
}

fn refused(path: &Path, error: io::Error) -> AzuriteError {
    AzuriteError::Folder {
        path: path.display().to_string(),
        error,
    }
}

#[allow(
    clippy::print_stderr,
    reason = "a minute of silence would look like a hang"
)]
fn say(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn the_major_version_decides() {
        assert_eq!(major("v20.19.0\n"), Some(20));
        assert_eq!(major("v8"), Some(8));
        for text in ["", "20.1.0", "vingt", "one that does not tell its version"] {
            assert_eq!(major(text), None, "{text}");
        }
    }

    #[test]
    fn the_lock_file_pins_azurite_and_names_no_host() {
        let lock: serde_json::Value = serde_json::from_str(LOCK).unwrap();
        assert_eq!(
            lock["packages"]["node_modules/azurite"]["version"],
            "3.37.0"
        );
        assert!(!LOCK.contains("\"resolved\""));
        assert!(lock["packages"]["node_modules/azurite"]["integrity"].is_string());
    }
}
