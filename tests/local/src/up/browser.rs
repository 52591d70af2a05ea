//! Opens an address in the browser of whoever runs this.

use std::process::{Command, Stdio};

use super::view;

/// Each system's own way; `None` where there is none.
const OPENER: Option<(&str, &[&str])> = if cfg!(target_os = "macos") {
    Some(("open", &[]))
} else if cfg!(windows) {
    // The empty text is the new window's title: without it, the address would be.
    Some(("cmd", &["/C", "start", ""]))
} else if cfg!(unix) {
    Some(("xdg-open", &[]))
} else {
    None
};

/// A browser that does not open is told and is no failure: the address has been printed.
pub(crate) fn open(address: &str) {
    let opened = OPENER.is_some_and(|(program, arguments)| {
        Command::new(program)
            .args(arguments)
            .arg(address)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_ok()
    });
    if !opened {
        view::say(&format!(
            "No browser could be opened; open {address} yourself"
        ));
    }
}
