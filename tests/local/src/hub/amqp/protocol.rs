//! One connection's side of AMQP 1.0, as a machine that takes bytes and gives bytes. Whoever owns it does the reading, the
//! writing and the waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fe2o3_amqp_types::performatives::{Begin, Open};

use super::answer;
use super::attach::attach_link;
use super::error::{AmqpError, INVALID_FIELD, NOT_ALLOWED, UNATTACHED};
use super::frame::{self, Frame, Performative};
use super::limits::{LEAST_FRAME_BYTES, Limits};
use super::link::Link;
use super::outgoing::Turn;
use super::session::{Session, Shared};
use crate::hub::Hub;
use crate::hub::readers::Bell;

const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// Whatever a client likes best; none of them has to prove anything here.
const MECHANISMS: [&str; 4] = ["MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL"];

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client's first eight bytes.
    Header,
    /// Its choice of a mechanism.
    Sasl,
    /// Its next eight bytes.
    HeaderAfterSasl,
    Opening,
    Open,
    /// The hub has said its last word.
    Closed,
}

#[derive(Debug)]
pub(super) struct Protocol {
    stage: Stage,
    sessions: HashMap<u16, Slot>,
    shared: Shared,
    peer_idle: Option<Duration>,
}

/// A channel that is in use.
#[derive(Debug)]
enum Slot {
    Session(Session),
    /// The hub has ended the session, and the client does not know yet.
    Ended,
}

impl Protocol {
    pub(super) fn new(hub: &Hub, limits: Limits) -> Self {
        Self {
            stage: Stage::Header,
            sessions: HashMap::new(),
            shared: Shared {
                hub: hub.clone(),
                limits,
                out: Vec::new(),
                frame_bytes: LEAST_FRAME_BYTES as usize,
                bell: Arc::new(Bell::default()),
                ready: VecDeque::new(),
                readers: HashMap::new(),
                next_reader: 0,
                links: 0,
                partial_bytes: 0,
            },
            peer_idle: None,
        }
    }

    /// What rings when a reader has something to read.
    pub(super) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.shared.bell)
    }

    /// Whether the client has opened the connection.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    /// How often the client wants to hear something.
    pub(super) fn peer_idle(&self) -> Option<Duration> {
        self.peer_idle
    }

    /// What is to be sent.
    pub(super) fn output(&mut self) -> &mut Vec<u8> {
        &mut self.shared.out
    }

    /// Adds a frame that says nothing.
    pub(super) fn beat(&mut self) {
        frame::write(&mut self.shared.out, 0, |_| {});
    }

    /// Ends the connection, with the reason if the client can understand it yet.
    pub(super) fn close(&mut self, condition: &'static str, why: &str) {
        self.fail(&AmqpError::new(condition, why));
    }

    fn fail(&mut self, error: &AmqpError) {
        if matches!(self.stage, Stage::Opening | Stage::Open) {
            if self.stage == Stage::Opening {
                self.say_open();
            }
            answer::close(&mut self.shared.out, Some(error));
        }
        self.stage = Stage::Closed;
        self.end_all();
    }

    fn end_all(&mut self) {
        for (_, slot) in self.sessions.drain() {
            if let Slot::Session(mut session) = slot {
                session.forget_all(&mut self.shared);
            }
        }
        self.shared.ready.clear();
    }

    /// Takes what has come, as far as it is whole, and answers.
    pub(super) fn take(&mut self, input: &mut BytesMut) {
        while self.stage != Stage::Closed && self.shared.out.len() < self.shared.limits.output_bytes
        {
            match self.step(input) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => self.fail(&error),
            }
        }
    }

    /// Whether there may be more.
    fn step(&mut self, input: &mut BytesMut) -> Result<bool, AmqpError> {
        if matches!(self.stage, Stage::Header | Stage::HeaderAfterSasl) {
            return Ok(self.header(input));
        }
        // Until it is open, what a client says is short.
        let largest = match self.stage {
            Stage::Sasl => 8 * 1024,
            _ => self.shared.limits.frame_bytes,
        };
        let Some(frame) = frame::next(input, largest)? else {
            return Ok(false);
        };
        self.frame(frame)?;
        Ok(true)
    }

    fn header(&mut self, input: &mut BytesMut) -> bool {
        let Some(header) = input.first_chunk::<8>().copied() else {
            // What can be no header is not waited for.
            let can_be = |whole: [u8; 8]| whole.starts_with(input);
            if !can_be(SASL_HEADER) && !can_be(AMQP_HEADER) {
                self.wrong_header();
            }
            return false;
        };
        _ = input.split_to(header.len());
        match (header, self.stage) {
            (SASL_HEADER, Stage::Header) => {
                self.shared.out.extend(SASL_HEADER);
                answer::sasl_mechanisms(&mut self.shared.out, &MECHANISMS);
                self.stage = Stage::Sasl;
            }
            (AMQP_HEADER, _) => {
                self.shared.out.extend(AMQP_HEADER);
                self.stage = Stage::Opening;
            }
            _ => self.wrong_header(),
        }
        true
    }

    /// Says which one would have been right, and goes (AMQP 1.0, 2.2).
    fn wrong_header(&mut self) {
        self.shared.out.extend(match self.stage {
            Stage::Header => SASL_HEADER,
            _ => AMQP_HEADER,
        });
        self.stage = Stage::Closed;
    }

    fn frame(&mut self, frame: Frame) -> Result<(), AmqpError> {
        let Frame {
            channel,
            performative,
            payload,
        } = frame;
        let Some(performative) = performative else {
            return Ok(());
        };
        match (performative, self.stage) {
            (Performative::SaslInit(init), Stage::Sasl) => {
                let known = MECHANISMS.contains(&init.mechanism.as_str());
                answer::sasl_outcome(&mut self.shared.out, known);
                self.stage = if known {
                    Stage::HeaderAfterSasl
                } else {
                    Stage::Closed
                };
                Ok(())
            }
            (Performative::Open(open), Stage::Opening) => self.open(&open),
            (Performative::Close, Stage::Open) => {
                answer::close(&mut self.shared.out, None);
                self.stage = Stage::Closed;
                self.end_all();
                Ok(())
            }
            (Performative::Begin(begin), Stage::Open) => self.begin(channel, &begin),
            (Performative::SaslInit(_) | Performative::Open(_) | Performative::Close, _)
            | (_, Stage::Sasl | Stage::Opening) => Err(AmqpError::new(
                NOT_ALLOWED,
                "a frame that does not belong here",
            )),
            (performative, _) => self.in_session(channel, performative, &payload),
        }
    }

    fn open(&mut self, open: &Open) -> Result<(), AmqpError> {
        let frame_bytes = open.max_frame_size.0;
        self.peer_idle = open
            .idle_time_out
            .filter(|millis| *millis > 0)
            .map(|millis| Duration::from_millis(millis.into()));
        self.say_open();
        self.stage = Stage::Open;
        if frame_bytes < LEAST_FRAME_BYTES {
            let text = format!("frames of {LEAST_FRAME_BYTES} bytes are the least");
            return Err(AmqpError::new(INVALID_FIELD, text));
        }
        self.shared.frame_bytes = frame_bytes.min(self.shared.limits.frame_bytes) as usize;
        Ok(())
    }

    fn say_open(&mut self) {
        let limits = self.shared.limits;
        let idle = u32::try_from(limits.idle.as_millis()).unwrap_or(u32::MAX);
        let last_channel = limits.sessions.saturating_sub(1);
        answer::open(&mut self.shared.out, limits.frame_bytes, last_channel, idle);
    }

    fn begin(&mut self, channel: u16, begin: &Begin) -> Result<(), AmqpError> {
        if channel >= self.shared.limits.sessions {
            let text = format!("the channel {channel} is above the last one");
            return Err(AmqpError::new(NOT_ALLOWED, text));
        }
        if self.sessions.contains_key(&channel) {
            let text = format!("the channel {channel} has a session");
            return Err(AmqpError::new(NOT_ALLOWED, text));
        }
        let session = Session::new(channel, begin);
        // Handles are bounded by how many links there may be at all.
        let last_handle = u32::try_from(self.shared.limits.links).unwrap_or(u32::MAX) - 1;
        answer::begin(
            &mut self.shared.out,
            channel,
            session.windows(),
            last_handle,
        );
        self.sessions.insert(channel, Slot::Session(session));
        Ok(())
    }

    fn in_session(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: &bytes::Bytes,
    ) -> Result<(), AmqpError> {
        let session = match self.sessions.get_mut(&channel) {
            Some(Slot::Session(session)) => session,
            Some(Slot::Ended) => {
                if matches!(performative, Performative::End) {
                    self.sessions.remove(&channel);
                }
                return Ok(());
            }
            None => {
                let text = format!("the channel {channel} has no session");
                return Err(AmqpError::new(NOT_ALLOWED, text));
            }
        };
        let shared = &mut self.shared;
        let outcome = match performative {
            Performative::Attach(attach, termini) => {
                attach_link(session, &attach, &termini, shared)
            }
            Performative::Flow(flow) => session.flow(&flow, shared),
            Performative::Transfer(transfer) => session.transfer(&transfer, payload, shared),
            // Events are sent settled, or forgotten when they are: nothing waits for this.
            Performative::Disposition => Ok(()),
            Performative::Detach(detach) => {
                let handle = detach.handle.0;
                match session.links.remove(&handle) {
                    None => Err(AmqpError::new(
                        UNATTACHED,
                        format!("no link is attached by the handle {handle}"),
                    )),
                    Some(link) => {
                        if !matches!(link, Link::Gone) {
                            answer::detach(&mut shared.out, channel, handle, None);
                        }
                        Session::forget(link, shared);
                        Ok(())
                    }
                }
            }
            Performative::End => {
                session.forget_all(shared);
                answer::end(&mut shared.out, channel, None);
                self.sessions.remove(&channel);
                return Ok(());
            }
            _ => Err(AmqpError::new(
                NOT_ALLOWED,
                "a frame that does not belong here",
            )),
        };
        if let Err(error) = outcome {
            session.forget_all(shared);
            answer::end(&mut shared.out, channel, Some(&error));
            self.sessions.insert(channel, Slot::Ended);
        }
        Ok(())
    }

    /// Notes which readers have been rung.
    pub(super) fn rung(&mut self) {
        for number in self.shared.bell.take() {
            self.shared.make_ready(number);
        }
    }

    /// Adds events to the output for whoever has asked for them, in turns, until there is enough to send.
    pub(super) fn deliver(&mut self) {
        while self.shared.out.len() < self.shared.limits.output_bytes / 4
            && let Some(number) = self.shared.ready.pop_front()
        {
            let Some((channel, handle)) = self.shared.readers.get(&number).copied() else {
                continue;
            };
            if let Some(Slot::Session(session)) = self.sessions.get_mut(&channel)
                && session.deliver(handle, &mut self.shared) == Turn::Again
            {
                self.shared.make_ready(number);
            }
        }
    }
}
