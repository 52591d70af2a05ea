//! `cargo local archive`: an archive as ArchiveTelemetry would have written it, in a directory and in no time.
//!
//! For whoever wants to try `cargo local summarize`, a query or a cluster on hours of telemetry without waiting for them.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use drone_delivery::capture::{self, CapturedEvent};
use drone_delivery::domain::partition_key::partition;
use drone_delivery::domain::timestamp::{Rfc3339, parse_rfc3339};
use simulator::{Fleet, FleetOptions, parse_duration};
use time::UtcDateTime;

/// The options of `cargo local archive`.
#[derive(Debug, Args)]
pub struct ArchiveOptions {
    /// Where to write it: made if it is not there, and must be empty.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// How many drones fly.
    #[arg(long, value_name = "NUMBER", default_value_t = 300)]
    drones: u32,
    /// Partitions of the hub.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: u16,
    /// When the first event is enqueued.
    #[arg(long, value_name = "TIME", default_value = "2026-01-31T20:00:00Z", value_parser = parse_time)]
    from: UtcDateTime,
    /// How long the drones fly.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    length: Duration,
    /// How many seconds of a partition are in one file.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    batch: u16,
    /// Write only this partition.
    #[arg(long, value_name = "NUMBER")]
    only: Option<u16>,
    #[command(flatten)]
    fleet: FleetOptions,
}

fn parse_time(text: &str) -> Result<UtcDateTime, String> {
    parse_rfc3339(text).map_err(|error| format!("the time {error}"))
}

/// How long an event is on its way.
const ON_ITS_WAY: time::Duration = time::Duration::milliseconds(250);

/// An event of a partition that is not in a file yet.
struct Event {
    sequence_number: i64,
    enqueued_at: UtcDateTime,
    device_id: String,
    body: Vec<u8>,
}

/// A partition's events.
#[derive(Default)]
struct Partition {
    next: i64,
    batch: Vec<Event>,
}

/// Writes the archive.
///
/// # Errors
/// Where the directory is not empty or cannot be written.
pub fn run(options: &ArchiveOptions) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(&options.out)?;
    if std::fs::read_dir(&options.out)?.next().is_some() {
        return Err(format!("{} is not empty", options.out.display()).into());
    }
    let mut fleet = Fleet::new(&options.fleet.plan(options.drones, None));
    let mut partitions: Vec<Partition> = (0..options.partitions)
        .map(|_| Partition::default())
        .collect();
    let end = options.from + options.length;
    let (mut events, mut files, mut bytes) = (0_u64, 0_u64, 0_u64);
    fleet.due(options.from).for_each(drop);
    let mut now = options.from;
    while now < end {
        // The next whole batch, so that hours are cut where ArchiveTelemetry cuts them.
        let seconds = i64::from(options.batch);
        let next = (now.unix_timestamp() / seconds + 1) * seconds;
        let hour = (now.unix_timestamp() / 3600 + 1) * 3600;
        let next = UtcDateTime::from_unix_timestamp(next.min(hour))?.min(end);
        while now < next {
            let step = (now + time::Duration::milliseconds(100)).min(next);
            for event in fleet.due(now) {
                let number = partition(event.device_id.as_bytes(), options.partitions);
                let place = &mut partitions[usize::from(number)];
                place.next += 1;
                if options.only.is_none_or(|only| only == number) {
                    place.batch.push(Event {
                        sequence_number: place.next,
                        enqueued_at: (now + ON_ITS_WAY).min(next - time::Duration::MILLISECOND),
                        device_id: event.device_id,
                        body: event.body,
                    });
                }
            }
            now = step;
        }
        for (number, partition) in partitions.iter_mut().enumerate() {
            let batch = std::mem::take(&mut partition.batch);
            if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
                let name = capture::file_name(
                    "telemetry",
                    &number.to_string(),
                    first.enqueued_at,
                    first.sequence_number,
                    last.sequence_number,
                );
                let file = encode(&batch)?;
                let path = options.out.join(name);
                std::fs::create_dir_all(path.parent().unwrap_or(&options.out))?;
                events += batch.len() as u64;
                files += 1;
                bytes += file.len() as u64;
                std::fs::write(path, file)?;
            }
        }
    }
    println!(
        "{events} events of {} drones from {} on in {files} files, {:.1} MB, in {}",
        options.drones,
        Rfc3339(options.from),
        bytes as f64 / 1e6,
        options.out.display()
    );
    Ok(())
}

/// With the properties that IoT Hub sets.
fn encode(batch: &[Event]) -> Result<Vec<u8>, capture::CaptureError> {
    let offsets: Vec<String> = batch
        .iter()
        .map(|event| (event.sequence_number * 1024).to_string())
        .collect();
    capture::encode(batch.iter().zip(&offsets).map(|(event, offset)| {
        let system = format!(
            r#"{{"iothub-connection-device-id":"{}","iothub-connection-auth-method":"{{\"scope\":\"device\",\"type\":\"sas\",\"issuer\":\"iothub\"}}","iothub-connection-auth-generation-id":"637654321000000000","iothub-enqueuedtime":"{}","iothub-message-source":"Telemetry"}}"#,
            event.device_id,
            Rfc3339(event.enqueued_at),
        );
        CapturedEvent {
            sequence_number: event.sequence_number,
            offset,
            enqueued_at: event.enqueued_at,
            system_properties: system.into(),
            properties: "{}".into(),
            body: &event.body,
        }
    }))
}
