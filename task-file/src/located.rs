//! A value of a task file, with its position and its path, on the way into a definition.

use std::fmt::Display;

use plaudit_domain::expression::{InvalidExpression, PatternTotal, TooManyRanges};

use crate::node::{Node, Value};
use crate::{Diagnostic, suggestion};

/// The longest piece of input that a message repeats, in characters.
const EXCERPT_CHARS_MAX: usize = 60;

/// Collects diagnostics, so that one reading finds them all.
#[derive(Default)]
pub struct Diagnostics {
    /// The reasons why the file is refused.
    pub errors: Vec<Diagnostic>,
    /// Parts that are legal but questionable.
    pub warnings: Vec<Diagnostic>,
    /// The patterns of the file's expressions so far.
    patterns: PatternTotal,
}

/// A value that could not be read. The reason is among the diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invalid;

/// A node and its path.
#[derive(Clone)]
pub struct Located<'n> {
    /// The value and its position.
    pub node: &'n Node,
    /// Such as `tasks[2].objective.on`.
    pub path: String,
}

impl Diagnostics {
    /// Reports an error at the beginning of a value.
    pub fn add(&mut self, place: &Located<'_>, message: impl Display) {
        self.add_at(place.node, &place.path, message);
    }

    /// Reports an error of a field called `path` that stands, or should stand, at `node`.
    pub fn add_at(&mut self, node: &Node, path: &str, message: impl Display) {
        self.errors.push(Diagnostic::new(node.line, node.column, path, message));
    }

    /// Compiles an expression, and adds its patterns to those of the file. Once they are too many,
    /// which is reported once, no further expression is compiled: a file can hold more than a
    /// machine compiles in minutes.
    pub fn compiled<E>(
        &mut self,
        place: &Located<'_>,
        compile: impl FnOnce() -> Result<E, InvalidExpression>,
        add: impl FnOnce(&mut PatternTotal, &E) -> Result<(), TooManyRanges>,
    ) -> Option<E> {
        self.patterns.check().ok()?;
        let expression = compile().map_err(|e| self.add(place, e)).ok()?;
        add(&mut self.patterns, &expression).map_err(|e| self.add(place, e)).ok()?;
        Some(expression)
    }

    /// Reports something that is legal but questionable.
    pub fn warn(&mut self, place: &Located<'_>, message: impl Display) {
        let Located { node, path } = place;
        self.warnings.push(Diagnostic::new(node.line, node.column, path, message));
    }
}

/// Describes a value, for "got …".
fn describe(node: &Node) -> String {
    match &node.value {
        Value::Null => "nothing".to_owned(),
        Value::Boolean(is) => format!("the truth value {is}"),
        Value::Integer(number) => format!("the number {number}"),
        Value::Float(number) => format!("the number {number}"),
        Value::Text(text) => format!("the text {:?}", excerpt(text)),
        Value::List(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged => "a value with a YAML tag".to_owned(),
    }
}

/// The beginning of a text from the file, short enough for a message.
pub fn excerpt(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(EXCERPT_CHARS_MAX).collect();
    short.extend(chars.next().map(|_| '…'));
    short
}

impl<'n> Located<'n> {
    fn wrong(&self, expected: impl Display, diagnostics: &mut Diagnostics) {
        diagnostics.add(self, format_args!("must be {expected}, got {}", describe(self.node)));
    }

    /// Reads a text.
    pub fn text(&self, diagnostics: &mut Diagnostics) -> Option<&'n str> {
        if let Value::Text(text) = &self.node.value {
            return Some(text);
        }
        self.wrong("a text", diagnostics);
        None
    }

    /// Reads a text of 1 to `chars_max` characters, none of them a control character.
    pub fn line_of_text(&self, chars_max: usize, diagnostics: &mut Diagnostics) -> Option<String> {
        let text = self.text(diagnostics)?;
        let got = text.chars().count();
        if text.trim().is_empty() {
            diagnostics.add(self, "must not be empty");
        } else if got > chars_max {
            diagnostics
                .add(self, format_args!("must have at most {chars_max} characters, got {got}"));
        } else if text.chars().any(char::is_control) {
            diagnostics.add(self, "must be one line without control characters");
        } else {
            return Some(text.to_owned());
        }
        None
    }

    /// Reads an integer of 64 bits.
    pub fn integer(&self, diagnostics: &mut Diagnostics) -> Option<i64> {
        const BEYOND_64_BITS: f64 = 9_223_372_036_854_775_807.0;
        match &self.node.value {
            Value::Integer(number) => return Some(*number),
            Value::Float(number) if number.is_finite() && number.abs() >= BEYOND_64_BITS => {
                diagnostics.add(self, "must be an integer of 64 bits, at most 9223372036854775807");
            }
            Value::Float(_) => self.wrong("an integer, without fraction or exponent", diagnostics),
            Value::Text(text) if text.parse::<f64>().is_ok() => {
                let message =
                    format_args!("must be an integer, got a text: write {text} without quotes");
                diagnostics.add(self, message);
            }
            _ => self.wrong("an integer", diagnostics),
        }
        None
    }

    /// Reads an integer of at least 1.
    pub fn positive(&self, diagnostics: &mut Diagnostics) -> Option<i64> {
        let number = self.integer(diagnostics)?;
        if number < 1 {
            diagnostics.add(self, format_args!("must be at least 1, got {number}"));
        }
        (number >= 1).then_some(number)
    }

    /// Reads an integer in a range, both ends included.
    pub fn integer_in(&self, least: i64, most: i64, diagnostics: &mut Diagnostics) -> Option<i64> {
        let number = self.integer(diagnostics)?;
        if (least..=most).contains(&number) {
            return Some(number);
        }
        diagnostics.add(self, format_args!("must be {least} to {most}, got {number}"));
        None
    }

    /// Reads `true` or `false`.
    pub fn boolean(&self, diagnostics: &mut Diagnostics) -> Option<bool> {
        if let Value::Boolean(is) = self.node.value {
            return Some(is);
        }
        self.wrong("true or false", diagnostics);
        None
    }

    /// Reads one of a few words, and returns its meaning.
    pub fn choice<T: Copy>(&self, words: &[(&str, T)], diagnostics: &mut Diagnostics) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let Value::Text(got) = &self.node.value else {
            self.wrong(names.join(" or "), diagnostics);
            return None;
        };
        let found = words.iter().find(|(word, _)| word == got).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let message = format!("must be {}, got {:?}", names.join(" or "), excerpt(got));
            diagnostics.add(self, message + &suggestion::did_you_mean(got, &names));
        }
        found
    }

    /// Reads a list that has at least one item.
    pub fn items(&self, diagnostics: &mut Diagnostics) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            self.wrong("a list", diagnostics);
            return None;
        };
        if items.is_empty() {
            diagnostics.add(self, "must have at least one item");
            return None;
        }
        Some(self.numbered(items))
    }

    /// Reads a list that may be empty.
    pub fn items_if_any(&self, diagnostics: &mut Diagnostics) -> Option<Vec<Self>> {
        match &self.node.value {
            Value::List(items) => Some(self.numbered(items)),
            _ => self.items(diagnostics),
        }
    }

    fn numbered(&self, items: &'n [Node]) -> Vec<Self> {
        let path = |index| format!("{}[{index}]", self.path);
        items.iter().enumerate().map(|(index, node)| Self { node, path: path(index) }).collect()
    }

    /// The keys of a mapping that are texts.
    pub fn keys(&self) -> impl Iterator<Item = &'n str> {
        let entries = match &self.node.value {
            Value::Mapping(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().filter_map(|(key, _)| match &key.value {
            Value::Text(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Calls `each` with this value and every value inside it.
    pub fn visit(&self, each: &mut impl FnMut(&Self)) {
        each(self);
        match &self.node.value {
            Value::List(items) => self.numbered(items).iter().for_each(|item| item.visit(each)),
            Value::Mapping(entries) => {
                for (key, node) in entries {
                    if let Value::Text(name) = &key.value {
                        Self { node, path: self.below(name) }.visit(each);
                    }
                }
            }
            _ => {}
        }
    }

    /// Reads a mapping. Each entry is the key as text, the position of the key, and the value.
    pub fn entries(&self, diagnostics: &mut Diagnostics) -> Option<Vec<(&'n str, &'n Node, Self)>> {
        let Value::Mapping(entries) = &self.node.value else {
            self.wrong("a mapping", diagnostics);
            return None;
        };
        let mut read = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            match &key.value {
                Value::Text(name) => {
                    read.push((name.as_str(), key, Self { node, path: self.below(name) }));
                }
                _ => diagnostics.add_at(
                    key,
                    &self.path,
                    format_args!("a key must be a text, got {}", describe(key)),
                ),
            }
        }
        Some(read)
    }

    /// Reads a mapping that may have only the keys in `known`.
    pub fn fields(&self, known: &[&str], diagnostics: &mut Diagnostics) -> Option<Fields<'n>> {
        let entries = self.entries(diagnostics)?;
        let mut misspelt = Vec::new();
        for (name, key, place) in &entries {
            if !known.contains(name) {
                let meant = suggestion::nearest(name, known);
                let hint = suggestion::did_you_mean(name, known);
                let message = format!("is not a known key{hint}; known here: {}", known.join(", "));
                diagnostics.add_at(key, &place.path, message);
                misspelt.extend(meant.map(str::to_owned));
            }
        }
        let found = entries.into_iter().map(|(name, _, place)| (name, place)).collect();
        Some(Fields { place: self.clone(), found, misspelt })
    }

    fn below(&self, key: &str) -> String {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        let key = match excerpt(key) {
            short if !short.is_empty() && short.chars().all(is_plain) => short,
            short => format!("{short:?}"),
        };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }
}

/// The fields of a mapping.
pub struct Fields<'n> {
    /// The mapping.
    pub place: Located<'n>,
    found: Vec<(&'n str, Located<'n>)>,
    /// Known keys that unknown ones probably meant.
    misspelt: Vec<String>,
}

impl<'n> Fields<'n> {
    /// The value of a field, if it was given.
    pub fn get(&self, name: &str) -> Option<&Located<'n>> {
        self.found.iter().find(|(found, _)| *found == name).map(|(_, place)| place)
    }

    /// The value of a field that must be given.
    pub fn require(&self, name: &str, diagnostics: &mut Diagnostics) -> Option<&Located<'n>> {
        let found = self.get(name);
        if found.is_none() {
            self.miss(name, "", diagnostics);
        }
        found
    }

    /// Reports that a field is missing, unless a misspelt key was reported in its stead.
    pub fn miss(&self, name: &str, reason: &str, diagnostics: &mut Diagnostics) {
        if !self.misspelt.iter().any(|meant| meant == name) {
            let path = self.place.below(name);
            diagnostics.add_at(self.place.node, &path, format_args!("is missing{reason}"));
        }
    }

    /// Reads a field; `absent` is its value if it is not given.
    pub fn read_or<T>(
        &self,
        name: &str,
        absent: T,
        read: impl FnOnce(&Located<'n>) -> Option<T>,
    ) -> Option<T> {
        self.get(name).map_or(Some(absent), read)
    }
}
