//! What the pages say of files, of each other and of `cargo`.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use pages::{Page, commands, files, pages, repository};
use serde_json::Value;

/// What one finishes reading.
const LONGEST_README: usize = 180;

/// What belongs to a fixture and not to a reader.
fn is_for_readers(page: &Page) -> bool {
    !page.path.starts_with("tests/fixtures/")
}

/// `a/b/../c` is `a/c`; links go no further up than the repository.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => parts.pop().then_some(())?,
            Component::Normal(name) => parts.push(name),
            _ => return None,
        }
    }
    Some(parts)
}

/// The file that a link leads to, from the repository's root, and the anchor in it.
fn target<'a>(page: &Page, link: &'a str) -> Option<(PathBuf, Option<&'a str>)> {
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    if file.is_empty() {
        return Some((PathBuf::from(&page.path), anchor));
    }
    let folder = Path::new(&page.path).parent()?;
    plain(&folder.join(file)).map(|file| (file, anchor))
}

fn is_elsewhere(link: &str) -> bool {
    link.starts_with("https://")
}

#[test]
fn links_lead_somewhere() {
    let pages = pages();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for page in &pages {
        for link in page.links.iter().filter(|link| !is_elsewhere(&link.text)) {
            checked += 1;
            let leads = target(page, &link.text).is_some_and(|(file, anchor)| {
                let is_there = repository().join(&file).exists();
                let other = pages.iter().find(|page| Path::new(&page.path) == file);
                is_there
                    && anchor.is_none_or(|anchor| {
                        other.is_some_and(|other| {
                            other
                                .headings
                                .iter()
                                .any(|heading| heading.anchor == anchor)
                        })
                    })
            });
            if !leads {
                wrong.push(format!("{}:{} {}", page.path, link.line, link.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 40, "only {checked} links");
}

#[test]
fn every_page_can_be_reached_from_the_first() {
    let pages = pages();
    let mut reached: BTreeSet<PathBuf> = BTreeSet::from([PathBuf::from("README.md")]);
    loop {
        let before = reached.len();
        for page in &pages {
            if reached.contains(Path::new(&page.path)) {
                let links = page.links.iter().filter(|link| !is_elsewhere(&link.text));
                reached.extend(links.filter_map(|link| Some(target(page, &link.text)?.0)));
            }
        }
        if reached.len() == before {
            break;
        }
    }
    let lost: Vec<_> = pages
        .iter()
        .filter(|page| is_for_readers(page) && !reached.contains(Path::new(&page.path)))
        .map(|page| &page.path)
        .collect();
    assert!(lost.is_empty(), "no link leads to {lost:?}");
}

#[test]
fn each_page_says_first_what_it_is_about() {
    for page in pages().iter().filter(|page| is_for_readers(page)) {
        let mut lines = page.text.lines().filter(|line| !line.is_empty());
        let (title, opening) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(title.starts_with("# "), "{}: {title}", page.path);
        assert!(
            opening.starts_with(|letter: char| letter.is_alphabetic()),
            "{}: {opening}",
            page.path
        );
    }
}

#[test]
fn the_first_page_can_be_finished() {
    let text = std::fs::read_to_string(repository().join("README.md")).unwrap();
    let lines = text.lines().count();
    assert!(lines <= LONGEST_README, "{lines} lines");
}

/// A path that begins at the top is one that is there.
#[test]
fn files_that_are_named_are_there() {
    let mut checked = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        for span in &page.spans {
            let path = span.text.trim_end_matches('/');
            let is_path = ["handlers/", "infra/", "tests/", ".github/", ".ci/"]
                .iter()
                .any(|top| path.starts_with(top))
                && !path.contains([' ', '<', '{', '*', '…', '$']);
            // A page of a crate names its own folders.
            let own = Path::new(&page.path).parent().unwrap().join(path);
            if is_path {
                checked += 1;
                if !repository().join(path).exists() && !repository().join(own).exists() {
                    wrong.push(format!("{}:{} {path}", page.path, span.line));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 5, "only {checked} paths");
}

/// Code that sends its reader to a page names one that is there, from the top or beside it.
#[test]
fn pages_that_the_code_names_are_there() {
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let mut checked = 0;
    for (path, text) in files(&["rs", "bicep", "sh", "yml", "yaml", "toml"]) {
        if path.starts_with("tests/pages/") {
            continue;
        }
        let names = text.split(|letter| !is_of_a_name(letter));
        for name in names.filter(|name| name.ends_with(".md") && name.len() > ".md".len()) {
            checked += 1;
            let beside = repository().join(&path).parent().unwrap().join(name);
            assert!(
                repository().join(name).exists() || beside.exists(),
                "{path} names {name}"
            );
        }
    }
    assert!(checked > 5, "only {checked} names");
}

/// What the SDK's page lets its reader write is the example `queue`, which a test runs; there the files are one folder further down.
#[test]
fn the_app_on_the_page_of_the_sdk_is_one_that_runs() {
    let page = pages();
    let page = page
        .iter()
        .find(|page| page.path == "handlers/sdk/README.md")
        .unwrap();
    let example = repository().join("handlers/sdk/examples/queue");
    for (language, file) in [
        ("rust,ignore", "main.rs"),
        ("json", "Greet/function.json"),
        ("json", "host.json"),
    ] {
        let text = std::fs::read_to_string(example.join(file)).unwrap();
        let text = text.replace("include_str!(\"", "include_str!(\"../");
        let is_there = page
            .blocks
            .iter()
            .any(|block| block.language == language && block.text == text);
        assert!(is_there, "the page does not have {file} as it is");
        assert!(text.lines().count() <= 30, "{file} is no longer short");
    }
}

/// What `cargo` is asked for exists: its own commands, our aliases, packages and targets.
#[test]
fn cargo_knows_what_it_is_asked_for() {
    let metadata = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(repository())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let is_package = |name: &str| packages.iter().any(|package| package["name"] == name);
    let is_target = |kind: &str, name: &str| {
        let targets = packages
            .iter()
            .flat_map(|package| package["targets"].as_array().unwrap());
        targets
            .filter(|target| target["kind"].as_array().unwrap().contains(&kind.into()))
            .any(|target| target["name"] == name)
    };
    let aliases = std::fs::read_to_string(repository().join(".cargo/config.toml")).unwrap();
    for (alias, end) in [
        ("local", "--bin local --"),
        ("stage", "-- stage"),
        ("drones", "--bin drones --"),
    ] {
        let line = aliases
            .lines()
            .find(|line| line.starts_with(&format!("{alias} = ")));
        assert!(
            line.is_some_and(|line| line.ends_with(&format!("{end}\""))),
            "{alias}"
        );
    }

    let mut checked = 0;
    for printed in commands() {
        let Some(command) = printed.words.first() else {
            continue;
        };
        let (place, words) = (&printed.place, &printed.words);
        let known = [
            "add",
            "bench",
            "build",
            "clippy",
            "deny",
            "doc",
            "fmt",
            "fuzz",
            "init",
            "install",
            "local",
            "drones",
            "new",
            "package",
            "run",
            "semver-checks",
            "stage",
            "test",
            "--version",
        ];
        assert!(
            known.contains(&command.as_str()),
            "{place}: cargo {command}"
        );
        if ["local", "stage", "drones", "install", "add", "new", "init"].contains(&command.as_str())
        {
            continue;
        }
        checked += 1;
        for pair in words.windows(2) {
            let name = pair[1].as_str();
            let exists = match pair[0].as_str() {
                "-p" | "--package" => is_package(name),
                "--test" | "--bench" | "--example" | "--bin" => {
                    is_target(pair[0].trim_start_matches('-'), name)
                }
                "--manifest-path" | "--fuzz-dir" => repository().join(name).exists(),
                _ => true,
            };
            assert!(exists, "{place}: cargo {}", words.join(" "));
        }
        if command == "fuzz" {
            let targets = repository().join("tests/fuzz/fuzz_targets");
            let named = words
                .iter()
                .any(|word| word.starts_with('$') || targets.join(format!("{word}.rs")).exists());
            assert!(named, "{place}: cargo {}", words.join(" "));
        }
    }
    assert!(checked > 5, "only {checked} commands");
}
