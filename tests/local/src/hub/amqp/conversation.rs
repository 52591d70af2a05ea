//! A whole connection without a socket, for whoever has the bytes already.

use bytes::BytesMut;

use super::frame::{self, Frame};
use super::limits::Limits;
use super::protocol::Protocol;
use crate::hub::Hub;

/// What the hub has said to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Byte for byte.
    pub bytes: Vec<u8>,
    /// Whether the hub wants to hear no more.
    pub closed: bool,
}

/// Lets a client say all of this, in these pieces, and read what the hub says after each.
pub fn converse<'a>(hub: &Hub, pieces: impl IntoIterator<Item = &'a [u8]>) -> Said {
    let mut protocol = Protocol::new(hub, Limits::default());
    let (mut input, mut bytes) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            protocol.take(&mut input);
            protocol.rung();
            protocol.deliver();
            let said = std::mem::take(protocol.output());
            if said.is_empty() && input.len() == before {
                break;
            }
            bytes.extend(said);
        }
    }
    Said {
        bytes,
        closed: protocol.is_closed(),
    }
}

/// The performatives, by their codes, of what the hub has said; `None` where it is no AMQP. Headers and frames of SASL are passed over.
#[must_use]
pub fn performatives(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut codes = Vec::new();
    while !bytes.is_empty() {
        if bytes.starts_with(b"AMQP") {
            bytes = bytes.get(8..)?;
            continue;
        }
        let size = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
        let whole = bytes.get(..size)?;
        let body = whole.get(frame::HEADER_BYTES..)?;
        let (code, begin) = super::value::descriptor(body)?;
        super::value::check(body).ok()?;
        super::value::Items::of_value(&body[begin..]).ok()?;
        if whole[5] == 0 {
            // What the hub sends it can read itself.
            let mut copy = BytesMut::from(whole);
            let largest = u32::try_from(size).ok()?;
            let Ok(Some(Frame {
                performative: Some(_),
                ..
            })) = frame::next(&mut copy, largest)
            else {
                return None;
            };
            codes.push(u8::try_from(code).ok()?);
        }
        bytes = &bytes[size..];
    }
    Some(codes)
}
