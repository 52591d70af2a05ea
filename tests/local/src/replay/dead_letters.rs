//! Sends dead letters again. A letter is taken off the queue only once the hub has its event: whatever stops a
//! replay in between repeats an event, which the merge makes harmless, and loses none.

use std::collections::HashSet;

use super::letter::{Body, Letter};
use super::pace::Pace;
use super::queue::{Bodies, MOST, QueueReader, Taken};
use super::repair::repair;
use super::send::{Outgoing, send};
use super::summary::{LATER, Summary, Why};
use super::{Connections, ReplayError, ReplayOptions, Stop, View};
use crate::system::DEAD_LETTERS;

/// A letter whose event is to be sent.
struct Chosen {
    message: String,
    letter: Letter,
    blob: Option<String>,
}

struct Replay<'a> {
    options: &'a ReplayOptions,
    connections: &'a Connections,
    stop: &'a Stop,
    view: &'a mut View,
    queue: QueueReader,
    bodies: Bodies,
    summary: Summary,
    /// Events that were sent, and those that are about to be.
    done: HashSet<String>,
    in_hand: HashSet<String>,
    /// The queue may hold an event's letter twice: these go when the first one has.
    twins: Vec<Chosen>,
}

/// See [`replay`](super::replay).
pub(super) async fn replay(
    options: &ReplayOptions,
    connections: &Connections,
    stop: &Stop,
    view: &mut View,
) -> Result<Summary, (ReplayError, Summary)> {
    let summary = Summary {
        dry_run: options.dry_run,
        ..Summary::default()
    };
    let connect = || {
        let queue = QueueReader::connect(&connections.storage, DEAD_LETTERS)?;
        Ok((queue, Bodies::connect(&connections.storage)?))
    };
    let (queue, bodies) = match connect() {
        Ok(connected) => connected,
        Err(error) => return Err((error, summary)),
    };
    let mut replay = Replay {
        options,
        connections,
        stop,
        view,
        queue,
        bodies,
        summary,
        done: HashSet::new(),
        in_hand: HashSet::new(),
        twins: Vec::new(),
    };
    let outcome = replay.run().await;
    replay.queue.put_back().await;
    match outcome {
        Ok(()) => Ok(replay.summary),
        Err(error) => Err((error, replay.summary)),
    }
}

impl Replay<'_> {
    async fn run(&mut self) -> Result<(), ReplayError> {
        let Some((count, start)) = self.queue.look().await? else {
            return Err(ReplayError::NoQueue(DEAD_LETTERS));
        };
        let mut pace = Pace::new(self.options.rate);
        while !self.is_over() {
            let Some(messages) = self.queue.take(pace.portion(MOST)).await? else {
                self.summary.tell_of_hidden(count);
                return Ok(());
            };
            let mut chosen = Vec::new();
            let mut outgoing = Vec::new();
            for message in messages {
                if self.is_over() {
                    break;
                }
                self.summary.read += 1;
                // Or a letter that comes back by way of the hub would be sent for ever.
                if message.inserted_at.is_some_and(|inserted| inserted > start) {
                    self.summary.pass_over(LATER);
                    continue;
                }
                if let Some((letter, event)) = self.examine(message).await? {
                    chosen.push(letter);
                    outgoing.push(event);
                }
            }
            if self.options.dry_run {
                self.preview(&chosen, &outgoing);
            } else if !outgoing.is_empty() {
                // What is in hand goes out, also where a stop is asked for.
                pace.admit(outgoing.len(), self.stop).await;
                self.send(chosen, &outgoing).await?;
            }
            self.settle_twins().await;
            self.view.show(&self.summary, Some(count));
        }
        self.summary.interrupted = self.stop.is_requested();
        Ok(())
    }

    fn is_over(&self) -> bool {
        let limit = self.options.limit.unwrap_or(u64::MAX);
        self.stop.is_requested() || self.summary.chosen >= limit
    }

    /// The event to send, where there is one.
    async fn examine(&mut self, taken: Taken) -> Result<Option<(Chosen, Outgoing)>, ReplayError> {
        let Some(letter) = Letter::read(&taken.text) else {
            if !self.is_filtered() {
                self.summary.chosen += 1;
                self.leave("a message", Why::Unreadable, "");
            }
            return Ok(None);
        };
        if letter.is_spoofed() {
            self.summary
                .pass_over("device-mismatch, which is never sent again");
            return Ok(None);
        }
        if !self.is_asked_for(&letter) {
            self.summary.pass_over("not asked for");
            return Ok(None);
        }
        self.summary.chosen += 1;
        *self
            .summary
            .reasons
            .entry(letter.reason.clone())
            .or_default() += 1;
        let (body, blob) = match letter.body() {
            None => {
                self.leave(&letter.id, Why::Unreadable, "");
                return Ok(None);
            }
            Some(Body::Here(body)) => (Some(body), None),
            Some(Body::Blob(name)) => (None, Some(name)),
        };
        let event = event(&letter);
        if self.done.contains(&event) || self.in_hand.contains(&event) {
            let message = taken.id;
            self.twins.push(Chosen {
                message,
                letter,
                blob,
            });
            return Ok(None);
        }
        let body = match (body, &blob) {
            (None, Some(name)) => self.bodies.read(name).await?,
            (body, _) => body,
        };
        let Some(body) = body else {
            self.leave(&letter.id, Why::BodyGone, "");
            return Ok(None);
        };
        let body = match &self.options.repair {
            None => body,
            Some(command) => match repair(command, &body).await {
                Ok(mended) => mended,
                Err(error) => {
                    self.leave(&letter.id, Why::NotMended, &error.to_string());
                    return Ok(None);
                }
            },
        };
        // What passes the check is JSON, and so UTF-8.
        match (letter.check(&body), String::from_utf8(body)) {
            (Ok(device), Ok(body)) => {
                let outgoing = Outgoing {
                    device,
                    taken_at: letter.taken_at(),
                    body,
                };
                self.in_hand.insert(event);
                let chosen = Chosen {
                    message: taken.id,
                    letter,
                    blob,
                };
                Ok(Some((chosen, outgoing)))
            }
            (Err(why), _) => {
                let detail = match self.options.repair {
                    Some(_) => "",
                    None => letter.detail.as_str(),
                };
                self.leave(&letter.id, why, detail);
                Ok(None)
            }
            (Ok(_), Err(_)) => {
                self.leave(&letter.id, Why::Unreadable, "");
                Ok(None)
            }
        }
    }

    fn is_filtered(&self) -> bool {
        !self.options.reasons.is_empty() || self.options.device.is_some()
    }

    fn is_asked_for(&self, letter: &Letter) -> bool {
        let reasons = &self.options.reasons;
        let reason = reasons.is_empty() || reasons.iter().any(|it| it.as_str() == letter.reason);
        let device = self.options.device.as_ref();
        reason && device.is_none_or(|device| letter.device() == Some(device.as_str()))
    }

    fn preview(&mut self, chosen: &[Chosen], outgoing: &[Outgoing]) {
        for (Chosen { letter, .. }, event) in chosen.iter().zip(outgoing) {
            self.summary.sent += 1;
            // A twin would not be sent.
            self.done.insert(self::event(letter));
            self.view.tell(&format!(
                "{}  {}  of {}  {} bytes, put aside as {}",
                letter.id,
                event.device,
                drone_delivery::domain::timestamp::Rfc3339(event.taken_at),
                event.body.len(),
                letter.reason,
            ));
        }
    }

    async fn send(
        &mut self,
        chosen: Vec<Chosen>,
        outgoing: &[Outgoing],
    ) -> Result<(), ReplayError> {
        let sent = send(&self.connections.hub, outgoing).await;
        for (chosen, accepted) in chosen.into_iter().zip(sent.accepted) {
            if !accepted {
                self.summary.leave(Why::NotAccepted);
                continue;
            }
            self.summary.sent += 1;
            self.done.insert(event(&chosen.letter));
            self.take_off(&chosen.message, &chosen.letter.id, chosen.blob.as_deref())
                .await;
        }
        sent.error.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn settle_twins(&mut self) {
        self.in_hand.clear();
        for twin in std::mem::take(&mut self.twins) {
            if !self.options.dry_run && self.done.contains(&event(&twin.letter)) {
                self.take_off(&twin.message, &twin.letter.id, twin.blob.as_deref())
                    .await;
            }
        }
    }

    /// The letter, and then the blob with its body: a letter must never point at nothing.
    async fn take_off(&mut self, message: &str, id: &str, blob: Option<&str>) {
        match self.queue.take_off(message).await {
            Ok(()) => {
                self.summary.taken_off += 1;
                if let Some(blob) = blob {
                    self.bodies.delete(blob).await;
                }
            }
            Err(error) => self.leave(id, Why::NotTakenOff, &error.to_string()),
        }
    }

    fn leave(&mut self, id: &str, why: Why, detail: &str) {
        self.summary.leave(why);
        let colon = if detail.is_empty() { "" } else { ": " };
        self.view.tell(&format!("{id} stays: {why}{colon}{detail}"));
    }
}

/// What tells one event from another, also where a hub was made anew and its numbers began again.
fn event(letter: &Letter) -> String {
    format!("{} {}", letter.id, letter.enqueued_at)
}
