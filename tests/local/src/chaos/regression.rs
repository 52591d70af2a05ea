//! Watches each write of a drone's document: nothing in it may ever go back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use time::UtcDateTime;
use time::format_description::well_known::Rfc3339;

/// What has been seen of every drone.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    drones: HashMap<String, Times>,
    went_back: Vec<String>,
}

/// When a drone was last seen, and when what is known of its flight and of its operating state occurred.
type Times = [Option<UtcDateTime>; 3];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    device_id: String,
    #[serde(borrow)]
    last_seen_at: &'a str,
    #[serde(borrow)]
    flight: Option<Section<'a>>,
    #[serde(borrow)]
    operating: Option<Section<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Section<'a> {
    occurred_at: &'a str,
}

impl Watch {
    /// Takes a document as it was written, in the order of the writes.
    pub(super) fn written(&self, item: &[u8]) {
        let Ok(document) = serde_json::from_slice::<Document>(item) else {
            self.seen()
                .went_back
                .push("a document was written that is no drone's".to_owned());
            return;
        };
        let occurred = |section: &Option<Section>| {
            section
                .as_ref()
                .and_then(|section| parsed(section.occurred_at))
        };
        let times = [
            parsed(document.last_seen_at),
            occurred(&document.flight),
            occurred(&document.operating),
        ];
        let mut seen = self.seen();
        let earlier = seen.drones.insert(document.device_id.clone(), times);
        for ((name, before), now) in ["lastSeenAt", "flight", "operating"]
            .into_iter()
            .zip(earlier.unwrap_or_default())
            .zip(times)
        {
            if now < before {
                seen.went_back
                    .push(format!("{name} of {} went back", document.device_id));
            }
        }
    }

    /// What went back, one sentence each.
    pub(super) fn went_back(&self) -> Vec<String> {
        self.seen().went_back.clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parsed(text: &str) -> Option<UtcDateTime> {
    UtcDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn write(watch: &Watch, seen: u8, flight: Option<u8>, operating: Option<u8>) {
        let time = |second: u8| format!("2024-05-01T12:00:{second:02}.5Z");
        let section = |second: Option<u8>| second.map(|it| json!({"occurredAt": time(it), "x": 1}));
        let item = json!({
            "deviceId": "drone-1",
            "lastSeenAt": time(seen),
            "flight": section(flight),
            "operating": section(operating),
        });
        watch.written(item.to_string().as_bytes());
    }

    #[test]
    fn what_goes_back_or_vanishes_is_told() {
        let watch = Watch::default();
        write(&watch, 10, Some(1), None);
        write(&watch, 10, Some(1), Some(5));
        write(&watch, 11, Some(2), Some(5));
        assert_eq!(watch.went_back(), Vec::<String>::new());
        write(&watch, 9, Some(2), None);
        write(&watch, 12, Some(1), Some(5));
        assert_eq!(
            watch.went_back(),
            [
                "lastSeenAt of drone-1 went back",
                "operating of drone-1 went back",
                "flight of drone-1 went back",
            ]
        );
    }
}
