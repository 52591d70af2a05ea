//! The table of malformed input: every kind of fault has its reason.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use time::macros::utc_datetime;

use super::*;

const MALFORMED: &str = include_str!("../../../tests/fixtures/telemetry/malformed.json");

/// One line of `malformed.json`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Malformed {
    name: String,
    reason: String,
    body: Option<String>,
    body_base64: Option<String>,
    repeat: Option<Repeat>,
    authenticated_device: Option<String>,
}

/// A body too long to write down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repeat {
    unit: String,
    count: usize,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    suffix: String,
}

impl Malformed {
    fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64, &self.repeat) {
            (Some(text), None, None) => text.clone().into_bytes(),
            (None, Some(base64), None) => STANDARD.decode(base64).unwrap(),
            (
                None,
                None,
                Some(Repeat {
                    unit,
                    count,
                    prefix,
                    suffix,
                }),
            ) => format!("{prefix}{}{suffix}", unit.repeat(*count)).into_bytes(),
            _ => panic!("{}: exactly one kind of body", self.name),
        }
    }
}

#[test]
fn every_malformed_input_has_its_reason() {
    let table: Vec<Malformed> = serde_json::from_str(MALFORMED).unwrap();
    assert!(table.len() >= 70, "only {} inputs", table.len());
    let mut faults = Vec::new();
    let mut reasons = BTreeSet::new();
    for input in &table {
        reasons.insert(input.reason.as_str());
        let context = EventContext {
            authenticated_device: input.authenticated_device.as_deref(),
            enqueued_at: utc_datetime!(2026-01-01 00:00:00),
        };
        match parse(&input.bytes(), &context) {
            Ok(_) => faults.push(format!("{}: accepted", input.name)),
            Err(poison) if poison.reason.as_str() != input.reason => {
                faults.push(format!("{}: {poison}", input.name));
            }
            Err(poison) => assert!(
                poison.detail.len() <= poison::MAX_DETAIL && poison.detail.is_ascii(),
                "{}: {poison}",
                input.name
            ),
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    let all: BTreeSet<&str> = Reason::ALL.map(Reason::as_str).into();
    assert_eq!(reasons, all, "every reason occurs in the table");
}
