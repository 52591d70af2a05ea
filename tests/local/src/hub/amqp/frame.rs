//! Frames: cut out of what comes in, and put around what goes out.

use bytes::{Bytes, BytesMut};
use fe2o3_amqp_types::performatives::{Attach, Begin, Detach, Flow, Open, Transfer};
use fe2o3_amqp_types::sasl::SaslInit;
use serde::de::DeserializeOwned;

use super::error::{AmqpError, DECODE, FRAMING};
use super::value::{self, Items};

/// Size, offset of the body, type and channel.
pub(super) const HEADER_BYTES: usize = 8;

const SASL: u8 = 1;

/// The descriptors of AMQP's performatives, and SASL's.
pub(super) mod code {
    pub(crate) const OPEN: u8 = 0x10;
    pub(crate) const BEGIN: u8 = 0x11;
    pub(crate) const ATTACH: u8 = 0x12;
    pub(crate) const FLOW: u8 = 0x13;
    pub(crate) const TRANSFER: u8 = 0x14;
    pub(crate) const DISPOSITION: u8 = 0x15;
    pub(crate) const DETACH: u8 = 0x16;
    pub(crate) const END: u8 = 0x17;
    pub(crate) const CLOSE: u8 = 0x18;
    pub(crate) const SASL_MECHANISMS: u8 = 0x40;
    pub(crate) const SASL_INIT: u8 = 0x41;
    pub(crate) const SASL_OUTCOME: u8 = 0x44;
}

/// What a client may send.
#[derive(Debug)]
pub(super) enum Performative {
    Open(Box<Open>),
    Begin(Begin),
    Attach(Box<Attach>, Termini),
    Flow(Flow),
    Transfer(Transfer),
    /// Not decoded: nothing waits for it.
    Disposition,
    Detach(Detach),
    End,
    Close,
    SaslInit(SaslInit),
}

/// Source and target of an attach as they came, to be answered with.
#[derive(Debug, Default)]
pub(super) struct Termini {
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
}

/// One frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) channel: u16,
    /// Nothing of a frame that only shows that somebody is there.
    pub(super) performative: Option<Performative>,
    /// What follows the performative.
    pub(super) payload: Bytes,
}

/// The next whole frame, taken off `input`; `None` until there is one.
pub(super) fn next(input: &mut BytesMut, largest: u32) -> Result<Option<Frame>, AmqpError> {
    let Some(size) = input.first_chunk::<4>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(*size);
    if size > largest {
        let text = format!("a frame of {size} bytes, where {largest} are the most");
        return Err(AmqpError::new(FRAMING, text));
    }
    // At most as large as `largest`.
    let size = size as usize;
    if size < HEADER_BYTES {
        return Err(AmqpError::new(FRAMING, "a frame shorter than its header"));
    }
    if input.len() < size {
        return Ok(None);
    }
    let mut frame = input.split_to(size).freeze();
    let (begin, kind) = (usize::from(frame[4]) * 4, frame[5]);
    let channel = u16::from_be_bytes([frame[6], frame[7]]);
    if begin < HEADER_BYTES || begin > size || kind > SASL {
        return Err(AmqpError::new(FRAMING, "the header of a frame is none"));
    }
    let body = frame.split_off(begin);
    if body.is_empty() {
        return Ok(Some(Frame {
            channel,
            performative: None,
            payload: body,
        }));
    }
    let (performative, length) = performative(&body, kind == SASL)?;
    Ok(Some(Frame {
        channel,
        performative: Some(performative),
        payload: body.slice(length..),
    }))
}

fn performative(body: &[u8], sasl: bool) -> Result<(Performative, usize), AmqpError> {
    let malformed = |error: value::Malformed| AmqpError::new(DECODE, error.to_string());
    let length = value::check(body).map_err(malformed)?;
    let bytes = &body[..length];
    let unknown = || AmqpError::new(DECODE, "a frame holds none of AMQP's performatives");
    let (descriptor, begin) = value::descriptor(bytes).ok_or_else(unknown)?;
    let known = u8::try_from(descriptor).map_err(|_| unknown())?;
    let performative = match (known, sasl) {
        (code::OPEN, false) => Performative::Open(Box::new(decode(bytes)?)),
        (code::BEGIN, false) => Performative::Begin(decode(bytes)?),
        (code::ATTACH, false) => {
            let mut fields = Items::of_value(&bytes[begin..]).map_err(malformed)?;
            let source = fields.nth(5).unwrap_or(&[0x40]).to_vec();
            let target = fields.next().unwrap_or(&[0x40]).to_vec();
            let attach = Box::new(decode(bytes)?);
            Performative::Attach(attach, Termini { source, target })
        }
        (code::FLOW, false) => Performative::Flow(decode(bytes)?),
        (code::TRANSFER, false) => Performative::Transfer(decode(bytes)?),
        (code::DISPOSITION, false) => Performative::Disposition,
        (code::DETACH, false) => Performative::Detach(decode(bytes)?),
        (code::END, false) => Performative::End,
        (code::CLOSE, false) => Performative::Close,
        (code::SASL_INIT, true) => Performative::SaslInit(decode(bytes)?),
        _ => return Err(unknown()),
    };
    Ok((performative, length))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AmqpError> {
    serde_amqp::from_slice(bytes).map_err(|error| AmqpError::new(DECODE, error.to_string()))
}

/// Appends a frame of AMQP whose body `body` writes.
pub(super) fn write(out: &mut Vec<u8>, channel: u16, body: impl FnOnce(&mut Vec<u8>)) {
    write_kind(out, 0, channel, body);
}

/// Appends a frame of SASL.
pub(super) fn write_sasl(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    write_kind(out, SASL, 0, body);
}

fn write_kind(out: &mut Vec<u8>, kind: u8, channel: u16, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0, 0, 0, 0, 2, kind]);
    out.extend(channel.to_be_bytes());
    body(out);
    // Whoever writes a frame knows the largest one that the client takes.
    let size = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}
