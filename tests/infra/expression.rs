//! Values of Bicep expressions, as far as parameters and sizes use them: integers, strings, conditions.

use std::iter::Peekable;
use std::str::Chars;

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    Int(i64),
    Text(String),
    Flag(bool),
}

/// Where names and calls of functions that are not built in lead to.
pub trait Scope {
    fn name(&self, name: &str) -> Known;
    fn call(&self, function: &str, arguments: &[Known]) -> Known;
}

impl Known {
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            other => panic!("{other:?} is no integer"),
        }
    }

    pub fn flag(&self) -> bool {
        match self {
            Self::Flag(value) => *value,
            other => panic!("{other:?} is no condition"),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            other => panic!("{other:?} is no string"),
        }
    }
}

/// The value of an expression.
///
/// # Panics
/// Where it is not of the part of Bicep that is understood here.
pub fn value(source: &str, scope: &dyn Scope) -> Known {
    let mut reader = Reader {
        rest: source.chars().peekable(),
        scope,
    };
    let value = reader.ternary();
    reader.space();
    assert_eq!(reader.rest.peek(), None, "not understood: {source}");
    value
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    scope: &'a dyn Scope,
}

impl Reader<'_> {
    fn space(&mut self) {
        while self.rest.next_if(|letter| letter.is_whitespace()).is_some() {}
    }

    /// Takes the operator or bracket that comes next, where it is this one.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let mut ahead = self.rest.clone();
        let found = token
            .chars()
            .all(|letter| ahead.next_if_eq(&letter).is_some());
        if found {
            self.rest = ahead;
        }
        found
    }

    fn ternary(&mut self) -> Known {
        let condition = self.both();
        if !self.take("?") {
            return condition;
        }
        let yes = self.ternary();
        assert!(self.take(":"));
        let no = self.ternary();
        if condition.flag() { yes } else { no }
    }

    fn both(&mut self) -> Known {
        let mut value = self.comparison();
        while self.take("&&") {
            let other = self.comparison();
            value = Known::Flag(value.flag() && other.flag());
        }
        value
    }

    fn comparison(&mut self) -> Known {
        let left = self.sum();
        if self.take("==") {
            return Known::Flag(left == self.sum());
        }
        if self.take(">") {
            return Known::Flag(left.int() > self.sum().int());
        }
        if self.take("<") {
            return Known::Flag(left.int() < self.sum().int());
        }
        left
    }

    fn sum(&mut self) -> Known {
        let mut value = self.product();
        loop {
            if self.take("+") {
                value = Known::Int(value.int() + self.product().int());
            } else if self.take("-") {
                value = Known::Int(value.int() - self.product().int());
            } else {
                return value;
            }
        }
    }

    fn product(&mut self) -> Known {
        let mut value = self.single();
        loop {
            if self.take("*") {
                value = Known::Int(value.int() * self.single().int());
            } else if self.take("/") {
                value = Known::Int(value.int() / self.single().int());
            } else {
                return value;
            }
        }
    }

    fn single(&mut self) -> Known {
        if self.take("(") {
            let value = self.ternary();
            assert!(self.take(")"));
            return value;
        }
        if self.take("'") {
            let mut text = String::new();
            while let Some(letter) = self.rest.next_if(|letter| *letter != '\'') {
                text.push(letter);
            }
            assert!(self.take("'"));
            return Known::Text(text);
        }
        self.space();
        let mut word = String::new();
        while let Some(letter) = self.rest.next_if(char::is_ascii_alphanumeric) {
            word.push(letter);
        }
        if let Ok(number) = word.parse() {
            return Known::Int(number);
        }
        assert!(!word.is_empty(), "an expression ends too early");
        if !self.take("(") {
            return match word.as_str() {
                "true" | "false" => Known::Flag(word == "true"),
                _ => self.scope.name(&word),
            };
        }
        let mut arguments = Vec::new();
        while !self.take(")") {
            arguments.push(self.ternary());
            self.take(",");
        }
        self.call(&word, &arguments)
    }

    fn call(&self, function: &str, arguments: &[Known]) -> Known {
        let ints = || arguments.iter().map(Known::int);
        match function {
            "min" => Known::Int(ints().min().unwrap()),
            "max" => Known::Int(ints().max().unwrap()),
            "int" => Known::Int(arguments[0].text().parse().unwrap()),
            "bool" => Known::Flag(arguments[0].text() == "true"),
            // As where nothing is set.
            "readEnvironmentVariable" => arguments[1].clone(),
            _ => self.scope.call(function, arguments),
        }
    }
}

#[test]
fn expressions_come_to_what_bicep_makes_of_them() {
    struct Names;
    impl Scope for Names {
        fn name(&self, name: &str) -> Known {
            assert_eq!(name, "memory");
            Known::Int(2048)
        }
        fn call(&self, function: &str, arguments: &[Known]) -> Known {
            assert_eq!(function, "twice");
            Known::Int(arguments[0].int() * 2)
        }
    }
    for (source, expected) in [
        (
            "max(1, min(1000, (memory - 300) * 1024 / (32 * 11 * 4)))",
            1000,
        ),
        ("7 / 2 + twice(3)", 9),
        ("memory > 512 ? 1 : 2", 1),
        ("memory > 512 && memory < 1024 ? 1 : 2", 2),
        ("int(readEnvironmentVariable('SIZE', '4'))", 4),
    ] {
        assert_eq!(value(source, &Names), Known::Int(expected), "{source}");
    }
    assert_eq!(
        value("'a' == 'b'", &Names),
        Known::Flag(false),
        "strings compare"
    );
}
