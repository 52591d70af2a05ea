//! The checks over the corpus of the fuzz targets, over the fixtures, and over good inputs that were mutated.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::Index;

type Check = fn(&[u8]);

const CHECKS: [(&str, Check, &[&str]); 4] = [
    ("amqp", properties::amqp::check, &[]),
    ("archive", properties::archive::check, &["archive"]),
    (
        "envelope",
        properties::envelope::check,
        &["host", "host/real"],
    ),
    ("telemetry", properties::telemetry::check, &["telemetry"]),
];

fn tests_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the target's corpus, and of its fixtures.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let (_, _, fixtures) = CHECKS.iter().find(|(name, ..)| *name == target).unwrap();
    let corpus = tests_folder().join("fuzz/corpus").join(target);
    let fixtures = fixtures
        .iter()
        .map(|name| tests_folder().join("fixtures").join(name));
    let mut seeds = Vec::new();
    for folder in std::iter::once(corpus).chain(fixtures) {
        for entry in std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            // A folder of fixtures is named by itself.
            if path.is_dir() {
                continue;
            }
            seeds.push((path.clone(), std::fs::read(path).unwrap()));
        }
    }
    seeds.sort();
    seeds
}

#[test]
fn every_file_of_the_corpus_and_the_fixtures_is_checked() {
    for (target, check, _) in CHECKS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 10, "{target}: only {} seeds", seeds.len());
        for (path, bytes) in seeds {
            // Seen where the check panics.
            println!("{}", path.display());
            check(&bytes);
        }
    }
}

/// One change of some bytes. Those of the dictionary are what the formats are made of.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Remove(Index, Index),
    Repeat(Index, Index),
    Insert(Index, &'static [u8]),
    Cut(Index),
}

const DICTIONARY: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"\"null\"",
    b"1e400",
    b"-0",
    b"0.1",
    b"NaN",
    b"\n",
    b" ",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b",}",
    b"},{",
    b"\"Data\":",
    b"\"events\":",
    b"\"[]\"",
    b"\"deviceId\":\"x\",",
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\x0f",
    b"Obj\x01",
    b"\x01",
    b"\x02",
    b"|",
    b"AMQP\x00\x01\x00\x00",
    b"\x00\x53",
    b"\x00\x53\x14\xd0",
    b"\x00\x53\x75\xa0",
    b"\x40",
    b"\x43",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x08\x02\x00\x00\x00",
];

fn change() -> impl Strategy<Value = Change> {
    let index = any::<Index>;
    prop_oneof![
        (index(), any::<u8>()).prop_map(|(place, byte)| Change::Flip(place, byte)),
        (index(), index()).prop_map(|(from, to)| Change::Remove(from, to)),
        (index(), index()).prop_map(|(from, to)| Change::Repeat(from, to)),
        (index(), prop::sample::select(DICTIONARY))
            .prop_map(|(place, text)| Change::Insert(place, text)),
        index().prop_map(Change::Cut),
    ]
}

impl Change {
    fn make(&self, bytes: &mut Vec<u8>) {
        let range = |from: &Index, to: &Index, length: usize| {
            let (from, to) = (from.index(length + 1), to.index(length + 1));
            from.min(to)..from.max(to)
        };
        match self {
            Self::Flip(place, byte) if !bytes.is_empty() => {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            Self::Flip(..) => {}
            Self::Remove(from, to) => _ = bytes.drain(range(from, to, bytes.len())),
            Self::Repeat(from, to) => bytes.extend_from_within(range(from, to, bytes.len())),
            Self::Insert(place, text) => {
                let place = place.index(bytes.len() + 1);
                bytes.splice(place..place, text.iter().copied());
            }
            Self::Cut(end) => bytes.truncate(end.index(bytes.len() + 1)),
        }
    }
}

/// A seed with up to five changes. Large seeds are for the corpus alone.
fn mutated(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, bytes)| bytes).collect();
    seeds.retain(|bytes| bytes.len() < 4_096);
    let changes = prop::collection::vec(change(), 0..6);
    (prop::sample::select(seeds), changes).prop_map(|(mut bytes, changes)| {
        for change in changes {
            change.make(&mut bytes);
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn conversations(bytes in mutated("amqp")) {
        properties::amqp::check(&bytes);
    }

    #[test]
    fn archives(bytes in mutated("archive")) {
        properties::archive::check(&bytes);
    }

    #[test]
    fn envelopes(bytes in mutated("envelope")) {
        properties::envelope::check(&bytes);
    }

    #[test]
    fn bodies(bytes in mutated("telemetry")) {
        properties::telemetry::check(&bytes);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        for (_, check, _) in CHECKS {
            check(&bytes);
        }
    }

    /// Numbers that a state document must give back bit by bit, whatever it takes to write them.
    #[test]
    fn any_number_in_any_spelling(velocity in 0.0..=500.0_f64, latitude in -90.0..=90.0_f64, exponent in any::<bool>()) {
        let velocity = if exponent { format!("{velocity:e}") } else { velocity.to_string() };
        let body = format!(
            r#"{{"occurrenceUtcTime":"2018-04-17T20:25:09Z","deviceId":"d","sensorType":"drone-event-sensor;v1","deliveryId":"d","velocity":{velocity},"acceleration":"1","position":"{latitude}|0|0","flightStatus":1}}"#
        );
        properties::telemetry::check(body.as_bytes());
    }
}
