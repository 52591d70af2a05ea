//! One trial: sends, disturbs, waits until everything has calmed down, and judges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use drone_delivery::domain::Intake;
use drone_delivery::domain::alerts::{AlertSettings, Rules};
use drone_delivery::stores::alerts::snapshot_name;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use time::UtcDateTime;
use tokio::time::{Instant, sleep, sleep_until};

use super::collector::Collector;
use super::expected::Expected;
use super::outcome::Outcome;
use super::plan::{Disturbance, Outages, Plan, Service};
use super::regression::Watch;
use super::traffic::Traffic;
use super::verdict::Verdict;
use crate::azurite::{FaultyStorage, StorageError, StorageService};
use crate::fault::FaultPlan;
use crate::host::{Host, HostError};
use crate::hub::Retention;
use crate::insights::fresh;
use crate::otlp::{Reading, Telemetry};
use crate::system::{ALERT_STATE, DRONES, HUB, System, UNITS};

/// A consumer group may be this many events behind, and no more than an eighth of all, before the traffic
/// waits for it: enough that one partition in back-off does not hold up the others, and not all sent before anything
/// is done.
const MOST_BEHIND: u64 = 100_000;

/// Events between two looks at the time.
const SLICE: u64 = 100;

/// How often the end of an outage is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Events between two disturbances where the time decides how many there are.
const BETWEEN: u64 = 1_000;

/// The function that is killed and switched off by itself.
const ALERTING: &str = "RaiseAlerts";

/// Some clocks were never set.
const INTAKE: Intake = Intake {
    device_required: false,
    earliest: None,
};

/// The functions that make the insights.
const SUMMARIZE_DELIVERIES: &str = "SummarizeDeliveries";
const SUMMARIZE_HOUR: &str = "SummarizeHour";

/// Before and after a time without alerts.
const A_MINUTE: Duration = Duration::from_secs(60);

/// A call comes sooner than this wherever there is anything to do.
const LONGEST_WAIT_FOR_A_CALL: Duration = Duration::from_secs(2);

/// How long the functions may take to get over it. The host's back-off goes up to a minute.
const SETTLE: Duration = Duration::from_secs(300);

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct TrialOptions {
    /// Chooses traffic and disturbances.
    pub seed: u64,
    /// How much.
    pub length: Length,
    /// Events a second at most, above 0; `None` where nothing but the functions holds them up.
    pub rate: Option<f64>,
    /// What outages are like.
    pub outages: Outages,
}

/// How long a trial goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// For so many events.
    Events(u64),
    /// For so long, plus the time to calm down.
    Time(Duration),
    /// RaiseAlerts is switched off for so long, with a minute before and after, and nothing else goes wrong.
    AlertsOff(Duration),
}

/// A trial could not be brought to its end. What it would have found is unknown.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// A host did not start.
    #[error(transparent)]
    Host(#[from] HostError),
    /// A store could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The rules' settings are wrong.
    #[error(transparent)]
    Rules(#[from] drone_delivery::domain::alerts::SettingError),
    /// Somebody watches Cosmos DB already.
    #[error("this system has been through a trial before: start another one")]
    Used,
}

/// Runs a trial on a system that nobody else uses and that reaches its storage through `storage`. Ticks come while
/// events do, as drones fall silent.
///
/// What comes to `telemetry` is held against what was counted.
///
/// `progress` is told now and then how many events were sent, how many the slowest function is behind, and
/// what is going on.
///
/// # Errors
/// Where something of the trial itself fails. What the system does wrong is in the outcome.
pub async fn run(
    system: &mut System,
    storage: &FaultyStorage,
    telemetry: Option<&Telemetry>,
    options: TrialOptions,
    progress: impl FnMut(u64, u64, &str),
) -> Result<Outcome, TrialError> {
    let watch = Arc::new(Watch::default());
    let watcher = Arc::clone(&watch);
    system
        .cosmos
        .watch_writes(Box::new(move |container, item| {
            if container == DRONES {
                watcher.written(item);
            }
        }))
        .map_err(|_| TrialError::Used)?;
    let rules = Rules::new(&AlertSettings::from_all(system.settings().clone()))?;
    let collector = Collector::start(system.storage.clone());
    let began = Instant::now();
    let mut trial = Trial {
        expected: Expected::new(rules, system.hub.partitions()),
        system,
        storage,
        traffic: Traffic::new(options.seed),
        outages: BTreeMap::new(),
        second: None,
        alerts_off: None,
        stuck: None,
        pace: options.rate.map(Pace::new),
        done: BTreeMap::new(),
        calls: Calls::default(),
        most_behind: match options.length {
            Length::Events(events) => MOST_BEHIND.min(events / 8),
            Length::Time(_) => MOST_BEHIND,
            Length::AlertsOff(_) => u64::MAX,
        },
        progress,
    };
    trial.system.hub.set_retention(Retention::Everything);
    trial.disturb_and_send(options, began).await?;
    trial.calm_down().await?;
    trial.say("settling");
    // With it, the ticks end: the time of the log stands still, and what it comes to can be counted.
    trial.count_calls_of_host();
    // The insights are looked at once all else is done.
    let summarised = trial.summarised();
    let switched_off =
        ["AdvanceWatermarks", SUMMARIZE_HOUR, SUMMARIZE_DELIVERIES].map(|name| (name, false));
    trial.system.switch(&switched_off).await?;
    let patience = match options.length {
        // What has waited for so long is not done at once.
        Length::AlertsOff(off) => SETTLE + off,
        _ => SETTLE,
    };
    let unsettled = trial.system.host.settled(patience).await.err();
    trial.count_calls_of_host();
    if let Some(telemetry) = telemetry {
        // The next host is another process.
        Reading::after(telemetry, trial.system.host.worker()).await;
    }
    // What hosts had in their hands that were killed stays hidden for ten minutes. It is planned again.
    trial.system.storage.clear_queue(UNITS).await?;
    let mut switched_on = vec![(SUMMARIZE_DELIVERIES, true), (SUMMARIZE_HOUR, true)];
    switched_on.retain(|_| summarised);
    trial.system.switch(&switched_on).await?;

    trial.say("counting");
    let Trial {
        mut expected,
        system,
        done,
        calls,
        ..
    } = trial;
    expected.finish(&system.hub);
    let took = began.elapsed();
    let mut verdict = Verdict::of(system, &expected, collector.finish().await?).await?;
    let mut metrics = None;
    if let Some(telemetry) = telemetry {
        let agreement = verdict.agreement(system, &expected, telemetry).await;
        for difference in &agreement.differences {
            verdict.differ("metrics contradict what was counted", difference);
        }
        metrics = Some(agreement);
    }
    for sentence in watch.went_back() {
        verdict.differ("states went back", &sentence);
    }
    let mut insight_files = 0;
    if summarised {
        let since = UtcDateTime::now() - took;
        match fresh::compare(system, since, INTAKE, SETTLE).await {
            Ok(compared) => {
                insight_files = compared.files;
                for (what, example) in &compared.differences {
                    verdict.differ(what, example);
                }
            }
            Err(error) => verdict.differ("the insights could not be looked at", &error.to_string()),
        }
    }
    if let Some(unsettled) = unsettled {
        verdict.differ("the functions did not catch up", &unsettled.to_string());
    }
    Ok(Outcome {
        seed: options.seed,
        took_seconds: took.as_secs(),
        disturbances: done,
        requests_met: system.cosmos.faults() + storage.faults(),
        calls: calls.calls,
        failed_calls: calls.failures,
        handler_starts: calls.starts,
        sent: expected.sent,
        applied: verdict.applied,
        dead_lettered: verdict.dead_lettered,
        archived: verdict.archived,
        archive_repeats: verdict.repeats.archived,
        dead_letter_repeats: verdict.repeats.dead_letters,
        lost: verdict.lost,
        drones: expected.drones.len() as u64,
        states_that_went_back: watch.went_back().len() as u64,
        alerts: expected.alerts.len() as u64,
        alert_messages: expected.messages.len() as u64,
        alert_message_repeats: verdict.repeats.alerts,
        missing_alerts: verdict.missing_alerts,
        insight_files,
        metrics,
        differences: verdict.differences(),
    })
}

struct Trial<'a, P> {
    system: &'a mut System,
    storage: &'a FaultyStorage,
    traffic: Traffic,
    expected: Expected,
    /// When the present outage of each service ends.
    outages: BTreeMap<Service, Instant>,
    /// Until when RaiseAlerts is switched off.
    alerts_off: Option<Instant>,
    /// Whose snapshot cannot be had, and until when.
    stuck: Option<(String, Instant)>,
    pace: Option<Pace>,
    /// Until when there are two hosts.
    second: Option<(Host, Instant)>,
    /// How often what was done.
    done: BTreeMap<String, u64>,
    calls: Calls,
    most_behind: u64,
    progress: P,
}

/// The figures of all hosts.
#[derive(Default)]
struct Calls {
    calls: u64,
    failures: u64,
    starts: u64,
}

impl Calls {
    fn add(&mut self, host: &Host) {
        for stats in host.stats().values() {
            self.calls += stats.calls;
            self.failures += stats.failures;
        }
        self.starts += 1 + host.handler().restarts;
    }
}

impl<P: FnMut(u64, u64, &str)> Trial<'_, P> {
    async fn disturb_and_send(
        &mut self,
        options: TrialOptions,
        began: Instant,
    ) -> Result<(), TrialError> {
        let mut plan = Plan::new(options.seed, options.outages);
        let mut next = move || plan.next();
        match options.length {
            Length::Events(events) => {
                let disturbances = disturbances(events);
                let between = events / disturbances;
                for _ in 0..disturbances {
                    self.disturb(next()).await?;
                    self.send(between).await?;
                }
                self.send(events - between * disturbances).await
            }
            Length::Time(time) => {
                while began.elapsed() < time {
                    self.disturb(next()).await?;
                    self.send(BETWEEN).await?;
                }
                Ok(())
            }
            Length::AlertsOff(off) => {
                let end = began + A_MINUTE + off + A_MINUTE;
                let mut disturbed = false;
                while Instant::now() < end {
                    if !disturbed && began.elapsed() >= A_MINUTE {
                        disturbed = true;
                        self.disturb(Some(Disturbance::AlertsOff(off))).await?;
                    }
                    self.send(SLICE).await?;
                    self.say("events go on");
                }
                Ok(())
            }
        }
    }

    async fn disturb(&mut self, disturbance: Option<Disturbance>) -> Result<(), TrialError> {
        let Some(disturbance) = disturbance else {
            return Ok(());
        };
        let name = disturbance.to_string();
        self.say(&name);
        match disturbance {
            Disturbance::KillHandler => self.system.host.kill_handler(),
            Disturbance::KillInRaiseAlerts(after) => self.kill_in(ALERTING, after).await,
            Disturbance::AlertsOff(lasts) => {
                while self.alerts_off.is_some() {
                    self.wait().await?;
                }
                self.count_calls_of_host();
                self.system.switch_off(ALERTING).await?;
                self.alerts_off = Some(Instant::now() + lasts);
            }
            Disturbance::StuckPartition {
                choice,
                fault,
                lasts,
            } => {
                while self.stuck.is_some() {
                    self.wait().await?;
                }
                let partition = choice % self.system.hub.partitions();
                let blob = snapshot_name(HUB, &partition.to_string());
                let blob = format!("/{ALERT_STATE}/{blob}");
                self.storage
                    .set_fault_plan_of_blob(&blob, Some(fault.into()));
                self.stuck = Some((blob, Instant::now() + lasts));
            }
            Disturbance::KillHost => {
                self.count_calls_of_host();
                self.system.replace_host().await?;
            }
            Disturbance::SecondHost(lasts) => {
                while self.second.is_some() {
                    self.wait().await?;
                }
                let host = self.system.second_host().await?;
                self.second = Some((host, Instant::now() + lasts));
            }
            Disturbance::Redeliver { choice, events } => self.redeliver(choice, events),
            Disturbance::Outage {
                service,
                plan,
                lasts,
            } => {
                while self.outages.contains_key(&service) {
                    self.wait().await?;
                }
                self.set_fault(service, Some(plan));
                self.outages.insert(service, Instant::now() + lasts);
            }
        }
        *self.done.entry(name).or_default() += 1;
        Ok(())
    }

    /// Half of the partitions of half of the groups, and one at least.
    fn redeliver(&self, choice: u64, events: u64) {
        let hub = &self.system.hub;
        let mut rng = StdRng::seed_from_u64(choice);
        let mut chosen = BTreeSet::new();
        for group in hub.groups() {
            for partition in 0..hub.partitions() {
                if chosen.is_empty() || rng.random_ratio(1, 4) {
                    chosen.insert((group.clone(), partition));
                }
            }
        }
        for (group, partition) in chosen {
            hub.rewind(&group, partition, events);
        }
    }

    async fn send(&mut self, events: u64) -> Result<(), TrialError> {
        let mut left = events;
        while left > 0 {
            while self.behind() > self.most_behind {
                self.wait().await?;
            }
            let slice = left.min(SLICE);
            if let Some(pace) = &mut self.pace {
                sleep_until(pace.next(slice)).await;
            }
            for _ in 0..slice {
                let sent = self.traffic.next(UtcDateTime::now());
                let position = self.system.hub.append(sent.event());
                self.expected.note(sent, &position);
            }
            left -= slice;
            self.end_what_is_over().await?;
            // Everything else runs on the same two cores.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Result<(), TrialError> {
        sleep(LOOK_EVERY).await;
        self.end_what_is_over().await
    }

    /// Kills the handler so long after a call of a function has begun; where none does, it is killed all the same.
    async fn kill_in(&self, function: &str, after: Duration) {
        let host = &self.system.host;
        let calls = || host.stats().get(function).map_or(0, |stats| stats.calls);
        let (before, patience) = (calls(), Instant::now() + LONGEST_WAIT_FOR_A_CALL);
        while calls() == before && Instant::now() < patience {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(after).await;
        host.kill_handler();
    }

    /// Whether the insights are made at all in this trial.
    fn summarised(&self) -> bool {
        let settings = self.system.settings();
        [SUMMARIZE_DELIVERIES, SUMMARIZE_HOUR].iter().all(|name| {
            let disabled = settings.get(&format!("AzureWebJobs.{name}.Disabled"));
            disabled.is_none_or(|disabled| disabled != "true")
        })
    }

    async fn calm_down(&mut self) -> Result<(), TrialError> {
        while !self.outages.is_empty()
            || self.second.is_some()
            || self.alerts_off.is_some()
            || self.stuck.is_some()
        {
            self.wait().await?;
        }
        Ok(())
    }

    async fn end_what_is_over(&mut self) -> Result<(), TrialError> {
        let now = Instant::now();
        if self.alerts_off.take_if(|end| now >= *end).is_some() {
            self.count_calls_of_host();
            self.system.switch_on(ALERTING).await?;
        }
        if let Some((blob, _)) = self.stuck.take_if(|(_, end)| now >= *end) {
            self.storage.set_fault_plan_of_blob(&blob, None);
        }
        let over: Vec<Service> = self
            .outages
            .iter()
            .filter(|(_, end)| now >= **end)
            .map(|(service, _)| *service)
            .collect();
        for service in over {
            self.outages.remove(&service);
            self.set_fault(service, None);
        }
        if self.second.as_ref().is_some_and(|(_, end)| now >= *end)
            && let Some((host, _)) = self.second.take()
        {
            self.calls.add(&host);
            host.stop().await;
            // The remaining host gets the partitions back, as they were left.
            let hub = &self.system.hub;
            for group in hub.groups() {
                for partition in 0..hub.partitions() {
                    hub.rewind(&group, partition, 0);
                }
            }
        }
        Ok(())
    }

    fn set_fault(&self, service: Service, plan: Option<FaultPlan>) {
        match service {
            Service::Cosmos => self.system.cosmos.set_fault_plan(plan),
            Service::Blobs => self.storage.set_fault_plan(StorageService::Blob, plan),
            Service::Queues => self.storage.set_fault_plan(StorageService::Queue, plan),
        }
    }

    fn behind(&self) -> u64 {
        let hub = &self.system.hub;
        let lags = hub.groups().into_iter().map(|group| hub.lag(&group));
        lags.max().unwrap_or_default()
    }

    fn count_calls_of_host(&mut self) {
        self.calls.add(&self.system.host);
    }

    fn say(&mut self, what: &str) {
        let behind = self.behind();
        (self.progress)(self.expected.sent, behind, what);
    }
}

/// Lets so many events a second through.
struct Pace {
    rate: f64,
    next: Instant,
}

impl Pace {
    fn new(rate: f64) -> Self {
        Self {
            rate,
            next: Instant::now(),
        }
    }

    /// When the next `events` may go. What was missed while the trial did something else is made good.
    fn next(&mut self, events: u64) -> Instant {
        let now = self.next;
        self.next += Duration::from_secs_f64(events as f64 / self.rate);
        now
    }
}

/// How many disturbances so many events are sent among: whole rounds of every kind.
fn disturbances(events: u64) -> u64 {
    const EVENTS_A_ROUND: u64 = 150_000;
    events.div_ceil(EVENTS_A_ROUND).max(1) * Plan::KINDS
}
