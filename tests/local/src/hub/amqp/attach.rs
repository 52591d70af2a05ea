//! Links as they are asked for: what there is gets in, what there is not is refused with the reason.

use std::collections::VecDeque;

use fe2o3_amqp_types::definitions::{Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::Attach;
use serde_amqp::Value;

use super::answer::{self, Attached};
use super::error::{
    AmqpError, HANDLE_IN_USE, INVALID_FIELD, LIMIT, NOT_ALLOWED, NOT_FOUND, NOT_IMPLEMENTED, STOLEN,
};
use super::frame::Termini;
use super::link::{Answers, Consumer, Incoming, Link, Seat};
use super::node::Node;
use super::session::{Session, Shared};
use super::start::Start;
use crate::hub::readers::{Reader, ReaderRefused};

const EPOCH: &str = "com.microsoft:epoch";
const IDEMPOTENT: &str = "com.microsoft:idempotent-producer";
const TELLS_LATEST: &str = "com.microsoft:enable-receiver-runtime-metric";

/// Names of links are answered with, so they are not to be of any size.
const LONGEST_NAME: usize = 1_024;

/// An error ends the session; a link that is refused is none.
pub(super) fn attach_link(
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
