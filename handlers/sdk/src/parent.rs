//! Whether the Functions host that started this process is still there.
//!
//! A host that is killed leaves its handler running, which keeps its port and its memory for nobody: the next host starts a handler
//! of its own. The kernel could be asked to kill a child with its parent, but goes by the thread that forked, and the host's threads
//! come and go. So the parent's id is looked at, which changes when a process is orphaned.

use std::time::Duration;

/// How long an orphan may live: shorter than a host takes to start.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Comes back when the process that was the parent at the first poll is gone. Never on systems that do not tell.
pub(crate) async fn gone() {
    let Some(parent) = id() else {
        return std::future::pending().await;
    };
    while id() == Some(parent) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(unix)]
fn id() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn id() -> Option<u32> {
    None
}
