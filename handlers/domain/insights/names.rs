//! Ids as small numbers: a unit's rows name the same few hundred drones hundreds of thousands of times.

use std::collections::HashMap;
use std::sync::Arc;

/// An id in [`Names`]. After [`Names::sort`] numbers are in the order of the texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(u32);

/// The ids of a set of rows.
#[derive(Debug, Default)]
pub struct Names {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Name>,
}

impl Names {
    /// The number of a text, a new one where it is the first time that it is seen.
    pub fn number(&mut self, text: &str) -> Name {
        if let Some(known) = self.numbers.get(text) {
            return *known;
        }
        // A unit has fewer rows than there are numbers.
        let name = Name(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, name);
        name
    }

    /// The number of a text that was seen.
    pub fn known(&self, text: &str) -> Option<Name> {
        self.numbers.get(text).copied()
    }

    /// The text of a number of these names; empty for those of others.
    pub fn text(&self, name: Name) -> &str {
        self.texts.get(name.0 as usize).map_or("", |text| text)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Numbers the texts in their order. What was numbered before is to be told its new number.
    pub fn sort(&mut self) -> Renumbered {
        let mut order: Vec<u32> = (0..).take(self.texts.len()).collect();
        order.sort_unstable_by(|a, b| self.texts[*a as usize].cmp(&self.texts[*b as usize]));
        let mut new = vec![Name(0); order.len()];
        for (number, old) in (0..).zip(&order) {
            new[*old as usize] = Name(number);
        }
        self.texts.sort_unstable();
        for name in self.numbers.values_mut() {
            *name = new[name.0 as usize];
        }
        Renumbered(new)
    }
}

/// Old numbers to new ones.
#[derive(Debug)]
pub struct Renumbered(Vec<Name>);

impl Renumbered {
    /// The new number of an old one.
    pub fn of(&self, old: Name) -> Name {
        self.0.get(old.0 as usize).copied().unwrap_or(old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_numbers_are_in_the_order_of_their_texts() {
        let mut names = Names::default();
        let before = ["b", "c", "a", "b"].map(|text| names.number(text));
        assert_eq!((before[0], names.len()), (before[3], 3));
        let renumbered = names.sort();
        let after = before.map(|name| renumbered.of(name));
        assert!(after[2] < after[0] && after[0] < after[1]);
        assert_eq!(
            after.map(|name| names.text(name).to_owned()),
            ["b", "c", "a", "b"]
        );
        assert_eq!(names.number("a"), after[2]);
        assert_eq!(names.known("d"), None);
    }
}
