//! What the handler's processes use of CPU and memory, one after the other.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// How often the memory is looked at. Where the system keeps the peak itself, as Linux does, nothing between two looks is missed.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Usage {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// `None` where this system does not say what processes use; every figure is then 0.
    system: Option<System>,
    pid: Option<u32>,
    /// The CPU time of the processes that have ended, as last seen.
    ended_cpu: Duration,
    sample: Sample,
}

/// Usage up to now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Of all processes so far.
    pub cpu: Duration,
    /// Of the current process; 0 without one.
    pub rss_bytes: u64,
    /// Over all processes so far.
    pub peak_rss_bytes: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                system: System::new().ok(),
                pid: None,
                ended_cpu: Duration::ZERO,
                sample: Sample::default(),
            }),
        }
    }
}

impl Usage {
    /// A process has started.
    pub(crate) fn attach(&self, pid: u32) {
        let mut state = self.lock();
        state.ended_cpu = state.sample.cpu;
        state.pid = Some(pid);
    }

    /// The process has ended. What it used since the last sample is not known any more.
    pub(crate) fn detach(&self) {
        let mut state = self.lock();
        state.pid = None;
        state.sample.rss_bytes = 0;
    }

    /// Looks again.
    pub(crate) fn sample(&self) -> Sample {
        let state = &mut *self.lock();
        let (Some(pid), Some(system)) = (state.pid, &mut state.system) else {
            return state.sample;
        };
        let key = Pid::from_u32(pid);
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[key]),
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory(),
        );
        if let Some(process) = system.process(key) {
            let cpu = state.ended_cpu + Duration::from_millis(process.accumulated_cpu_time());
            state.sample.cpu = state.sample.cpu.max(cpu);
            // A process that has ended and was not waited for yet has no memory any more.
            state.sample.rss_bytes = process.memory();
            let peak = high_water_mark(pid)
                .unwrap_or_default()
                .max(process.memory());
            state.sample.peak_rss_bytes = state.sample.peak_rss_bytes.max(peak);
        }
        state.sample
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The most that a process has had in memory since a moment.
#[derive(Debug)]
pub(crate) struct PeakMemory {
    pid: u32,
}

impl PeakMemory {
    /// Linux begins the peak that it keeps anew; writing 5 to this file asks for it, says proc(5).
    pub(crate) fn from_now_on(pid: u32) -> Self {
        _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
        Self { pid }
    }

    /// `None` on other systems, and where the process has ended.
    pub(crate) fn bytes(&self) -> Option<u64> {
        high_water_mark(self.pid)
    }
}

/// The peak that Linux keeps, in bytes; `None` on other systems.
fn high_water_mark(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_process_has_memory_and_its_peak_outlives_it() {
        let usage = Usage::default();
        assert_eq!(usage.sample().rss_bytes, 0);
        usage.attach(std::process::id());
        let sample = usage.sample();
        assert!(
            sample.rss_bytes > 0 && sample.peak_rss_bytes >= sample.rss_bytes,
            "{sample:?}"
        );
        usage.detach();
        assert_eq!(usage.sample().rss_bytes, 0);
        assert_eq!(usage.sample().peak_rss_bytes, sample.peak_rss_bytes);
    }
}
