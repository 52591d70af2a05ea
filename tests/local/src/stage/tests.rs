#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const HOST_JSON: &str = r#"{
  "version": "2.0",
  "customHandler": { "description": { "defaultExecutablePath": "drone-delivery" } }
}"#;

const TIMER: &str = r#"{
  "bindings": [
    { "type": "timerTrigger", "direction": "in", "name": "timer", "schedule": "0 * * * * *" },
    { "type": "queue", "direction": "out", "name": "letters", "queueName": "q", "connection": "C" }
  ]
}"#;

const SWEEP: FunctionDefinition =
    FunctionDefinition::new("SweepUp", "timerTrigger", TIMER).with_outputs(&["letters"]);
const WATCH: FunctionDefinition = FunctionDefinition::new("Watch", "timerTrigger", TIMER);

/// A repository with `sweep_up` and `watch`, and a place for the app.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        bench.put("host.json", HOST_JSON);
        bench.put("local.settings.json", "{}");
        bench.put("drone-delivery.bin", "#!");
        bench.put("handlers/functions/mod.rs", "");
        bench.put("handlers/functions/shared/mod.rs", "");
        for module in ["sweep_up", "watch"] {
            bench.put(&format!("handlers/functions/{module}/function.json"), TIMER);
            bench.put(&format!("handlers/functions/{module}/mod.rs"), "");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn options(&self) -> StageOptions {
        StageOptions {
            binary: self.path("drone-delivery.bin"),
            source: self.folder.path().to_owned(),
            out: self.path("target/app"),
            local_settings: false,
        }
    }

    fn stage(&self, functions: &[FunctionDefinition]) -> Result<StagedApp, StageError> {
        let host_json = fs::read_to_string(self.path("host.json")).unwrap_or_default();
        let compiled = Compiled {
            functions,
            host_json: &host_json,
        };
        stage_compiled(&self.options(), compiled)
    }

    /// The sentence of a refusal, with the bench's folder cut out; what was staged before must stay.
    fn refusal(&self, functions: &[FunctionDefinition]) -> String {
        self.put("target/app/host.json", "staged before");
        let error = self.stage(functions).unwrap_err();
        assert_eq!(files(&self.path("target")), ["app/host.json"], "{error}");
        let old = fs::read_to_string(self.path("target/app/host.json")).unwrap();
        assert_eq!(old, "staged before", "{error}");
        error
            .to_string()
            .replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            found.extend(
                files(&entry.path())
                    .iter()
                    .map(|inner| format!("{name}/{inner}")),
            );
        } else {
            found.insert(name);
        }
    }
    found.into_iter().collect()
}

#[test]
fn the_app_holds_what_the_host_needs_byte_for_byte() {
    let bench = Bench::new();
    let staged = bench.stage(&[SWEEP, WATCH]).unwrap();
    assert_eq!(staged.root, bench.path("target/app"));
    assert_eq!(staged.functions, ["SweepUp", "Watch"]);
    assert_eq!(
        files(&staged.root),
        [
            "SweepUp/function.json",
            "Watch/function.json",
            "drone-delivery",
            "host.json"
        ]
    );
    for (name, content) in [
        ("host.json", HOST_JSON),
        ("SweepUp/function.json", TIMER),
        ("drone-delivery", "#!"),
    ] {
        assert_eq!(
            fs::read_to_string(staged.root.join(name)).unwrap(),
            content,
            "{name}"
        );
    }
    assert_eq!(
        files(&bench.path("target")).len(),
        4,
        "no working folder remains"
    );
}

#[cfg(unix)]
#[test]
fn the_executable_can_be_run_by_everybody_and_the_folder_read() {
    use std::os::unix::fs::PermissionsExt;

    let bench = Bench::new();
    let root = bench.stage(&[SWEEP, WATCH]).unwrap().root;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        mode(&bench.path("drone-delivery.bin")) & 0o111,
        0,
        "it was not executable before"
    );
    assert_eq!(mode(&root.join("drone-delivery")), 0o755);
    // As any other folder: the working folder alone is private.
    assert_eq!(mode(&root), mode(&bench.path("handlers")));
}

#[test]
fn local_settings_come_along_only_when_asked_for() {
    let bench = Bench::new();
    let compiled = Compiled {
        functions: &[SWEEP, WATCH],
        host_json: HOST_JSON,
    };
    for local_settings in [true, false] {
        let options = StageOptions {
            local_settings,
            ..bench.options()
        };
        let root = stage_compiled(&options, compiled).unwrap().root;
        assert_eq!(root.join("local.settings.json").exists(), local_settings);
    }
}

#[test]
fn nothing_of_an_earlier_app_remains() {
    let bench = Bench::new();
    bench.stage(&[SWEEP, WATCH]).unwrap();
    bench.put("target/app/leftover.txt", "");
    bench.put("target/app/Removed/function.json", "{}");
    fs::remove_dir_all(bench.path("handlers/functions/watch")).unwrap();
    let staged = bench.stage(&[SWEEP]).unwrap();
    assert_eq!(
        files(&staged.root),
        ["SweepUp/function.json", "drone-delivery", "host.json"]
    );
}

#[test]
fn a_folder_that_was_never_staged_is_not_replaced() {
    let bench = Bench::new();
    bench.put("target/app/thesis.txt", "ten years of work");
    let error = bench.stage(&[SWEEP, WATCH]).unwrap_err().to_string();
    assert!(
        error.ends_with("name a new or empty folder with --out FOLDER"),
        "{error}"
    );
    assert_eq!(files(&bench.path("target")), ["app/thesis.txt"]);

    fs::remove_file(bench.path("target/app/thesis.txt")).unwrap();
    bench
        .stage(&[SWEEP, WATCH])
        .expect("an empty folder is fine");

    fs::remove_dir_all(bench.path("target")).unwrap();
    bench.put("target/app", "a file");
    assert!(matches!(
        bench.stage(&[SWEEP, WATCH]),
        Err(StageError::Foreign(_))
    ));
}

#[test]
fn a_function_json_without_a_function_is_refused() {
    assert_eq!(
        Bench::new().refusal(&[SWEEP]),
        "handlers/functions/watch/function.json belongs to no function: register Watch in \
         drone_delivery::FUNCTIONS or remove the folder"
    );
}

#[test]
fn a_function_without_a_function_json_is_refused() {
    let bench = Bench::new();
    let lost = FunctionDefinition::new("FindLost", "timerTrigger", TIMER);
    assert_eq!(
        bench.refusal(&[SWEEP, WATCH, lost]),
        "FindLost has no handlers/functions/find_lost/function.json: write one or take FindLost out of \
         drone_delivery::FUNCTIONS"
    );
}

#[test]
fn names_that_do_not_match_are_refused() {
    let bench = Bench::new();
    let camel = FunctionDefinition::new("sweepUp", "timerTrigger", TIMER);
    assert_eq!(
        bench.refusal(&[camel, WATCH]),
        "the function sweepUp must have a name like UpdateDroneState: rename it in its mod.rs"
    );
    bench.put("handlers/functions/FindLost/function.json", TIMER);
    assert_eq!(
        bench.refusal(&[SWEEP, WATCH]),
        "the folder handlers/functions/FindLost must have a name like update_drone_state: rename it to \
         find_lost"
    );
}

#[test]
fn a_function_registered_twice_is_refused() {
    assert_eq!(
        Bench::new().refusal(&[SWEEP, WATCH, SWEEP]),
        "SweepUp is in drone_delivery::FUNCTIONS twice: take one out"
    );
}

#[test]
fn files_that_changed_since_the_build_are_refused() {
    let bench = Bench::new();
    bench.put(
        "handlers/functions/watch/function.json",
        &format!("{TIMER}\n"),
    );
    assert_eq!(
        bench.refusal(&[SWEEP, WATCH]),
        "handlers/functions/watch/function.json has changed since the handler was built: build it again"
    );

    let bench = Bench::new();
    let compiled = Compiled {
        functions: &[SWEEP, WATCH],
        host_json: "{}",
    };
    let error = stage_compiled(&bench.options(), compiled)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with("host.json has changed since the handler was built: build it again"),
        "{error}"
    );
}

#[test]
fn a_function_json_that_does_not_fit_the_code_is_refused() {
    let bench = Bench::new();
    let start = "handlers/functions/watch/function.json is wrong: function Watch: ";
    for (definition, named) in [
        (WATCH.with_outputs(&["alerts"]), "alerts"),
        (
            FunctionDefinition {
                trigger: "queueTrigger",
                ..WATCH
            },
            "timerTrigger",
        ),
    ] {
        let refusal = bench.refusal(&[SWEEP, definition]);
        assert!(
            refusal.starts_with(start) && refusal.contains(named),
            "{refusal}"
        );
    }
    bench.put("handlers/functions/watch/function.json", "{");
    let broken = FunctionDefinition { json: "{", ..WATCH };
    let refusal = bench.refusal(&[SWEEP, broken]);
    assert!(refusal.starts_with(start), "{refusal}");
}

#[test]
fn a_host_json_that_cannot_be_used_is_refused() {
    let with_executable = |name: &str| HOST_JSON.replace("\"drone-delivery\"", name);
    for (host_json, expected) in [
        ("{".to_owned(), "host.json is wrong: "),
        ("[]".to_owned(), "host.json is wrong: "),
        ("{}".to_owned(), "host.json does not name the executable: "),
        (
            with_executable("\"\""),
            "host.json does not name the executable: ",
        ),
        (
            with_executable("7"),
            "host.json does not name the executable: ",
        ),
        (
            with_executable("\"bin/run\""),
            "host.json names the executable \"bin/run\": ",
        ),
        (
            with_executable(r#""bin\\run""#),
            r#"host.json names the executable "bin\\run": "#,
        ),
        (
            with_executable("\"..\""),
            "host.json names the executable \"..\": ",
        ),
        (
            with_executable("\"Watch\""),
            "host.json names the executable \"Watch\": ",
        ),
        (
            with_executable("\"host.json\""),
            "host.json names the executable \"host.json\": ",
        ),
    ] {
        let bench = Bench::new();
        bench.put("host.json", &host_json);
        let refusal = bench.refusal(&[SWEEP, WATCH]);
        assert!(refusal.starts_with(expected), "{host_json}: {refusal}");
    }
    let bench = Bench::new();
    fs::remove_file(bench.path("host.json")).unwrap();
    let refusal = bench.refusal(&[SWEEP, WATCH]);
    assert!(refusal.starts_with("cannot read host.json: "), "{refusal}");
}

#[test]
fn a_missing_executable_is_refused() {
    let bench = Bench::new();
    fs::remove_file(bench.path("drone-delivery.bin")).unwrap();
    assert_eq!(
        bench.refusal(&[SWEEP, WATCH]),
        "there is no handler at drone-delivery.bin: build it, or name another with --binary FILE"
    );
}

#[test]
fn missing_local_settings_are_named() {
    let bench = Bench::new();
    fs::remove_file(bench.path("local.settings.json")).unwrap();
    let options = StageOptions {
        local_settings: true,
        ..bench.options()
    };
    let compiled = Compiled {
        functions: &[SWEEP, WATCH],
        host_json: HOST_JSON,
    };
    let error = stage_compiled(&options, compiled).unwrap_err().to_string();
    assert!(error.contains("local.settings.json"), "{error}");
}
