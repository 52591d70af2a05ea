//! The performatives that the hub sends: each with all its fields, the empty ones too.

use super::error::AmqpError;
use super::frame::{self, Termini, code};
use super::write::Write;

/// The largest message, as Event Hubs has it.
pub(super) const MAX_MESSAGE_BYTES: u64 = crate::hub::MAX_EVENT_BYTES as u64;

pub(super) fn sasl_mechanisms(out: &mut Vec<u8>, mechanisms: &[&str]) {
    frame::write_sasl(out, |out| {
        out.descriptor(code::SASL_MECHANISMS);
        out.list(1, |out| out.symbols(mechanisms));
    });
}

pub(super) fn sasl_outcome(out: &mut Vec<u8>, accepted: bool) {
    frame::write_sasl(out, |out| {
        out.descriptor(code::SASL_OUTCOME);
        out.list(2, |out| {
            out.ubyte(u8::from(!accepted));
            out.null();
        });
    });
}

pub(super) fn open(out: &mut Vec<u8>, frame_bytes: u32, last_channel: u16, idle_millis: u32) {
    frame::write(out, 0, |out| {
        out.descriptor(code::OPEN);
        out.list(10, |out| {
            out.string("local-event-hub");
            out.null();
            out.uint(frame_bytes);
            out.ushort(last_channel);
            out.uint(idle_millis);
            nulls(out, 5);
        });
    });
}

pub(super) fn close(out: &mut Vec<u8>, error: Option<&AmqpError>) {
    frame::write(out, 0, |out| {
        out.descriptor(code::CLOSE);
        out.list(1, |out| error_or_null(out, error));
    });
}

/// Where a session stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Windows {
    pub(super) next_incoming_id: u32,
    pub(super) incoming: u32,
    pub(super) next_outgoing_id: u32,
    pub(super) outgoing: u32,
}

pub(super) fn begin(out: &mut Vec<u8>, channel: u16, windows: Windows, last_handle: u32) {
    frame::write(out, channel, |out| {
        out.descriptor(code::BEGIN);
        out.list(8, |out| {
            out.ushort(channel);
            out.uint(windows.next_outgoing_id);
            out.uint(windows.incoming);
            out.uint(windows.outgoing);
            out.uint(last_handle);
            nulls(out, 3);
        });
    });
}

pub(super) fn end(out: &mut Vec<u8>, channel: u16, error: Option<&AmqpError>) {
    frame::write(out, channel, |out| {
        out.descriptor(code::END);
        out.list(1, |out| error_or_null(out, error));
    });
}

/// The answer to an attach.
#[derive(Debug)]
pub(super) struct Attached<'a> {
    pub(super) name: &'a str,
    pub(super) handle: u32,
    /// Whether the hub receives on this link.
    pub(super) hub_receives: bool,
    /// As the client asked.
    pub(super) settle_mode: u8,
    pub(super) termini: &'a Termini,
    /// What of the capabilities that the client wants there is.
    pub(super) capabilities: &'a [&'a str],
}

pub(super) fn attach(out: &mut Vec<u8>, channel: u16, link: &Attached<'_>) {
    frame::write(out, channel, |out| {
        out.descriptor(code::ATTACH);
        out.list(14, |out| {
            out.string(link.name);
            out.uint(link.handle);
            out.bool(link.hub_receives);
            out.ubyte(link.settle_mode);
            out.ubyte(0);
            out.extend_from_slice(&link.termini.source);
            out.extend_from_slice(&link.termini.target);
            out.null();
            out.bool(false);
            match link.hub_receives {
                true => out.null(),
                false => out.uint(0),
            }
            out.ulong(MAX_MESSAGE_BYTES);
            match link.capabilities {
                [] => out.null(),
                some => out.symbols(some),
            }
            nulls(out, 2);
        });
    });
}

/// Refuses a link: an attach without the terminus that was asked for, and then the reason (AMQP 1.0, 2.6.3). Some clients take a
/// link that was attached with one for an empty partition.
pub(super) fn refuse(out: &mut Vec<u8>, channel: u16, link: &Attached<'_>, error: &AmqpError) {
    let null = || vec![0x40];
    let termini = match link.hub_receives {
        true => Termini {
            source: link.termini.source.clone(),
            target: null(),
        },
        false => Termini {
            source: null(),
            target: link.termini.target.clone(),
        },
    };
    let refused = Attached {
        termini: &termini,
        ..*link
    };
    attach(out, channel, &refused);
    detach(out, channel, link.handle, Some(error));
}

pub(super) fn detach(out: &mut Vec<u8>, channel: u16, handle: u32, error: Option<&AmqpError>) {
    frame::write(out, channel, |out| {
        out.descriptor(code::DETACH);
        out.list(3, |out| {
            out.uint(handle);
            // Closed for good: nothing of a link is kept.
            out.bool(true);
            error_or_null(out, error);
        });
    });
}

/// What a flow says of a link.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinkFlow {
    pub(super) handle: u32,
    pub(super) delivery_count: u32,
    pub(super) credit: u32,
    pub(super) drain: bool,
}

pub(super) fn flow(out: &mut Vec<u8>, channel: u16, windows: Windows, link: Option<LinkFlow>) {
    frame::write(out, channel, |out| {
        out.descriptor(code::FLOW);
        out.list(11, |out| {
            out.uint(windows.next_incoming_id);
            out.uint(windows.incoming);
            out.uint(windows.next_outgoing_id);
            out.uint(windows.outgoing);
            match link {
                Some(link) => {
                    out.uint(link.handle);
                    out.uint(link.delivery_count);
                    out.uint(link.credit);
                    out.uint(0);
                    out.bool(link.drain);
                }
                None => {
                    nulls(out, 4);
                    out.bool(false);
                }
            }
            out.bool(false);
            out.null();
        });
    });
}

/// The head of a delivery's frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery {
    pub(super) handle: u32,
    pub(super) id: u32,
    pub(super) settled: bool,
    pub(super) more: bool,
}

/// A frame of a delivery; `payload` writes what it carries.
pub(super) fn transfer(
    out: &mut Vec<u8>,
    channel: u16,
    delivery: Delivery,
    payload: impl FnOnce(&mut Vec<u8>),
) {
    frame::write(out, channel, |out| {
        out.descriptor(code::TRANSFER);
        out.list(11, |out| {
            out.uint(delivery.handle);
            out.uint(delivery.id);
            out.binary(&delivery.id.to_be_bytes());
            out.uint(0);
            out.bool(delivery.settled);
            out.bool(delivery.more);
            nulls(out, 2);
            for _ in 0..3 {
                out.bool(false);
            }
        });
        payload(out);
    });
}

/// How many bytes a delivery's frame has besides what it carries, at most.
pub(super) const TRANSFER_BYTES: usize = frame::HEADER_BYTES + 64;

pub(super) fn disposition(out: &mut Vec<u8>, channel: u16, id: u32, refusal: Option<&AmqpError>) {
    frame::write(out, channel, |out| {
        out.descriptor(code::DISPOSITION);
        out.list(6, |out| {
            out.bool(true);
            out.uint(id);
            out.uint(id);
            out.bool(true);
            match refusal {
                None => {
                    out.descriptor(0x24);
                    out.list(0, |_| {});
                }
                Some(error) => {
                    out.descriptor(0x25);
                    out.list(1, |out| error.write(out));
                }
            }
            out.bool(false);
        });
    });
}

fn error_or_null(out: &mut Vec<u8>, error: Option<&AmqpError>) {
    match error {
        Some(error) => error.write(out),
        None => out.null(),
    }
}

fn nulls(out: &mut Vec<u8>, count: usize) {
    out.resize(out.len() + count, 0x40);
}
