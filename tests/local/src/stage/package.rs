//! Packs a staged app for `az functionapp deployment source config-zip`.
//!
//! The zip depends on the files' content and names alone: no times, no owners, one order. So it is the
//! same for the same sources, on any machine.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::check::{FUNCTION_JSON, HOST_JSON};
use super::{StageError, StagedApp};

/// A zip that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Where it is: beside the staged folder, with `.zip` behind its name.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The size of the executable in it, unpacked.
    pub executable_bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// Packs host.json, each function.json and the executable; local.settings.json never gets in.
///
/// # Errors
/// Where a file cannot be read or the zip not be written.
pub fn package(app: &StagedApp) -> Result<Package, StageError> {
    let file = app.root.with_added_extension("zip");
    let read = |name: &str| {
        let path = app.root.join(name);
        fs::read(&path).map_err(StageError::file("read", &path))
    };

    let mut functions = app.functions.clone();
    functions.sort_unstable();
    let mut entries = vec![(HOST_JSON.to_owned(), 0o644)];
    entries.extend(
        functions
            .iter()
            .map(|function| (format!("{function}/{FUNCTION_JSON}"), 0o644)),
    );
    // Without folders: the host needs none, and their times and modes would be one thing more to fix.
    entries.push((app.executable.clone(), 0o755));

    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let mut executable_bytes = 0;
    for (name, mode) in entries {
        let content = read(&name)?;
        if name == app.executable {
            executable_bytes = content.len() as u64;
        }
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(9))
            .last_modified_time(DateTime::default())
            .unix_permissions(mode);
        zip.start_file(name, options)
            .map_err(std::io::Error::from)
            .and_then(|()| zip.write_all(&content))
            .map_err(StageError::file("pack", &file))?;
    }
    let packed = zip
        .finish()
        .map_err(std::io::Error::from)
        .map_err(StageError::file("pack", &file))?
        .into_inner();
    fs::write(&file, &packed).map_err(StageError::file("write", &file))?;
    Ok(Package {
        bytes: packed.len() as u64,
        executable_bytes,
        sha256: Sha256::digest(&packed)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        file,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Read;

    use super::*;

    fn app(folder: &std::path::Path) -> StagedApp {
        let root = folder.join("app");
        for name in [
            "Watch/function.json",
            "Archive/function.json",
            "host.json",
            "handler",
            "local.settings.json",
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name.repeat(1000)).unwrap();
        }
        StagedApp {
            root,
            functions: vec!["Watch".to_owned(), "Archive".to_owned()],
            executable: "handler".to_owned(),
        }
    }

    #[test]
    fn the_package_holds_what_the_host_needs_and_only_the_executable_may_run() {
        let folder = tempfile::tempdir().unwrap();
        let package = package(&app(folder.path())).unwrap();
        assert_eq!(package.file, folder.path().join("app.zip"));
        assert_eq!(package.executable_bytes, 7000);
        let mut zip = zip::ZipArchive::new(fs::File::open(&package.file).unwrap()).unwrap();
        let mut entries = Vec::new();
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).unwrap();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let name = entry.name().unwrap().into_owned();
            assert_eq!(content, name.repeat(1000));
            entries.push((name, entry.unix_mode().unwrap() & 0o777));
        }
        let expected = [
            ("host.json", 0o644),
            ("Archive/function.json", 0o644),
            ("Watch/function.json", 0o644),
            ("handler", 0o755),
        ];
        assert_eq!(
            entries,
            expected.map(|(name, mode)| (name.to_owned(), mode))
        );
    }

    /// The files of the second are made later, elsewhere, and with other modes.
    #[test]
    fn the_same_files_give_the_same_package() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let first = package(&app(folders[0].path())).unwrap();
        let mut second = app(folders[1].path());
        second.functions.reverse();
        let path = second.root.join("host.json");
        let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
        fs::File::open(&path)
            .unwrap()
            .set_modified(yesterday)
            .unwrap();
        let again = package(&second).unwrap();
        assert_eq!(first.sha256, again.sha256);
        assert_eq!(fs::read(first.file).unwrap(), fs::read(again.file).unwrap());

        fs::write(path, "{}").unwrap();
        assert_ne!(package(&second).unwrap().sha256, first.sha256);
    }
}
