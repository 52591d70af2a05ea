//! From the events of one batch to what has to be written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use time::UtcDateTime;

use super::dead_letter::DeadLetter;
use super::drone::DroneState;
use super::identifier::DeviceId;
use super::telemetry::{EventContext, Intake, parse};
use super::timestamp;

/// The application property of an event that is sent again: when the hub took it the first time, in RFC 3339.
pub const FIRST_ENQUEUED_AT: &str = "first-enqueued-at";

/// The application property of a tick: an event that AdvanceWatermarks sends into a quiet partition, so that its time
/// goes on. Nothing that it says is believed; the broker's own time is all there is to it.
pub const WATERMARK_TICK: &str = "watermark-tick";

/// The body of a tick. It is no telemetry.
pub const TICK_BODY: &[u8] = b"{}";

/// An event as it came off the hub.
#[derive(Clone)]
pub struct ReceivedEvent<'a> {
    /// Its bytes.
    pub body: &'a [u8],
    /// Its number in its partition.
    pub sequence_number: i64,
    /// Its place in its partition, opaque.
    pub offset: &'a str,
    /// When it reached the hub.
    pub enqueued_at: UtcDateTime,
    /// What its sender says in [`FIRST_ENQUEUED_AT`]; see [`taken_at`](Self::taken_at).
    pub first_enqueued_at: Option<UtcDateTime>,
    /// The device that IoT Hub authenticated; `None` where drones send to Event Hubs directly.
    pub authenticated_device: Option<Cow<'a, str>>,
    /// What its sender had it sorted into a partition by; `None` with IoT Hub, and where it named the partition.
    pub partition_key: Option<&'a str>,
    /// Whether it has the property [`WATERMARK_TICK`]; see [`is_tick`](Self::is_tick).
    pub marked_as_tick: bool,
}

impl ReceivedEvent<'_> {
    /// Whether it is a tick, which every function passes over but for its time.
    ///
    /// A device has no ticks to send: what bears its identity, or anything that could be telemetry, is taken for
    /// what any sender sends.
    pub fn is_tick(&self) -> bool {
        self.marked_as_tick && self.authenticated_device.is_none() && self.body == TICK_BODY
    }

    /// When a hub took the event for the first time, as far as that can be believed: a replayed event counts
    /// as of then, so that the state after a replay is what it would have been without the fault.
    ///
    /// Any sender can set the property, so the earlier of the two counts: a forged time only makes a drone
    /// look older, and lets it claim less of the future.
    pub fn taken_at(&self) -> UtcDateTime {
        self.first_enqueued_at
            .map_or(self.enqueued_at, |first| first.min(self.enqueued_at))
    }
}

/// Reads the value of [`FIRST_ENQUEUED_AT`]; `None` for whatever is no time.
pub fn first_enqueued_at(property: &str) -> Option<UtcDateTime> {
    timestamp::parse_rfc3339(property).ok()
}

/// Without the body, which belongs in no log.
impl fmt::Debug for ReceivedEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedEvent")
            .field("sequence_number", &self.sequence_number)
            .field("offset", &self.offset)
            .field("enqueued_at", &self.enqueued_at)
            .field("first_enqueued_at", &self.first_enqueued_at)
            .field("authenticated_device", &self.authenticated_device)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// What a batch changes. Every event of the batch is in exactly one of the two, but for ticks.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// What the batch says of each drone: to be merged into what is known already.
    pub drones: HashMap<DeviceId, DroneState>,
    /// The events that can never be applied, in the batch's order.
    pub dead_letters: Vec<DeadLetter>,
}

/// Parses every event and merges them by drone. A poison event changes nothing for the others.
///
/// `partition_id` is the hub's partition that all of them came from.
pub fn fold<'a>(
    intake: Intake,
    partition_id: &str,
    events: impl IntoIterator<Item = ReceivedEvent<'a>>,
) -> Changes {
    let mut changes = Changes::default();
    for event in events {
        if event.is_tick() {
            continue;
        }
        let context = EventContext {
            authenticated_device: event.authenticated_device.as_deref(),
            enqueued_at: event.taken_at(),
            intake,
        };
        match parse(event.body, &context) {
            Ok(telemetry) => {
                let seen = DroneState::observe(telemetry, event.taken_at());
                match changes.drones.entry(seen.device_id.clone()) {
                    Entry::Vacant(first) => _ = first.insert(seen),
                    Entry::Occupied(mut known) => _ = known.get_mut().merge(seen),
                }
            }
            // Not an error: the host would run the batch again for ever, and never get past this event.
            Err(poison) => {
                let letter = DeadLetter::new(partition_id, &event, poison);
                changes.dead_letters.push(letter);
            }
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::domain::telemetry::Reason;

    /// An event of the property tests.
    #[derive(Debug, Clone)]
    struct Sent {
        body: String,
        enqueued_at: UtcDateTime,
    }

    impl Sent {
        fn received(&self) -> ReceivedEvent<'_> {
            ReceivedEvent {
                body: self.body.as_bytes(),
                sequence_number: 0,
                offset: "0",
                enqueued_at: self.enqueued_at,
                first_enqueued_at: None,
                authenticated_device: None,
                marked_as_tick: false,
                partition_key: None,
            }
        }
    }

    /// Few drones, times, deliveries and values, so that events compete and tie.
    fn sent() -> impl Strategy<Value = Sent> {
        let fields = (0..3, 0..3, 0..2, 0..2, any::<bool>(), 0..3_i64);
        fields.prop_map(|(drone, second, delivery, value, flight, enqueued)| {
            let reading = if flight {
                format!(
                    r#""sensorType":"drone-event-sensor;v1","velocity":"{value}","acceleration":"1","position":"1|2|3","flightStatus":"1""#
                )
            } else {
                format!(
                    r#""sensorType":"drone-state-sensor;v1","temperature":{value},"batteryStatus":"low","batteryLevel":0.2"#
                )
            };
            Sent {
                body: format!(
                    r#"{{"deviceId":"drone-{drone}","deliveryId":"delivery-{delivery}","occurrenceUtcTime":"2018-04-17T20:25:0{second}Z",{reading}}}"#
                ),
                enqueued_at: UtcDateTime::from_unix_timestamp(1_600_000_000 + enqueued).unwrap(),
            }
        })
    }

    fn state_after<'a>(
        batches: impl IntoIterator<Item = &'a [Sent]>,
    ) -> HashMap<DeviceId, DroneState> {
        let mut drones: HashMap<DeviceId, DroneState> = HashMap::new();
        for batch in batches {
            let changes = fold(Intake::default(), "0", batch.iter().map(Sent::received));
            assert_eq!(changes.dead_letters, []);
            for (device_id, change) in changes.drones {
                match drones.entry(device_id) {
                    Entry::Vacant(first) => _ = first.insert(change),
                    Entry::Occupied(mut known) => _ = known.get_mut().merge(change),
                }
            }
        }
        drones
    }

    proptest! {
        #[test]
        fn any_order_repetition_and_split_into_batches_gives_the_same_state(
            (events, shuffled) in prop::collection::vec(sent(), 1..30)
                .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
            repeats in prop::collection::vec((any::<Index>(), any::<Index>()), 0..20),
            cuts in prop::collection::vec(any::<Index>(), 0..5),
        ) {
            let expected = state_after([events.as_slice()]);

            let mut replayed = shuffled;
            for (which, place) in repeats {
                let event = replayed[which.index(replayed.len())].clone();
                replayed.insert(place.index(replayed.len() + 1), event);
            }
            let mut ends: Vec<usize> =
                cuts.iter().map(|cut| cut.index(replayed.len() + 1)).collect();
            ends.extend([0, replayed.len()]);
            ends.sort_unstable();
            let batches = ends.windows(2).map(|ends| &replayed[ends[0]..ends[1]]);
            prop_assert_eq!(state_after(batches), expected);
        }
    }

    fn event(body: &str, sequence_number: i64) -> ReceivedEvent<'_> {
        ReceivedEvent {
            body: body.as_bytes(),
            sequence_number,
            offset: "4294970632",
            enqueued_at: UtcDateTime::from_unix_timestamp(1_600_000_000).unwrap(),
            first_enqueued_at: None,
            authenticated_device: Some("drone-1".into()),
            marked_as_tick: false,
            partition_key: None,
        }
    }

    const GOOD: &str = r#"{"deviceId":"drone-1","deliveryId":"d","occurrenceUtcTime":"2018-04-17T20:25:09Z","sensorType":"drone-state-sensor;v1","temperature":1,"batteryStatus":"low","batteryLevel":0.2}"#;

    #[test]
    fn poison_among_good_events_is_put_aside_and_the_rest_applied() {
        let foreign = GOOD.replacen("drone-1", "drone-2", 1);
        let events = [
            event("", 40),
            event(GOOD, 41),
            event(&foreign, 42),
            event(GOOD, 43),
        ];
        let changes = fold(Intake::default(), "7", events);
        assert_eq!(changes.drones.len(), 1);
        assert!(
            changes.drones[&"drone-1".parse().unwrap()]
                .operating
                .is_some()
        );

        let [empty, mismatch] = changes.dead_letters.as_slice() else {
            panic!("{:?}", changes.dead_letters);
        };
        assert_eq!(empty.reason, Reason::MalformedJson);
        assert_eq!(empty.device_id, None);
        assert!(empty.id().starts_with("7:40:"), "{}", empty.id());
        assert_eq!(mismatch.reason, Reason::DeviceMismatch);
        assert!(mismatch.id().starts_with("7:42:"), "{}", mismatch.id());
        assert_eq!(mismatch.offset, "4294970632");
        assert_eq!(mismatch.body, foreign.as_bytes());
        assert_eq!(mismatch.device_id, Some("drone-2".parse().unwrap()));
    }

    #[test]
    fn a_replayed_event_counts_as_of_the_first_time_and_a_forged_later_time_does_not() {
        let at = |seconds: i64| UtcDateTime::from_unix_timestamp(1_600_000_000 + seconds).unwrap();
        let seen_at = |first| {
            let mut event = event(GOOD, 41);
            event.first_enqueued_at = first;
            let changes = fold(Intake::default(), "7", [event]);
            changes.drones[&"drone-1".parse().unwrap()].last_seen_at
        };
        assert_eq!(seen_at(None), at(0));
        assert_eq!(seen_at(Some(at(-3_600))), at(-3_600));
        assert_eq!(seen_at(Some(at(3_600))), at(0));
    }

    #[test]
    fn a_replay_makes_no_event_good_that_occurred_in_the_future_of_its_first_time() {
        let ahead = GOOD.replacen("2018-04-17T20:25:09Z", "2020-09-13T12:20:00Z", 1);
        let mut event = event(&ahead, 41);
        assert_eq!(
            fold(Intake::default(), "7", [event.clone()]).dead_letters,
            []
        );
        event.first_enqueued_at = first_enqueued_at("2020-09-13T12:14:59.999Z");
        let [letter] = &fold(Intake::default(), "7", [event]).dead_letters[..] else {
            panic!("it is applied");
        };
        assert_eq!(letter.reason, Reason::OccurredInFuture);
    }

    #[test]
    fn what_is_no_time_is_no_first_time() {
        for garbage in [
            "",
            "yesterday",
            "1600000000",
            "2020-09-13",
            "04/17/2018 20:25:09 +00:00",
        ] {
            assert_eq!(first_enqueued_at(garbage), None, "{garbage}");
        }
    }

    #[test]
    fn an_empty_batch_changes_nothing() {
        assert_eq!(fold(Intake::default(), "0", []), Changes::default());
    }

    #[test]
    fn debug_output_does_not_show_the_body() {
        let shown = format!("{:?}", event("secret", 1));
        assert!(
            shown.contains("6 bytes") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
