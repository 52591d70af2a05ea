//! Puts npm packages into the target folder on first use.
//!
//! npm installs exactly what the lock file says, runs no script of any package, and works in a folder
//! that gets its final name only when it is complete: a broken installation is never taken for a good
//! one.

pub(crate) mod output;

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::process::Command;

use crate::child::{Child, ChildError};
use output::Output;

/// The program that runs what is installed.
pub const NODE: &str = "node";

const NPM: &str = if cfg!(windows) { "npm.cmd" } else { "npm" };

/// How often what waits for npm moves.
const TICK: Duration = Duration::from_millis(120);

/// What the packages need.
const OLDEST_NODE: u32 = 20;

/// Packages that are installed together, as their lock file pins them.
#[derive(Debug, Clone, Copy)]
pub struct Packages {
    /// The installation's folder begins with it.
    pub name: &'static str,
    /// What is installed, in words, with how long it takes.
    pub title: &'static str,
    /// The text of package.json.
    pub package: &'static str,
    /// The text of package-lock.json.
    pub lock: &'static str,
    /// A file that is there once they are installed.
    pub proof: &'static str,
}

/// The packages are not there; the text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NpmError {
    /// No Node.
    #[error("Node.js is needed, and there is no program {0}: install Node.js 20 or later")]
    NodeMissing(&'static str),
    /// A Node that the packages do not run on.
    #[error("Node.js 20 or later is needed, and this is {0}: install a newer one")]
    NodeTooOld(String),
    /// `npm ci` failed.
    #[error("npm could not install {0}, check the network and run this again: {1}")]
    Install(&'static str, String),
    /// The folder it is installed into cannot be written.
    #[error("cannot install into {path}: {error}")]
    Folder {
        /// Which folder.
        path: String,
        /// Why not.
        error: io::Error,
    },
    /// The process could not be started.
    #[error(transparent)]
    Child(#[from] ChildError),
}

impl Packages {
    /// The folder that `node_modules` is in. Installs the packages where that has not happened yet,
    /// and says so on stderr.
    ///
    /// # Errors
    /// Where Node is missing or too old, or npm fails.
    pub async fn installed(&self) -> Result<PathBuf, NpmError> {
        let version = node_version().await?;
        if major(&version).is_none_or(|major| major < OLDEST_NODE) {
            return Err(NpmError::NodeTooOld(version));
        }
        let folder = installations();
        let mut hasher = DefaultHasher::new();
        (self.package, self.lock).hash(&mut hasher);
        let home = folder.join(format!("{}-{:016x}", self.name, hasher.finish()));
        let proof = home.join(self.proof);
        if !proof.is_file() {
            fs::create_dir_all(&folder).map_err(|error| refused(&folder, error))?;
            // Whoever comes second waits for the first, also in another process.
            let _lock = lock(folder.join(format!("{}.lock", self.name))).await;
            if !proof.is_file() {
                self.install(&folder, &home).await?;
            }
        }
        Ok(home)
    }

    async fn install(&self, folder: &Path, home: &Path) -> Result<(), NpmError> {
        say(&format!("Installing {}…", self.title));
        let began = Instant::now();
        // Only on a terminal, below that line.
        let waiting = ProgressBar::new_spinner().with_prefix("npm");
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix} {elapsed_precise}") {
            waiting.set_style(style);
        }
        waiting.enable_steady_tick(TICK);
        let outcome = self.install_quietly(folder, home).await;
        waiting.finish_and_clear();
        if outcome.is_ok() {
            say(&format!("Installed in {} s", began.elapsed().as_secs()));
        }
        outcome
    }

    async fn install_quietly(&self, folder: &Path, home: &Path) -> Result<(), NpmError> {
        // A sibling, so that the last step is a rename. It is removed where anything fails.
        let work = tempfile::Builder::new()
            .prefix(&format!("{}-unfinished-", self.name))
            .tempdir_in(folder)
            .map_err(|error| refused(folder, error))?;
        for (name, text) in [
            ("package.json", self.package),
            ("package-lock.json", self.lock),
        ] {
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
        if !success || !work.path().join(self.proof).is_file() {
            return Err(NpmError::Install(self.name, output.tail()));
        }
        match fs::rename(work.path(), home) {
            Ok(()) => {
                // It has its final name now, so there is nothing to remove.
                _ = work.keep();
                Ok(())
            }
            // Without a lock, where the file system has none, somebody may have been faster.
            Err(_) if home.join(self.proof).is_file() => Ok(()),
            Err(error) => Err(refused(home, error)),
        }
    }
}

async fn node_version() -> Result<String, NpmError> {
    let mut command = Command::new(NODE);
    command.arg("--version");
    let mut process = spawn(command, "Node.js", NODE)?;
    let version = Output::of(&mut process).next_line().await;
    Ok(version.unwrap_or_else(|| "one that does not tell its version".to_owned()))
}

fn spawn(command: Command, name: &str, program: &'static str) -> Result<Child, NpmError> {
    Child::spawn(command, name).map_err(|error| match error {
        ChildError::Missing { .. } => NpmError::NodeMissing(program),
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
pub(crate) fn installations() -> PathBuf {
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

fn refused(path: &Path, error: io::Error) -> NpmError {
    NpmError::Folder {
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
    fn the_lock_files_pin_every_package_and_name_no_host() {
        for packages in [
            crate::azurite::PACKAGES,
            crate::browser::PACKAGES,
            crate::hub::amqp::tests::clients::PACKAGES,
        ] {
            let package: serde_json::Value = serde_json::from_str(packages.package).unwrap();
            let lock: serde_json::Value = serde_json::from_str(packages.lock).unwrap();
            for (name, version) in package["dependencies"].as_object().unwrap() {
                let locked = &lock["packages"][format!("node_modules/{name}")];
                assert_eq!(&locked["version"], version, "{name}");
                assert!(locked["integrity"].is_string(), "{name}");
            }
            assert!(!packages.lock.contains("\"resolved\""));
        }
    }
}
