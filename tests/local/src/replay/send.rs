//! Sends events again, with the time that a hub took them first.

use std::collections::{BTreeMap, HashMap};

use drone_delivery::domain::timestamp::Rfc3339;
use drone_delivery::domain::{DeviceId, FIRST_ENQUEUED_AT};
use futures_util::{StreamExt, stream};
use simulator::{DestinationError, EventHub, TextEvent};
use time::UtcDateTime;

/// Devices whose events are in flight at once.
const CONCURRENCY: usize = 8;

/// An event on its way. Its body is known to be good, and so is text.
pub(super) struct Outgoing {
    pub(super) device: DeviceId,
    pub(super) taken_at: UtcDateTime,
    pub(super) body: String,
}

impl Outgoing {
    fn event(&self) -> TextEvent {
        TextEvent {
            body: self.body.clone(),
            properties: BTreeMap::from([(FIRST_ENQUEUED_AT, Rfc3339(self.taken_at).to_string())]),
        }
    }
}

/// What became of a portion.
pub(super) struct Sent {
    /// For each event whether the hub has it for sure.
    pub(super) accepted: Vec<bool>,
    /// Why not all of them.
    pub(super) error: Option<DestinationError>,
}

/// Sends a portion; the events of one device in their order. Where a device's events fail, none of them counts
/// as accepted.
pub(super) async fn send(hub: &EventHub, events: &[Outgoing]) -> Sent {
    let mut devices: HashMap<&DeviceId, Vec<usize>> = HashMap::new();
    for (index, event) in events.iter().enumerate() {
        devices.entry(&event.device).or_default().push(index);
    }
    let mut sent = Sent {
        accepted: vec![false; events.len()],
        error: None,
    };
    let sends: Vec<_> = devices
        .into_iter()
        .map(|(device, indices)| async move {
            let texts: Vec<_> = indices.iter().map(|index| events[*index].event()).collect();
            let outcome = hub.send_keyed(device.as_str(), &texts).await;
            (indices, outcome)
        })
        .collect();
    let mut sends = stream::iter(sends).buffer_unordered(CONCURRENCY);
    while let Some((indices, outcome)) = sends.next().await {
        match outcome {
            Ok(()) => indices
                .iter()
                .for_each(|index| sent.accepted[*index] = true),
            Err(error) => sent.error = Some(error),
        }
    }
    sent
}
