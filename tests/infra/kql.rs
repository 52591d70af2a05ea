//! Runs the project's queries over recorded rows: parsed by the language service of Azure Data Explorer, on Node.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use local::npm::{NODE, Packages};
use serde_json::{Value, json};

use crate::sources;

const PACKAGES: Packages = Packages {
    name: "kql",
    title: "the language service of Azure Data Explorer, a few seconds",
    package: include_str!("kql/package.json"),
    lock: include_str!("kql/package-lock.json"),
    proof: "node_modules/@kusto/language-service-next/Kusto.Language.Bridge.min.js",
};

/// The columns that are asked for, of the tables of Log Analytics.
const SCHEMAS: [(&str, &str); 7] = [
    (
        "AppTraces",
        "(TimeGenerated: datetime, Message: string, ItemCount: int, OperationId: string, Properties: dynamic)",
    ),
    (
        "AppRequests",
        "(TimeGenerated: datetime, Name: string, OperationName: string, OperationId: string, Success: bool, \
         ResultCode: string, DurationMs: real, ItemCount: int, Properties: dynamic)",
    ),
    (
        "AppDependencies",
        "(TimeGenerated: datetime, Name: string, OperationId: string, DependencyType: string, Target: string, \
         Success: bool, ResultCode: string, DurationMs: real, ItemCount: int, Properties: dynamic)",
    ),
    (
        "AppMetrics",
        "(TimeGenerated: datetime, Name: string, Sum: real, Min: real, Max: real, ItemCount: int, Properties: dynamic)",
    ),
    (
        "StorageQueueLogs",
        "(TimeGenerated: datetime, OperationName: string, StatusText: string, Uri: string)",
    ),
    (
        "_LogOperation",
        "(TimeGenerated: datetime, Category: string, Operation: string, Detail: string)",
    ),
    (
        "AzureMetrics",
        "(TimeGenerated: datetime, ResourceProvider: string, MetricName: string, Total: real)",
    ),
];

/// The moment at which every query is run.
pub const NOW: &str = "2026-11-28T12:00:00Z";

/// Text of a query, and how many minutes back it sees.
pub type Queries = BTreeMap<String, (String, u32)>;

/// Rows by table.
pub type Tables = BTreeMap<&'static str, Vec<Value>>;

/// Rows by case and query.
pub type Answers = BTreeMap<String, BTreeMap<String, Vec<Value>>>;

/// What each query answers in each case.
///
/// # Errors
/// What the language service finds wrong with the queries.
pub fn run(queries: &Queries, cases: &BTreeMap<&str, Tables>) -> Result<Answers, Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = runtime.block_on(PACKAGES.installed()).unwrap();
    let queries: BTreeMap<_, _> = queries
        .iter()
        .map(|(name, (text, minutes))| (name, json!({"text": text, "minutes": minutes})))
        .collect();
    let input = json!({
        "now": NOW,
        "schemas": BTreeMap::from(SCHEMAS),
        "queries": queries,
        "cases": cases,
    });
    let mut node = Command::new(NODE)
        .arg(sources::repository().join("tests/infra/kql/run.cjs"))
        .env("NODE_PATH", folder.join("node_modules"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    serde_json::to_writer(node.stdin.take().unwrap(), &input).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "a query was not understood");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    match answer.get("faults") {
        Some(faults) => Err(serde_json::from_value(faults.clone()).unwrap()),
        None => Ok(serde_json::from_value(answer["cases"].clone()).unwrap()),
    }
}

/// The check itself can fail: a column or a table that nobody has, and a slip in an operator.
#[test]
fn a_query_with_a_slip_is_found() {
    let slips = [
        "AppTraces | where Mesage == 'x'",
        "AppTraces | sumarize count()",
        "AppTrace | count",
    ];
    let queries: Queries = slips
        .into_iter()
        .map(|text| (text.to_owned(), (text.to_owned(), 5)))
        .collect();
    let faults = run(&queries, &BTreeMap::new()).unwrap_err();
    for text in slips {
        let found = faults.iter().any(|fault| fault.starts_with(text));
        assert!(found, "{text}: {faults:?}");
    }
}

#[test]
fn the_lock_file_pins_what_is_installed_and_names_no_host() {
    let package: Value = serde_json::from_str(PACKAGES.package).unwrap();
    let lock: Value = serde_json::from_str(PACKAGES.lock).unwrap();
    for (name, version) in package["dependencies"].as_object().unwrap() {
        let locked = &lock["packages"][format!("node_modules/{name}")];
        assert_eq!(&locked["version"], version, "{name}");
        assert!(locked["integrity"].is_string(), "{name}");
    }
    assert!(!PACKAGES.lock.contains("\"resolved\""));
}
