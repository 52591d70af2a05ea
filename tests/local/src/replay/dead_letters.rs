//! Sends dead letters again. A letter is taken off the queue only once the hub has its event: whatever stops a
//! replay in between repeats an event, which the merge makes harmless, and loses none.
//!
//! A message can stand for many letters, in a blob. Where some of them stay, the rest gets a blob and a message of its own before
//! the old message goes.

use std::collections::HashSet;

use super::letter::{Body, Group, Letter, Message};
use super::pace::Pace;
use super::queue::{Bodies, MOST, QueueReader, Taken};
use super::repair::repair;
use super::send::{Outgoing, send};
use super::summary::{LATER, Summary, Why};
use super::{Connections, ReplayError, ReplayOptions, Stop, View};
use crate::system::DEAD_LETTERS;

/// The most events that are sent before messages are taken off.
const PORTION: usize = 256;

/// A message that was taken.
struct Held {
    message: String,
    kind: Kind,
    letters: Vec<Entry>,
}

enum Kind {
    /// The blob with the body, where that is in one.
    Alone(Option<String>),
    Group(Group),
}

/// A letter of a message.
struct Entry {
    id: String,
    /// What tells its event from others.
    event: String,
    /// As it stands in its group's blob.
    line: String,
    stays: bool,
}

struct Replay<'a> {
    options: &'a ReplayOptions,
    connections: &'a Connections,
    stop: &'a Stop,
    view: &'a mut View,
    queue: QueueReader,
    bodies: Bodies,
    summary: Summary,
    pace: Pace,
    /// Messages that were looked at.
    messages: u64,
    /// Events that were sent, and those that are about to be. The queue may hold an event's letter twice: the second goes when
    /// the first has.
    done: HashSet<String>,
    in_hand: HashSet<String>,
    outgoing: Vec<(String, Outgoing)>,
    held: Vec<Held>,
    /// The blobs of what stays, which this replay has written: the queue tells no time finer than a second, and may show their
    /// messages at once.
    rests: HashSet<String>,
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
        pace: Pace::new(options.rate),
        messages: 0,
        done: HashSet::new(),
        in_hand: HashSet::new(),
        outgoing: Vec::new(),
        held: Vec::new(),
        rests: HashSet::new(),
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
        while !self.is_over() {
            let Some(messages) = self.queue.take(self.pace.portion(MOST)).await? else {
                self.summary
                    .tell_of_hidden(count.saturating_sub(self.messages));
                return Ok(());
            };
            for message in messages {
                if self.is_over() {
                    break;
                }
                self.messages += 1;
                // Or a letter that comes back by way of the hub would be sent for ever.
                if message.inserted_at.is_some_and(|inserted| inserted > start) {
                    self.summary.read += 1;
                    self.summary.pass_over(LATER);
                    continue;
                }
                self.examine(message).await?;
                if self.outgoing.len() >= PORTION {
                    self.settle().await?;
                }
            }
            self.settle().await?;
            self.view.show(&self.summary, Some(count));
        }
        self.summary.interrupted = self.stop.is_requested();
        Ok(())
    }

    fn is_over(&self) -> bool {
        let limit = self.options.limit.unwrap_or(u64::MAX);
        self.stop.is_requested() || self.summary.chosen >= limit
    }

    /// Looks at a message, and at each of its letters.
    async fn examine(&mut self, taken: Taken) -> Result<(), ReplayError> {
        let (kind, letters) = match Message::read(&taken.text) {
            None => {
                self.unreadable();
                return Ok(());
            }
            Some(Message::Letter(letter)) => {
                let blob = match letter.body() {
                    Some(Body::Blob(name)) => Some(name),
                    _ => None,
                };
                let entry = self.letter(*letter, String::new()).await?;
                (Kind::Alone(blob), vec![entry])
            }
            Some(Message::Group(group)) if self.rests.contains(&group.blob) => return Ok(()),
            Some(Message::Group(group)) => {
                let Some(lines) = self.bodies.read(&group.blob).await? else {
                    self.summary.read += 1;
                    self.summary.chosen += 1;
                    self.leave(&group.blob, Why::BodyGone, "");
                    return Ok(());
                };
                let entries = self.group(&String::from_utf8_lossy(&lines)).await?;
                (Kind::Group(group), entries)
            }
        };
        self.held.push(Held {
            message: taken.id,
            kind,
            letters,
        });
        Ok(())
    }

    async fn group(&mut self, lines: &str) -> Result<Vec<Entry>, ReplayError> {
        let mut entries = Vec::new();
        for line in lines.lines() {
            // What is in hand goes out, also where a stop is asked for; the rest of the letters stay.
            let entry = match Letter::of_line(line) {
                Some(letter) if !self.is_over() => self.letter(letter, line.to_owned()).await?,
                Some(letter) => Entry::staying(&letter, line.to_owned()),
                None => {
                    self.unreadable();
                    Entry {
                        id: String::new(),
                        event: String::new(),
                        line: line.to_owned(),
                        stays: true,
                    }
                }
            };
            entries.push(entry);
        }
        Ok(entries)
    }

    fn unreadable(&mut self) {
        self.summary.read += 1;
        if self.options.reasons.is_empty() && self.options.device.is_none() {
            self.summary.chosen += 1;
            self.leave("a message", Why::Unreadable, "");
        }
    }

    /// Puts a letter's event among those to be sent, where it is asked for and may be. It stays unless that becomes of it.
    async fn letter(&mut self, letter: Letter, line: String) -> Result<Entry, ReplayError> {
        self.summary.read += 1;
        let mut entry = Entry::staying(&letter, line);
        if letter.is_spoofed() {
            self.summary
                .pass_over("device-mismatch, which is never sent again");
            return Ok(entry);
        }
        if !self.is_asked_for(&letter) {
            self.summary.pass_over("not asked for");
            return Ok(entry);
        }
        self.summary.chosen += 1;
        let reasons = &mut self.summary.reasons;
        *reasons.entry(letter.reason.clone()).or_default() += 1;
        if self.done.contains(&entry.event) || self.in_hand.contains(&entry.event) {
            entry.stays = false;
            return Ok(entry);
        }
        let body = match letter.body() {
            None => {
                self.leave(&letter.id, Why::Unreadable, "");
                return Ok(entry);
            }
            Some(Body::Here(body)) => Some(body),
            Some(Body::Blob(name)) => self.bodies.read(&name).await?,
        };
        let Some(body) = body else {
            self.leave(&letter.id, Why::BodyGone, "");
            return Ok(entry);
        };
        let body = match &self.options.repair {
            None => body,
            Some(command) => match repair(command, &body).await {
                Ok(mended) => mended,
                Err(error) => {
                    self.leave(&letter.id, Why::NotMended, &error.to_string());
                    return Ok(entry);
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
                self.preview(&letter, &outgoing);
                self.in_hand.insert(entry.event.clone());
                self.outgoing.push((entry.event.clone(), outgoing));
                entry.stays = false;
            }
            (Err(why), _) => {
                let detail = match self.options.repair {
                    Some(_) => "",
                    None => letter.detail.as_str(),
                };
                self.leave(&letter.id, why, detail);
            }
            (Ok(_), Err(_)) => self.leave(&letter.id, Why::Unreadable, ""),
        }
        Ok(entry)
    }

    fn is_asked_for(&self, letter: &Letter) -> bool {
        let reasons = &self.options.reasons;
        let reason = reasons.is_empty() || reasons.iter().any(|it| it.as_str() == letter.reason);
        let device = self.options.device.as_ref();
        reason && device.is_none_or(|device| letter.device() == Some(device.as_str()))
    }

    fn preview(&mut self, letter: &Letter, event: &Outgoing) {
        if self.options.dry_run {
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

    /// Sends what is in hand, and takes off what is done.
    async fn settle(&mut self) -> Result<(), ReplayError> {
        self.in_hand.clear();
        let held = std::mem::take(&mut self.held);
        let outgoing = std::mem::take(&mut self.outgoing);
        if self.options.dry_run {
            self.summary.sent += outgoing.len() as u64;
            // A twin would not be sent.
            self.done
                .extend(outgoing.into_iter().map(|(event, _)| event));
            return Ok(());
        }
        let outcome = self.send(outgoing).await;
        for held in held {
            self.take_off(held).await;
        }
        outcome
    }

    async fn send(&mut self, outgoing: Vec<(String, Outgoing)>) -> Result<(), ReplayError> {
        let (events, outgoing): (Vec<_>, Vec<_>) = outgoing.into_iter().unzip();
        if outgoing.is_empty() {
            return Ok(());
        }
        self.pace.admit(outgoing.len(), self.stop).await;
        let sent = send(&self.connections.hub, &outgoing).await;
        for (event, accepted) in events.into_iter().zip(sent.accepted) {
            if accepted {
                self.summary.sent += 1;
                self.done.insert(event);
            } else {
                self.summary.leave(Why::NotAccepted);
            }
        }
        sent.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// The message, where anything of it is done, and then the blob with its body: a message must never point at nothing.
    async fn take_off(&mut self, held: Held) {
        let stays = |entry: &Entry| entry.stays || !self.done.contains(&entry.event);
        let rest: Vec<&Entry> = held.letters.iter().filter(|entry| stays(entry)).collect();
        let gone = held.letters.len() - rest.len();
        if gone == 0 {
            return;
        }
        let id = held.letters.first().map_or("", |entry| entry.id.as_str());
        if !rest.is_empty()
            && let Kind::Group(group) = &held.kind
        {
            let lines: String = rest
                .iter()
                .map(|entry| format!("{}\n", entry.line))
                .collect();
            let (message, blob) = group.of_rest(&lines);
            self.rests.insert(blob.clone());
            let kept = async {
                self.bodies.write(&blob, lines).await?;
                self.queue.put(&message).await
            };
            if let Err(error) = kept.await {
                self.leave(id, Why::NotTakenOff, &error.to_string());
                return;
            }
        }
        match self.queue.take_off(&held.message).await {
            Ok(()) => self.summary.taken_off += gone as u64,
            Err(error) => {
                self.leave(id, Why::NotTakenOff, &error.to_string());
                return;
            }
        }
        // A group's blob stays until it goes by the account's rules, after 30 days: a call that was repeated has left a second
        // message that points at it.
        if let Kind::Alone(Some(blob)) = held.kind {
            self.bodies.delete(&blob).await;
        }
    }

    fn leave(&mut self, id: &str, why: Why, detail: &str) {
        self.summary.leave(why);
        let colon = if detail.is_empty() { "" } else { ": " };
        self.view.tell(&format!("{id} stays: {why}{colon}{detail}"));
    }
}

impl Entry {
    fn staying(letter: &Letter, line: String) -> Self {
        Self {
            id: letter.id.clone(),
            // Also letters of before their ids had the time in them, where a hub was made anew and its numbers began again.
            event: format!("{} {}", letter.id, letter.enqueued_at),
            line,
            stays: true,
        }
    }
}
