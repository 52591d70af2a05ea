//! The commands of `cargo` that pages, scripts and the code's texts print.

use crate::markdown::Place;
use crate::{files, pages};

/// What comes between two commands in one line of a shell.
const BETWEEN: &[&str] = &["&&", "||", "|", "&", ";", "do", "then", "(", "{", "time"];

/// A command as it is printed somewhere.
#[derive(Debug, Clone)]
pub struct Printed {
    /// File and line.
    pub place: String,
    /// Without `cargo`: `local`, `up`, `--drones`, `50`.
    pub words: Vec<String>,
    /// To be typed as it is. In a sentence what a command needs may be left out, but nothing may be wrong.
    pub complete: bool,
}

/// Every command of `cargo` that is printed in a page, run by a script or a workflow, or named in the code's texts.
///
/// # Panics
/// Where a line of a page is nothing that a shell can read.
#[must_use]
pub fn commands() -> Vec<Printed> {
    let mut printed = Vec::new();
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.language == "sh") {
            let place = format!("{}:{}", page.path, block.line);
            printed.extend(of_lines(&place, &block.text, true));
        }
        printed.extend(of_spans(&page.path, &page.spans));
    }
    for (path, text) in files(&["rs", "bicep", "yml", "yaml", "json", "mjs", "env", "sh"]) {
        // What stands here is there to be taken apart.
        if !path.starts_with("tests/pages/") {
            printed.extend(of_spans(&path, &spans(&text)));
        }
    }
    for (path, text) in files(&["yml", "yaml"]) {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            let command = line
                .trim_start_matches([' ', '-'])
                .trim_start_matches("run: ");
            if command.starts_with("cargo ") {
                printed.extend(of_lines(&place, command, true));
            }
        }
    }
    printed
}

/// The lines of a script, with those that go on in the next one put together, and their words.
///
/// # Panics
/// Where a quote stays open.
#[must_use]
pub fn shell_lines(place: &str, script: &str) -> Vec<Vec<String>> {
    script
        .replace("\\\n", " ")
        .lines()
        .map(|line| shlex::split(line).unwrap_or_else(|| panic!("{place}: no shell reads: {line}")))
        .collect()
}

fn of_lines(place: &str, script: &str, complete: bool) -> Vec<Printed> {
    let mut printed = Vec::new();
    for line in shell_lines(place, script) {
        let mut words: Vec<String> = Vec::new();
        for word in line {
            // `for … in a b; do`
            let (word, ends) = match word.strip_suffix(';') {
                Some(word) => (word.to_owned(), true),
                None => (word, false),
            };
            if BETWEEN.contains(&word.as_str()) {
                printed.extend(command(place, &words, complete));
                words.clear();
                continue;
            }
            words.push(word);
            if ends {
                printed.extend(command(place, &words, complete));
                words.clear();
            }
        }
        printed.extend(command(place, &words, complete));
    }
    printed
}

/// The command of `cargo` that these words are, after the variables that are set for it.
fn command(place: &str, words: &[String], complete: bool) -> Option<Printed> {
    let mut words = words.iter().skip_while(|word| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty()
                && name
                    .chars()
                    .all(|letter| letter == '_' || letter.is_ascii_alphanumeric())
        })
    });
    (words.next()? == "cargo").then(|| Printed {
        place: place.to_owned(),
        words: words.cloned().collect(),
        complete,
    })
}

fn of_spans(path: &str, spans: &[Place]) -> Vec<Printed> {
    let spans = spans.iter().filter(|span| span.text.contains("cargo "));
    spans
        .flat_map(|span| of_lines(&format!("{path}:{}", span.line), &span.text, false))
        .collect()
}

/// Code between backticks in comments and texts.
fn spans(text: &str) -> Vec<Place> {
    let lines = text.lines().enumerate();
    lines
        .flat_map(|(number, line)| {
            let inside = line.split('`').skip(1).step_by(2);
            inside.map(move |code| Place {
                text: code.to_owned(),
                line: number + 1,
            })
        })
        .filter(|span| span.text.starts_with("cargo "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markdown::Page;

    #[test]
    fn commands_are_found_in_a_script() {
        let script = "A=1 cargo drones --to \\\n  stdout   # three of them\naz login\n\
                      for group in a b; do\n  cargo local skip --group \"$group\"\ndone\ncargo stage && func start\n";
        let found: Vec<String> = of_lines("here", script, true)
            .iter()
            .map(|printed| printed.words.join(" "))
            .collect();
        assert_eq!(
            found,
            ["drones --to stdout", "local skip --group $group", "stage"]
        );
    }

    #[test]
    fn commands_are_found_in_a_sentence() {
        let page = Page::parse(
            "a.md",
            "Use `cargo local\nup --open` or `cargo`, `FOO=1 cargo test`.",
        );
        let found: Vec<String> = of_spans("a.md", &page.spans)
            .iter()
            .map(|printed| printed.words.join(" "))
            .collect();
        assert_eq!(found, ["local up --open", "test"]);
    }
}
