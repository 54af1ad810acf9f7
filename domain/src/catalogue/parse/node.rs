//! A YAML or JSON text as a tree in which every node knows where it was written.

mod surrogates;

use std::collections::BTreeSet;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::Fault;

/// The longest task file, in bytes: about a thousand tasks. Bounds what one request can cost.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// The widest indentation, in columns. A tree has at most two levels for each of them (and 255 of
/// brackets, which is saphyr's bound), so that recursion over it ends before the stack does.
const INDENTATION_MAX: usize = 128;

/// A value and the place where it begins.
pub struct Node {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What was written there.
    pub value: Value,
}

/// What was written, after the core schema of YAML 1.2, in which `on` and `no` are texts.
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// Any other number, and whole numbers beyond 64 bits.
    Float(f64),
    /// Everything else that has no parts.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values in order.
    Mapping(Vec<(Node, Node)>),
    /// A value with a YAML tag such as `!money`.
    Tagged,
}

/// Reads the only document of `text`.
pub fn load(text: &str) -> Result<Node, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_bounds(text)?;
    let joined = surrogates::join(text);
    let documents = MarkedYaml::load_from_str(&joined.text).map_err(|e| {
        let message = format!("this is no YAML or JSON: {}", e.info());
        let (line, column) = (e.marker().line(), e.marker().col() + 1);
        Fault::of_file(line, joined.original_column(line, column), message)
    })?;
    let mut documents = documents.into_iter().map(Node::from).map(|mut document| {
        document.restore_columns(&joined);
        document
    });
    let first = documents.next();
    if let Some(second) = documents.next() {
        let message =
            "a file holds one document: put all tasks into one list, or into several files";
        return Err(Fault::of_file(second.line, second.column, message));
    }
    first.filter(|node| !matches!(node.value, Value::Null)).ok_or_else(|| {
        let example = "{tasks: [{id: first-team, kind: ordinary, text: {en: {title: Form a team}}, \
                       objective: {on: team.formed, target: 1}}]}";
        Fault::of_file(1, 1, format!("the file is empty; a small task file is {example}"))
    })
}

/// Refuses what would cost saphyr more memory or stack than its size warrants.
fn check_bounds(text: &str) -> Result<(), Fault> {
    let refuse = |line, message| Err(Fault::of_file(line, 1, message));
    if text.len() > FILE_BYTES_MAX {
        return refuse(
            1,
            format!("a task file has at most {FILE_BYTES_MAX} bytes, got {}", text.len()),
        );
    }
    if let Some(line) = first_too_wide(text) {
        return refuse(
            line,
            format!("nothing may be indented by more than {INDENTATION_MAX} columns"),
        );
    }
    // saphyr copies what an alias names. It bounds the copied nodes, but neither the bytes in them
    // nor the keys among them, so a few lines can still ask for more memory than there is.
    if let Some((line, name)) = first_alias(text) {
        return refuse(
            line,
            format!("the alias *{name} is not supported: write out what &{name} names"),
        );
    }
    Ok(())
}

/// The lines of a text. LF, CR and CR LF each end one.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut after_return = false;
    let mut number = 0;
    text.split_inclusive(['\n', '\r']).filter_map(move |line| {
        let is_rest_of_break = after_return && line == "\n";
        after_return = line.ends_with('\r');
        number += usize::from(!is_rest_of_break);
        (!is_rest_of_break).then_some((number, line.trim_end_matches(['\n', '\r'])))
    })
}

/// The first line that begins too far to the right.
///
/// Collections nest by indentation, or on one line by a run of the indicators `-`, `?` and `:`
/// before the content, which is why such a run counts as indentation.
fn first_too_wide(text: &str) -> Option<usize> {
    let width = |line: &str| {
        let mut rest = line.chars().peekable();
        let mut width = 0;
        while let Some(c) = rest.next() {
            let stands_alone = rest.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            if !(matches!(c, ' ' | '\t') || (matches!(c, '-' | '?' | ':') && stands_alone)) {
                break;
            }
            width += 1;
        }
        width
    };
    let is_too_wide = |line: &str| !line.trim().is_empty() && width(line) > INDENTATION_MAX;
    lines(text).find_map(|(number, line)| is_too_wide(line).then_some(number))
}

/// The first name that stands behind a `*` and, anywhere in the text, behind a `&`. Other names
/// behind a `*` are prose, or unknown to saphyr.
fn first_alias(text: &str) -> Option<(usize, &str)> {
    let anchors: BTreeSet<&str> = names_behind('&', text).collect();
    lines(text).find_map(|(number, line)| {
        let name = names_behind('*', line).find(|name| anchors.contains(name))?;
        Some((number, name))
    })
}

/// What stands behind each `indicator`, up to the first character that ends the name of an anchor.
/// Only the beginning of a long name: names that differ later are taken for the same.
///
/// # Source
///
/// YAML 1.2.2, production 102, `ns-anchor-char`.
fn names_behind(indicator: char, text: &str) -> impl Iterator<Item = &str> {
    const NAME_CHARS_MAX: usize = 64;
    let ends_name = |c| " \t\n\r,[]{}\u{feff}".contains(c);
    text.match_indices(indicator).filter_map(move |(at, found)| {
        let rest = &text[at + found.len()..];
        let end = rest
            .char_indices()
            .enumerate()
            .find(|(n, (_, c))| *n == NAME_CHARS_MAX || ends_name(*c));
        let name = &rest[..end.map_or(rest.len(), |(_, (end, _))| end)];
        (!name.is_empty()).then_some(name)
    })
}

impl Node {
    fn restore_columns(&mut self, joined: &surrogates::Joined<'_>) {
        self.column = joined.original_column(self.line, self.column);
        match &mut self.value {
            Value::List(items) => {
                items.iter_mut().for_each(|item| item.restore_columns(joined));
            }
            Value::Mapping(entries) => entries.iter_mut().for_each(|(key, value)| {
                key.restore_columns(joined);
                value.restore_columns(joined);
            }),
            _ => {}
        }
    }
}

impl From<MarkedYaml<'_>> for Node {
    fn from(yaml: MarkedYaml<'_>) -> Self {
        let value = match yaml.data {
            YamlData::Value(Scalar::Null) => Value::Null,
            YamlData::Value(Scalar::Boolean(is)) => Value::Boolean(is),
            YamlData::Value(Scalar::Integer(number)) => Value::Integer(number),
            YamlData::Value(Scalar::FloatingPoint(number)) => Value::Float(number.into_inner()),
            YamlData::Value(Scalar::String(text)) => Value::Text(text.into_owned()),
            YamlData::Sequence(items) => Value::List(items.into_iter().map(Self::from).collect()),
            YamlData::Mapping(entries) => {
                let entries = entries.into_iter();
                Value::Mapping(entries.map(|(key, value)| (key.into(), value.into())).collect())
            }
            // A bad value is one that does not fit its tag.
            YamlData::Tagged(..)
            | YamlData::BadValue
            | YamlData::Representation(..)
            | YamlData::Alias(_) => Value::Tagged,
        };
        let start = yaml.span.start;
        Self { line: start.line().max(1), column: start.col() + 1, value }
    }
}
