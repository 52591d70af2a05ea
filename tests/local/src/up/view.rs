//! What `cargo local up` shows: a live view on a terminal, plain lines elsewhere.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::mpsc;

use super::progress::Snapshot;
use crate::build::is_optimized;
use crate::otlp::Telemetry;
use crate::report::Report;
use crate::services::{Doors, Services};
use crate::system::{HUB, System};

/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Log lines above this many a refresh are only counted: a storm of them would hide what matters.
const LINES_A_REFRESH: usize = 10;

/// One line, now.
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

/// What to look at first, and where everything else is.
pub(super) fn addresses(system: &System, telemetry: Option<&Telemetry>, drones: u32) {
    let (hub, api) = (system.hub_url(), system.api_url());
    println!();
    println!("  1. The map      {api}/map");
    println!("  2. Insights     {api}/insights");
    if drones > 0 {
        println!(
            "  3. A drone      curl {api}/drones/{}",
            simulator::device_id(0)
        );
    } else {
        println!(
            "  3. An event     curl -i -H 'BrokerProperties: {{\"PartitionKey\":\"Simulated.drone-01.35\"}}' \\"
        );
        println!("                    --data-binary @tests/fixtures/telemetry/flight.json {hub}");
        println!("     and then     curl {api}/drones/Simulated.drone-01.35");
    }
    println!();
    what_happens(telemetry);
    println!("  Send an event   POST {hub}");
    println!(
        "  As a device     mqtt://{}  devices/{{deviceId}}/messages/events/",
        system.mqtt_address()
    );
    event_hubs(&system.doors);
    println!("  Health          {api}/health");
    println!("  Cosmos DB       {}", system.cosmos.endpoint());
    println!();
    println!("  Ctrl-C stops everything.");
    println!();
}

fn what_happens(telemetry: Option<&Telemetry>) {
    if let Some(telemetry) = telemetry {
        println!("  What happens    {}", telemetry.url());
    }
}

/// Where the services are, and how a host is started on them.
pub(super) fn services(
    services: &Services,
    telemetry: Option<&Telemetry>,
    settings: &Path,
    command: &str,
) {
    let doors = &services.doors;
    println!();
    what_happens(telemetry);
    println!("  Send an event   POST {}", doors.url());
    println!(
        "  As a device     mqtt://{}  devices/{{deviceId}}/messages/events/",
        doors.mqtt_address()
    );
    event_hubs(doors);
    println!("  Cosmos DB       {}", services.cosmos.endpoint());
    println!("  Settings        {}", settings.display());
    println!("  Host            {command}");
    println!();
    println!("  Ctrl-C stops everything.");
    println!();
}

fn event_hubs(doors: &Doors) {
    let amqp = doors.amqp();
    println!("  Event Hubs      sb://{}  hub {HUB}", amqp.address());
    println!("                  ({})", amqp.connection_string());
}

/// Shows snapshots and what the host and the handler have to say.
pub(super) struct View {
    bar: Option<ProgressBar>,
    lines: mpsc::UnboundedReceiver<String>,
    last_line: Option<Instant>,
}

impl View {
    pub(super) fn new(lines: mpsc::UnboundedReceiver<String>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // The template is a constant; were it wrong, the default style would do.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            lines,
            last_line: None,
        }
    }

    pub(super) fn show(&mut self, snapshot: &Snapshot) {
        self.show_log();
        let text = snapshot.to_string();
        match &self.bar {
            Some(bar) => {
                bar.set_message(text);
                bar.tick();
            }
            None if self
                .last_line
                .is_none_or(|last| last.elapsed() >= LINE_EVERY) =>
            {
                self.last_line = Some(Instant::now());
                println!("{text}");
            }
            None => {}
        }
    }

    /// Lines between the figures.
    pub(super) fn tell(&self, lines: &[String]) {
        for line in lines {
            self.print(line);
        }
    }

    /// Leaves the last figures on the terminal.
    pub(super) fn finish(&mut self) {
        self.show_log();
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
    }

    fn show_log(&mut self) {
        let mut shown = 0;
        let mut more = 0;
        while let Ok(line) = self.lines.try_recv() {
            let Some(line) = worth_showing(&line) else {
                continue;
            };
            if shown < LINES_A_REFRESH {
                shown += 1;
                self.print(&line);
            } else {
                more += 1;
            }
        }
        if more > 0 {
            self.print(&format!("… and {more} more lines"));
        }
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => println!("{line}"),
        }
    }
}

/// What a person wants to see of the log: the host's own lines, and the handler's warnings and errors in
/// plain words. The `Logs` of a call repeat what the handler has said on its console.
fn worth_showing(line: &str) -> Option<String> {
    let (source, text) = line.strip_prefix('[')?.split_once("] ")?;
    if drone_delivery::FUNCTIONS
        .iter()
        .any(|function| function.name == source)
    {
        return None;
    }
    let Ok(serde_json::Value::Object(record)) = serde_json::from_str(text) else {
        return Some(line.to_owned());
    };
    let level = record.get("level")?.as_str()?;
    if !matches!(level, "WARN" | "ERROR") {
        return None;
    }
    let message = record.get("message").and_then(|message| message.as_str());
    let mut shown = format!("[{source}] {level} {}", message.unwrap_or_default());
    for (name, value) in &record {
        if !matches!(
            name.as_str(),
            "timestamp" | "level" | "message" | "target" | "span" | "spans"
        ) {
            shown.push_str(&format!(" {name}={value}"));
        }
    }
    Some(shown)
}

/// The outcome of a counted run.
pub(super) fn report(report: &Report) {
    println!();
    let mut lines = vec![
        ("sent", report.sent.to_string()),
        ("applied", report.applied.to_string()),
        ("dead-lettered", report.dead_lettered.to_string()),
        (
            "archived",
            format!(
                "{} ({} repeats)",
                report.archived, report.archive_duplicates
            ),
        ),
        ("drones", report.drones.to_string()),
        (
            "alerts",
            format!(
                "{} raised, {} cleared ({} repeated messages)",
                report.alerts.raised, report.alerts.cleared, report.alerts.duplicate_messages
            ),
        ),
        ("Cosmos DB writes", report.cosmos_writes.to_string()),
    ];
    if let Some(late) = &report.event_to_state_millis {
        lines.push((
            "event to state",
            format!("p50 {} ms, p99 {} ms", late.p50, late.p99),
        ));
    }
    if let Some(handler) = &report.handler {
        lines.push((
            "handler",
            format!(
                "{} us CPU an event{}, {} MiB at peak, ready after {} ms",
                handler.cpu_micros_per_event,
                if is_optimized() {
                    ""
                } else {
                    ", not optimized"
                },
                handler.rss_mi_b,
                handler.ready_millis
            ),
        ));
    }
    for (name, value) in lines {
        println!("  {name:<17} {value}");
    }
    for day in &report.insights.days {
        println!("  {:<17} {day}", "insights");
    }
    if let Some(agreement) = &report.insights.agreement {
        println!("  {agreement}");
    }
    for fault in &report.faults {
        println!("  FAULT             {fault}");
    }
    println!();
}

#[cfg(test)]
mod tests {
    use super::worth_showing;

    #[test]
    fn warnings_are_shown_once_and_in_words() {
        let console = r#"[handler] {"timestamp":"t","level":"WARN","message":"events dead-lettered","reason":"out-of-range","events":3,"span":{"name":"call"}}"#;
        assert_eq!(
            worth_showing(console).as_deref(),
            Some(r#"[handler] WARN events dead-lettered events=3 reason="out-of-range""#)
        );
        assert_eq!(
            worth_showing("[UpdateDroneState] WARN events dead-lettered"),
            None
        );
        assert_eq!(
            worth_showing(r#"[handler] {"level":"INFO","message":"listening"}"#),
            None
        );
        let host = "[host] the handler ended";
        assert_eq!(worth_showing(host).as_deref(), Some(host));
    }
}
