//! For the static executable, the functions that move memory in place of musl's: see `handlers/musl/memory.c`.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

const SOURCE: &str = "handlers/musl/memory.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_ENV", "musl") || !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return ExitCode::SUCCESS;
    }
    let objects = cc::Build::new()
        .file(SOURCE)
        .opt_level(2)
        .flags(["-ffreestanding", "-fno-tree-loop-distribute-patterns"])
        .warnings_into_errors(true)
        .try_compile_intermediates();
    match objects {
        Ok(objects) => {
            // An object stands before every library, so that musl's own are never asked for.
            for object in objects.iter().map(PathBuf::as_path) {
                println!("cargo::rustc-link-arg-bins={}", object.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo::error={SOURCE} cannot be compiled: {error}");
            ExitCode::FAILURE
        }
    }
}
