//! Holds the sources and what was compiled against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use azure_functions_sdk::{FunctionDefinition, HostConfig};
use serde_json::Value;

use super::{Compiled, StageError, StageOptions};
use crate::app::AppFolder;

pub(crate) const HOST_JSON: &str = "host.json";
pub(crate) const FUNCTION_JSON: &str = "function.json";
pub(crate) const LOCAL_SETTINGS: &str = "local.settings.json";

/// Where the functions are, in the sources.
const FUNCTIONS: &str = "handlers/functions";

/// An app that may be laid out.
pub(super) struct App<'a> {
    pub(super) host_json: &'a str,
    pub(super) functions: Vec<Function<'a>>,
    /// A file name.
    pub(super) executable: String,
    pub(super) binary: &'a Path,
    pub(super) local_settings: Option<Vec<u8>>,
}

/// A function that may be laid out.
pub(super) struct Function<'a> {
    pub(super) name: &'a str,
    pub(super) json: &'a str,
}

/// An app of another package: what was read is what is laid out, and the handler, which is built from it, holds its code against it.
pub(super) fn of_folder<'a>(
    app: &'a AppFolder,
    binary: &'a Path,
    local_settings: bool,
) -> Result<App<'a>, StageError> {
    if !binary.is_file() {
        return Err(StageError::NoBinary(binary.display().to_string()));
    }
    let functions = app.functions.iter().map(|function| Function {
        name: function.name(),
        json: &function.json,
    });
    let file = app.root.join(LOCAL_SETTINGS);
    Ok(App {
        host_json: &app.host_json,
        functions: functions.collect(),
        executable: app.executable.clone(),
        binary,
        local_settings: match local_settings && file.is_file() {
            true => Some(fs::read(&file).map_err(StageError::file("read", &file))?),
            false => None,
        },
    })
}

pub(super) fn check<'a>(
    options: &'a StageOptions,
    compiled: Compiled<'a>,
) -> Result<App<'a>, StageError> {
    let executable = check_host(&options.source.join(HOST_JSON), compiled)?;
    check_functions(&options.source.join(FUNCTIONS), compiled.functions)?;
    if !options.binary.is_file() {
        return Err(StageError::NoBinary(options.binary.display().to_string()));
    }
    let local_settings = options.source.join(LOCAL_SETTINGS);
    Ok(App {
        host_json: compiled.host_json,
        functions: compiled
            .functions
            .iter()
            .map(|function| Function {
                name: function.name,
                json: function.json,
            })
            .collect(),
        executable,
        binary: &options.binary,
        local_settings: match options.local_settings {
            true => {
                Some(fs::read(&local_settings).map_err(StageError::file("read", &local_settings))?)
            }
            false => None,
        },
    })
}

/// Returns the executable's name.
fn check_host(path: &Path, compiled: Compiled<'_>) -> Result<String, StageError> {
    let text = fs::read_to_string(path).map_err(StageError::file("read", path))?;
    let names = compiled.functions.iter().map(|function| function.name);
    let name = executable_name(path, &text, names)?;
    if text != compiled.host_json {
        return Err(StageError::NotRebuilt(path.display().to_string()));
    }
    Ok(name)
}

/// The executable that a host.json names, which has to be a file name that nothing else in the app has.
///
/// # Errors
/// Where host.json is wrong, or names none that can be laid out.
pub(crate) fn executable_name<'a>(
    path: &Path,
    text: &str,
    mut functions: impl Iterator<Item = &'a str>,
) -> Result<String, StageError> {
    let path = path.display().to_string();
    if let Err(error) = HostConfig::parse(text) {
        return Err(StageError::HostConfig { path, error });
    }
    // It was parsed just now.
    let host: Value = serde_json::from_str(text).unwrap_or_default();
    let name = match &host["customHandler"]["description"]["defaultExecutablePath"] {
        Value::String(name) if !name.is_empty() => name.clone(),
        _ => return Err(StageError::NoExecutable { path }),
    };
    // Only the entry with exactly this name gets the execute bit in a published package.
    let is_taken = [HOST_JSON, LOCAL_SETTINGS].contains(&name.as_str())
        || functions.any(|function| function == name);
    if is_taken || name.contains(['/', '\\', ':']) || name == "." || name == ".." {
        return Err(StageError::ExecutableName { path, name });
    }
    Ok(name)
}

fn check_functions(folder: &Path, functions: &[FunctionDefinition]) -> Result<(), StageError> {
    let mut files = function_files(folder)?;
    let mut names = BTreeSet::new();
    for function in functions {
        let name = function.name.to_owned();
        if !names.insert(function.name) {
            return Err(StageError::RegisteredTwice { name });
        }
        let module = snake_case(&name);
        if pascal_case(&module) != name {
            return Err(StageError::FunctionName { name });
        }
        let path = files.remove(&module).ok_or_else(|| {
            let path = folder
                .join(&module)
                .join(FUNCTION_JSON)
                .display()
                .to_string();
            StageError::NoFunctionJson { name, path }
        })?;
        check_function(&path, function)?;
    }
    match files.into_iter().next() {
        None => Ok(()),
        Some((module, path)) => Err(StageError::UnknownFunction {
            path: path.display().to_string(),
            name: pascal_case(&module),
        }),
    }
}

fn check_function(path: &Path, function: &FunctionDefinition) -> Result<(), StageError> {
    let text = fs::read_to_string(path).map_err(StageError::file("read", path))?;
    let path = path.display().to_string();
    // What is compiled is what the handler goes by, so only that is worth a look at its content.
    if text != function.json {
        return Err(StageError::NotRebuilt(path));
    }
    match function.config() {
        Ok(_) => Ok(()),
        Err(error) => Err(StageError::Definition { path, error }),
    }
}

/// Every function.json by its folder's name.
fn function_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, StageError> {
    let entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<io::Result<Vec<_>>>)
        .map_err(StageError::file("read the folder", folder))?;
    let mut files = BTreeMap::new();
    for entry in entries {
        let file = entry.path().join(FUNCTION_JSON);
        if !file.is_file() {
            continue;
        }
        let module = entry.file_name().to_string_lossy().into_owned();
        let expected = snake_case(&pascal_case(&module));
        if expected != module {
            return Err(StageError::FolderName {
                path: entry.path().display().to_string(),
                expected,
            });
        }
        files.insert(module, file);
    }
    Ok(files)
}

/// `UpdateDroneState` to `update_drone_state`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// `update_drone_state` to `UpdateDroneState`.
fn pascal_case(module: &str) -> String {
    let mut pascal = String::new();
    for word in module.split(['_', '-', ' ']) {
        let mut letters = word.chars();
        pascal.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        pascal.push_str(letters.as_str());
    }
    pascal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_functions_and_folders_follow_from_each_other() {
        for (name, module) in [
            ("UpdateDroneState", "update_drone_state"),
            ("Health", "health"),
            ("Keep2Copies", "keep2_copies"),
        ] {
            assert_eq!(
                (snake_case(name).as_str(), pascal_case(module).as_str()),
                (module, name)
            );
        }
        for odd in [
            "updateDroneState",
            "Update_Drone",
            "update-drone",
            "Update Drone",
        ] {
            assert_ne!(pascal_case(&snake_case(odd)), odd);
        }
    }
}
