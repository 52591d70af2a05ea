//! Headless Chromium, driven by scripts in `tests/browser/` through Playwright.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::child::{Child, ChildError};
use crate::npm::output::Output;
use crate::npm::{NODE, NpmError, Packages};

/// What drives the browser, and what the map is made of.
pub const PACKAGES: Packages = Packages {
    name: "browser",
    title: "what drives the browser (first use, some seconds)",
    package: include_str!("../../browser/package.json"),
    lock: include_str!("../../browser/package-lock.json"),
    proof: "node_modules/playwright-core/package.json",
};

/// Names under which Chromium is found on the PATH.
const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A script that has not ended by then never will.
const LONGEST: Duration = Duration::from_secs(240);

/// What is done in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Uses the map as people do.
    Watch,
    /// Reads the page of the insights as people do.
    Insights,
    /// Looks at what happens as people do.
    WhatHappens,
    /// Takes a picture of it.
    WhatHappensPicture,
    /// Takes a picture of the map.
    Picture,
    /// Counts frames and bytes.
    Frames,
}

/// The script did not run, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// There is no Chromium.
    #[error("there is no Chromium: install it, for example Debian's package chromium")]
    Missing,
    /// What drives it could not be installed.
    #[error(transparent)]
    Install(#[from] NpmError),
    /// Node could not be started.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The script failed; it has said why.
    #[error("the browser's script failed: {0}")]
    Failed(String),
    /// The script was stopped.
    #[error("the browser's script has not ended after {seconds} s: {0}", seconds = LONGEST.as_secs())]
    Slow(String),
}

/// Chromium's executable, where there is one.
pub fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| NAMES.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

/// Runs a script to its end. `settings` are its environment, beside the browser's; `line` takes what it
/// says as it says it.
///
/// # Errors
/// Where there is no Chromium or Node, or the script fails or does not end.
pub async fn run(
    script: Script,
    settings: &[(&str, String)],
    mut line: impl FnMut(&str),
) -> Result<(), BrowserError> {
    let chromium = chromium().ok_or(BrowserError::Missing)?;
    let modules = PACKAGES.installed().await?;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../browser");
    let mut command = Command::new(NODE);
    command
        .arg(scripts.join(match script {
            Script::Watch => "watch.mjs",
            Script::Insights => "insights.mjs",
            Script::WhatHappens => "what-happens.mjs",
            Script::WhatHappensPicture => "what-happens-picture.mjs",
            Script::Picture => "picture.mjs",
            Script::Frames => "frames.mjs",
        }))
        .env("CHROMIUM", chromium)
        .env("MODULES", modules)
        .envs(settings.iter().map(|(name, value)| (name, value)));
    let mut process = Child::spawn(command, "the browser's script")?;
    let mut output = Output::of(&mut process);
    let running = async {
        while let Some(text) = output.next_line().await {
            line(&text);
        }
        process.wait().await.is_ok_and(|status| status.success())
    };
    match tokio::time::timeout(LONGEST, running).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(BrowserError::Failed(output.tail())),
        Err(_) => Err(BrowserError::Slow(output.tail())),
    }
}
