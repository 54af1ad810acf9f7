//! Compiles operators and functions, and checks their operands.

use std::sync::Arc;

use cel::common::ast::{CallExpr, IdedExpr, operators};

use super::super::functions::{Form, SIGNATURES, Signature};
use super::super::pattern::Pattern;
use super::super::plan::{Arithmetic, Comparison, Function, Node};
use super::super::types::Type;
use super::super::value::{Kind, Value};
use super::{Compiler, NOTHING, Part, Refusal, refuse};

impl Compiler<'_> {
    /// Compiles an operator; `None` if the call is one of a function.
    pub(super) fn operator(
        &mut self,
        at: u64,
        name: &str,
        args: &[IdedExpr],
    ) -> Result<Option<Part>, Refusal> {
        Ok(Some(match (name, args) {
            (operators::LOGICAL_AND, [left, right]) => self.logical(left, right, false)?,
            (operators::LOGICAL_OR, [left, right]) => self.logical(left, right, true)?,
            (operators::LOGICAL_NOT, [of]) => {
                let of = self.truth(of)?;
                Part::new(Node::Not(Box::new(of.node)), Type::BOOL, of.reads)
            }
            (operators::CONDITIONAL, [condition, yes, no]) => {
                let condition = self.truth(condition)?;
                let (yes, no) = (self.part(yes)?, self.part(no)?);
                let kind = yes.kind.either(no.kind);
                let reads = condition.reads.min(yes.reads).min(no.reads);
                Part::new(Node::Choice(Box::new([condition.node, yes.node, no.node])), kind, reads)
            }
            (operators::NEGATE, [of]) => self.negation(at, of)?,
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => {
                let is_equal = name == operators::EQUALS;
                self.equality(at, is_equal, left, right)?
            }
            (operators::INDEX, [of, key]) => self.index(at, of, key)?,
            (operators::IN, [needle, within]) => {
                let (needle, within) = (self.part(needle)?, self.part(within)?);
                if !within.kind.may_be(Kind::List) && !within.kind.may_be(Kind::Map) {
                    return refuse(at, format!("`in` needs a list or a map, not {}", within.kind));
                }
                binary(Node::In, needle, within, Type::BOOL)
            }
            (_, [left, right]) => {
                if let Some(operator) = arithmetic(name) {
                    let (left, right) = (self.part(left)?, self.part(right)?);
                    let Some(kind) = Type::of_arithmetic(operator, left.kind, right.kind) else {
                        return refuse(at, mismatch(operator.name(), &left, &right));
                    };
                    binary(|operands| Node::Arithmetic(operator, operands), left, right, kind)
                } else if let Some(comparison) = comparison(name) {
                    let (left, right) = (self.part(left)?, self.part(right)?);
                    if !left.kind.may_be_ordered_with(right.kind) {
                        return refuse(at, mismatch(comparison.name(), &left, &right));
                    }
                    binary(|operands| Node::Compare(comparison, operands), left, right, Type::BOOL)
                } else {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }))
    }

    fn negation(&mut self, at: u64, of: &IdedExpr) -> Result<Part, Refusal> {
        let of = self.part(of)?;
        if !of.kind.may_be(Kind::Int) && !of.kind.may_be(Kind::Double) {
            return refuse(at, format!("`-` can't take {}", of.kind));
        }
        let kind = if of.kind == Type::Any { Type::NotBool } else { of.kind };
        Ok(Part::new(Node::Negate(Box::new(of.node)), kind, of.reads))
    }

    fn logical(
        &mut self,
        left: &IdedExpr,
        right: &IdedExpr,
        decisive: bool,
    ) -> Result<Part, Refusal> {
        let (left, right) = (self.truth(left)?, self.truth(right)?);
        let decides =
            |part: &Part| matches!(&part.node, Node::Constant(Value::Bool(b)) if *b == decisive);
        if decides(&left) || decides(&right) {
            let constant = Node::Constant(Value::Bool(decisive));
            return Ok(Part::new(constant, Type::BOOL, NOTHING));
        }
        let operator = if decisive { Node::Or } else { Node::And };
        Ok(binary(operator, left, right, Type::BOOL))
    }

    fn equality(
        &mut self,
        at: u64,
        is_equal: bool,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Part, Refusal> {
        let (left, right) = (self.part(left)?, self.part(right)?);
        if !left.kind.may_equal(right.kind) {
            return refuse(at, format!("{} is never equal to {}", left.kind, right.kind));
        }
        let operator = if is_equal { Node::Equal } else { Node::NotEqual };
        Ok(binary(operator, left, right, Type::BOOL))
    }

    fn index(&mut self, at: u64, of: &IdedExpr, key: &IdedExpr) -> Result<Part, Refusal> {
        let (of, key) = (self.part(of)?, self.part(key)?);
        // A double key finds what an integer of its value finds.
        let is_place = [Kind::Int, Kind::Uint, Kind::Double].iter().any(|k| key.kind.may_be(*k));
        let is_key = is_place || key.kind.may_be(Kind::Text) || key.kind.may_be(Kind::Bool);
        let fits =
            (of.kind.may_be(Kind::List) && is_place) || (of.kind.may_be(Kind::Map) && is_key);
        if !fits {
            return refuse(at, mismatch("[]", &of, &key));
        }
        Ok(binary(Node::Index, of, key, Type::Any))
    }

    pub(super) fn function(&mut self, at: u64, call: &CallExpr) -> Result<Part, Refusal> {
        let name = call.func_name.as_str();
        if name == "matches" {
            return self.matches(at, call);
        }
        let Some(signature) = SIGNATURES.iter().find(|signature| signature.name == name) else {
            return refuse(at, unknown_function(name));
        };
        let is_member = call.target.is_some();
        match signature.form {
            Form::Global if is_member => {
                return refuse(at, format!("`{name}` is called as {name}(x), without a dot"));
            }
            Form::Member if !is_member => {
                return refuse(at, format!("`{name}` is called on a value, as in x.{name}(…)"));
            }
            Form::Global | Form::Member | Form::Both => {}
        }
        let operands: Vec<&IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        check_count(at, signature, operands.len(), is_member)?;
        let mut nodes = Vec::with_capacity(operands.len());
        let mut reads = NOTHING;
        let mut kind = signature.function.result().map_or(Type::Any, Type::Known);
        for (index, operand) in operands.into_iter().enumerate() {
            let part = self.part(operand)?;
            let takes =
                |kind: &Kind| part.kind.may_be(*kind) && signature.function.takes(index, *kind);
            if !Kind::ALL.iter().any(takes) {
                return refuse(operand.id, format!("`{name}` can't take {}", part.kind));
            }
            if signature.function == Function::Dyn {
                kind = Type::Any;
            }
            reads = reads.min(part.reads);
            nodes.push(part.node);
        }
        Ok(Part::new(Node::Call(signature.function, nodes), kind, reads))
    }

    fn matches(&mut self, at: u64, call: &CallExpr) -> Result<Part, Refusal> {
        let operands: Vec<&IdedExpr> =
            call.target.as_deref().into_iter().chain(&call.args).collect();
        let [text, pattern] = operands[..] else {
            return refuse(
                at,
                "`matches` takes a text and a pattern: data.name.matches('^[a-z]+$')",
            );
        };
        let (text, pattern_part) = (self.part(text)?, self.part(pattern)?);
        if !text.kind.may_be(Kind::Text) {
            return refuse(at, format!("`matches` can't take {}", text.kind));
        }
        let Node::Constant(Value::Text(source)) = &pattern_part.node else {
            return refuse(
                pattern.id,
                "the pattern of `matches` must be written in the expression, where it is compiled \
                 once; to compare with a text of the data use ==, contains, startsWith, endsWith or in",
            );
        };
        let pattern = Pattern::shared(source, self.ranges_left)
            .map_err(|reason| Refusal { reason, at: Some(pattern.id) })?;
        self.ranges_left = self.ranges_left.saturating_sub(pattern.ranges());
        self.patterns.push(Arc::clone(&pattern));
        let node = Node::Matches(Box::new(text.node), pattern);
        Ok(Part::new(node, Type::BOOL, text.reads))
    }
}

fn binary(
    operator: impl FnOnce(Box<[Node; 2]>) -> Node,
    left: Part,
    right: Part,
    kind: Type,
) -> Part {
    let reads = left.reads.min(right.reads);
    Part::new(operator(Box::new([left.node, right.node])), kind, reads)
}

fn mismatch(operator: &str, left: &Part, right: &Part) -> String {
    format!("`{operator}` can't take {} and {}", left.kind, right.kind)
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn check_count(
    at: u64,
    signature: &Signature,
    count: usize,
    is_member: bool,
) -> Result<(), Refusal> {
    let (least, most) = signature.operands;
    if (least..=most).contains(&count) {
        return Ok(());
    }
    // The operand before the dot is not an argument.
    let before_dot = usize::from(is_member);
    let (least, most, got) = (least - before_dot, most - before_dot, count - before_dot);
    let expected = match (least, most) {
        (1, 1) => "1 argument".to_owned(),
        (least, most) if least == most => format!("{most} arguments"),
        (least, most) => format!("{least} to {most} arguments"),
    };
    refuse(at, format!("`{}` takes {expected}, got {got}", signature.name))
}

fn unknown_function(name: &str) -> String {
    let unknown = format!("unknown function {name:?}");
    match name {
        "min" => return format!("{unknown}; write a < b ? a : b"),
        "max" => return format!("{unknown}; write a > b ? a : b"),
        _ => {}
    }
    let names = SIGNATURES.iter().map(|signature| signature.name);
    let macros = ["has", "all", "exists", "exists_one", "map", "filter", "matches"];
    let alike = |known: &&str| {
        let same = known.bytes().zip(name.bytes()).take_while(|(a, b)| a.eq_ignore_ascii_case(b));
        same.count() >= 4 && known.len().abs_diff(name.len()) <= 2
    };
    match names.chain(macros).find(alike) {
        Some(known) => format!("{unknown}; did you mean {known:?}?"),
        None => unknown,
    }
}
