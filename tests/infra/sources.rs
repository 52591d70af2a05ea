//! The repository's own files, as the other tests read them.

use std::path::{Path, PathBuf};

use crate::bicep::Template;

pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path))
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn template() -> Template {
    Template::read(&repository().join("infra"))
}

/// Every file below a folder, with its path in the repository.
pub fn files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    walk(&repository().join(folder), &mut files);
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

/// The handler's production code: tests may name what is never deployed.
pub fn code() -> String {
    files("handlers")
        .into_iter()
        .filter(|(path, _)| {
            path.ends_with(".rs") && !path.contains("/sdk/") && !path.contains("tests")
        })
        .map(|(_, text)| text.split("#[cfg(test)]").next().unwrap().to_owned())
        .collect()
}

fn walk(folder: &Path, files: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let name = path.strip_prefix(repository()).unwrap();
            files.push((name.to_str().unwrap().to_owned(), text));
        }
    }
}
