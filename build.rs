//! For the static executable, the functions that move memory in place of musl's: see `handlers/musl/memory.c`.

use std::env;
use std::process::ExitCode;

const SOURCE: &str = "handlers/musl/memory.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_ENV", "musl") || !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return ExitCode::SUCCESS;
    }
    let compiled = cc::Build::new()
        .file(SOURCE)
        .opt_level(2)
        .flag("-ffreestanding")
        // GCC's; others do not make calls of loops in a freestanding program.
        .flag_if_supported("-fno-tree-loop-distribute-patterns")
        .warnings_into_errors(true)
        // It goes with this crate, which is linked before the C library: that one's own are never asked for.
        .link_lib_modifier("+whole-archive")
        .try_compile("drone_memory");
    match compiled {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={SOURCE} cannot be compiled: {error}");
            ExitCode::FAILURE
        }
    }
}
