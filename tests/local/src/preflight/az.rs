//! The way to Azure: the command `az`, whose answers a test can record and give again.
//!
//! Nothing that is asked here is answered with a secret, and yet no answer is shown as it came: what is said of one is made of
//! single fields. Of a refusal the first line is shown.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;

/// A command that has not answered by then will not; the slowest here ask every region.
const PATIENCE: Duration = Duration::from_secs(120);

/// So much of a refusal is shown.
const SHOWN: usize = 240;

/// Answers as `az` does.
#[async_trait]
pub trait Az: Sync {
    /// Runs `az` with these arguments and returns what it wrote to its standard output.
    ///
    /// # Errors
    /// Where it cannot be run or refuses; what it has written is then of no use.
    async fn run(&self, arguments: &[&str]) -> Result<String, AzError>;
}

/// `az` has given no answer that says anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AzError {
    /// There is no such command.
    #[error(
        "`az` is not installed, or not in PATH: see https://learn.microsoft.com/cli/azure/install-azure-cli"
    )]
    Missing,
    /// It could not be started.
    #[error("`az` cannot be run: {0}")]
    NotStarted(String),
    /// Nobody is signed in, or not any longer.
    #[error("nobody is signed in to `az`: run `az login`")]
    NotSignedIn,
    /// It has ended with an error.
    #[error("`az {command}` says: {why}")]
    Refused {
        /// What was asked.
        command: String,
        /// The first line of what it says.
        why: String,
    },
    /// It does not end.
    #[error("`az {0}` has not answered in two minutes")]
    TimedOut(String),
    /// What it answers is not JSON, or other than it is documented.
    #[error("`az {0}` has answered something else than expected")]
    Unreadable(String),
}

impl AzError {
    /// From what `az` has written to its standard error.
    pub fn refused(arguments: &[&str], stderr: &str) -> Self {
        // What is said for a session that is over as well as for none.
        if stderr.contains("az login") {
            return Self::NotSignedIn;
        }
        let line = stderr
            .lines()
            .map(|line| line.trim().trim_start_matches("ERROR:").trim())
            .find(|line| !line.is_empty() && !line.starts_with("WARNING"))
            .unwrap_or("nothing");
        Self::Refused {
            command: words(arguments),
            why: line.chars().take(SHOWN).collect(),
        }
    }

    /// Whether it was refused in these words.
    pub fn says(&self, words: &str) -> bool {
        matches!(self, Self::Refused { why, .. } if why.contains(words))
    }
}

/// Asks for an answer in JSON.
///
/// # Errors
/// As [`Az::run`], and where the answer is of another form.
pub async fn ask<T: DeserializeOwned>(az: &dyn Az, arguments: &[&str]) -> Result<T, AzError> {
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--output", "json"])
        .collect();
    let answer = az.run(&arguments).await?;
    serde_json::from_str(&answer).map_err(|_| AzError::Unreadable(words(&arguments)))
}

/// The words of a command before its options: enough to know which it was.
fn words(arguments: &[&str]) -> String {
    let words: Vec<&str> = arguments
        .iter()
        .copied()
        .take_while(|argument| !argument.starts_with('-'))
        .collect();
    words.join(" ")
}

/// The real one.
#[derive(Debug, Clone)]
pub struct AzureCli {
    program: PathBuf,
}

impl AzureCli {
    /// The one at this place.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        Self { program }
    }
}

impl Default for AzureCli {
    /// The one in PATH.
    fn default() -> Self {
        // A batch file on Windows, which is not found without its ending.
        Self::at(if cfg!(windows) { "az.cmd" } else { "az" })
    }
}

#[async_trait]
impl Az for AzureCli {
    async fn run(&self, arguments: &[&str]) -> Result<String, AzError> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(arguments)
            .env("AZURE_CORE_ONLY_SHOW_ERRORS", "true")
            .env("AZURE_CORE_NO_COLOR", "true")
            // Neither may it ask, nor install what nobody has asked for.
            .env("AZURE_EXTENSION_USE_DYNAMIC_INSTALL", "no")
            .env("AZURE_BICEP_CHECK_VERSION", "false")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = match tokio::time::timeout(PATIENCE, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => return Err(AzError::Missing),
            Ok(Err(error)) => return Err(AzError::NotStarted(error.to_string())),
            Err(_) => return Err(AzError::TimedOut(words(arguments))),
        };
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let stderr = String::from_utf8_lossy(&output.stderr);
            Err(AzError::refused(arguments, &stderr))
        }
    }
}
