//! What holds of a register for any readings in any order.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use super::register::Register;
use super::*;
use crate::domain::identifier::{DeliveryId, DeviceId};

/// Seconds and a value: 0 is clear, 1 between, 2 a breach. Few of both, so that they compete and tie.
type Seen = (i64, u8);

fn rule() -> Rule {
    Rule::new("r", Severity::Warning, Limit::at_least(2.0, 1.0), |_| None)
}

fn start() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_700_000_000).unwrap()
}

fn judge(register: &mut Register, readings: &[Seen]) -> Vec<Transition> {
    let (device_id, delivery_id): (DeviceId, DeliveryId) =
        ("drone".parse().unwrap(), "delivery".parse().unwrap());
    let mut told = Vec::new();
    for (second, value) in readings {
        let seen = Sighting {
            device_id: &device_id,
            delivery_id: &delivery_id,
            at: start() + Duration::seconds(*second),
            value: f64::from(*value),
            position: None,
        };
        register.judge(&rule(), &seen, seen.at, |transition| told.push(transition));
    }
    told
}

fn readings() -> impl Strategy<Value = Vec<Seen>> {
    prop::collection::vec((0..12_i64, 0..3_u8), 0..30)
}

fn shuffled() -> impl Strategy<Value = (Vec<Seen>, Vec<Seen>)> {
    readings().prop_flat_map(|readings| (Just(readings.clone()), Just(readings).prop_shuffle()))
}

proptest! {
    #[test]
    fn whether_an_alert_is_open_is_a_function_of_the_set((one, other) in shuffled()) {
        let (mut first, mut second) = (Register::default(), Register::default());
        judge(&mut first, &one);
        judge(&mut second, &other);
        prop_assert_eq!(first.open.is_some(), second.open.is_some());
        let newest = |wanted| one.iter().filter(|seen| seen.1 == wanted).map(|seen| seen.0).max();
        prop_assert_eq!(first.open.is_some(), newest(2).is_some() && newest(2) >= newest(0));
    }

    #[test]
    fn a_reading_that_comes_again_changes_nothing((readings, again) in shuffled()) {
        let mut register = Register::default();
        judge(&mut register, &readings);
        let before = register.clone();
        prop_assert_eq!(judge(&mut register, &again), []);
        // All but what a reminder shows, which goes by what was measured while the alert was open.
        let kept = |register: Register| {
            (register.breached_at, register.clear, register.open.map(|open| open.alert))
        };
        prop_assert_eq!(kept(register), kept(before));
    }

    #[test]
    fn an_alert_is_raised_by_a_breach_and_cleared_once_by_a_later_clear_reading(readings in readings()) {
        let mut register = Register::default();
        let mut open = BTreeSet::new();
        let mut raised = BTreeSet::new();
        for told in judge(&mut register, &readings) {
            let second = (told.at - start()).whole_seconds();
            match told.kind {
                Kind::Raised => {
                    prop_assert!(readings.contains(&(second, 2)));
                    prop_assert!(raised.insert(told.alert.id.clone()), "raised twice");
                    open.insert(told.alert.id);
                }
                Kind::Cleared => {
                    prop_assert!(readings.contains(&(second, 0)));
                    prop_assert!(told.at > told.alert.raised_at);
                    prop_assert!(open.remove(&told.alert.id));
                }
                Kind::Reminded => prop_assert!(false, "a reading reminds nobody"),
            }
        }
        // At most one is open at a time, and it is the register's.
        prop_assert_eq!(open.len(), usize::from(register.open.is_some()));
        // Where a limit was broken at all, an alert was raised.
        prop_assert_eq!(raised.is_empty(), readings.iter().all(|seen| seen.1 != 2));
    }

    #[test]
    fn in_order_each_run_of_breaches_is_one_alert(mut readings in readings()) {
        readings.sort_unstable();
        readings.dedup_by_key(|seen| seen.0);
        let told = judge(&mut Register::default(), &readings);
        let mut expected = 0;
        let mut open = false;
        for (_, value) in &readings {
            match value {
                2 if !open => { open = true; expected += 1; }
                0 => open = false,
                _ => {}
            }
        }
        prop_assert_eq!(told.iter().filter(|told| told.kind == Kind::Raised).count(), expected);
    }
}
