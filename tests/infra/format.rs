//! Where `bicep format` breaks a line, and where it would join two: the workflow holds the files against it, and a machine without
//! the compiler would find out there.
//!
//! Not the formatter: of its rules only those that a person does not see. It writes 120 letters a line, and breaks the
//! outermost object, array, call of more than one argument or choice that goes beyond; and it joins a call or a choice that
//! was broken and need not be. A loop over more than one line has lines of its own. An object or an array that begins with
//! a new line stays as it is.

use tree_sitter::{Node, Parser};

use crate::sources;

const WIDTH: usize = 120;

#[test]
fn lines_are_broken_where_bicep_format_breaks_them() {
    let mut wrong = Vec::new();
    for (path, text) in sources::files("infra") {
        if path.ends_with(".bicep") {
            wrong.extend(
                breaks(&text)
                    .into_iter()
                    .map(|(line, what)| format!("{path}:{line}: {what}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_that_is_to_be_broken_or_joined_is_found() {
    let long = "a".repeat(WIDTH);
    for (text, found) in [
        (format!("var x = [{{ a: '{long}' }}]\n"), true),
        (format!("var x = [\n  {{ a: '{long}' }}\n]\n"), true),
        (
            format!("var x = [\n  {{\n    a: '{long}'\n  }}\n]\n"),
            false,
        ),
        (format!("var x = concat(y, '{long}')\n"), true),
        (format!("var x = concat(\n  y,\n  '{long}'\n)\n"), false),
        ("var x = concat(\n  y,\n  z\n)\n".to_owned(), true),
        ("var x = [for y in z: {\n  a: y\n}]\n".to_owned(), true),
        (
            "var x = [\n  for y in z: {\n    a: y\n  }\n]\n".to_owned(),
            false,
        ),
        // One argument never stands in a line of its own.
        (format!("var x = any('{long}')\n"), false),
        (format!("var x = y ? z : '{long}'\n"), true),
        ("var x = y\n  ? z\n  : 1\n".to_owned(), true),
        ("var x = concat(y, [\n  z\n])\n".to_owned(), false),
        (format!("// {long}\nvar x = '{long}{long}'\n"), false),
    ] {
        assert_eq!(!breaks(&text).is_empty(), found, "{text}");
    }
}

/// What is wrong, with the number of its line.
fn breaks(text: &str) -> Vec<(usize, &'static str)> {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_bicep::LANGUAGE.into())
        .unwrap();
    let tree = parser.parse(text, None).unwrap();
    let mut wrong = Vec::new();
    look_at(tree.root_node(), text, &mut wrong);
    wrong
}

fn look_at(node: Node<'_>, text: &str, wrong: &mut Vec<(usize, &'static str)>) {
    // What is interpolated into a string stays in its line.
    if node.kind() == "string" {
        return;
    }
    let line = node.start_position().row + 1;
    // A loop over more than one line begins with one.
    if node.kind() == "for_statement"
        && node.end_position().row > node.start_position().row
        && !text[node.byte_range()]
            .trim_start_matches(['[', ' '])
            .starts_with('\n')
    {
        wrong.push((line, "a loop has a line of its own"));
    }
    if is_group(node) {
        let start = column(text, node.start_byte());
        let in_one_line = node.start_position().row == node.end_position().row;
        let source = &text[node.byte_range()];
        if in_one_line && start + source.chars().count() > WIDTH {
            wrong.push((line, "goes beyond the line: break it"));
            return;
        }
        if !in_one_line
            && !must_stay_broken(node)
            && start + joined(source).chars().count() <= WIDTH
        {
            wrong.push((line, "fits into one line"));
            return;
        }
    }
    let mut cursor = node.walk();
    for child in node.named_children(&mut cursor) {
        look_at(child, text, wrong);
    }
}

/// What is written in one line, or with a line for each of its parts. A call whose last argument is an object or an array is
/// broken within that.
fn is_group(node: Node<'_>) -> bool {
    match node.kind() {
        "object" | "array" | "ternary_expression" => node.named_child_count() > 0,
        "call_expression" => node
            .child_by_field_name("arguments")
            .is_some_and(|arguments| {
                let count = arguments.named_child_count();
                let last = count
                    .checked_sub(1)
                    .and_then(|last| arguments.named_child(u32::try_from(last).unwrap()));
                count > 1 && last.is_some_and(|last| !matches!(last.kind(), "object" | "array"))
            }),
        _ => false,
    }
}

/// A comment, and an object or an array that begins with a new line, keep what is around them broken.
fn must_stay_broken(node: Node<'_>) -> bool {
    let begins_with_a_line = matches!(node.kind(), "object" | "array")
        && node
            .named_child(0)
            .is_some_and(|first| first.start_position().row > node.start_position().row);
    let mut cursor = node.walk();
    node.kind().contains("comment")
        || begins_with_a_line
        || node
            .named_children(&mut cursor)
            .any(|child| must_stay_broken(child))
}

/// The same in one line.
fn joined(source: &str) -> String {
    let words = source.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace("( ", "(").replace(" )", ")")
}

/// Letters before it in its line.
fn column(text: &str, at: usize) -> usize {
    let before = &text[..at];
    before.rsplit('\n').next().unwrap_or(before).chars().count()
}
