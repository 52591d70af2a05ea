//! What is built in: our own code is safe, and what comes from elsewhere comes from one place.

use std::collections::BTreeSet;

use crate::sources;

/// The one crate that needs unsafe code: between fork and exec nothing safe runs. It is for development only.
const UNSAFE: &str = "tests/local/src/lib.rs";

#[test]
fn every_crate_but_one_forbids_unsafe_code() {
    let mut roots = 0;
    for folder in ["handlers", "tests"] {
        for (path, text) in sources::files(folder) {
            let built_elsewhere = path.contains("/target/") || path.contains("node_modules");
            let is_root = path.ends_with("/lib.rs") || path.ends_with("/main.rs");
            if built_elsewhere || !is_root || path == UNSAFE {
                continue;
            }
            roots += 1;
            assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "{path}");
        }
    }
    assert!(roots >= 10, "only {roots} crates");
}

#[test]
fn everything_is_built_from_one_registry() {
    let mut sources = BTreeSet::new();
    for lock in ["Cargo.lock", "tests/fuzz/Cargo.lock"] {
        let text = sources::read(lock);
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix("source = "));
        sources.extend(lines.map(str::to_owned));
    }
    assert_eq!(sources.len(), 1, "{sources:?}");
    assert!(
        sources
            .iter()
            .all(|source| source.starts_with("\"registry+"))
    );
    assert!(!sources::read("deny.toml").contains("allow-registry"));
}

/// Two lock files must not drift apart: what is fuzzed is what is built.
#[test]
fn the_fuzz_targets_are_built_from_the_same_versions() {
    let packages = |lock: &str| -> Vec<String> {
        let text = sources::read(lock);
        let packages = text.split("[[package]]").skip(1);
        let identity = |package: &str| {
            package
                .lines()
                .skip(1)
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        packages.map(identity).collect()
    };
    let ours = packages("Cargo.lock");
    for package in packages("tests/fuzz/Cargo.lock") {
        let own = ["arbitrary", "fuzz", "jobserver", "libfuzzer-sys"];
        let own = own
            .iter()
            .any(|name| package.contains(&format!("\"{name}\"")));
        assert!(
            own || ours.contains(&package),
            "{package}: copy Cargo.lock to tests/fuzz, and let Cargo add what is missing"
        );
    }
}
