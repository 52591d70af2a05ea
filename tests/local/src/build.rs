//! Builds the handler with Cargo.
//!
//! What runs here is built as this program is, and together with it: it then shares every crate with this one, the emulator's
//! features among them, and only the last step is left to do. What is published is built alone, with the features that it asks
//! for itself.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// How the handler is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// As this program is, optimized or not: for running here.
    Here,
    /// Small, fast and slow to build.
    Publish,
    /// As `Publish`, but static and reproducible: what is sent to Azure.
    Static,
}

/// Runs on every Linux of its kind, whatever C library that has.
pub const STATIC_TARGET: &str = "x86_64-unknown-linux-musl";

/// The start of 1980 in seconds since 1970, as the times in the package are.
const BUILD_TIME: &str = "315532800";

/// The handler could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No repository around the current folder.
    #[error("this is not the drone-delivery repository: run it from a folder inside it")]
    NotHere,
    /// Cargo could not be run.
    #[error("cannot run {cargo}: {error}")]
    Cargo {
        /// What was run.
        cargo: String,
        /// Why not.
        error: std::io::Error,
    },
    /// An app's folder that is no package, nor an example of one.
    #[error(
        "{0} has no Cargo.toml, nor is it in the folder `examples` of a package: write one, or name the executable with --binary FILE"
    )]
    NoPackage(String),
    /// Several programs, and none of the name that host.json asks for.
    #[error(
        "the package has the programs {found}: name one of them {expected}, as host.json has it"
    )]
    WhichExecutable {
        /// What was built.
        found: String,
        /// What host.json says.
        expected: String,
    },
    /// The standard library for the static build is missing.
    #[error("Rust cannot build for {STATIC_TARGET} yet: run `rustup target add {STATIC_TARGET}`")]
    NoTarget,
    /// The C compiler for the static build is missing.
    #[error(
        "the static build needs a C compiler for musl: install musl-gcc (`apt-get install musl-tools`), or name \
         another in CC_x86_64_unknown_linux_musl"
    )]
    NoCompiler,
    /// Cargo ran, and said why on the terminal.
    #[error("it does not compile: see above")]
    Failed,
    /// Cargo succeeded but named no executable.
    #[error("cargo built no executable")]
    NoExecutable,
}

/// The repository's root: the nearest folder upwards with `host.json` and `handlers`.
///
/// # Errors
/// Outside of the repository.
pub fn repository() -> Result<PathBuf, BuildError> {
    let here = std::env::current_dir().map_err(|_| BuildError::NotHere)?;
    here.ancestors()
        .find(|folder| folder.join("host.json").is_file() && folder.join("handlers").is_dir())
        .map(Path::to_owned)
        .ok_or(BuildError::NotHere)
}

/// Cargo as a shell would run it. What `cargo run` and `cargo test` have told this process of its own package is taken out: a
/// build script that looks at such variables, as ring's does, would find them changed, and be run and compiled from again.
#[must_use]
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let told = std::env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    });
    for name in told {
        command.env_remove(name);
    }
    command
}

fn not_run(command: &Command, error: std::io::Error) -> BuildError {
    let cargo = command.get_program().to_string_lossy().into_owned();
    BuildError::Cargo { cargo, error }
}

/// Builds the handler and returns its executable. Cargo's progress goes to the terminal.
///
/// # Errors
/// Where Cargo is missing or the build fails.
pub fn handler(repository: &Path, profile: Profile) -> Result<PathBuf, BuildError> {
    let mut command = cargo();
    command
        .args(["build", "--locked", "--package", "drone-delivery"])
        .args(["--bin", "drone-delivery"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(repository)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    match profile {
        Profile::Here => command.args(["--package", "local", "--profile", profile_here()]),
        Profile::Publish => command.args(["--profile", "dist"]),
        Profile::Static => {
            static_build_is_possible()?;
            reproducibly(&mut command, repository);
            command.args(["--profile", "dist", "--target", STATIC_TARGET])
        }
    };
    let built = executables(command)?;
    let handler = built.into_iter().next_back();
    handler
        .map(|built| built.file)
        .ok_or(BuildError::NoExecutable)
}

/// Whether this program is optimized, and so fit to measure and to work through much.
#[must_use]
pub const fn is_optimized() -> bool {
    !cfg!(debug_assertions)
}

/// The profile that this program was built with.
const fn profile_here() -> &'static str {
    if is_optimized() { "release" } else { "dev" }
}

/// Runs this program again with the same arguments, optimized. Returns where that cannot be, and elsewhere than on Unix with how
/// the other one ended.
///
/// # Errors
/// Outside of the repository, and where Cargo cannot be run.
pub fn run_optimized() -> Result<ExitStatus, BuildError> {
    let mut command = cargo();
    command
        .args([
            "run",
            "--release",
            "--locked",
            "--package",
            "local",
            "--bin",
            "local",
        ])
        .arg("--manifest-path")
        .arg(repository()?.join(MANIFEST))
        .arg("--")
        .args(std::env::args_os().skip(1));
    run_instead(&mut command).map_err(|error| not_run(&command, error))
}

/// In place of this process, so that Ctrl-C and signals reach that one alone.
#[cfg(unix)]
fn run_instead(command: &mut Command) -> std::io::Result<ExitStatus> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn run_instead(command: &mut Command) -> std::io::Result<ExitStatus> {
    command.status()
}

/// Builds an app that is a package of its own, or an example of one, and returns its executable.
///
/// # Errors
/// Where there is no package, Cargo is missing, the build fails, or it is not clear which of its programs is meant.
pub fn app(folder: &Path, executable: &str, profile: Profile) -> Result<PathBuf, BuildError> {
    let mut command = cargo();
    command
        .args(["build", "--profile"])
        .arg(match profile {
            Profile::Here => profile_here(),
            Profile::Publish | Profile::Static => "release",
        })
        .arg("--message-format=json-render-diagnostics")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    match example(folder) {
        _ if folder.join(MANIFEST).is_file() => command.arg("--bins"),
        Some((package, name)) => command
            .arg("--manifest-path")
            .arg(package.join(MANIFEST))
            .args(["--example", name]),
        None => return Err(BuildError::NoPackage(folder.display().to_string())),
    };
    if profile == Profile::Static {
        static_build_is_possible()?;
        reproducibly(&mut command, folder);
        command.args(["--target", STATIC_TARGET]);
    }
    let mut built = executables(command)?;
    match built.iter().position(|built| built.name == executable) {
        Some(named) => Ok(built.swap_remove(named).file),
        None if built.len() == 1 => Ok(built.remove(0).file),
        None if built.is_empty() => Err(BuildError::NoExecutable),
        None => Err(BuildError::WhichExecutable {
            found: built
                .iter()
                .map(|built| built.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            expected: executable.to_owned(),
        }),
    }
}

const MANIFEST: &str = "Cargo.toml";

/// The package whose example this folder is, and the example's name.
fn example(folder: &Path) -> Option<(&Path, &str)> {
    let examples = folder.parent()?;
    let package = examples.parent()?;
    let is_example = examples.ends_with("examples") && package.join(MANIFEST).is_file();
    is_example.then_some((package, folder.file_name()?.to_str()?))
}

/// A program that Cargo has built.
struct Built {
    name: String,
    file: PathBuf,
}

/// Runs Cargo, and reads which programs it has built: one JSON object a line.
fn executables(mut command: Command) -> Result<Vec<Built>, BuildError> {
    let output = command.output().map_err(|error| not_run(&command, error))?;
    if !output.status.success() {
        return Err(BuildError::Failed);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    Ok(messages
        .filter_map(|message| {
            Some(Built {
                name: message["target"]["name"].as_str()?.to_owned(),
                file: message["executable"].as_str()?.into(),
            })
        })
        .collect())
}

/// Whether Rust and a C compiler for the static build are there. Cargo would say so too, in other words and
/// after minutes.
fn static_build_is_possible() -> Result<(), BuildError> {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let libraries = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", STATIC_TARGET])
        .output();
    let is_installed = libraries.is_ok_and(|output| {
        output.status.success()
            && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if !is_installed {
        return Err(BuildError::NoTarget);
    }
    let compiler = std::env::var(format!("CC_{}", STATIC_TARGET.replace('-', "_")))
        .unwrap_or_else(|_| "musl-gcc".to_owned());
    let runs = Command::new(compiler)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match runs {
        Ok(status) if status.success() => Ok(()),
        _ => Err(BuildError::NoCompiler),
    }
}

/// Takes this machine's paths and clock out of what is built: the messages of panics and assertions hold the
/// path of their source, and mimalloc's C code when it was compiled. What is left depends on the sources,
/// Cargo.lock and the compilers alone.
fn reproducibly(command: &mut Command, repository: &Path) {
    let mut places = vec![(repository.to_owned(), "/drone-delivery")];
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    // One folder a registry, named after its address, which a mirror changes.
    let registries = cargo_home.map(|home| std::fs::read_dir(home.join("registry/src")));
    if let Some(Ok(entries)) = registries {
        places.extend(entries.flatten().map(|entry| (entry.path(), "/registry")));
    }
    let flags = |option: &str| -> Vec<String> {
        places
            .iter()
            .map(|(from, to)| format!("{option}={}={to}", from.display()))
            .collect()
    };
    let rust = serde_json::json!(flags("--remap-path-prefix"));
    command
        .arg(format!("--config=target.{STATIC_TARGET}.rustflags={rust}"))
        // Compilers of C write this time in place of theirs.
        .env("SOURCE_DATE_EPOCH", BUILD_TIME)
        // They would replace those above.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env(
            format!("CFLAGS_{}", STATIC_TARGET.replace('-', "_")),
            flags("-ffile-prefix-map").join(" "),
        );
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;

    /// Each crate of the target with its features, as Cargo puts them together for these packages and kinds of dependencies.
    fn crates(packages: &[&str], kinds: &str) -> BTreeSet<String> {
        let output = cargo()
            .args([
                "tree", "--locked", "--prefix", "none", "--format", "{p} {f}",
            ])
            .args(["--edges", kinds])
            .args(packages)
            .current_dir(repository().unwrap())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| line.trim_end_matches(" (*)").to_owned())
            .collect()
    }

    /// A crate of which the tests ask for one feature more is compiled again for them, and all that stands on it.
    #[test]
    fn the_tests_share_every_crate_with_the_local_system() {
        let local = crates(&["--package", "local"], "normal,no-proc-macro");
        let tests = crates(&[], "normal,dev,no-proc-macro");
        assert!(local.len() > 100, "only {} crates", local.len());
        let alone = Vec::from_iter(local.difference(&tests).cloned());
        assert!(
            alone.is_empty(),
            "not as the tests have them; ask for the features that they have in tests/local/Cargo.toml: {alone:#?}"
        );
    }
}
