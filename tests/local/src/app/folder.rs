//! An app's files: host.json, each function.json, and local.settings.json where there is one.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use azure_functions_sdk::FunctionConfig;
use serde::Deserialize;

use crate::stage::{FUNCTION_JSON, HOST_JSON, LOCAL_SETTINGS, StageError, executable_name};

/// An app that was read.
#[derive(Debug, Clone)]
pub struct AppFolder {
    /// Where it is; absolute.
    pub root: PathBuf,
    /// The text of host.json.
    pub host_json: String,
    /// Every function, by name.
    pub functions: Vec<AppFunction>,
    /// The file name of the executable, as host.json has it.
    pub executable: String,
    /// The `Values` of local.settings.json.
    pub settings: BTreeMap<String, String>,
}

/// A function, as its folder has it.
#[derive(Debug, Clone)]
pub struct AppFunction {
    /// The text of function.json.
    pub json: String,
    /// What it says.
    pub config: FunctionConfig,
}

#[derive(Deserialize)]
struct LocalSettings {
    #[serde(rename = "Values", default)]
    values: BTreeMap<String, String>,
}

impl AppFolder {
    /// Reads the app in `folder`.
    ///
    /// # Errors
    /// Where a file is missing or wrong; the error names it and says what to do.
    pub fn read(folder: &Path) -> Result<Self, StageError> {
        let root = std::path::absolute(folder).map_err(StageError::file("find", folder))?;
        let file = root.join(HOST_JSON);
        let host_json = fs::read_to_string(&file).map_err(StageError::file("read", &file))?;
        let functions = functions(&root)?;
        let taken = functions.iter().map(AppFunction::name);
        let executable = executable_name(&file, &host_json, taken)?;
        Ok(Self {
            settings: local_settings(&root.join(LOCAL_SETTINGS))?,
            host_json,
            functions,
            executable,
            root,
        })
    }
}

impl AppFunction {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }
}

fn functions(root: &Path) -> Result<Vec<AppFunction>, StageError> {
    let entries = fs::read_dir(root)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(StageError::file("read the folder", root))?;
    let mut functions = Vec::new();
    for entry in entries {
        let file = entry.path().join(FUNCTION_JSON);
        if !file.is_file() {
            continue;
        }
        let json = fs::read_to_string(&file).map_err(StageError::file("read", &file))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let config =
            FunctionConfig::parse(&name, &json).map_err(|error| StageError::Definition {
                path: file.display().to_string(),
                error,
            })?;
        functions.push(AppFunction { json, config });
    }
    if functions.is_empty() {
        return Err(StageError::NoFunctions(root.display().to_string()));
    }
    functions.sort_by(|one, other| one.name().cmp(other.name()));
    Ok(functions)
}

fn local_settings(file: &Path) -> Result<BTreeMap<String, String>, StageError> {
    let text = match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text.map_err(StageError::file("read", file))?,
    };
    let settings: LocalSettings =
        serde_json::from_str(&text).map_err(|error| StageError::LocalSettings {
            path: file.display().to_string(),
            // Without the value, which may be a secret.
            line: error.line(),
        })?;
    Ok(settings.values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const TIMER: &str = r#"{"bindings":[{"type":"timerTrigger","direction":"in","name":"timer","schedule":"0 * * * * *"}]}"#;
    const HOST: &str =
        r#"{"version":"2.0","customHandler":{"description":{"defaultExecutablePath":"mine"}}}"#;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn an_app_is_read() {
        let folder = folder(&[
            ("host.json", HOST),
            ("Tidy/function.json", TIMER),
            ("Count/function.json", TIMER),
            ("src/main.rs", ""),
            (
                "local.settings.json",
                r#"{"IsEncrypted":false,"Values":{"A":"b"}}"#,
            ),
        ]);
        let app = AppFolder::read(folder.path()).unwrap();
        let names: Vec<_> = app.functions.iter().map(AppFunction::name).collect();
        assert_eq!(names, ["Count", "Tidy"]);
        assert_eq!(app.executable, "mine");
        assert_eq!(app.settings["A"], "b");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (files, said) in [
            (&[("Tidy/function.json", TIMER)][..], "host.json"),
            (&[("host.json", HOST)], "no function"),
            (
                &[("host.json", "{}"), ("Tidy/function.json", TIMER)],
                "defaultExecutablePath",
            ),
            (
                &[("host.json", HOST), ("mine/function.json", TIMER)],
                "something else has",
            ),
            (
                &[("host.json", HOST), ("Tidy/function.json", "{}")],
                "Tidy/function.json",
            ),
            (
                &[
                    ("host.json", HOST),
                    ("Tidy/function.json", TIMER),
                    ("local.settings.json", "{\"Values\":\n{\"Key\":7}}"),
                ],
                "local.settings.json is wrong in line 2",
            ),
        ] {
            let folder = folder(files);
            let error = AppFolder::read(folder.path()).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
