//! What a link leads to: the hub, one of its partitions, a partition for a consumer group, or one of the two nodes that answer.

use super::error::{AmqpError, NOT_FOUND};

/// The name of the node that takes tokens.
pub(super) const CBS: &str = "$cbs";

/// The name of the node that tells of hub and partitions.
pub(super) const MANAGEMENT: &str = "$management";

/// The end of a link that is not the client's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Any partition.
    Hub,
    Partition(u16),
    Group {
        name: String,
        partition: u16,
    },
    /// `$cbs` or `$management`.
    Answering(&'static str),
}

impl Node {
    /// What an address says: `HUB/…`, `/HUB/…` or `amqps://host/HUB/…`, as the clients have it.
    pub(super) fn parse(address: &str, hub: &str, partitions: u16) -> Result<Self, AmqpError> {
        let not_found = || {
            let text = format!("the messaging entity '{address}' could not be found");
            AmqpError::new(NOT_FOUND, text)
        };
        let path = match address.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => address,
        };
        let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let partition = |id: &str| {
            let partition = id.parse::<u16>().ok().filter(|id| *id < partitions);
            partition.ok_or_else(|| {
                let last = partitions - 1;
                let text = format!("the hub '{hub}' has no partition '{id}': they are 0 to {last}");
                AmqpError::new(NOT_FOUND, text)
            })
        };
        let is = |word: &str, text: &str| word.eq_ignore_ascii_case(text);
        match segments[..] {
            [node] if is(node, CBS) => Ok(Self::Answering(CBS)),
            [node] if is(node, MANAGEMENT) => Ok(Self::Answering(MANAGEMENT)),
            [name, ref rest @ ..] if is(name, hub) => match *rest {
                [] => Ok(Self::Hub),
                [node] if is(node, MANAGEMENT) => Ok(Self::Answering(MANAGEMENT)),
                [word, id] if is(word, "Partitions") => partition(id).map(Self::Partition),
                [word, group, other, id]
                    if is(word, "ConsumerGroups") && is(other, "Partitions") =>
                {
                    Ok(Self::Group {
                        name: group.to_owned(),
                        partition: partition(id)?,
                    })
                }
                _ => Err(not_found()),
            },
            _ => Err(not_found()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clients_way_to_write_an_address_leads_to_the_same_place() {
        let group = Node::Group {
            name: "$Default".to_owned(),
            partition: 3,
        };
        for (address, node) in [
            ("telemetry", Node::Hub),
            ("amqps://localhost/telemetry", Node::Hub),
            ("/Telemetry/Partitions/2", Node::Partition(2)),
            (
                "telemetry/ConsumerGroups/$Default/Partitions/3",
                group.clone(),
            ),
            (
                "amqps://localhost:5672/telemetry/ConsumerGroups/$Default/Partitions/3",
                group,
            ),
            ("$cbs", Node::Answering(CBS)),
            ("$management", Node::Answering(MANAGEMENT)),
            ("amqps://localhost/$management", Node::Answering(MANAGEMENT)),
        ] {
            assert_eq!(Node::parse(address, "telemetry", 4), Ok(node), "{address}");
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        for address in [
            "",
            "other",
            "telemetry/Partitions/4",
            "telemetry/Partitions/x",
            "telemetry/Partitions/-1",
            "telemetry/ConsumerGroups/g",
            "telemetry/Publishers/p",
            "amqps://localhost",
        ] {
            let error = Node::parse(address, "telemetry", 4).map_err(|error| error.condition);
            assert_eq!(error, Err(NOT_FOUND), "{address}");
        }
    }
}
