//! What goes wrong, and in which order: the same for the same seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use crate::fault::{Fault, FaultPlan};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// The handler's process gets a SIGKILL.
    KillHandler,
    /// The same in the middle of a call of RaiseAlerts, so long after its beginning: between its snapshot, its records and
    /// its answer.
    KillInRaiseAlerts(Duration),
    /// RaiseAlerts is switched off for so long. Events wait for it meanwhile, and time with them.
    AlertsOff(Duration),
    /// The snapshot of one partition cannot be had: RaiseAlerts stands still there, and only there.
    StuckPartition {
        /// Chooses the partition.
        choice: u16,
        /// What goes wrong with each request for it.
        fault: Fault,
        /// For how long.
        lasts: Duration,
    },
    /// The host ends in mid-call, and its handler with it; others take their place.
    KillHost,
    /// A second host holds every partition as well, for so long.
    SecondHost(Duration),
    /// Consumer groups lose partitions and begin again further back: batches come again, with other
    /// boundaries.
    Redeliver {
        /// Chooses groups and partitions.
        choice: u64,
        /// How many events come again, in each of them.
        events: u64,
    },
    /// A service answers wrongly, late or not at all.
    Outage {
        /// Which.
        service: Service,
        /// What goes wrong with which requests.
        plan: FaultPlan,
        /// For how long.
        lasts: Duration,
    },
}

/// What the handler and the host depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Cosmos DB.
    Cosmos,
    /// Blob storage.
    Blobs,
    /// Queue storage.
    Queues,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Cosmos => "Cosmos DB",
            Self::Blobs => "blobs",
            Self::Queues => "queues",
        }
    }
}

/// Of one kind, for the table of what was done.
impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KillHandler => f.write_str("handler killed"),
            Self::KillInRaiseAlerts(_) => f.write_str("handler killed in RaiseAlerts"),
            Self::AlertsOff(_) => f.write_str("RaiseAlerts switched off"),
            Self::StuckPartition { .. } => f.write_str("a partition stuck"),
            Self::KillHost => f.write_str("host killed"),
            Self::SecondHost(_) => f.write_str("second host"),
            Self::Redeliver { .. } => f.write_str("batches redelivered"),
            Self::Outage { service, plan, .. } => {
                let name = service.name();
                match plan.fault {
                    Fault::Status(status) => write!(f, "{name} answered {status}"),
                    Fault::Hang => write!(f, "{name} hung"),
                    Fault::Reset => write!(f, "{name} broke connections"),
                    Fault::LostAnswer => write!(f, "{name} lost answers"),
                    Fault::Slow(_) => write!(f, "{name} slow"),
                }
            }
        }
    }
}

/// What outages are like.
#[derive(Debug, Clone, Copy)]
pub struct Outages {
    /// They last so long at least.
    pub shortest: Duration,
    /// And so long at most, but for one in eight, which lasts three times as long.
    pub longest: Duration,
    /// The share of those that meet one request in a few instead of all, 0 to 1.
    pub partial: f64,
}

/// An endless series of disturbances: every kind once, shuffled, and then again.
pub struct Plan {
    rng: StdRng,
    outages: Outages,
    round: Vec<Disturbance>,
}

impl Plan {
    /// How many disturbances there are before a kind comes again.
    pub const KINDS: u64 = 24;

    /// The plan of a seed.
    pub fn new(seed: u64, outages: Outages) -> Self {
        Self {
            rng: StdRng::seed_from_u64(seed),
            outages,
            round: Vec::new(),
        }
    }

    fn every_kind(&mut self) -> Vec<Disturbance> {
        let rng = &mut self.rng;
        let mut round = vec![
            Disturbance::KillHandler,
            Disturbance::KillHost,
            Disturbance::SecondHost(length(rng, self.outages)),
            Disturbance::Redeliver {
                choice: rng.random(),
                events: rng.random_range(1..=500),
            },
            Disturbance::KillInRaiseAlerts(Duration::from_micros(rng.random_range(0..=30_000))),
            Disturbance::AlertsOff(length(rng, self.outages)),
            Disturbance::StuckPartition {
                choice: rng.random(),
                fault: match rng.random_ratio(1, 2) {
                    true => Fault::Status(503),
                    false => Fault::LostAnswer,
                },
                lasts: 3 * length(rng, self.outages),
            },
        ];
        let slow =
            |rng: &mut StdRng| Fault::Slow(Duration::from_millis(rng.random_range(50..=500)));
        for (service, faults) in [
            (
                Service::Cosmos,
                vec![
                    Fault::Status(429),
                    Fault::Status(500),
                    Fault::Status(503),
                    Fault::Hang,
                    Fault::Reset,
                    Fault::LostAnswer,
                    slow(rng),
                ],
            ),
            (
                Service::Blobs,
                vec![
                    Fault::Status(503),
                    Fault::Hang,
                    Fault::Reset,
                    Fault::LostAnswer,
                    slow(rng),
                ],
            ),
            (
                Service::Queues,
                vec![
                    Fault::Status(500),
                    Fault::Hang,
                    Fault::Reset,
                    Fault::LostAnswer,
                    slow(rng),
                ],
            ),
        ] {
            for fault in faults {
                let one_in = match rng.random_bool(1.0 - self.outages.partial) {
                    true => 1,
                    false => rng.random_range(2..=10),
                };
                round.push(Disturbance::Outage {
                    service,
                    plan: FaultPlan { fault, one_in },
                    lasts: length(rng, self.outages),
                });
            }
        }
        round.shuffle(rng);
        round
    }
}

fn length(rng: &mut StdRng, outages: Outages) -> Duration {
    let length = rng.random_range(outages.shortest..=outages.longest);
    match rng.random_ratio(1, 8) {
        true => length * 3,
        false => length,
    }
}

impl Iterator for Plan {
    type Item = Disturbance;

    fn next(&mut self) -> Option<Disturbance> {
        if self.round.is_empty() {
            self.round = self.every_kind();
        }
        self.round.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const OUTAGES: Outages = Outages {
        shortest: Duration::from_secs(1),
        longest: Duration::from_secs(3),
        partial: 0.5,
    };

    fn first_round(seed: u64) -> Vec<Disturbance> {
        Plan::new(seed, OUTAGES)
            .take(Plan::KINDS as usize)
            .collect()
    }

    #[test]
    fn every_kind_comes_once_before_one_comes_again() {
        let mut plan = Plan::new(1, OUTAGES);
        for _ in 0..3 {
            let kinds: BTreeSet<String> = plan
                .by_ref()
                .take(Plan::KINDS as usize)
                .map(|disturbance| disturbance.to_string())
                .collect();
            assert_eq!(kinds.len() as u64, Plan::KINDS, "{kinds:?}");
        }
    }

    #[test]
    fn a_seed_gives_its_plan_and_another_one_another() {
        assert_eq!(first_round(7), first_round(7));
        assert_ne!(first_round(7), first_round(8));
    }
}
