//! The protocol as a machine: bytes in, bytes out, with a client that says exactly what a test wants said.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod clients;
mod events;
mod limits;
mod links;
mod storms;
mod waiting;

use bytes::BytesMut;
use serde_amqp::{Value, from_slice};

use super::frame::{self, code};
use super::limits::Limits;
use super::protocol::Protocol;
use super::value::{self, Items};
use super::write::Write;
use crate::hub::{ConsumerGroups, Hub};

const HEADER: &[u8] = b"AMQP\x00\x01\x00\x00";
const SASL_HEADER: &[u8] = b"AMQP\x03\x01\x00\x00";

/// A frame that the hub has sent.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    channel: u16,
    code: u8,
    fields: Vec<Value>,
    payload: Vec<u8>,
}

impl Sent {
    fn uint(&self, index: usize) -> u32 {
        match &self.fields[index] {
            Value::Uint(number) => *number,
            other => panic!("{other:?} at {index} of {self:?}"),
        }
    }

    /// The condition of the error among its fields.
    fn condition(&self) -> Option<String> {
        self.fields.iter().find_map(|field| match field {
            Value::Described(described) => condition_in(&described.value),
            _ => None,
        })
    }
}

fn condition_in(value: &Value) -> Option<String> {
    let Value::List(items) = value else {
        return None;
    };
    items.iter().find_map(|item| match item {
        Value::Symbol(symbol) => Some(symbol.as_str().to_owned()),
        Value::Described(described) => condition_in(&described.value),
        _ => None,
    })
}

/// A client without a network.
struct Client {
    protocol: Protocol,
    rest: BytesMut,
}

impl Client {
    /// Nothing said yet.
    fn silent(hub: &Hub, limits: Limits) -> Self {
        Self {
            protocol: Protocol::new(hub, limits),
            rest: BytesMut::new(),
        }
    }

    /// With an open connection and a session on channel 0.
    fn begun(hub: &Hub) -> Self {
        Self::begun_with(hub, Limits::default(), 65_536, 1_000)
    }

    fn begun_with(hub: &Hub, limits: Limits, frame_bytes: u32, window: u32) -> Self {
        let mut client = Self::silent(hub, limits);
        client.bytes(HEADER);
        client.open(frame_bytes);
        client.begin(0, window);
        let codes: Vec<u8> = client.sent().iter().map(|frame| frame.code).collect();
        assert_eq!(codes, [code::OPEN, code::BEGIN]);
        client
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        self.protocol.take(&mut self.rest);
        self.protocol.rung();
        self.protocol.deliver();
    }

    fn say(&mut self, channel: u16, body: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        frame::write(&mut out, channel, body);
        self.bytes(&out);
    }

    fn open(&mut self, frame_bytes: u32) {
        self.say(0, |out| {
            out.descriptor(code::OPEN);
            out.list(3, |out| {
                out.string("client");
                out.null();
                out.uint(frame_bytes);
            });
        });
    }

    fn begin(&mut self, channel: u16, window: u32) {
        self.say(channel, |out| {
            out.descriptor(code::BEGIN);
            out.list(4, |out| {
                out.null();
                out.uint(0);
                out.uint(window);
                out.uint(1_000);
            });
        });
    }

    /// As a sender of events.
    fn attach_sender(&mut self, handle: u32, address: &str) {
        self.attach(handle, false, None, Some(address), None);
    }

    /// As a receiver from the beginning, or as the selector has it.
    fn attach_receiver(
        &mut self,
        handle: u32,
        address: &str,
        selector: Option<&str>,
        epoch: Option<i64>,
    ) {
        let source = |out: &mut Vec<u8>| {
            out.descriptor(0x28);
            out.list(8, |out| {
                out.string(address);
                for _ in 0..6 {
                    out.null();
                }
                out.map(if selector.is_some() { 2 } else { 0 }, |out| {
                    if let Some(selector) = selector {
                        out.symbol("apache.org:selector-filter:string");
                        out.push(0);
                        out.symbol("apache.org:selector-filter:string");
                        out.string(selector);
                    }
                });
            });
        };
        self.attach_as(
            handle,
            true,
            source,
            |out| terminus(out, 0x29, None),
            epoch,
            &[],
        );
    }

    fn attach(
        &mut self,
        handle: u32,
        receiver: bool,
        source: Option<&str>,
        target: Option<&str>,
        epoch: Option<i64>,
    ) {
        self.attach_as(
            handle,
            receiver,
            |out| terminus(out, 0x28, source),
            |out| terminus(out, 0x29, target),
            epoch,
            &[],
        );
    }

    fn attach_as(
        &mut self,
        handle: u32,
        receiver: bool,
        source: impl FnOnce(&mut Vec<u8>),
        target: impl FnOnce(&mut Vec<u8>),
        epoch: Option<i64>,
        capabilities: &[&str],
    ) {
        self.say(0, |out| {
            out.descriptor(code::ATTACH);
            out.list(14, |out| {
                out.string("link");
                out.uint(handle);
                out.bool(receiver);
                out.null();
                out.null();
                source(out);
                target(out);
                out.null();
                out.null();
                out.uint(0);
                out.null();
                out.null();
                match capabilities {
                    [] => out.null(),
                    some => out.symbols(some),
                }
                match epoch {
                    None => out.null(),
                    Some(epoch) => out.map(2, |out| {
                        out.symbol("com.microsoft:epoch");
                        out.long(epoch);
                    }),
                }
            });
        });
    }

    /// `seen` is how many frames of deliveries have come.
    fn flow(&mut self, seen: u32, window: u32, link: Option<(u32, u32, u32)>, drain: bool) {
        self.say(0, |out| {
            out.descriptor(code::FLOW);
            out.list(9, |out| {
                out.uint(1 + seen);
                out.uint(window);
                out.uint(0);
                out.uint(1_000);
                match link {
                    Some((handle, count, credit)) => {
                        out.uint(handle);
                        out.uint(count);
                        out.uint(credit);
                    }
                    None => {
                        for _ in 0..3 {
                            out.null();
                        }
                    }
                }
                out.null();
                out.bool(drain);
            });
        });
    }

    fn transfer(&mut self, handle: u32, id: u32, format: u32, more: bool, payload: &[u8]) {
        self.say(0, |out| {
            out.descriptor(code::TRANSFER);
            out.list(6, |out| {
                out.uint(handle);
                out.uint(id);
                out.binary(&id.to_be_bytes());
                out.uint(format);
                out.bool(false);
                out.bool(more);
            });
            out.extend_from_slice(payload);
        });
    }

    /// What the hub has sent since the last time.
    fn sent(&mut self) -> Vec<Sent> {
        let mut bytes = std::mem::take(self.protocol.output());
        let mut all = Vec::new();
        while !bytes.is_empty() {
            if bytes.starts_with(b"AMQP") {
                bytes.drain(..8);
                continue;
            }
            let size = u32::from_be_bytes(*bytes.first_chunk().unwrap()) as usize;
            let frame: Vec<u8> = bytes.drain(..size).collect();
            let channel = u16::from_be_bytes([frame[6], frame[7]]);
            let body = &frame[8..];
            let length = value::check(body).unwrap();
            let (code, begin) = value::descriptor(body).unwrap();
            all.push(Sent {
                channel,
                code: u8::try_from(code).unwrap(),
                fields: Items::of_value(&body[begin..length])
                    .unwrap()
                    .map(|field| from_slice(field).unwrap())
                    .collect(),
                payload: body[length..].to_vec(),
            });
        }
        all
    }

    /// The one frame that the hub has sent.
    fn only(&mut self) -> Sent {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }
}

fn terminus(out: &mut Vec<u8>, descriptor: u8, address: Option<&str>) {
    out.descriptor(descriptor);
    out.list(1, |out| match address {
        Some(address) => out.string(address),
        None => out.null(),
    });
}

/// An encoded message with this body.
fn message(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.descriptor(0x75);
    out.binary(body);
    out
}

fn hub(partitions: u16) -> Hub {
    let hub = Hub::new("h", partitions);
    hub.set_consumer_groups(ConsumerGroups::Listed(vec!["g".to_owned()]));
    hub
}

fn codes(sent: &[Sent]) -> Vec<u8> {
    sent.iter().map(|frame| frame.code).collect()
}
