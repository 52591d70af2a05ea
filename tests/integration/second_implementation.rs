//! The insights' tables against a second implementation, in Python and without a line of the first, over an archive with
//! everything that can be wrong. Skipped, with a sentence, where Python or its packages are not there.

use std::path::Path;
use std::process::{Command, Output};

use clap::Parser;
use local::summarize::{self, SummarizeOptions};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    options: SummarizeOptions,
}

/// What the scripts end with where something is missing that they need.
const CANNOT_BEGIN: Option<i32> = Some(2);

/// Runs a script of `tests/insights`; `None` where there is no Python, or none with its packages.
fn python(script: &str, arguments: &[&str]) -> Option<Output> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/insights")
        .join(script);
    // Nothing is left behind in the repository.
    let run = Command::new(python)
        .arg("-B")
        .arg(script)
        .args(arguments)
        .output();
    run.ok()
        .filter(|output| output.status.code() != CANNOT_BEGIN)
}

#[test]
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
fn a_second_implementation_makes_the_same_tables_row_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (archive, tables) = (path("archive"), path("tables"));
    let generated = python(
        "generate.py",
        &["--out", &archive, "--drones", "6", "--hours", "3"],
    );
    if generated.is_none() || python("reference.py", &["--help"]).is_none() {
        println!("skipped: no python3 with the packages of tests/insights/requirements.txt");
        return;
    }
    let arguments = [
        "summarize",
        "--archive",
        &archive,
        "--tables",
        &tables,
        "--now",
        "2027-06-01T00:00:00Z",
    ];
    let made = summarize::run(&Cli::parse_from(arguments).options);
    // An archive with damaged files is not complete, and says so.
    assert!(!made.unwrap());
    let compared = python(
        "reference.py",
        &["--archive", &archive, "--tables", &tables],
    )
    .unwrap();
    let said = String::from_utf8_lossy(&compared.stdout);
    let failed = String::from_utf8_lossy(&compared.stderr);
    assert!(compared.status.success(), "{said}{failed}");
}
