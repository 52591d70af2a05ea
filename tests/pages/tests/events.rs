//! Every event that the handler logs is on its page, with its level and its fields.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use pages::files;

const PAGE: &str = "handlers/TELEMETRY.md";

const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// Level and fields, by message.
type Events = BTreeMap<String, (String, BTreeSet<String>)>;

#[test]
fn every_event_that_is_logged_is_on_its_page() {
    let listed = listed();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for (path, text) in files(&["rs"]) {
        let is_tried = path.contains("/tests/") || path.contains("/examples/");
        if !path.starts_with("handlers/") || is_tried {
            continue;
        }
        for (message, event) in logged(&path, &text) {
            seen += 1;
            match listed.get(&message) {
                None => wrong.push(format!("{path}: no row for {message:?} of {event:?}")),
                Some(row) if *row != event => {
                    wrong.push(format!("{path}: {message:?} is {event:?} and not {row:?}"));
                }
                Some(_) => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{PAGE}: {wrong:#?}");
    assert!(seen > 40, "only {seen} events are read");
}

/// The rows `| LEVEL | message | fields |`.
fn listed() -> Events {
    let pages = files(&["md"]);
    let (_, page) = pages.iter().find(|(path, _)| path == PAGE).unwrap();
    let rows = page.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" |");
        let level = cells.next()?.to_lowercase();
        let (message, fields) = (cells.next()?.trim(), cells.next()?);
        let fields = fields.split('`').skip(1).step_by(2).map(str::to_owned);
        LEVELS
            .contains(&level.as_str())
            .then(|| (message.to_owned(), (level, fields.collect())))
    });
    let rows: Vec<_> = rows.collect();
    let listed: Events = rows.iter().cloned().collect();
    assert_eq!(listed.len(), rows.len(), "{PAGE} has a message twice");
    listed
}

/// The events of a file, as far as its tests.
fn logged(path: &str, text: &str) -> Vec<(String, (String, BTreeSet<String>))> {
    let code: String = text
        .split("#[cfg(test)]")
        .next()
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    let mut events = Vec::new();
    for level in LEVELS {
        let name = format!("{level}!(");
        for (at, _) in code.match_indices(&name) {
            // `assert_warn!(` would be something else.
            if code[..at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
                continue;
            }
            let arguments = arguments(&code[at + name.len()..]);
            let message = arguments.last().and_then(|last| literal(last));
            let message = message.unwrap_or_else(|| panic!("{path}: what does {arguments:?} say?"));
            let fields = arguments[..arguments.len() - 1].iter();
            let fields = fields.map(|argument| field(argument)).collect();
            events.push((message, (level.to_owned(), fields)));
        }
    }
    events
}

/// What stands between the commas of a macro's parentheses.
fn arguments(text: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let mut depth = 0;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ')' | ']' | '}' if depth == 0 => break,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                arguments.push(String::new());
                continue;
            }
            _ => {}
        }
        let last = arguments.last_mut().unwrap();
        last.push(letter);
        if letter == '"' {
            while let Some(letter) = letters.next() {
                last.push(letter);
                match letter {
                    '"' => break,
                    '\\' => last.extend(letters.next()),
                    _ => {}
                }
            }
        }
    }
    arguments.retain(|argument| !argument.trim().is_empty());
    arguments
}

/// A string, put together where it goes on in the next line.
fn literal(argument: &str) -> Option<String> {
    let text = argument.trim().strip_prefix('"')?.strip_suffix('"')?;
    let mut lines = text.split("\\\n");
    let mut whole = lines.next()?.to_owned();
    for line in lines {
        whole.push_str(line.trim_start());
    }
    Some(whole)
}

/// `a.b = c`, `%a`, or `a`: the field's name.
fn field(argument: &str) -> String {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    name.trim().trim_start_matches(['%', '?']).replace("r#", "")
}

#[test]
fn events_are_read_from_code() {
    let code = r#"
        fn work() {
            // warn!("not this");
            tracing::info!(port, "listening");
            warn!(
                error = %failure(a, "b, c)"),
                event.r#type = kind,
                ?cause,
                "two \
                 lines"
            );
            confirm!("nothing");
        }

        #[cfg(test)]
        mod tests { fn at() { error!("not this") } }
    "#;
    let events = logged("a.rs", code);
    let fields = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let expected = [
        (
            "two lines".to_owned(),
            ("warn".to_owned(), fields(&["cause", "error", "event.type"])),
        ),
        (
            "listening".to_owned(),
            ("info".to_owned(), fields(&["port"])),
        ),
    ];
    assert_eq!(events, expected);
}
