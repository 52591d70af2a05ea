//! What the host does when the handler's process ends.

use std::time::{Duration, Instant};

/// The exit code of a handler that wants to be started again.
const RESTART_PLEASE: i32 = 200;

/// Errors with a longer gap than this between them do not add up.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30 * 60);

/// The error that stops the host.
const LAST_ERROR: u32 = 3;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself, with its exit code; `None` for a signal, or where it did not even start.
    Exit(Option<i32>),
    /// The host killed it, because a call outlived functionTimeout.
    TimedOut,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Restart,
    /// Exit code 0: every later call is refused.
    Refuse,
    /// The third error: the host stops.
    StopHost,
}

#[derive(Debug)]
pub(crate) struct RestartPolicy {
    unlimited: bool,
    errors: u32,
    last_error: Option<Instant>,
}

impl RestartPolicy {
    /// `unlimited`: errors never stop the host.
    pub(crate) fn new(unlimited: bool) -> Self {
        Self {
            unlimited,
            errors: 0,
            last_error: None,
        }
    }

    pub(crate) fn after(&mut self, end: End, now: Instant) -> Next {
        match end {
            End::Exit(Some(0)) => return Next::Refuse,
            End::Exit(Some(RESTART_PLEASE)) | End::TimedOut => return Next::Restart,
            End::Exit(_) => {}
        }
        let forgiven = self
            .last_error
            .is_some_and(|last| now.duration_since(last) > FORGIVEN_AFTER);
        self.errors = if forgiven { 1 } else { self.errors + 1 };
        self.last_error = Some(now);
        if self.errors >= LAST_ERROR && !self.unlimited {
            Next::StopHost
        } else {
            Next::Restart
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: End = End::Exit(None);

    #[test]
    fn the_third_error_stops_the_host() {
        let mut policy = RestartPolicy::new(false);
        let now = Instant::now();
        assert_eq!(policy.after(CRASH, now), Next::Restart);
        assert_eq!(policy.after(End::Exit(Some(1)), now), Next::Restart);
        assert_eq!(policy.after(CRASH, now), Next::StopHost);
    }

    #[test]
    fn a_gap_of_half_an_hour_forgives_what_was_before() {
        let mut policy = RestartPolicy::new(false);
        let now = Instant::now();
        policy.after(CRASH, now);
        policy.after(CRASH, now);
        let later = now + FORGIVEN_AFTER + Duration::from_secs(1);
        assert_eq!(policy.after(CRASH, later), Next::Restart);
        assert_eq!(policy.after(CRASH, later), Next::Restart);
        assert_eq!(policy.after(CRASH, later), Next::StopHost);
    }

    #[test]
    fn exit_code_200_and_time_outs_are_no_errors() {
        let mut policy = RestartPolicy::new(false);
        for _ in 0..10 {
            assert_eq!(
                policy.after(End::Exit(Some(200)), Instant::now()),
                Next::Restart
            );
            assert_eq!(policy.after(End::TimedOut, Instant::now()), Next::Restart);
        }
    }

    #[test]
    fn exit_code_0_is_for_good() {
        assert_eq!(
            RestartPolicy::new(true).after(End::Exit(Some(0)), Instant::now()),
            Next::Refuse
        );
    }

    #[test]
    fn unlimited_restarts_never_stop_the_host() {
        let mut policy = RestartPolicy::new(true);
        for _ in 0..10 {
            assert_eq!(policy.after(CRASH, Instant::now()), Next::Restart);
        }
    }
}
