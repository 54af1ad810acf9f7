//! The paths that an expression reads or tests, for explanations of its result.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::Value as Json;

use super::plan::Node;
use super::value::Value;

/// A field or an element below a variable, named by literals only, such as `data.rooms[0]` or
/// `data['room-id']`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    variable: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(String),
    Element(usize),
}

impl FieldPath {
    /// The value at this path, in an object that has a field for each variable.
    pub fn value_in<'j>(&self, variables: &'j Json) -> Option<&'j Json> {
        let root = variables.get(&self.variable)?;
        self.steps.iter().try_fold(root, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Element(index) => value.get(index),
        })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.variable)?;
        for step in &self.steps {
            match step {
                Step::Element(index) => write!(f, "[{index}]")?,
                Step::Field(name) if is_identifier(name) => write!(f, ".{name}")?,
                Step::Field(name) => {
                    f.write_str("['")?;
                    for char in name.chars() {
                        if matches!(char, '\'' | '\\') {
                            f.write_char('\\')?;
                        }
                        f.write_char(char)?;
                    }
                    f.write_str("']")?;
                }
            }
        }
        Ok(())
    }
}

fn is_identifier(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// Finds the longest paths below the variables, each once, in the order of their spelling.
/// `variables` holds the names in the order in which the expression knows them.
pub(super) fn paths(root: &Node, variables: &[&str]) -> Vec<FieldPath> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root];
    while let Some(node) = rest.pop() {
        match path(node, variables) {
            Some(path) => {
                found.insert(path.to_string(), path);
            }
            None => rest.extend(node.operands()),
        }
    }
    found.into_values().filter(|path| !path.steps.is_empty()).collect()
}

/// The path that a node spells.
fn path(node: &Node, variables: &[&str]) -> Option<FieldPath> {
    let (of, step) = match node {
        Node::Variable(index) => {
            let variable = (*variables.get(*index)?).to_owned();
            return Some(FieldPath { variable, steps: Vec::new() });
        }
        Node::Field(of, name) | Node::Has(of, name) => (&**of, Step::Field(name.to_string())),
        Node::Index(operands) => {
            let [of, key] = &**operands;
            let Node::Constant(key) = key else { return None };
            let step = match key {
                Value::Text(name) => Step::Field(name.to_string()),
                Value::Int(index) => Step::Element(usize::try_from(*index).ok()?),
                Value::Uint(index) => Step::Element(usize::try_from(*index).ok()?),
                _ => return None,
            };
            (of, step)
        }
        _ => return None,
    };
    let mut path = path(of, variables)?;
    path.steps.push(step);
    Some(path)
}
