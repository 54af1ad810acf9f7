//! A YAML or JSON text as a tree in which every node has its position.

mod surrogates;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser};

use crate::Diagnostic;

/// The longest task file, in bytes: some thousands of tasks, so that a whole catalogue fits.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most values in a file, keys included. Each takes some hundred bytes of memory however short it is, so this
/// bounds what one request can cost.
const VALUES_MAX: usize = 500_000;

/// The deepest nesting of lists and mappings. Recursion over the tree must not exhaust the stack.
const DEPTH_MAX: usize = 128;

/// A value and the place where it begins.
pub struct Node {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The value at that position.
    pub value: Value,
}

/// A value, by the core schema of YAML 1.2, in which `on` and `no` are texts.
pub enum Value {
    /// `null`, `~`, or nothing at all.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number of 64 bits.
    Integer(i64),
    /// Any other number, and whole numbers beyond 64 bits.
    Float(f64),
    /// Any other scalar.
    Text(String),
    /// Values in order.
    List(Vec<Node>),
    /// Keys and values in order.
    Mapping(Vec<(Node, Node)>),
    /// A value with a YAML tag such as `!money`.
    Tagged,
}

/// Reads the only document of `text`.
pub fn load(text: &str) -> Result<Node, Diagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    check_bounds(text)?;
    let joined = surrogates::join(text);
    let documents = MarkedYaml::load_from_str(&joined.text).map_err(|e| {
        let message = format!("not valid YAML or JSON: {}", e.info());
        let (line, column) = (e.marker().line(), e.marker().col() + 1);
        Diagnostic::of_file(line, joined.original_column(line, column), message)
    })?;
    let mut documents = documents.into_iter().map(Node::from).map(|mut document| {
        document.restore_columns(&joined);
        document
    });
    let first = documents.next();
    if let Some(second) = documents.next() {
        let message =
            "a file holds one document: put all tasks into one list, or into several files";
        return Err(Diagnostic::of_file(second.line, second.column, message));
    }
    first.filter(|node| !matches!(node.value, Value::Null)).ok_or_else(|| {
        let example = "{tasks: [{id: first-team, kind: ordinary, text: {en: {title: Form a team}}, \
                       objective: {on: team.formed, target: 1}}]}";
        Diagnostic::of_file(1, 1, format!("the file is empty; a small task file is {example}"))
    })
}

/// Refuses a text that would cost saphyr more memory or stack than its size warrants, before the
/// tree is built. A text that is not valid YAML passes: loading it reports the error.
fn check_bounds(text: &str) -> Result<(), Diagnostic> {
    if text.len() > FILE_BYTES_MAX {
        let got = text.len();
        let message = format!("a task file has at most {FILE_BYTES_MAX} bytes, got {got}");
        return Err(Diagnostic::of_file(1, 1, message));
    }
    let (mut depth, mut values) = (0_usize, 0_usize);
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        let refuse = |message: String| {
            let start = span.start;
            Err(Diagnostic::of_file(start.line().max(1), start.col() + 1, message))
        };
        match event {
            // saphyr copies what an alias names. It bounds the copied nodes, but neither the bytes
            // in them nor the keys among them, so a few lines could ask for more memory than there
            // is.
            Event::Alias(_) => {
                return refuse("aliases are not supported: write out what this one names".into());
            }
            Event::Scalar(..) => values += 1,
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                (depth, values) = (depth + 1, values + 1);
            }
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
        if depth > DEPTH_MAX {
            return refuse(format!("nothing may be nested more than {DEPTH_MAX} deep"));
        }
        if values > VALUES_MAX {
            let help = "put the tasks into several files";
            return refuse(format!("a task file has at most {VALUES_MAX} values: {help}"));
        }
    }
    Ok(())
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
