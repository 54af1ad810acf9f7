//! Parses a source file into mappings, or into a list of all its faults.

use std::fmt::Display;
use std::path::Path;

use plaudit_domain::expression::{Expression, PatternTotal};
use plaudit_domain::suggestion;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::error::SourceError;
use super::mapping::Mapping;
use super::variables;
use crate::formats::Format;
use crate::topic_name;

/// The largest source file, in bytes.
const FILE_BYTES_MAX: usize = 1024 * 1024;

const EXAMPLE: &str = "{sources: [{topic: game.teams, action: {id: value.id, source: \"'/teams'\", \
                       type: \"'team.formed'\", user: value.member, time: timestamp(value.at)}}]}";

/// Reads the text of a source file.
pub fn read(file: &Path) -> Result<String, SourceError> {
    let error = |message| SourceError::of_file(file, 1, 1, message);
    let bytes = std::fs::read(file).map_err(|e| error(format!("can't be read: {e}")))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(error(format!("a source file has at most {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| error("is not UTF-8".to_owned()))
}

/// Compiles a source file and adds its patterns to the total over all files. The errors are
/// complete, and in the order of the file.
pub fn parse(
    file: &Path,
    text: &str,
    patterns: &mut PatternTotal,
) -> Result<Vec<Mapping>, Vec<SourceError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = MarkedYaml::load_from_str(text).map_err(|e| {
        let (line, column) = (e.marker().line(), e.marker().col() + 1);
        let message = format!("not valid YAML or JSON: {}", e.info());
        vec![SourceError::of_file(file, line, column, message)]
    })?;
    let mut parser = Parser { file, errors: Vec::new(), patterns };
    let mappings = match documents.as_slice() {
        [root] if !matches!(root.data, YamlData::Value(Scalar::Null)) => parser.file(root),
        [] | [_] => {
            let message = format!("the file is empty; a small source file is {EXAMPLE}");
            return Err(vec![SourceError::of_file(file, 1, 1, message)]);
        }
        [_, second, ..] => {
            parser.error(second, "", "a file holds one document: put all sources into one list");
            Vec::new()
        }
    };
    let mut errors = parser.errors;
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() { Ok(mappings) } else { Err(errors) }
}

/// Converts a file into mappings and collects its errors.
struct Parser<'f> {
    file: &'f Path,
    errors: Vec<SourceError>,
    patterns: &'f mut PatternTotal,
}

type Node<'y> = MarkedYaml<'y>;

/// A YAML mapping: its fields by name, and its node for errors about missing fields.
struct Fields<'n, 'y> {
    node: &'n Node<'y>,
    path: String,
    entries: Vec<(&'n str, &'n Node<'y>)>,
}

impl<'n, 'y> Fields<'n, 'y> {
    fn get(&self, name: &str) -> Option<&'n Node<'y>> {
        self.entries.iter().find(|(n, _)| *n == name).map(|(_, node)| *node)
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

/// Fields of an entry in `sources`.
const ENTRY: [&str; 5] = ["topic", "format", "when", "each", "action"];
/// Fields of an entry's `action`.
const ACTION: [&str; 6] = ["id", "source", "type", "user", "time", "data"];

impl Parser<'_> {
    fn error(&mut self, at: &Node<'_>, path: &str, message: impl Display) {
        self.errors.push(SourceError::new(self.file, place_of(at), path, message));
    }

    fn file(&mut self, root: &Node<'_>) -> Vec<Mapping> {
        let Some(fields) = self.fields(root, String::new(), &["sources"]) else {
            return Vec::new();
        };
        let Some(list) = self.required(&fields, "sources") else { return Vec::new() };
        let YamlData::Sequence(items) = &list.data else {
            self.error(list, "sources", "must be a list");
            return Vec::new();
        };
        if items.is_empty() {
            self.error(list, "sources", "must have at least one entry");
        }
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.mapping(item, format!("sources[{index}]")))
            .collect()
    }

    fn mapping(&mut self, node: &Node<'_>, path: String) -> Option<Mapping> {
        let file_name =
            self.file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let name = format!("{file_name}: {path}");
        let fields = self.fields(node, path, &ENTRY)?;
        let topic = self.topic(&fields);
        let format = self.format(&fields);
        let of_record = &variables::NAMES[..];
        let when = self.optional(&fields, "when", of_record);
        let each = self.optional(&fields, "each", of_record);
        let with_item: Vec<&str> = of_record.iter().copied().chain([variables::ITEM]).collect();
        let known = if fields.get("each").is_some() { &with_item } else { of_record };
        let action = self
            .required(&fields, "action")
            .and_then(|action| self.fields(action, fields.path_of("action"), &ACTION))?;
        let mut required = |name| {
            let node = self.required(&action, name)?;
            self.expression(node, &action.path_of(name), known)
        };
        let (id, source, kind, user, time) = (
            required("id"),
            required("source"),
            required("type"),
            required("user"),
            required("time"),
        );
        let data = self.optional(&action, "data", known);
        Some(Mapping {
            name,
            place: place_of(fields.get("format").unwrap_or(node)),
            topic: topic?,
            format: format?,
            when: when.ok()?,
            each: each.ok()?,
            user: user?,
            source: source?,
            id: id?,
            kind: kind?,
            time: time?,
            data: data.ok()?,
        })
    }

    fn topic(&mut self, fields: &Fields<'_, '_>) -> Option<String> {
        let node = self.required(fields, "topic")?;
        let path = fields.path_of("topic");
        let topic = self.text(node, &path)?;
        topic_name::check(topic).map_err(|why| self.error(node, &path, why)).ok()?;
        Some(topic.to_owned())
    }

    fn format(&mut self, fields: &Fields<'_, '_>) -> Option<Format> {
        let Some(node) = fields.get("format") else { return Some(Format::default()) };
        let path = fields.path_of("format");
        let name = self.text(node, &path)?;
        let format = Format::named(name);
        if format.is_none() {
            let names = Format::ALL.map(|(name, _)| name).join(", ");
            self.error(node, &path, format_args!("a format is one of {names}"));
        }
        format
    }

    /// Compiles an expression that may be absent. `Err` means that it is present and invalid.
    fn optional(
        &mut self,
        fields: &Fields<'_, '_>,
        name: &str,
        known: &[&str],
    ) -> Result<Option<Expression>, ()> {
        let Some(node) = fields.get(name) else { return Ok(None) };
        self.expression(node, &fields.path_of(name), known).map(Some).ok_or(())
    }

    fn expression(&mut self, node: &Node<'_>, path: &str, known: &[&str]) -> Option<Expression> {
        let source = self.text(node, path)?;
        // Once the limit is exceeded, which is already reported, nothing more is compiled: the
        // files may hold more than can be compiled in minutes.
        self.patterns.check().ok()?;
        let compiled = match path.rsplit('.').next() {
            Some("when") => Expression::compile_condition(source, known),
            _ => Expression::compile(source, known),
        };
        let compiled = compiled
            .map_err(|why| {
                let is_bare = source.chars().all(|c| c.is_alphanumeric() || "/._-: ".contains(c));
                let hint = if is_bare && !source.starts_with("value") {
                    format!("; a fixed text has quotes of its own: \"'{source}'\"")
                } else {
                    String::new()
                };
                self.error(node, path, format_args!("{why}{hint}"));
            })
            .ok()?;
        self.patterns.add(&compiled).map_err(|why| self.error(node, path, why)).ok()?;
        Some(compiled)
    }

    fn text<'n>(&mut self, node: &'n Node<'_>, path: &str) -> Option<&'n str> {
        if let YamlData::Value(Scalar::String(text)) = &node.data {
            return Some(text);
        }
        self.error(node, path, "must be a text; write it in quotes");
        None
    }

    fn required<'n, 'y>(&mut self, fields: &Fields<'n, 'y>, name: &str) -> Option<&'n Node<'y>> {
        let found = fields.get(name);
        if found.is_none() {
            self.error(fields.node, &fields.path_of(name), "is missing");
        }
        found
    }

    fn fields<'n, 'y>(
        &mut self,
        node: &'n Node<'y>,
        path: String,
        known: &[&str],
    ) -> Option<Fields<'n, 'y>> {
        let YamlData::Mapping(entries) = &node.data else {
            let message = format!("must be a mapping of {}", known.join(", "));
            self.error(node, &path, message);
            return None;
        };
        let mut fields = Fields { node, path, entries: Vec::new() };
        for (key, value) in entries {
            match &key.data {
                YamlData::Value(Scalar::String(name)) if known.contains(&name.as_ref()) => {
                    fields.entries.push((name.as_ref(), value));
                }
                YamlData::Value(Scalar::String(name)) => {
                    self.error(key, &fields.path_of(name), unknown_key(name, known));
                }
                _ => self.error(key, &fields.path.clone(), "a key must be a text"),
            }
        }
        Some(fields)
    }
}

/// Returns line and column, from 1.
fn place_of(node: &Node<'_>) -> (usize, usize) {
    (node.span.start.line().max(1), node.span.start.col() + 1)
}

/// Describes an unknown key and suggests the one that may have been meant.
fn unknown_key(name: &str, known: &[&str]) -> String {
    if name == "each" {
        return "belongs beside `action`, not in it".to_owned();
    }
    match suggestion::nearest(name, known) {
        Some(word) => format!("is not known here; did you mean `{word}`?"),
        None => format!("is not known here, only {}", known.join(", ")),
    }
}
