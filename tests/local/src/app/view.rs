//! What `cargo local up --app DIR` shows: how each function is reached, and then what is logged and put out.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the program's voice"
)]

use std::convert::Infallible;

use serde_json::Value;
use tokio::sync::{broadcast, mpsc};

use super::folder::AppFolder;
use super::run::RunningApp;
use crate::host::HostEvent;
use crate::otlp::Telemetry;

/// So much of an output is shown.
const LONGEST_OUTPUT: usize = 200;

/// One line, now.
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

/// Shows what happens.
pub(super) struct View {
    functions: Vec<String>,
    lines: mpsc::UnboundedReceiver<String>,
    events: broadcast::Receiver<HostEvent>,
}

impl View {
    /// Says how the functions are reached, and shows what happens from now on.
    pub(super) fn new(
        app: &AppFolder,
        running: &RunningApp,
        telemetry: Option<&Telemetry>,
        lines: mpsc::UnboundedReceiver<String>,
    ) -> Self {
        println!();
        for line in addresses(app, running) {
            println!("  {line}");
        }
        if let Some(telemetry) = telemetry {
            println!("  {:<20} {}", "What happens", telemetry.url());
        }
        println!();
        println!("  Ctrl-C stops everything.");
        println!();
        Self {
            functions: app
                .functions
                .iter()
                .map(|function| function.name().to_owned())
                .collect(),
            lines,
            events: running.host.events(),
        }
    }

    /// For ever.
    pub(super) async fn follow(&mut self) -> Infallible {
        loop {
            tokio::select! {
                Some(line) = self.lines.recv() => self.log(&line),
                // Who falls behind has missed some; the next ones are told.
                event = self.events.recv() => if let Ok(HostEvent::QueueOutput { function, queue, value }) = event {
                    for message in messages(&value) {
                        println!("[{function}] into the queue {queue}: {message}");
                    }
                },
            }
        }
    }

    fn log(&self, line: &str) {
        if let Some(line) = shown(line, &self.functions) {
            println!("{line}");
        }
    }

    /// What is left to show, and what became of all calls.
    pub(super) fn finish(&mut self, running: &RunningApp) {
        while let Ok(line) = self.lines.try_recv() {
            self.log(&line);
        }
        for (function, stats) in running.host.stats() {
            println!(
                "{function}: {} calls, {} of them failed",
                stats.calls, stats.failures
            );
        }
    }
}

/// For each function what starts it, as a command where there is one.
fn addresses(app: &AppFolder, running: &RunningApp) -> Vec<String> {
    let host = format!("http://{}", running.host.http_address());
    app.functions
        .iter()
        .map(|function| {
            let (name, trigger) = (function.name(), &function.config.trigger);
            let by_hand = format!("curl -X POST {host}/admin/functions/{name}");
            let how = match trigger.kind.to_ascii_lowercase().as_str() {
                "httptrigger" => {
                    let route = trigger.get("route").unwrap_or(name);
                    format!("{host}/api/{route}")
                }
                "queuetrigger" => format!("{by_hand} -d '{{\"input\":\"a message\"}}'"),
                "timertrigger" => by_hand,
                "eventhubtrigger" => match &running.hub {
                    Some((hub, address)) => format!(
                        "curl -d 'an event' http://{address}/{}/messages",
                        hub.name()
                    ),
                    None => "switched off".to_owned(),
                },
                other => other.to_owned(),
            };
            format!("{name:<20} {how}")
        })
        .collect()
}

/// A line of the log in plain words. The `Logs` of a call repeat what the handler has said on its console.
fn shown(line: &str, functions: &[String]) -> Option<String> {
    let (source, text) = line.strip_prefix('[')?.split_once("] ")?;
    if functions.iter().any(|function| function == source) {
        return None;
    }
    let Ok(Value::Object(record)) = serde_json::from_str(text) else {
        return Some(line.to_owned());
    };
    let level = record.get("level")?.as_str()?;
    let message = record.get("message").and_then(Value::as_str);
    let call = record
        .get("span")
        .and_then(|span| span["function"].as_str());
    let mut shown = format!(
        "[{}] {level} {}",
        call.unwrap_or("handler"),
        message.unwrap_or_default()
    );
    for (name, value) in &record {
        let is_shown = !matches!(
            name.as_str(),
            "timestamp" | "level" | "message" | "target" | "span" | "spans"
        );
        if is_shown {
            shown.push_str(&format!(" {name}={value}"));
        }
    }
    Some(shown)
}

/// The messages of an output, cut where they are long.
fn messages(value: &str) -> Vec<String> {
    let texts = match serde_json::from_str(value) {
        Ok(Value::Array(items)) => items,
        Ok(one) => vec![one],
        Err(_) => return Vec::new(),
    };
    let plain = |text: &Value| match text {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    texts
        .iter()
        .map(|text| {
            let text = plain(text);
            match text.char_indices().nth(LONGEST_OUTPUT) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_handler_are_shown_once_and_in_words() {
        let functions = ["Greet".to_owned()];
        let console = r#"[handler] {"timestamp":"t","level":"INFO","message":"greeting","n":3,"span":{"name":"call","function":"Greet"}}"#;
        assert_eq!(
            shown(console, &functions).as_deref(),
            Some("[Greet] INFO greeting n=3")
        );
        assert_eq!(shown("[Greet] WARN again", &functions), None);
        assert_eq!(
            shown("[host] plain", &functions).as_deref(),
            Some("[host] plain")
        );
    }

    #[test]
    fn outputs_are_shown_message_by_message() {
        assert_eq!(messages(r#"["a","b"]"#), ["a", "b"]);
        assert_eq!(messages(r#""a""#), ["a"]);
        assert_eq!(messages(r#"{"a":1}"#), [r#"{"a":1}"#]);
        let long = serde_json::json!("x".repeat(300)).to_string();
        assert_eq!(messages(&long)[0].chars().count(), LONGEST_OUTPUT + 1);
    }
}
