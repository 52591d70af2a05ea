//! What is of interest in a page: its headings, links and code.

use std::collections::HashMap;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

/// Something in a page, and the line that it is in.
#[derive(Debug, Clone)]
pub struct Place {
    /// A link's target, or the text of a span of code.
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// A heading, and the anchor by which a link names it.
#[derive(Debug, Clone)]
pub struct Heading {
    /// 1 for the page's title.
    pub level: HeadingLevel,
    /// Its text.
    pub title: String,
    /// As GitHub makes it of the text.
    pub anchor: String,
}

/// A block of code.
#[derive(Debug, Clone)]
pub struct Block {
    /// `sh`, `rust`, or nothing.
    pub language: String,
    /// What is in it.
    pub text: String,
    /// Of its first line, counted from 1.
    pub line: usize,
}

/// A page.
#[derive(Debug, Clone)]
pub struct Page {
    /// From the root of the repository.
    pub path: String,
    /// As it stands in the file.
    pub text: String,
    /// In their order.
    pub headings: Vec<Heading>,
    /// Links and pictures.
    pub links: Vec<Place>,
    /// Code in the running text.
    pub spans: Vec<Place>,
    /// Code in blocks.
    pub blocks: Vec<Block>,
}

impl Page {
    /// Reads a page's text.
    #[must_use]
    pub fn parse(path: &str, text: &str) -> Self {
        let mut page = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            headings: Vec::new(),
            links: Vec::new(),
            spans: Vec::new(),
            blocks: Vec::new(),
        };
        let mut heading: Option<(HeadingLevel, String)> = None;
        let mut block: Option<Block> = None;
        for (event, range) in Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
            let line = 1 + text[..range.start].matches('\n').count();
            match event {
                Event::Start(Tag::Heading { level, .. }) => heading = Some((level, String::new())),
                Event::End(TagEnd::Heading(_)) => {
                    if let Some((level, title)) = heading.take() {
                        page.add_heading(level, title);
                    }
                }
                Event::Start(Tag::CodeBlock(kind)) => {
                    let language = match kind {
                        CodeBlockKind::Fenced(language) => language.into_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    block = Some(Block {
                        language,
                        text: String::new(),
                        line,
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(Place {
                        text: dest_url.into_string(),
                        line,
                    });
                }
                Event::Text(part) => {
                    if let Some(block) = &mut block {
                        block.text.push_str(&part);
                    } else if let Some((_, title)) = &mut heading {
                        title.push_str(&part);
                    }
                }
                Event::Code(code) => {
                    if let Some((_, title)) = &mut heading {
                        title.push_str(&code);
                    }
                    page.spans.push(Place {
                        text: code.into_string(),
                        line,
                    });
                }
                _ => {}
            }
        }
        page
    }

    fn add_heading(&mut self, level: HeadingLevel, title: String) {
        let plain = anchor(&title);
        let mut counts: HashMap<String, usize> = HashMap::new();
        for heading in &self.headings {
            *counts.entry(anchor(&heading.title)).or_default() += 1;
        }
        let anchor = match counts.get(&plain) {
            None => plain,
            Some(before) => format!("{plain}-{before}"),
        };
        self.headings.push(Heading {
            level,
            title,
            anchor,
        });
    }
}

/// Lower case, hyphens for spaces, and neither punctuation nor signs.
fn anchor(title: &str) -> String {
    title
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            '-' | '_' => Some(letter),
            _ if letter.is_alphanumeric() => Some(letter),
            _ => None,
        })
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_taken_apart() {
        let page = Page::parse(
            "a.md",
            "# What `cargo local` is, really\n\n[one](b.md#c) ![two](d.png) `e\nf`\n\n```sh\n[no](link) # none\n```\n\n## Again\n\n## Again\n",
        );
        let anchors: Vec<_> = page
            .headings
            .iter()
            .map(|heading| heading.anchor.as_str())
            .collect();
        assert_eq!(anchors, ["what-cargo-local-is-really", "again", "again-1"]);
        let links: Vec<_> = page
            .links
            .iter()
            .map(|link| (link.text.as_str(), link.line))
            .collect();
        assert_eq!(links, [("b.md#c", 3), ("d.png", 3)]);
        assert_eq!(page.spans[1].text, "e f");
        assert_eq!(page.blocks[0].language, "sh");
        assert_eq!(page.blocks[0].text, "[no](link) # none\n");
        assert_eq!(page.blocks[0].line, 6);
    }
}
