//! Sends archived events again, partition by partition, in the order that the hub took them in.
//!
//! One file is in memory at a time. What is done is noted after each portion that the hub has accepted, so a replay
//! that is stopped in any way repeats a portion at most, which the merge makes harmless.

use std::path::Path;

use azure_storage_blob::BlobContainerClient;
use drone_delivery::capture::ArchivedEvent;
use drone_delivery::domain::{EventContext, Intake, TICK_BODY, parse};
use drone_delivery::stores::blob::BlobService;
use time::UtcDateTime;

use super::files::{Files, partitions, read};
use super::pace::Pace;
use super::progress::{Mark, Progress};
use super::send::{Outgoing, send};
use super::summary::{Summary, Why};
use super::{Connections, ReplayError, ReplayOptions, Stop, View};
use crate::system::ARCHIVE;

/// The most events that are sent before progress is noted.
const PORTION: usize = 256;

struct Replay<'a> {
    options: &'a ReplayOptions,
    connections: &'a Connections,
    stop: &'a Stop,
    view: &'a mut View,
    from: UtcDateTime,
    to: UtcDateTime,
    pace: Pace,
    progress: Progress,
    summary: Summary,
}

/// See [`replay`](super::replay).
pub(super) async fn replay(
    options: &ReplayOptions,
    connections: &Connections,
    repository: &Path,
    stop: &Stop,
    view: &mut View,
) -> Result<Summary, (ReplayError, Summary)> {
    let mut summary = Summary {
        dry_run: options.dry_run,
        ..Summary::default()
    };
    // The options have seen to it that both are there.
    let from = options.from.unwrap_or(UtcDateTime::MIN);
    let to = options.to.unwrap_or(UtcDateTime::MIN);
    let progress = match Progress::open(options, (from, to), connections, repository) {
        Ok(progress) => progress,
        Err(error) => return Err((error, summary)),
    };
    if progress.has_ended() && !options.dry_run {
        view.say(&format!(
            "This replay has ended before, as {} says; --again begins it anew",
            progress.path().display()
        ));
        summary.done_before = true;
        return Ok(summary);
    }
    let mut replay = Replay {
        options,
        connections,
        stop,
        view,
        from,
        to,
        pace: Pace::new(options.rate),
        progress,
        summary,
    };
    match replay.run().await {
        Ok(()) => Ok(replay.summary),
        Err(error) => Err((error, replay.summary)),
    }
}

impl Replay<'_> {
    async fn run(&mut self) -> Result<(), ReplayError> {
        let archive = BlobService::connect(&self.connections.storage)?.container(ARCHIVE)?;
        let container = archive.client();
        let partitions = match self.options.partitions.as_slice() {
            [] => partitions(container, self.connections.hub.name()).await?,
            asked => asked.to_vec(),
        };
        for partition in partitions {
            if !self.partition(container, partition).await? {
                self.summary.interrupted = true;
                return Ok(());
            }
        }
        match self.options.dry_run {
            true => Ok(()),
            false => self.progress.end(),
        }
    }

    /// Whether it came to its end.
    async fn partition(
        &mut self,
        container: &BlobContainerClient,
        partition: u16,
    ) -> Result<bool, ReplayError> {
        // What would be sent is everything, whatever was sent before.
        let mut done = match self.options.dry_run {
            true => None,
            false => self.progress.mark(partition),
        };
        let from = done.map_or(self.from, |mark| mark.enqueued_at.max(self.from));
        let hub = self.connections.hub.name();
        let mut files = Files::of(container, hub, partition, from, self.to).await?;
        while let Some(file) = files.next().await? {
            if self.stop.is_requested() {
                return Ok(false);
            }
            let events = match read(container, &file).await {
                Ok(events) => events,
                // Met again by every replay of this time: it must not keep the others from being sent.
                Err(error) if error.of_one_file() && !self.options.strict => {
                    self.view.say(&format!("passed over: {error}"));
                    self.summary.files_passed_over += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            // Anew for each portion, or the file would be held twice.
            let mut events = events.into_iter().peekable();
            while events.peek().is_some() {
                if self.stop.is_requested() {
                    return Ok(false);
                }
                let mut outgoing = Vec::new();
                let most = self.pace.portion(PORTION);
                let mut last = done;
                while outgoing.len() < most
                    && let Some(event) = events.next()
                {
                    self.take(event, &mut last, &mut outgoing);
                }
                self.send(&outgoing).await?;
                if let Some(mark) = last
                    && last != done
                    && !self.options.dry_run
                {
                    self.progress.advance(partition, mark)?;
                }
                done = last;
                self.view.show(&self.summary, None);
            }
        }
        Ok(true)
    }

    /// Puts an event among those to be sent, unless it was there before, is of another time, or would be
    /// dead-lettered: that of the archive which was dead-lettered once would be so again.
    fn take(
        &mut self,
        event: ArchivedEvent,
        done: &mut Option<Mark>,
        outgoing: &mut Vec<Outgoing>,
    ) {
        let Some(enqueued_at) = event.enqueued_at else {
            self.summary.read += 1;
            self.summary.pass_over("without an exact time");
            return;
        };
        if enqueued_at < self.from || enqueued_at >= self.to {
            return;
        }
        let mark = Mark {
            sequence_number: event.sequence_number,
            enqueued_at,
        };
        if done.is_some_and(|done| done.covers(&mark)) {
            return;
        }
        *done = Some(mark);
        self.summary.read += 1;
        if event.authenticated_device.is_none() && event.body == TICK_BODY {
            self.summary.pass_over("ticks");
            return;
        }
        let taken_at = event
            .first_enqueued_at
            .map_or(enqueued_at, |first| first.min(enqueued_at));
        let context = EventContext {
            authenticated_device: event.authenticated_device.as_deref(),
            enqueued_at: taken_at,
            intake: Intake::default(),
        };
        let telemetry = match parse(&event.body, &context) {
            Ok(telemetry) => telemetry,
            Err(poison) => {
                self.summary.pass_over(poison.reason.as_str());
                return;
            }
        };
        let device = self.options.device.as_ref();
        if device.is_some_and(|device| *device != telemetry.device_id) {
            self.summary.pass_over("not asked for");
            return;
        }
        self.summary.chosen += 1;
        // What can be applied is JSON, and so UTF-8.
        match String::from_utf8(event.body) {
            Ok(body) => outgoing.push(Outgoing {
                device: telemetry.device_id,
                taken_at,
                body,
            }),
            Err(_) => self.summary.leave(Why::Unreadable),
        }
    }

    async fn send(&mut self, outgoing: &[Outgoing]) -> Result<(), ReplayError> {
        if self.options.dry_run {
            self.summary.sent += outgoing.len() as u64;
            return Ok(());
        }
        if outgoing.is_empty() {
            return Ok(());
        }
        self.pace.admit(outgoing.len(), self.stop).await;
        let sent = send(&self.connections.hub, outgoing).await;
        for accepted in sent.accepted {
            match accepted {
                true => self.summary.sent += 1,
                false => self.summary.leave(Why::NotAccepted),
            }
        }
        sent.error.map_or(Ok(()), |error| Err(error.into()))
    }
}
