//! The trial of `cargo local chaos`, short; and that it can fail.

use std::time::Duration;

use local::azurite::FaultyStorage;
use local::chaos::{self, Length, Outages, Outcome, TrialOptions};
use local::host::LogSink;
use local::otlp::Telemetry;
use local::system::{System, SystemOptions};

use crate::support::{binary, repository, storage};

/// A trial with outages short enough for a test, and longer than the handler's clients try again by themselves.
async fn trial(seed: u64, events: u64, extra: &[(&str, &str)]) -> Outcome {
    let direct = storage();
    let faulty = FaultyStorage::before(&direct).await.unwrap();
    let telemetry = Telemetry::start(Some(0), None).await.unwrap();
    let mut settings = chaos::settings(&faulty);
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", telemetry.url()),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
    ] {
        settings.insert(name.to_owned(), value);
    }
    for (name, value) in extra {
        settings.insert((*name).to_owned(), (*value).to_owned());
    }
    let mut system = System::start(SystemOptions {
        binary: binary(),
        source: repository(),
        app_root: None,
        storage: direct,
        partitions: 4,
        ports: Default::default(),
        settings,
        log: LogSink::new(|line| eprintln!("{line}")),
        unlimited_restarts: true,
    })
    .await
    .unwrap_or_else(|error| panic!("{error}"));
    let options = TrialOptions {
        seed,
        length: Length::Events(events),
        rate: None,
        outages: Outages {
            shortest: Duration::from_millis(700),
            longest: Duration::from_millis(1_500),
            partial: 0.0,
        },
    };
    let progress = |sent, behind, what: &str| eprintln!("{sent} sent, {behind} behind: {what}");
    let outcome = chaos::try_system(&mut system, &faulty, Some(&telemetry), options, progress)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{outcome}");
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_goes_back_whatever_fails() {
    let outcome = trial(1, 12_000, &[]).await;
    assert_eq!(outcome.differences, Vec::<String>::new());
    assert_eq!(outcome.sent, 12_000);
    assert_eq!(outcome.applied + outcome.dead_lettered, outcome.sent);
    assert_eq!(outcome.archived, outcome.sent);
    // Otherwise the trial would prove nothing.
    assert!(outcome.requests_met > 0 && outcome.failed_calls > 0);
    assert!(outcome.archive_repeats > 0, "nothing came again");
    assert!(outcome.dead_lettered > 50 && outcome.alert_messages > 20);
    // What was not reported any more is little, or metrics would agree with anything.
    let metrics = outcome.metrics.unwrap();
    assert!(metrics.figures >= 10, "{metrics}");
    assert!(metrics.unreported < outcome.sent * 3 / 2, "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_finds_what_a_missing_function_leaves_undone() {
    let outcome = trial(
        2,
        300,
        &[
            ("AzureWebJobs.ArchiveTelemetry.Disabled", "true"),
            ("AzureWebJobs.AdvanceWatermarks.Disabled", "true"),
        ],
    )
    .await;
    assert_eq!((outcome.archived, outcome.lost), (0, 300));
    let [difference] = &outcome.differences[..] else {
        panic!("{:?}", outcome.differences);
    };
    assert!(
        difference.starts_with("300 events are not in the archive: 0:0, 0:1, 0:2"),
        "{difference}"
    );
}
