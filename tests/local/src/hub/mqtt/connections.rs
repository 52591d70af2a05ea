//! Who is connected: one connection a device.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ntex_mqtt::v3::MqttSink;

/// The connections of one listener, all of them on its thread.
#[derive(Clone, Default)]
pub(super) struct Connections(Rc<All>);

#[derive(Default)]
struct All {
    by_device: RefCell<HashMap<String, (u64, MqttSink)>>,
    count: Cell<u64>,
}

impl Connections {
    /// Closes the device's connection before this one, if it is still there.
    pub(super) fn enter(&self, device: &str, sink: MqttSink) -> Connected {
        let number = self.0.count.get() + 1;
        self.0.count.set(number);
        let before = self
            .0
            .by_device
            .borrow_mut()
            .insert(device.to_owned(), (number, sink));
        if let Some((_, sink)) = before {
            sink.force_close();
        }
        Connected {
            all: Rc::clone(&self.0),
            device: device.to_owned(),
            number,
        }
    }
}

/// A device's place, until it is dropped or somebody else takes it.
pub(super) struct Connected {
    all: Rc<All>,
    device: String,
    number: u64,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let mut by_device = self.all.by_device.borrow_mut();
        let is_this = |(number, _): &(u64, MqttSink)| *number == self.number;
        if by_device.get(&self.device).is_some_and(is_this) {
            by_device.remove(&self.device);
        }
    }
}
