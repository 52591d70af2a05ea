//! Reads a unit's folder of the archive.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use time::UtcDateTime;

use super::InsightsError;
use super::manifest::Skipped;
use crate::capture::{self, ArchivedEvent};
use crate::domain::insights::hour::Hour;
use crate::domain::insights::quality::Quality;
use crate::domain::insights::reading::{FlightReading, Head, OperatingReading, Readings, micros};
use crate::domain::{EventContext, Intake, Reading, Reason, TICK_BODY, parse};
use crate::stores::files::{FileEntry, FileStore};
use crate::tables::rejects::Rejects;

/// Files that are asked for at a time. One of a partition with large events can have several MB.
const AT_ONCE: usize = 4;

/// The least bytes of a deflated event with telemetry in it.
const SMALLEST_EVENT: usize = 20;

/// Four of five readings are of flight.
const FLIGHTS_OF: (usize, usize) = (4, 5);

/// What a folder holds.
#[derive(Default)]
pub(super) struct Gathered {
    /// The telemetry.
    pub(super) readings: Readings,
    /// Events by (time at the hub, sequence number), and whether it is a tick.
    events: Vec<(i64, i64, bool)>,
    rejects: Vec<Reject>,
    /// Files that could not be read.
    pub(super) skipped: Vec<Skipped>,
}

/// In the order of events, so that repeats are neighbours.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Reject {
    enqueued_at: i64,
    sequence_number: i64,
    reason: Reason,
    device: Option<Arc<str>>,
}

/// The telemetry of a folder, settled, and what is known of its events.
pub(super) struct Settled {
    pub(super) readings: Readings,
    pub(super) rejects: Rejects,
    pub(super) quality: Quality,
}

/// Reads files. One that is damaged is skipped, and one that has gone is left out: its unit is made again, because the
/// list is another then.
pub(super) async fn gather(
    archive: &dyn FileStore,
    files: &[FileEntry],
    folder: Hour,
    intake: Intake,
) -> Result<Gathered, InsightsError> {
    let mut gathered = Gathered::for_events(files.iter().filter_map(events_of).sum());
    let read = |file: &FileEntry| read(archive, file.name.clone());
    // Collected, because the compiler cannot see through an iterator of borrowing futures.
    let reads: Vec<_> = files.iter().map(read).collect();
    let mut reads = stream::iter(reads).buffered(AT_ONCE);
    while let Some(read) = reads.try_next().await? {
        if let Some((name, body)) = read {
            gathered.file(&name, &body, folder, intake);
        }
    }
    Ok(gathered)
}

/// How many events a file has at least, by its name; `None` where that does not say it.
fn events_of(file: &FileEntry) -> Option<usize> {
    let (rest, last) = file.name.strip_suffix(".avro")?.rsplit_once('-')?;
    let (_, first) = rest.rsplit_once('-')?;
    let (first, last): (i64, i64) = (first.parse().ok()?, last.parse().ok()?);
    let events = usize::try_from(last.checked_sub(first)?)
        .ok()?
        .checked_add(1)?;
    // No event is smaller, so that no name can ask for memory.
    Some(events.min(usize::try_from(file.size).ok()? / SMALLEST_EVENT))
}

async fn read(
    archive: &dyn FileStore,
    name: String,
) -> Result<Option<(String, Bytes)>, InsightsError> {
    let file = archive.read(&name).await?;
    Ok(file.map(|file| (name, file.body)))
}

impl Gathered {
    /// With room for so many, because rows that move while there are more and more of them take twice the memory.
    fn for_events(events: usize) -> Self {
        let flights = events / FLIGHTS_OF.1 * FLIGHTS_OF.0 + events % FLIGHTS_OF.1;
        let mut gathered = Self::default();
        gathered
            .readings
            .flights
            .reserve_exact(flights + flights / 50);
        let operating = events.saturating_sub(flights);
        gathered
            .readings
            .operating
            .reserve_exact(operating + operating / 50);
        gathered.events.reserve_exact(events);
        gathered
    }

    fn file(&mut self, name: &str, body: &Bytes, folder: Hour, intake: Intake) {
        let reason = match capture::decode(body) {
            Ok(events) if events.iter().any(|event| event.enqueued_at.is_none()) => {
                "an event has no exact time at the hub".to_owned()
            }
            Ok(events) => {
                for event in events {
                    if let Some(enqueued_at) = event.enqueued_at {
                        self.event(&event, enqueued_at, folder, intake);
                    }
                }
                return;
            }
            Err(error) => error.to_string(),
        };
        self.skipped.push(Skipped {
            name: name.to_owned(),
            reason,
        });
    }

    fn event(
        &mut self,
        event: &ArchivedEvent,
        enqueued_at: UtcDateTime,
        folder: Hour,
        intake: Intake,
    ) {
        let sequence_number = event.sequence_number;
        let at_hub = micros(enqueued_at);
        let is_tick = event.authenticated_device.is_none() && event.body == TICK_BODY;
        self.events.push((at_hub, sequence_number, is_tick));
        if is_tick {
            return;
        }
        // As `ReceivedEvent::taken_at` has it.
        let taken_at = event
            .first_enqueued_at
            .map_or(enqueued_at, |first| first.min(enqueued_at));
        let context = EventContext {
            authenticated_device: event.authenticated_device.as_deref(),
            intake,
            enqueued_at: taken_at,
        };
        match parse(&event.body, &context) {
            Ok(telemetry) => {
                let readings = &mut self.readings;
                let head = Head {
                    device: readings.devices.number(telemetry.device_id.as_str()),
                    delivery: readings.deliveries.number(telemetry.delivery_id.as_str()),
                    occurred_at: micros(telemetry.occurred_at),
                    enqueued_at: micros(taken_at),
                    sequence_number,
                    replayed: taken_at < enqueued_at,
                    folder,
                };
                match &telemetry.reading {
                    Reading::Flight(flight) => {
                        readings.flights.push(FlightReading::new(head, flight));
                    }
                    Reading::Operating(operating) => {
                        readings
                            .operating
                            .push(OperatingReading::new(head, operating));
                    }
                }
            }
            Err(poison) => self.rejects.push(Reject {
                enqueued_at: at_hub,
                sequence_number,
                reason: poison.reason,
                device: poison.device_id.map(|device| device.as_str().into()),
            }),
        }
    }

    /// Sorts, lets each event and reading count once, and counts. Takes the processor.
    pub(super) fn settle(mut self, hour: Hour) -> Settled {
        let rejected = self.rejects.len();
        let mut counted = Quality::default();
        // First, so that its memory is free for what follows.
        counted.count_events(self.events);
        self.rejects.sort_unstable();
        self.rejects
            .dedup_by_key(|reject| (reject.enqueued_at, reject.sequence_number));
        let mut quality = Quality {
            repeats: (self.readings.settle() + rejected - self.rejects.len()) as u64,
            ..counted
        };
        quality.count_readings(hour, &self.readings);
        let mut rejects: Rejects = BTreeMap::new();
        for reject in self.rejects {
            *quality
                .rejects
                .entry(reject.reason.as_str().to_owned())
                .or_default() += 1;
            let device = reject.device.map(|device| device.as_ref().to_owned());
            let row = rejects.entry((reject.reason.as_str().to_owned(), device));
            let (count, least) = row.or_insert((0, reject.sequence_number));
            *count += 1;
            *least = (*least).min(reject.sequence_number);
        }
        Settled {
            readings: self.readings,
            rejects,
            quality,
        }
    }
}
