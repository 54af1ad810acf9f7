//! Finds the fields of a variable that an expression relies on.

use super::plan::{Loop, Node};

/// The paths below a variable that are read without `has()` around them, each once, in order.
pub(super) fn unguarded(root: &Node, variable: usize, name: &str) -> Vec<String> {
    Reading::of(root, variable, name, Selection::Unguarded)
}

/// The paths below a variable that are read or tested by `has()`, each once, in order.
pub(super) fn mentioned(root: &Node, variable: usize, name: &str) -> Vec<String> {
    Reading::of(root, variable, name, Selection::Mentioned)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Selection {
    Unguarded,
    Mentioned,
}

struct Reading<'n> {
    variable: usize,
    name: &'n str,
    selection: Selection,
    /// The paths that are known to exist.
    guarded: Vec<String>,
    found: Vec<String>,
}

impl<'n> Reading<'n> {
    fn of(root: &Node, variable: usize, name: &'n str, selection: Selection) -> Vec<String> {
        let (guarded, found) = (Vec::new(), Vec::new());
        let mut reading = Self { variable, name, selection, guarded, found };
        reading.node(root);
        reading.found
    }

    fn note(&mut self, path: String) {
        if path != self.name && !self.guarded.contains(&path) && !self.found.contains(&path) {
            self.found.push(path);
        }
    }

    fn node(&mut self, node: &Node) {
        if let Some(path) = self.path(node) {
            self.note(path);
            return;
        }
        if let (Selection::Mentioned, Some(path)) = (self.selection, self.asked_for(node)) {
            self.note(path);
            return;
        }
        match node {
            Node::And(operands) => self.guarded_by(&operands[0], true, &operands[1]),
            Node::Or(operands) => self.guarded_by(&operands[0], false, &operands[1]),
            Node::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                self.guarded_by(condition, true, yes);
                let before = self.guarded.len();
                self.assume(condition, false);
                self.node(no);
                self.guarded.truncate(before);
            }
            Node::Field(of, _)
            | Node::Has(of, _)
            | Node::Not(of)
            | Node::Negate(of)
            | Node::Matches(of, _) => self.node(of),
            Node::Index(operands)
            | Node::Equal(operands)
            | Node::NotEqual(operands)
            | Node::Compare(_, operands)
            | Node::Arithmetic(_, operands)
            | Node::In(operands) => operands.iter().for_each(|operand| self.node(operand)),
            Node::List(items) | Node::Call(_, items) => {
                items.iter().for_each(|item| self.node(item));
            }
            Node::Map(entries) => entries.iter().flatten().for_each(|part| self.node(part)),
            Node::Loop(of) => {
                let Loop { range, condition, body, .. } = &**of;
                self.node(range);
                condition.iter().for_each(|condition| self.node(condition));
                self.node(body);
            }
            Node::Constant(_) | Node::Variable(_) | Node::Local(_) => {}
        }
    }

    /// Reads `first`, then `then`, which is evaluated only if `first` gave `outcome`.
    fn guarded_by(&mut self, first: &Node, outcome: bool, then: &Node) {
        self.node(first);
        let before = self.guarded.len();
        self.assume(first, outcome);
        self.node(then);
        self.guarded.truncate(before);
    }

    /// Notes the paths that must exist if a node gave `outcome`.
    fn assume(&mut self, node: &Node, outcome: bool) {
        if self.selection == Selection::Mentioned {
            return;
        }
        match node {
            Node::Has(..) if outcome => self.guarded.extend(self.asked_for(node)),
            Node::Not(of) => self.assume(of, !outcome),
            Node::And(operands) if outcome => {
                operands.iter().for_each(|operand| self.assume(operand, true));
            }
            Node::Or(operands) if !outcome => {
                operands.iter().for_each(|operand| self.assume(operand, false));
            }
            _ => {}
        }
    }

    /// The path that a `has()` tests.
    fn asked_for(&self, node: &Node) -> Option<String> {
        let Node::Has(of, field) = node else { return None };
        Some(format!("{}.{field}", self.path(of)?))
    }

    /// The path that a node spells, if it is the variable or a field below it.
    fn path(&self, node: &Node) -> Option<String> {
        match node {
            Node::Variable(index) if *index == self.variable => Some(self.name.to_owned()),
            Node::Field(of, field) => Some(format!("{}.{field}", self.path(of)?)),
            _ => None,
        }
    }
}
