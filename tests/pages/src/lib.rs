//! The pages of this repository, as its tests read them: links, anchors, and the commands that they print.
//!
//! What a page says of files and of other pages is checked here, in `tests/pages.rs`. A command is checked by the program
//! that takes it: the tests of `cargo local` and of `cargo drones` parse every one of [`commands`] with their real options.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "for tests only: a repository that cannot be read fails them"
)]

mod commands;
mod markdown;

use std::fs;
use std::path::{Path, PathBuf};

pub use commands::{Printed, commands, shell_lines};
pub use markdown::{Block, Heading, Page, Place};

/// What is no page of ours, or not written by hand.
const ELSEWHERE: &[&str] = &["target", "node_modules", "vendor", ".git"];

/// The folder of this repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

/// Every page, in the order of their paths.
#[must_use]
pub fn pages() -> Vec<Page> {
    let pages = files(&["md"]);
    pages
        .iter()
        .map(|(path, text)| Page::parse(path, text))
        .collect()
}

/// Files whose names end so, with their paths in the repository.
#[must_use]
pub fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let root = repository();
    let mut found = Vec::new();
    walk(&root, &mut |file| {
        if file
            .extension()
            .is_some_and(|it| extensions.iter().any(|extension| it == *extension))
        {
            let text = fs::read_to_string(file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let path = file.strip_prefix(&root).unwrap().display().to_string();
            found.push((path, text));
        }
    });
    found.sort();
    assert!(!found.is_empty(), "no file ends in {extensions:?}");
    found
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path)) {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if !path.is_dir() {
            visit(&path);
        } else if !ELSEWHERE.iter().any(|elsewhere| path.ends_with(elsewhere)) {
            walk(&path, visit);
        }
    }
}
