//! Compiles the syntax tree to a plan: names are resolved, types checked as far as they are known,
//! macros become loops, patterns are compiled, and constants are evaluated.

mod calls;

use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::budget::{Budget, STEPS_MAX};
use super::evaluate::Evaluation;
use super::failure::Stop;
use super::pattern::{Pattern, RANGES_MAX};
use super::plan::{LoopKind, Node};
use super::types::{Others, Type};
use super::value::{Bytes, Kind, Text, Value};

/// A name that an expression may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared<'s> {
    pub name: &'s str,
    pub kind: Type,
}

/// A compiled expression, and the type that it may give.
pub(super) struct Compiled {
    pub root: Node,
    pub kind: Type,
    pub patterns: Vec<Arc<Pattern>>,
}

/// Compiles a tree.
pub(super) fn compile(
    tree: &IdedExpr,
    places: &SourceInfo,
    variables: &[Declared<'_>],
) -> Result<Compiled, String> {
    let mut compiler = Compiler {
        variables,
        loops: Vec::new(),
        names_of_loops: Vec::new(),
        ranges_left: RANGES_MAX,
        patterns: Vec::new(),
        folding: Budget::new(STEPS_MAX, CONSTANT_BYTES_MAX),
    };
    let part = compiler.part(tree).map_err(|refusal| {
        match refusal.at.and_then(|id| places.offset_for(id)) {
            Some((start, _)) => format!("{} (at character {})", refusal.reason, start + 1),
            None => refusal.reason,
        }
    })?;
    Ok(Compiled { root: part.node, kind: part.kind, patterns: compiler.patterns })
}

/// The most memory for evaluating the constants of an expression. Constants beyond it are evaluated
/// each time, like everything else.
const CONSTANT_BYTES_MAX: u32 = 64 * 1024;

/// The deepest nesting of loops. Each level multiplies the cost by the length of a list.
const LOOPS_MAX: usize = 2;

/// The reason why a tree is refused, and the node at fault.
struct Refusal {
    reason: String,
    at: Option<u64>,
}

fn refuse<T>(at: u64, reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { reason: reason.into(), at: Some(at) })
}

/// A compiled part of an expression.
struct Part {
    node: Node,
    kind: Type,
    /// The outermost name that the part reads: 0 is a variable, 1 the variable of the outermost
    /// loop, and so on; [`NOTHING`] if the part is constant.
    reads: usize,
}

const NOTHING: usize = usize::MAX;

impl Part {
    fn new(node: Node, kind: Type, reads: usize) -> Self {
        Self { node, kind, reads }
    }
}

struct Compiler<'s> {
    variables: &'s [Declared<'s>],
    /// The variables of the enclosing loops, outermost first.
    loops: Vec<String>,
    /// The variables of all loops so far, for messages.
    names_of_loops: Vec<String>,
    ranges_left: usize,
    patterns: Vec<Arc<Pattern>>,
    folding: Budget,
}

impl Compiler<'_> {
    fn part(&mut self, tree: &IdedExpr) -> Result<Part, Refusal> {
        let part = match &tree.expr {
            Expr::Literal(literal) => {
                let value = constant(literal);
                let kind = Type::Known(value.kind());
                return Ok(Part::new(Node::Constant(value), kind, NOTHING));
            }
            Expr::Ident(name) => return self.name(tree.id, name),
            Expr::Select(select) => self.select(tree.id, &select.operand, &select.field)?,
            Expr::List(list) => {
                let items = self.parts(&list.elements)?;
                let reads = items.iter().map(|item| item.reads).min().unwrap_or(NOTHING);
                let nodes = items.into_iter().map(|item| item.node).collect();
                Part::new(Node::List(nodes), Type::Known(Kind::List), reads)
            }
            Expr::Map(map) => {
                let mut nodes = Vec::with_capacity(map.entries.len());
                let mut reads = NOTHING;
                for entry in &map.entries {
                    let EntryExpr::MapEntry(entry) = &entry.expr else {
                        return refuse(tree.id, "messages are not supported; write a map");
                    };
                    let (key, value) = (self.part(&entry.key)?, self.part(&entry.value)?);
                    let keys = [Kind::Bool, Kind::Int, Kind::Uint, Kind::Text];
                    if !keys.iter().any(|kind| key.kind.may_be(*kind)) {
                        return refuse(entry.key.id, format!("{} can't be a key", key.kind));
                    }
                    reads = reads.min(key.reads).min(value.reads);
                    nodes.push([key.node, value.node]);
                }
                Part::new(Node::Map(nodes), Type::Known(Kind::Map), reads)
            }
            Expr::Call(call) => self.call(tree.id, call)?,
            Expr::Struct(made) => {
                let name = &made.type_name;
                return refuse(tree.id, format!("messages such as {name} are not supported"));
            }
            Expr::Comprehension(_) | Expr::Unspecified => {
                return refuse(tree.id, "this is not supported");
            }
        };
        self.folded(tree.id, part)
    }

    fn parts(&mut self, trees: &[IdedExpr]) -> Result<Vec<Part>, Refusal> {
        trees.iter().map(|tree| self.part(tree)).collect()
    }

    /// Evaluates a part that reads nothing, so that it becomes a constant.
    fn folded(&mut self, at: u64, part: Part) -> Result<Part, Refusal> {
        if part.reads != NOTHING || matches!(part.node, Node::Constant(_)) {
            return Ok(part);
        }
        let budget = std::mem::replace(&mut self.folding, Budget::new(0, 0));
        let mut evaluation = Evaluation::new(&[], budget);
        let value = evaluation.value(&part.node);
        let value = value.map_err(|stop| (stop.is_final(), stop.to_string()));
        let value = value.and_then(|value| {
            value.into_owned().map_err(|stop: Stop<'_>| (true, stop.to_string()))
        });
        self.folding = evaluation.budget;
        match value {
            Ok(value) => {
                let kind = Type::Known(value.kind());
                Ok(Part::new(Node::Constant(value), kind, NOTHING))
            }
            Err((true, _)) => Ok(part),
            Err((false, why)) => refuse(at, format!("this can never be evaluated: {why}")),
        }
    }

    fn name(&self, at: u64, name: &str) -> Result<Part, Refusal> {
        if let Some(depth) = self.loops.iter().rposition(|of| of == name) {
            return Ok(Part::new(Node::Local(depth), Type::Any, depth + 1));
        }
        if let Some(index) = self.variables.iter().position(|declared| declared.name == name) {
            return Ok(Part::new(Node::Variable(index), self.variables[index].kind, 0));
        }
        if let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.name() == name) {
            let kind = Node::Constant(Value::Kind(kind));
            return Ok(Part::new(kind, Type::Known(Kind::Type), NOTHING));
        }
        let known: Vec<&str> = self.variables.iter().map(|declared| declared.name).collect();
        let mut reason = format!("{name:?} is not known here, only {}", known.join(", "));
        if self.names_of_loops.iter().any(|of| of == name) {
            reason.push_str("; the variable of a loop is known only within its loop");
        }
        refuse(at, reason)
    }

    fn select(&mut self, at: u64, operand: &IdedExpr, field: &str) -> Result<Part, Refusal> {
        if let Some(kind) = named_type(operand, field) {
            let kind = Node::Constant(Value::Kind(kind));
            return Ok(Part::new(kind, Type::Known(Kind::Type), NOTHING));
        }
        let of = self.part(operand)?;
        let kind = field_type(at, of.kind, field)?;
        Ok(Part::new(Node::Field(Box::new(of.node), field.into()), kind, of.reads))
    }

    fn has(&mut self, at: u64, args: &[IdedExpr]) -> Result<Part, Refusal> {
        let [IdedExpr { expr: Expr::Select(select), .. }] = args else {
            return refuse(at, "`has` takes one field, as in has(data.room)");
        };
        let of = self.part(&select.operand)?;
        field_type(at, of.kind, &select.field)?;
        let node = Node::Has(Box::new(of.node), select.field.as_str().into());
        Ok(Part::new(node, Type::BOOL, of.reads))
    }

    fn macro_loop(
        &mut self,
        at: u64,
        kind: LoopKind,
        target: &IdedExpr,
        args: &[IdedExpr],
    ) -> Result<Part, Refusal> {
        let range = self.part(target)?;
        if !range.kind.may_be(Kind::List) && !range.kind.may_be(Kind::Map) {
            return refuse(at, format!("`{}` can't take {}", kind.name(), range.kind));
        }
        let (variable, condition, body) = match args {
            [variable, body] => (variable, None, body),
            [variable, condition, body] => (variable, Some(condition), body),
            _ => return refuse(at, format!("`{}` takes a name and an expression", kind.name())),
        };
        let Expr::Ident(name) = &variable.expr else {
            return refuse(variable.id, format!("`{}` needs a plain name first", kind.name()));
        };
        let depth = self.loops.len();
        if depth == LOOPS_MAX {
            return refuse(at, format!("loops nested more than {LOOPS_MAX} deep"));
        }
        self.names_of_loops.push(name.clone());
        self.loops.push(name.clone());
        let condition = condition.map(|condition| self.truth(condition)).transpose();
        let body = condition.and_then(|condition| {
            let body = if kind == LoopKind::Map { self.part(body)? } else { self.truth(body)? };
            Ok((condition, body))
        });
        self.loops.pop();
        let (condition, body) = body?;
        // A part that reads only the variable of this loop is constant outside of the loop.
        let within = condition.as_ref().map_or(NOTHING, |c| c.reads).min(body.reads);
        let reads = range.reads.min(if within > depth { NOTHING } else { within });
        let result = match kind {
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => Type::BOOL,
            LoopKind::Map | LoopKind::Filter => Type::Known(Kind::List),
        };
        let of = super::plan::Loop {
            kind,
            range: range.node,
            condition: condition.map(|condition| condition.node),
            body: body.node,
        };
        Ok(Part::new(Node::Loop(Box::new(of)), result, reads))
    }

    /// Compiles a part that must give true or false.
    fn truth(&mut self, tree: &IdedExpr) -> Result<Part, Refusal> {
        let part = self.part(tree)?;
        if part.kind.may_be(Kind::Bool) {
            return Ok(part);
        }
        match part.kind {
            Type::NotBool => refuse(tree.id, "this is never true or false"),
            kind => refuse(tree.id, format!("{kind} where a boolean is required")),
        }
    }

    /// Compiles calls of macros, operators and functions.
    fn call(&mut self, at: u64, call: &CallExpr) -> Result<Part, Refusal> {
        let name = call.func_name.as_str();
        let target = call.target.as_deref();
        match (name, target) {
            ("has", None) => return self.has(at, &call.args),
            ("all" | "exists" | "exists_one" | "existsOne" | "map" | "filter", Some(target)) => {
                let kind = match name {
                    "all" => LoopKind::All,
                    "exists" => LoopKind::Exists,
                    "map" => LoopKind::Map,
                    "filter" => LoopKind::Filter,
                    _ => LoopKind::ExistsOne,
                };
                if call.args.len() == 3 && kind != LoopKind::Map {
                    return refuse(at, format!("`{name}` takes a name and an expression"));
                }
                return self.macro_loop(at, kind, target, &call.args);
            }
            _ => {}
        }
        match self.operator(at, name, &call.args)? {
            Some(part) => Ok(part),
            None => self.function(at, call),
        }
    }
}

/// The type of a field.
fn field_type(at: u64, of: Type, field: &str) -> Result<Type, Refusal> {
    if let Type::Record(fields, others) = of {
        if let Some((_, kind)) = fields.iter().find(|(name, _)| *name == field) {
            return Ok(Type::Known(*kind));
        }
        if others == Others::Refused {
            let known: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
            return refuse(at, format!("unknown field {field:?}; one of: {}", known.join(", ")));
        }
        return Ok(Type::Any);
    }
    if of.may_be(Kind::Map) { Ok(Type::Any) } else { refuse(at, format!("{of} has no fields")) }
}

/// Finds the types whose names have dots.
fn named_type(operand: &IdedExpr, field: &str) -> Option<Kind> {
    let Expr::Select(package) = &operand.expr else { return None };
    let Expr::Ident(root) = &package.operand.expr else { return None };
    let is_package = root == "google" && package.field == "protobuf";
    match field {
        "Timestamp" if is_package => Some(Kind::Timestamp),
        "Duration" if is_package => Some(Kind::Duration),
        _ => None,
    }
}

fn constant(literal: &LiteralValue) -> Value<'static> {
    match literal {
        LiteralValue::Null => Value::Null,
        LiteralValue::Boolean(holds) => Value::Bool(*holds.inner()),
        LiteralValue::Int(number) => Value::Int(*number.inner()),
        LiteralValue::UInt(number) => Value::Uint(*number.inner()),
        LiteralValue::Double(number) => Value::Double(*number.inner()),
        LiteralValue::String(text) => Value::Text(Text::Shared(text.inner().into())),
        LiteralValue::Bytes(bytes) => Value::Bytes(Bytes::Shared(bytes.inner().into())),
    }
}

/// True if an expression certainly never gives true, whatever the data.
pub(super) fn is_never_true(node: &Node) -> bool {
    let is_empty = |node: &Node| match node {
        Node::Constant(Value::List(items)) => items.len() == 0,
        Node::Constant(Value::Map(map)) => map.len() == 0,
        _ => false,
    };
    match node {
        Node::Constant(value) => !matches!(value, Value::Bool(true)),
        Node::And(operands) => operands.iter().any(is_never_true),
        Node::Or(operands) => operands.iter().all(is_never_true),
        Node::Not(of) => matches!(**of, Node::Constant(Value::Bool(true))),
        Node::Choice(parts) => {
            let [condition, yes, no] = &**parts;
            match condition {
                Node::Constant(Value::Bool(true)) => is_never_true(yes),
                Node::Constant(Value::Bool(false)) => is_never_true(no),
                _ => is_never_true(yes) && is_never_true(no),
            }
        }
        Node::In(operands) => is_empty(&operands[1]),
        Node::Loop(of) => {
            let needs_one = matches!(of.kind, LoopKind::Exists | LoopKind::ExistsOne);
            needs_one && (is_empty(&of.range) || is_never_true(&of.body))
        }
        _ => false,
    }
}
