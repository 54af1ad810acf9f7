//! A compiled expression: checked, resolved, and ready to be evaluated.

use std::sync::Arc;

use super::instant::Accessor;
use super::pattern::Pattern;
use super::value::Value;

/// One operation.
#[derive(Debug)]
pub(super) enum Node {
    Constant(Value<'static>),
    /// The variable at this index among those that the expression may use.
    Variable(usize),
    /// The variable of a loop, by the number of loops around it.
    Local(usize),
    Field(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Index(Box<[Node; 2]>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<[Node; 2]>),
    Or(Box<[Node; 2]>),
    Choice(Box<[Node; 3]>),
    Equal(Box<[Node; 2]>),
    NotEqual(Box<[Node; 2]>),
    Compare(Comparison, Box<[Node; 2]>),
    Arithmetic(Arithmetic, Box<[Node; 2]>),
    In(Box<[Node; 2]>),
    List(Vec<Node>),
    Map(Vec<[Node; 2]>),
    Matches(Box<Node>, Arc<Pattern>),
    Call(Function, Vec<Node>),
    Loop(Box<Loop>),
}

impl Node {
    /// The nodes right below this one.
    pub fn operands(&self) -> Vec<&Self> {
        match self {
            Self::Constant(_) | Self::Variable(_) | Self::Local(_) => vec![],
            Self::Field(of, _)
            | Self::Has(of, _)
            | Self::Not(of)
            | Self::Negate(of)
            | Self::Matches(of, _) => vec![of],
            Self::Index(operands)
            | Self::And(operands)
            | Self::Or(operands)
            | Self::Equal(operands)
            | Self::NotEqual(operands)
            | Self::Compare(_, operands)
            | Self::Arithmetic(_, operands)
            | Self::In(operands) => operands.iter().collect(),
            Self::Choice(parts) => parts.iter().collect(),
            Self::List(items) | Self::Call(_, items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().flatten().collect(),
            Self::Loop(of) => {
                let Loop { range, condition, body, .. } = &**of;
                [range, body].into_iter().chain(condition).collect()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub fn name(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    pub fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// A function whose operands are evaluated before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Int,
    Uint,
    Double,
    Text,
    Bool,
    Bytes,
    Type,
    Dyn,
    Timestamp,
    TimestampMs,
    Duration,
    Get(Accessor),
}

/// A macro over the elements of a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Loop {
    pub kind: LoopKind,
    pub range: Node,
    /// The condition that an element must meet. Only `map` with three arguments has one.
    pub condition: Option<Node>,
    pub body: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
}
