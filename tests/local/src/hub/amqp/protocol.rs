//! One connection's side of AMQP 1.0, as a machine that takes bytes and gives bytes. Whoever owns it does the reading, the
//! writing and the waiting.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use fe2o3_amqp_types::definitions::{Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::{Attach, Begin, Open};
use serde_amqp::Value;

use super::answer::{self, Attached};
use super::error::{
    AmqpError, HANDLE_IN_USE, INVALID_FIELD, LIMIT, NOT_ALLOWED, NOT_FOUND, NOT_IMPLEMENTED, STOLEN,
};
use super::frame::{self, Frame, Performative, Termini};
use super::limits::{LEAST_FRAME_BYTES, Limits};
use super::link::{Answers, Consumer, Incoming, Link, Seat};
use super::node::Node;
use super::session::{Session, Shared, Turn};
use super::start::Start;
use crate::hub::Hub;
use crate::hub::readers::{Bell, Reader, ReaderRefused};

const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";

/// Whatever a client likes best; none of them has to prove anything here.
const MECHANISMS: [&str; 4] = ["MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL"];

const EPOCH: &str = "com.microsoft:epoch";
const IDEMPOTENT: &str = "com.microsoft:idempotent-producer";
const TELLS_LATEST: &str = "com.microsoft:enable-receiver-runtime-metric";

/// Names of links are answered with, so they are not to be of any size.
const LONGEST_NAME: usize = 1_024;

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
                        super::error::UNATTACHED,
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

/// An error ends the session; a link that is refused is none.
fn attach_link(
    session: &mut Session,
    attach: &Attach,
    termini: &Termini,
    shared: &mut Shared,
) -> Result<(), AmqpError> {
    let handle = attach.handle.0;
    if session.has(handle) {
        let text = format!("the handle {handle} is in use");
        return Err(AmqpError::new(HANDLE_IN_USE, text));
    }
    if handle as usize >= shared.limits.links || attach.name.len() > LONGEST_NAME {
        let text = "a handle above the last one, or a name that is too long";
        return Err(AmqpError::new(NOT_ALLOWED, text));
    }
    if shared.links >= shared.limits.links {
        let text = format!("a connection has {} links at most", shared.limits.links);
        return Err(AmqpError::new(LIMIT, text));
    }
    let wanted: Vec<&str> = attach
        .desired_capabilities
        .iter()
        .flat_map(|all| all.0.iter().map(|symbol| symbol.as_str()))
        .collect();
    let capabilities: &[&str] = match wanted.contains(&TELLS_LATEST) {
        true => &[TELLS_LATEST],
        false => &[],
    };
    let answered = Attached {
        name: &attach.name,
        handle,
        hub_receives: attach.role == Role::Sender,
        settle_mode: match attach.snd_settle_mode {
            SenderSettleMode::Unsettled => 0,
            SenderSettleMode::Settled => 1,
            SenderSettleMode::Mixed => 2,
        },
        termini,
        capabilities,
    };
    let number = shared.next_reader;
    let link = match attach.role {
        Role::Sender => publisher(attach, &wanted, shared),
        Role::Receiver => consumer(attach, &wanted, number, shared),
    };
    let link = match link {
        Ok(link) => {
            answer::attach(&mut shared.out, session.channel, &answered);
            link
        }
        Err(error) => {
            answer::refuse(&mut shared.out, session.channel, &answered, &error);
            Link::Gone
        }
    };
    if let Link::Consumer(_) = link {
        shared.next_reader = number.wrapping_add(1);
        shared.readers.insert(number, (session.channel, handle));
    }
    session.enter(handle, link, &attach.role, shared);
    Ok(())
}

fn publisher(attach: &Attach, wanted: &[&str], shared: &Shared) -> Result<Link, AmqpError> {
    let address = match attach.target.as_deref() {
        Some(TargetArchetype::Target(target)) => target.address.as_deref(),
        None => None,
    };
    let has_property = |name: &str| {
        let properties = attach.properties.iter().flat_map(|all| all.keys());
        properties.into_iter().any(|key| key.as_str() == name)
    };
    if wanted.contains(&IDEMPOTENT) || has_property(IDEMPOTENT) {
        let text =
            "this hub has no idempotent producers: each event that comes twice is there twice";
        return Err(AmqpError::new(NOT_IMPLEMENTED, text));
    }
    let first = attach.initial_delivery_count.unwrap_or(0);
    match node(address, shared)? {
        Node::Hub => Ok(Link::Publisher(Incoming::new(None, first))),
        Node::Partition(partition) => Ok(Link::Publisher(Incoming::new(Some(partition), first))),
        Node::Answering(node) => Ok(Link::Requests(Incoming::new(node, first))),
        Node::Group { .. } => {
            let text = "events are sent to the hub or to a partition, not to a consumer group";
            Err(AmqpError::new(NOT_ALLOWED, text))
        }
    }
}

fn consumer(
    attach: &Attach,
    wanted: &[&str],
    number: u32,
    shared: &Shared,
) -> Result<Link, AmqpError> {
    let source = attach.source.as_deref();
    match node(source.and_then(|source| source.address.as_deref()), shared)? {
        Node::Answering(node) => Ok(Link::Answers(Answers {
            node,
            address: match attach.target.as_deref() {
                Some(TargetArchetype::Target(target)) => target.address.clone(),
                None => None,
            },
            credit: 0,
            delivery_count: 0,
            waiting: VecDeque::new(),
        })),
        Node::Group { name, partition } => {
            let hub = &shared.hub;
            if !hub.has_consumer_group(&name) {
                let text = format!(
                    "the event hub '{}' has no consumer group '{name}'",
                    hub.name()
                );
                return Err(AmqpError::new(NOT_FOUND, text));
            }
            let filters = source.and_then(|source| source.filter.as_ref());
            let start = Start::of(filters.iter().flat_map(|all| all.values()))?;
            let next = start.sequence_number(hub, partition)?;
            let reader = Reader::new(&name, epoch(attach)?, number, &shared.bell);
            let reader = hub.enter(partition, reader).map_err(|refused| {
                let condition = match refused {
                    ReaderRefused::TooMany => LIMIT,
                    ReaderRefused::HigherEpoch { .. } | ReaderRefused::Epoch(_) => STOLEN,
                };
                AmqpError::new(condition, refused.to_string())
            })?;
            Ok(Link::Consumer(Consumer {
                seat: Seat {
                    hub: hub.clone(),
                    partition,
                    reader,
                    number,
                },
                next,
                credit: 0,
                delivery_count: 0,
                drain: false,
                settled: attach.snd_settle_mode != SenderSettleMode::Unsettled,
                tells_latest: wanted.contains(&TELLS_LATEST),
            }))
        }
        Node::Hub | Node::Partition(_) => {
            let text = "events are read from HUB/ConsumerGroups/GROUP/Partitions/NUMBER";
            Err(AmqpError::new(NOT_ALLOWED, text))
        }
    }
}

fn node(address: Option<&str>, shared: &Shared) -> Result<Node, AmqpError> {
    let address =
        address.ok_or_else(|| AmqpError::new(INVALID_FIELD, "a link without an address"))?;
    Node::parse(address, shared.hub.name(), shared.hub.partitions())
}

/// The owner level, in whichever integer a client writes it.
fn epoch(attach: &Attach) -> Result<Option<i64>, AmqpError> {
    let mut properties = attach.properties.iter().flat_map(|all| all.iter());
    let Some((_, value)) = properties.find(|(key, _)| key.as_str() == EPOCH) else {
        return Ok(None);
    };
    let epoch = match value {
        Value::Null => return Ok(None),
        Value::Long(value) => Some(*value),
        Value::Int(value) => Some(i64::from(*value)),
        Value::Uint(value) => Some(i64::from(*value)),
        Value::Ulong(value) => i64::try_from(*value).ok(),
        Value::Short(value) => Some(i64::from(*value)),
        Value::Byte(value) => Some(i64::from(*value)),
        Value::Ubyte(value) => Some(i64::from(*value)),
        _ => None,
    };
    match epoch {
        Some(epoch) => Ok(Some(epoch)),
        None => Err(AmqpError::new(
            INVALID_FIELD,
            format!("{EPOCH} is no integer"),
        )),
    }
}
