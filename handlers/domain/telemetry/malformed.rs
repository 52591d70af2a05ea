//! The table of malformed input: every kind of fault has its reason.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use time::macros::utc_datetime;

use super::*;

#[path = "../../../tests/fixtures/telemetry/malformed.rs"]
mod table;

#[test]
fn every_malformed_input_has_its_reason() {
    let table = table::table();
    let mut faults = Vec::new();
    let mut reasons = BTreeSet::new();
    for input in &table {
        reasons.insert(input.reason.as_str());
        let context = EventContext {
            authenticated_device: input.authenticated_device.as_deref(),
            enqueued_at: utc_datetime!(2026-01-01 00:00:00),
            intake: Intake {
                device_required: false,
                earliest: Some(EARLIEST),
            },
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
    let mut all: BTreeSet<&str> = Reason::ALL.map(Reason::as_str).into();
    // Nothing in the body makes it so.
    all.remove(Reason::DeviceNotAuthenticated.as_str());
    assert_eq!(reasons, all, "every reason occurs in the table");
}
