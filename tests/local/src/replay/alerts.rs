//! Puts alerts back that NotifyAlert has given up. One is taken off the poison queue only once it is in the other: whatever stops
//! this in between repeats an alert, which its receiver knows by its id, and loses none.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use drone_delivery::functions::notify_alert::postponed::Postponed;
use drone_delivery::stores::queue::StorageQueue;
use serde::Deserialize;

use super::pace::Pace;
use super::queue::{MOST, QueueReader, Taken};
use super::summary::{LATER, Summary, Why};
use super::{Connections, ReplayError, ReplayOptions, Stop, View};
use crate::system::{ALERT_POISON, ALERT_QUEUE};

/// What is looked at of a CloudEvent.
#[derive(Deserialize)]
struct Alert {
    id: String,
    /// The drone.
    subject: String,
}

/// See [`replay`](super::replay).
pub(super) async fn put_back(
    options: &ReplayOptions,
    connections: &Connections,
    stop: &Stop,
    view: &mut View,
) -> Result<Summary, (ReplayError, Summary)> {
    let connect = || {
        let alerts = StorageQueue::connect(&connections.storage, ALERT_QUEUE)?;
        Ok((
            QueueReader::connect(&connections.storage, ALERT_POISON)?,
            alerts,
        ))
    };
    let mut summary = Summary {
        dry_run: options.dry_run,
        ..Summary::default()
    };
    let (mut poison, alerts) = match connect() {
        Ok(connected) => connected,
        Err(error) => return Err((error, summary)),
    };
    let outcome = Work {
        options,
        stop,
        view,
        alerts: &alerts,
        summary: &mut summary,
    }
    .run(&mut poison)
    .await;
    poison.put_back().await;
    match outcome {
        Ok(()) => Ok(summary),
        Err(error) => Err((error, summary)),
    }
}

struct Work<'a> {
    options: &'a ReplayOptions,
    stop: &'a Stop,
    view: &'a mut View,
    alerts: &'a StorageQueue,
    summary: &'a mut Summary,
}

impl Work<'_> {
    async fn run(&mut self, poison: &mut QueueReader) -> Result<(), ReplayError> {
        // The host makes the queue when it needs it.
        let Some((count, start)) = poison.look().await? else {
            return Ok(());
        };
        let mut pace = Pace::new(self.options.rate);
        while !self.is_over() {
            let Some(messages) = poison.take(pace.portion(MOST)).await? else {
                let hidden = count.saturating_sub(self.summary.read);
                self.summary.tell_of_hidden(hidden);
                return Ok(());
            };
            for message in messages {
                if self.is_over() {
                    break;
                }
                self.summary.read += 1;
                if message.inserted_at.is_some_and(|inserted| inserted > start) {
                    self.summary.pass_over(LATER);
                    continue;
                }
                pace.admit(1, self.stop).await;
                self.one(poison, &message).await;
            }
            self.view.show(self.summary, Some(count));
        }
        self.summary.interrupted = self.stop.is_requested();
        Ok(())
    }

    fn is_over(&self) -> bool {
        let limit = self.options.limit.unwrap_or(u64::MAX);
        self.stop.is_requested() || self.summary.chosen >= limit
    }

    async fn one(&mut self, poison: &mut QueueReader, message: &Taken) {
        let Some((text, alert)) = read(&message.text) else {
            if self.options.device.is_none() {
                self.summary.chosen += 1;
                self.leave("a message", Why::NoAlert, "");
            }
            return;
        };
        let device = self.options.device.as_ref();
        if device.is_some_and(|device| device.as_str() != alert.subject) {
            self.summary.pass_over("not asked for");
            return;
        }
        self.summary.chosen += 1;
        if self.options.dry_run {
            self.summary.sent += 1;
            self.view.tell(&format!("{}  {}", alert.id, alert.subject));
            return;
        }
        if let Err(error) = self.alerts.put(&text, Duration::ZERO).await {
            self.leave(&alert.id, Why::NotPutBack, &error.to_string());
            return;
        }
        self.summary.sent += 1;
        match poison.take_off(&message.id).await {
            Ok(()) => self.summary.taken_off += 1,
            Err(error) => self.leave(&alert.id, Why::NotTakenOff, &error.to_string()),
        }
    }

    fn leave(&mut self, id: &str, why: Why, detail: &str) {
        self.summary.leave(why);
        let colon = if detail.is_empty() { "" } else { ": " };
        self.view.tell(&format!("{id} stays: {why}{colon}{detail}"));
    }
}

/// The CloudEvent of a message as the host has stored it, without how long it has waited: it begins anew.
fn read(stored: &str) -> Option<(String, Alert)> {
    let text = String::from_utf8(STANDARD.decode(stored).ok()?).ok()?;
    let text = Postponed::read(&text).alert;
    let alert = serde_json::from_str(&text).ok()?;
    Some((text, alert))
}
