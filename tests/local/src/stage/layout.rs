//! Writes the folder beside its place and swaps it in.

use std::fs;
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::StageError;
use super::check::{App, FUNCTION_JSON, HOST_JSON, LOCAL_SETTINGS};

/// `out` is absolute.
pub(super) fn write(app: &App<'_>, out: &Path) -> Result<(), StageError> {
    let is_new = is_new(out)?;
    let parent = out
        .parent()
        .ok_or_else(|| StageError::Foreign(out.display().to_string()))?;
    fs::create_dir_all(parent).map_err(StageError::file("make the folder", parent))?;
    // A sibling, because only within one file system is a rename all or nothing. It is removed where
    // anything fails.
    let work = tempfile::Builder::new()
        .prefix(".staging-")
        .tempdir_in(parent)
        .map_err(StageError::file("make a folder in", parent))?;
    let fresh = work.path().join("app");
    fill(app, &fresh).map_err(StageError::file("lay out", out))?;
    swap(&work, &fresh, out, is_new).map_err(StageError::file("replace", out))
}

/// Whether there is nothing to lose. What was staged before may be replaced; anything else may be
/// somebody's work, under a mistyped name.
fn is_new(out: &Path) -> Result<bool, StageError> {
    match fs::read_dir(out) {
        Ok(mut entries) => {
            let foreign = entries.next().is_some() && !out.join(HOST_JSON).is_file();
            match foreign {
                true => Err(StageError::Foreign(out.display().to_string())),
                false => Ok(false),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(StageError::Foreign(out.display().to_string()))
        }
        Err(error) => Err(StageError::file("read the folder", out)(error)),
    }
}

fn fill(app: &App<'_>, root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    fs::write(root.join(HOST_JSON), app.host_json)?;
    for function in &app.functions {
        let folder = root.join(function.name);
        fs::create_dir(&folder)?;
        fs::write(folder.join(FUNCTION_JSON), function.json)?;
    }
    if let Some(settings) = &app.local_settings {
        fs::write(root.join(LOCAL_SETTINGS), settings)?;
    }
    let executable = root.join(&app.executable);
    fs::copy(app.binary, &executable)?;
    allow_execution(&executable)
}

#[cfg(unix)]
fn allow_execution(executable: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(executable, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn allow_execution(_executable: &Path) -> io::Result<()> {
    Ok(())
}

/// What was there goes into the working folder, and with it.
fn swap(work: &TempDir, fresh: &Path, out: &Path, is_new: bool) -> io::Result<()> {
    if is_new {
        return fs::rename(fresh, out);
    }
    let old = work.path().join("old");
    fs::rename(out, &old)?;
    fs::rename(fresh, out).inspect_err(|_| {
        // Best effort: the first error is the one to tell.
        _ = fs::rename(&old, out);
    })
}
