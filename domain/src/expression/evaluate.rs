//! Evaluates a compiled expression within a budget.
//!
//! # Source
//!
//! CEL language definition, "Evaluation" and "Logical Operators".

use std::mem::size_of;
use std::sync::Arc;

use super::budget::Budget;
use super::failure::Stop;
use super::functions;
use super::map::{Entry, Keys, Map};
use super::operators::{arithmetic, contains, equal, key_bytes, negated, order};
use super::plan::{Loop, LoopKind, Node};
use super::value::{Kind, List, Value, Variable};

/// The cost of making a list or a map and of dropping it again, in steps.
const LITERAL_STEPS: usize = 4;

/// One evaluation.
///
/// The recursion is as deep as the expression is nested, which is bounded when it is compiled. A
/// comparison recurses as deep as its values are nested, which is bounded where JSON is read.
pub(super) struct Evaluation<'v> {
    variables: &'v [Variable<'v>],
    /// The variables of the enclosing loops, outermost first.
    locals: Vec<Value<'v>>,
    pub budget: Budget,
}

impl<'v> Evaluation<'v> {
    pub fn new(variables: &'v [Variable<'v>], budget: Budget) -> Self {
        Self { variables, locals: Vec::new(), budget }
    }

    pub fn value(&mut self, node: &'v Node) -> Result<Value<'v>, Stop<'v>> {
        self.budget.steps(1)?;
        Ok(match node {
            Node::Constant(value) => value.reborrow(),
            Node::Variable(index) => match self.variables.get(*index) {
                Some(variable) => variable.value()?,
                None => Value::Null,
            },
            Node::Local(index) => self.locals.get(*index).cloned().unwrap_or(Value::Null),
            Node::Field(of, name) => return self.field(of, name),
            Node::Has(of, name) => Value::Bool(self.has(of, name)?),
            Node::Index(operands) => return self.index(operands),
            Node::Not(of) => Value::Bool(!self.truth(of)?),
            Node::Negate(of) => negated(&self.value(of)?)?,
            Node::And(operands) => Value::Bool(self.logical(operands, false)?),
            Node::Or(operands) => Value::Bool(self.logical(operands, true)?),
            Node::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                let chosen = if self.truth(condition)? { yes } else { no };
                return self.value(chosen);
            }
            Node::Equal(operands) => Value::Bool(self.equal(operands)?),
            Node::NotEqual(operands) => Value::Bool(!self.equal(operands)?),
            Node::Compare(comparison, operands) => {
                let [left, right] = self.both(operands)?;
                let order = order(comparison.name(), &left, &right, &mut self.budget)?;
                Value::Bool(comparison.holds(order))
            }
            Node::Arithmetic(operator, operands) => {
                let [left, right] = self.both(operands)?;
                return arithmetic(*operator, &left, &right, &mut self.budget);
            }
            Node::In(operands) => {
                let [needle, within] = self.both(operands)?;
                Value::Bool(contains(&needle, &within, &mut self.budget)?)
            }
            Node::List(items) => Value::List(self.list(items)?),
            Node::Map(entries) => Value::Map(self.map(entries)?),
            Node::Matches(text, pattern) => match self.value(text)? {
                Value::Text(text) => {
                    self.budget.steps(pattern.steps(text.len()))?;
                    Value::Bool(pattern.is_in(&text))
                }
                other => return Err(Stop::NoOverload("matches", other.kind(), Some(Kind::Text))),
            },
            Node::Call(function, operands) => return self.call(*function, operands),
            Node::Loop(of) => return self.repeat(of),
        })
    }

    /// Evaluates a node that must give true or false.
    pub fn truth(&mut self, node: &'v Node) -> Result<bool, Stop<'v>> {
        match self.value(node)? {
            Value::Bool(holds) => Ok(holds),
            other => Err(Stop::NotBoolean(other.kind())),
        }
    }

    fn both(&mut self, operands: &'v [Node; 2]) -> Result<[Value<'v>; 2], Stop<'v>> {
        let [left, right] = operands;
        Ok([self.value(left)?, self.value(right)?])
    }

    fn equal(&mut self, operands: &'v [Node; 2]) -> Result<bool, Stop<'v>> {
        let [left, right] = self.both(operands)?;
        equal(&left, &right, &mut self.budget)
    }

    /// Evaluates `&&` and `||`. An operand that decides, on either side, does so even if the other
    /// one fails.
    fn logical(&mut self, operands: &'v [Node; 2], decisive: bool) -> Result<bool, Stop<'v>> {
        let [left, right] = operands;
        let left = self.truth(left);
        match left {
            Ok(holds) if holds == decisive => return Ok(decisive),
            Err(stop) if stop.is_final() => return Err(stop),
            Ok(_) | Err(_) => {}
        }
        match (left, self.truth(right)) {
            (_, Ok(holds)) if holds == decisive => Ok(decisive),
            (Ok(_), right) => right,
            (Err(stop), Ok(_)) => Err(stop),
            (Err(_), Err(other)) if other.is_final() => Err(other),
            (Err(stop), Err(other)) => Err(stop.or(other)),
        }
    }

    fn field(&mut self, of: &'v Node, name: &'v str) -> Result<Value<'v>, Stop<'v>> {
        match self.value(of)? {
            Value::Map(map) => {
                self.budget.steps(map.steps_to_find(name.len()))?;
                map.field(name)?.ok_or(Stop::MissingField(name))
            }
            other => Err(Stop::NoOverload(".", other.kind(), None)),
        }
    }

    fn has(&mut self, of: &'v Node, name: &'v str) -> Result<bool, Stop<'v>> {
        match self.value(of)? {
            Value::Map(map) => {
                self.budget.steps(map.steps_to_find(name.len()))?;
                match map.field(name) {
                    Ok(found) => Ok(found.is_some()),
                    // The field exists, although its value can't be read exactly.
                    Err(Stop::Inexact(_)) => Ok(true),
                    Err(stop) => Err(stop),
                }
            }
            other => Err(Stop::NoOverload("has", other.kind(), None)),
        }
    }

    fn index(&mut self, operands: &'v [Node; 2]) -> Result<Value<'v>, Stop<'v>> {
        let [of, key] = self.both(operands)?;
        let missing = |key: Value<'v>| Stop::MissingKey(Box::new(key));
        match &of {
            Value::Map(map) => {
                self.budget.steps(map.steps_to_find(key_bytes(&key)))?;
                map.get(&key)?.ok_or_else(|| missing(key))
            }
            Value::List(items) => {
                let place = match &key {
                    Value::Int(place) => usize::try_from(*place).ok(),
                    Value::Uint(place) => usize::try_from(*place).ok(),
                    // As in maps, a double stands for the integer of its value.
                    Value::Double(place) if place.fract() == 0.0 => {
                        functions::to_int(*place).and_then(|place| usize::try_from(place).ok())
                    }
                    other => return Err(Stop::NoOverload("[]", Kind::List, Some(other.kind()))),
                };
                match place {
                    Some(place) => items.get(place)?.ok_or_else(|| missing(key)),
                    None => Err(missing(key)),
                }
            }
            other => Err(Stop::NoOverload("[]", other.kind(), Some(key.kind()))),
        }
    }

    fn list(&mut self, items: &'v [Node]) -> Result<List<'v>, Stop<'v>> {
        self.budget.steps(LITERAL_STEPS)?;
        self.budget.bytes(2 * items.len() * size_of::<Value<'_>>() + 32)?;
        let items: Result<Vec<_>, _> = items.iter().map(|item| self.value(item)).collect();
        Ok(List::Shared(items?.into()))
    }

    fn map(&mut self, entries: &'v [[Node; 2]]) -> Result<Map<'v>, Stop<'v>> {
        self.budget.steps(LITERAL_STEPS)?;
        self.budget.bytes(2 * entries.len() * size_of::<Entry<'_>>() + 32)?;
        let mut made: Vec<Entry<'v>> = Vec::with_capacity(entries.len());
        for entry in entries {
            let [key, value] = self.both(entry)?;
            let is_key = matches!(key.kind(), Kind::Bool | Kind::Int | Kind::Uint | Kind::Text);
            if !is_key {
                return Err(Stop::Unfit("{}", "keys that are a bool, an int, a uint or a string"));
            }
            self.budget.steps(made.len() / 2)?;
            for (other, _) in &made {
                if equal(other, &key, &mut self.budget)? {
                    return Err(Stop::RepeatedKey);
                }
            }
            made.push((key, value));
        }
        Ok(Map::Shared(made.into()))
    }

    fn call(
        &mut self,
        function: super::plan::Function,
        operands: &'v [Node],
    ) -> Result<Value<'v>, Stop<'v>> {
        match operands {
            [one] => {
                let one = self.value(one)?;
                functions::call(function, &[one], &mut self.budget)
            }
            [one, two] => {
                let both = [self.value(one)?, self.value(two)?];
                functions::call(function, &both, &mut self.budget)
            }
            _ => functions::call(function, &[], &mut self.budget),
        }
    }

    fn repeat(&mut self, of: &'v Loop) -> Result<Value<'v>, Stop<'v>> {
        let items = match self.value(&of.range)? {
            Value::List(list) => Items::List(list, 0),
            Value::Map(map) => {
                self.budget.bytes(64)?;
                Items::Keys(map.keys())
            }
            other => return Err(Stop::NoOverload(of.kind.name(), other.kind(), None)),
        };
        let depth = self.locals.len();
        self.locals.push(Value::Null);
        let result = match of.kind {
            LoopKind::All => self.fold(of, items, false).map(Value::Bool),
            LoopKind::Exists => self.fold(of, items, true).map(Value::Bool),
            LoopKind::ExistsOne => self.count(of, items).map(|count| Value::Bool(count == 1)),
            LoopKind::Map | LoopKind::Filter => self.collect(of, items),
        };
        self.locals.truncate(depth);
        result
    }

    /// Makes the next element the loop's variable; false if there is none.
    fn step(&mut self, items: &mut Items<'v>) -> Result<bool, Stop<'v>> {
        let Some(item) = items.next()? else { return Ok(false) };
        self.budget.steps(1)?;
        if let Some(local) = self.locals.last_mut() {
            *local = item;
        }
        Ok(true)
    }

    /// Evaluates `exists` and `all`. An element that decides does so even if others fail.
    fn fold(
        &mut self,
        of: &'v Loop,
        mut items: Items<'v>,
        decisive: bool,
    ) -> Result<bool, Stop<'v>> {
        let mut pending: Option<Stop<'v>> = None;
        while self.step(&mut items)? {
            match self.truth(&of.body) {
                Ok(holds) if holds == decisive => return Ok(decisive),
                Ok(_) => {}
                Err(stop) if stop.is_final() => return Err(stop),
                Err(stop) => {
                    pending = Some(match pending {
                        Some(earlier) => earlier.or(stop),
                        None => stop,
                    });
                }
            }
        }
        pending.map_or(Ok(!decisive), Err)
    }

    fn count(&mut self, of: &'v Loop, mut items: Items<'v>) -> Result<usize, Stop<'v>> {
        let mut count = 0;
        while self.step(&mut items)? {
            count += usize::from(self.truth(&of.body)?);
        }
        Ok(count)
    }

    fn collect(&mut self, of: &'v Loop, mut items: Items<'v>) -> Result<Value<'v>, Stop<'v>> {
        let mut collected = Vec::new();
        while self.step(&mut items)? {
            let made = if of.kind == LoopKind::Filter {
                let is_kept = self.truth(&of.body)?;
                is_kept.then(|| self.locals.last().cloned()).flatten()
            } else {
                let is_kept = match &of.condition {
                    Some(condition) => self.truth(condition)?,
                    None => true,
                };
                if is_kept { Some(self.value(&of.body)?) } else { None }
            };
            if let Some(made) = made {
                // The list grows by doubling, and is copied once more when it is complete.
                self.budget.bytes(4 * size_of::<Value<'_>>())?;
                collected.push(made);
            }
        }
        Ok(Value::List(List::Shared(Arc::from(collected))))
    }
}

impl LoopKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Exists => "exists",
            Self::ExistsOne => "exists_one",
            Self::Map => "map",
            Self::Filter => "filter",
        }
    }
}

/// The elements that a loop visits.
enum Items<'v> {
    List(List<'v>, usize),
    Keys(Keys<'v>),
}

impl<'v> Items<'v> {
    fn next(&mut self) -> Result<Option<Value<'v>>, Stop<'v>> {
        match self {
            Self::List(list, index) => {
                *index += 1;
                list.get(*index - 1)
            }
            Self::Keys(keys) => Ok(keys.next()),
        }
    }
}
