//! The types of expressions, as far as they are known before an evaluation.

use std::fmt;

use super::operators::{are_ordered, arithmetic_kind};
use super::plan::Arithmetic;
use super::value::Kind;

/// The type that an expression may give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Type {
    /// Anything: it comes from the data.
    Any,
    /// Anything but true and false.
    NotBool,
    Known(Kind),
    /// A map whose fields are known by name.
    Record(&'static [(&'static str, Kind)], Others),
}

/// The treatment of fields that a record does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Allowed,
    Refused,
}

impl Type {
    pub const BOOL: Self = Self::Known(Kind::Bool);

    pub fn may_be(self, kind: Kind) -> bool {
        match self {
            Self::Any => true,
            Self::NotBool => kind != Kind::Bool,
            Self::Known(known) => known == kind,
            Self::Record(..) => kind == Kind::Map,
        }
    }

    fn kinds(self) -> impl Iterator<Item = Kind> + Clone {
        Kind::ALL.into_iter().filter(move |kind| self.may_be(*kind))
    }

    fn of(results: impl Iterator<Item = Kind>) -> Option<Self> {
        let mut results = results.peekable();
        let first = *results.peek()?;
        let mut one = Self::Known(first);
        for kind in results {
            if kind == Kind::Bool {
                return Some(Self::Any);
            }
            if kind != first {
                one = Self::NotBool;
            }
        }
        Some(one)
    }

    /// The type of an operator's result for operands of these types; `None` if it takes no such
    /// operands.
    pub fn of_arithmetic(operator: Arithmetic, left: Self, right: Self) -> Option<Self> {
        let pairs = left.kinds().flat_map(|a| right.kinds().map(move |b| (a, b)));
        Self::of(pairs.filter_map(|(a, b)| arithmetic_kind(operator, a, b)))
    }

    /// The type of a value that either of two expressions may give.
    pub fn either(self, other: Self) -> Self {
        if self == other {
            self
        } else if self.may_be(Kind::Bool) || other.may_be(Kind::Bool) {
            Self::Any
        } else {
            Self::NotBool
        }
    }

    pub fn may_be_ordered_with(self, other: Self) -> bool {
        self.kinds().any(|a| other.kinds().any(|b| are_ordered(a, b)))
    }

    pub fn may_equal(self, other: Self) -> bool {
        let same = |a: Kind, b: Kind| a == b || (a.is_number() && b.is_number());
        self.kinds().any(|a| other.kinds().any(|b| same(a, b)))
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any | Self::NotBool => f.write_str("this"),
            Self::Known(kind) => kind.fmt(f),
            Self::Record(..) => Kind::Map.fmt(f),
        }
    }
}
