//! A shell command that mends a body.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How long one body may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest body that a hub takes.
const MAX_BODY: u64 = 1024 * 1024;

/// A body was not mended; the text says why, and has nothing of the body in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RepairError {
    #[error("the command cannot be started: {0}")]
    Start(String),
    #[error("the command ended with {0}")]
    Failed(String),
    #[error("the command has not ended within {} s", PATIENCE.as_secs())]
    Slow,
    #[error("the command wrote more than 1 MiB")]
    TooLong,
}

/// Gives the body to `sh -c command` and returns what that writes. Its errors go to the terminal.
pub(super) async fn repair(command: &str, body: &[u8]) -> Result<Vec<u8>, RepairError> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C is for the replay, which ends after the letter in hand.
    #[cfg(unix)]
    shell.process_group(0);
    let mut child = shell
        .spawn()
        .map_err(|error| RepairError::Start(error.to_string()))?;
    let group = child.id();
    let mended = tokio::time::timeout(PATIENCE, exchange(&mut child, body)).await;
    if !matches!(mended, Ok(Ok(_))) {
        end(group);
    }
    mended.unwrap_or(Err(RepairError::Slow))
}

async fn exchange(child: &mut Child, body: &[u8]) -> Result<Vec<u8>, RepairError> {
    let failed = |error: std::io::Error| RepairError::Failed(error.to_string());
    let (input, output) = (child.stdin.take(), child.stdout.take());
    let write = async move {
        if let Some(mut input) = input {
            // Who does not read to the end knows enough.
            _ = input.write_all(body).await;
        }
    };
    let read = async move {
        let mut mended = Vec::new();
        if let Some(output) = output {
            output.take(MAX_BODY + 1).read_to_end(&mut mended).await?;
        }
        Ok(mended)
    };
    let ((), mended) = tokio::join!(write, read);
    let mended = mended.map_err(failed)?;
    if mended.len() as u64 > MAX_BODY {
        return Err(RepairError::TooLong);
    }
    match child.wait().await.map_err(failed)? {
        status if status.success() => Ok(mended),
        status => Err(RepairError::Failed(status.to_string())),
    }
}

#[cfg(unix)]
fn end(group: Option<u32>) {
    use rustix::process::{Pid, Signal, kill_process_group};

    let group = group.and_then(|id| i32::try_from(id).ok());
    if let Some(group) = group.and_then(Pid::from_raw) {
        // It fails where the group is gone, which is what was wanted.
        _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(not(unix))]
fn end(_group: Option<u32>) {}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn the_body_goes_through_the_command() {
        let mended = repair("sed s/90.4/45.0/", b"90.4|1|2\n").await.unwrap();
        assert_eq!(mended, b"45.0|1|2\n");
    }

    #[tokio::test]
    async fn a_large_body_goes_in_and_out_at_once() {
        let body = vec![b'x'; MAX_BODY as usize];
        assert_eq!(repair("cat", &body).await.unwrap(), body);
    }

    #[tokio::test]
    async fn a_command_that_fails_or_writes_too_much_mends_nothing() {
        let error = repair("cat; exit 3", b"{}").await.unwrap_err();
        assert!(error.to_string().contains('3'), "{error}");
        assert_eq!(repair("yes", b"").await, Err(RepairError::TooLong));
        // It does not read, and a body that nobody reads is no error.
        let body = vec![b'x'; MAX_BODY as usize];
        assert_eq!(repair("echo mended", &body).await.unwrap(), b"mended\n");
    }
}
