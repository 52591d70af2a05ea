//! What each process and the machine as a whole spend, from one moment to another.

use std::time::{Duration, Instant};

use crate::host::usage::Usage;

/// The processes of a system.
pub(super) struct Processes {
    pub(super) handler: Usage,
    pub(super) azurite: Usage,
    /// Hub, host, Cosmos DB emulator and drones.
    pub(super) this: Usage,
}

/// CPU time of everybody up to a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Instant,
    handler: Duration,
    azurite: Duration,
    this: Duration,
    /// Busy and all CPU time of the machine, in its own unit; `None` where it does not tell.
    machine: Option<(u64, u64)>,
}

/// Cores in use between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cores {
    pub(super) handler: f64,
    pub(super) azurite: f64,
    pub(super) this: f64,
    /// Of the whole machine, other programs included.
    pub(super) busy: Option<f64>,
    pub(super) available: f64,
}

impl Processes {
    pub(super) fn of(handler: u32, azurite: u32) -> Self {
        let attach = |pid| {
            let usage = Usage::default();
            usage.attach(pid);
            usage
        };
        Self {
            handler: attach(handler),
            azurite: attach(azurite),
            this: attach(std::process::id()),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment {
            at: Instant::now(),
            handler: self.handler.sample().cpu,
            azurite: self.azurite.sample().cpu,
            this: self.this.sample().cpu,
            machine: machine(),
        }
    }
}

impl Moment {
    /// CPU time of the handler since an earlier moment.
    pub(super) fn handler_since(&self, earlier: &Self) -> Duration {
        self.handler.saturating_sub(earlier.handler)
    }

    pub(super) fn since(&self, earlier: &Self) -> Cores {
        let seconds = (self.at - earlier.at).as_secs_f64().max(0.001);
        let cores =
            |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() / seconds;
        let available = std::thread::available_parallelism().map_or(1, |count| count.get()) as f64;
        let busy = match (self.machine, earlier.machine) {
            (Some((busy, all)), Some((busy_then, all_then))) if all > all_then => {
                Some(busy.saturating_sub(busy_then) as f64 / (all - all_then) as f64 * available)
            }
            _ => None,
        };
        Cores {
            handler: cores(self.handler, earlier.handler),
            azurite: cores(self.azurite, earlier.azurite),
            this: cores(self.this, earlier.this),
            busy,
            available,
        }
    }
}

/// The first line of Linux's `/proc/stat`: user, nice, system, idle, iowait and more, since the start.
fn machine() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let times: Vec<u64> = text
        .lines()
        .next()?
        .split_whitespace()
        .skip(1)
        // What guests use is part of user and nice already.
        .take(8)
        .map(|time| time.parse().ok())
        .collect::<Option<_>>()?;
    let all: u64 = times.iter().sum();
    let idle: u64 = times.get(3..5)?.iter().sum();
    Some((all - idle, all))
}

impl Cores {
    /// What other programs use.
    pub(super) fn others(&self) -> Option<f64> {
        let own = self.handler + self.azurite + self.this;
        self.busy.map(|busy| (busy - own).max(0.0))
    }

    /// Which part is the limit, in a sentence. `held` is whether everything that was offered was taken.
    pub(super) fn bottleneck(&self, held: bool) -> String {
        let parts = [
            ("the handler", self.handler),
            ("Azurite", self.azurite),
            (
                "hub, host, Cosmos DB emulator and drones, in one process,",
                self.this,
            ),
            (
                "other programs on this machine",
                self.others().unwrap_or(0.0),
            ),
        ];
        let busy = self.busy.unwrap_or(self.handler + self.azurite + self.this);
        let (name, cores) =
            parts.into_iter().fold(
                ("", 0.0),
                |most, part| if part.1 > most.1 { part } else { most },
            );
        if self.azurite >= 0.9 {
            format!(
                "Azurite: it is one thread, and used {:.2} of one core",
                self.azurite
            )
        } else if busy >= self.available * 0.9 {
            format!(
                "the CPU: {busy:.1} of {:.0} cores in use, most of it by {name} with {cores:.2}",
                self.available
            )
        } else if held {
            format!(
                "none: the rate was held with {:.1} of {:.0} cores idle",
                self.available - busy,
                self.available
            )
        } else {
            format!(
                "waiting, not the CPU: {:.1} of {:.0} cores were idle",
                self.available - busy,
                self.available
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Cores = Cores {
        handler: 0.1,
        azurite: 0.1,
        this: 0.2,
        busy: Some(0.5),
        available: 4.0,
    };

    #[test]
    fn the_bottleneck_is_named() {
        for (cores, held, expected) in [
            (
                IDLE,
                true,
                "none: the rate was held with 3.5 of 4 cores idle",
            ),
            (
                IDLE,
                false,
                "waiting, not the CPU: 3.5 of 4 cores were idle",
            ),
            (
                Cores {
                    azurite: 0.95,
                    ..IDLE
                },
                false,
                "Azurite: it is one thread, and used 0.95 of one core",
            ),
            (
                Cores {
                    handler: 2.5,
                    busy: Some(3.9),
                    ..IDLE
                },
                true,
                "the CPU: 3.9 of 4 cores in use, most of it by the handler with 2.50",
            ),
            (
                Cores {
                    busy: Some(4.0),
                    ..IDLE
                },
                false,
                "the CPU: 4.0 of 4 cores in use, most of it by other programs on this machine with 3.60",
            ),
        ] {
            assert_eq!(cores.bottleneck(held), expected);
        }
    }

    #[test]
    fn a_busy_process_is_seen() {
        let processes = Processes::of(std::process::id(), std::process::id());
        let before = processes.now();
        // CPU times come in hundredths of a second.
        let mut after = processes.now();
        let mut number = 1_u64;
        while after.handler_since(&before) < Duration::from_millis(30) {
            for _ in 0..1_000_000 {
                number = std::hint::black_box(number.wrapping_mul(3));
            }
            after = processes.now();
        }
        let cores = after.since(&before);
        assert!(cores.handler > 0.0 && cores.this > 0.0, "{cores:?}");
    }
}
