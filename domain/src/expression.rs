//! Rules and mappings written in CEL: compiled once, evaluated within a budget.
//!
//! The parser is the library's. Compiling and evaluating are our own, because the library bounds neither
//! the time nor the memory of an evaluation, and expressions and data both come from outside. See
//! `docs/decisions/0010-bounded-expressions.md`.
//!
//! # Source
//!
//! Common Expression Language, <https://github.com/google/cel-spec>.

mod allowance;
mod budget;
mod compile;
mod evaluate;
mod failure;
mod fields;
mod filter;
mod functions;
mod instant;
mod map;
mod operators;
mod output;
mod parse;
mod paths;
mod pattern;
mod pattern_total;
mod plan;
mod types;
mod value;

use std::sync::Arc;

use compile::Declared;
use evaluate::Evaluation;
use pattern::Pattern;
use plan::Node;
use types::Type;

pub use allowance::{Allowance, FULL_EVALUATIONS_MAX};
pub use budget::{BYTES_MAX, STEPS_MAX};
pub use failure::EvaluationError;
pub use filter::{Filter, InvalidFilter, Variables};
pub use output::Output;
pub use parse::SOURCE_BYTES_MAX;
pub use paths::FieldPath;
pub use pattern_total::{PATTERN_RANGES_MAX, PatternTotal, TooManyRanges};
pub use value::EXACT_DOUBLE_MAX;
pub use value::{Object, Variable};

/// A compiled expression over named variables.
///
/// An expression that compiles costs at most [`STEPS_MAX`] steps and [`BYTES_MAX`] bytes in one
/// evaluation, which is less than 10 ms and 16 MB, whatever the values of its variables. It can be
/// evaluated on any thread: the stack that it takes is bounded as well.
#[derive(Debug)]
pub struct Expression {
    source: String,
    root: Node,
    /// The patterns of its calls of `matches`.
    patterns: Vec<Arc<Pattern>>,
}

impl Expression {
    /// Compiles `source`, which may only use `variables`.
    ///
    /// # Errors
    ///
    /// [`InvalidExpression`] if the source is not valid CEL, uses an unknown name, can never be
    /// evaluated, or can't be bounded.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, InvalidExpression> {
        Ok(Self::compile_any(source, variables)?.0)
    }

    /// Compiles a condition. Also refuses an expression that certainly gives neither true nor
    /// false, or that can never give true.
    ///
    /// # Errors
    ///
    /// As [`Self::compile`].
    pub fn compile_condition(source: &str, variables: &[&str]) -> Result<Self, InvalidExpression> {
        let (expression, kind) = Self::compile_any(source, variables)?;
        expression.check_condition(kind)?;
        Ok(expression)
    }

    fn compile_any(source: &str, variables: &[&str]) -> Result<(Self, Type), InvalidExpression> {
        let declared: Vec<_> =
            variables.iter().map(|name| Declared { name, kind: Type::Any }).collect();
        Self::compile_declared(source, &declared)
    }

    fn compile_declared(
        source: &str,
        variables: &[Declared<'_>],
    ) -> Result<(Self, Type), InvalidExpression> {
        let compiled = parse::on_large_stack(|| {
            let (tree, places) = parse::parse(source)?;
            compile::compile(&tree, &places, variables)
        });
        let compiled = compiled
            .map_err(|reason| InvalidExpression { expression: source.to_owned(), reason })?;
        let compile::Compiled { root, kind, patterns } = compiled;
        Ok((Self { source: source.to_owned(), root, patterns }, kind))
    }

    fn invalid(&self, reason: String) -> InvalidExpression {
        InvalidExpression { expression: self.source.clone(), reason }
    }

    /// Evaluates the expression. `values` are those of the variables, in the order in which they
    /// were declared. The result is a copy, which is part of the cost.
    ///
    /// # Errors
    ///
    /// [`EvaluationError`]: a missing field, or the reason why the expression can't be evaluated.
    pub fn evaluate(&self, values: &[Variable<'_>]) -> Result<Output, EvaluationError> {
        self.evaluate_within(values, &mut Allowance::default())
    }

    /// Like [`Self::evaluate`], for expressions that share an allowance.
    ///
    /// # Errors
    ///
    /// As [`Self::evaluate`]. Every evaluation fails once the allowance is used up.
    pub fn evaluate_within(
        &self,
        values: &[Variable<'_>],
        allowance: &mut Allowance,
    ) -> Result<Output, EvaluationError> {
        let result = allowance.spend(|budget| {
            let mut evaluation = Evaluation::new(values, budget);
            let result = evaluation.value(&self.root);
            let result = result.and_then(|value| output::output(&value, &mut evaluation.budget));
            (result, evaluation.budget)
        });
        Ok(result?)
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    ///
    /// As [`Self::evaluate_within`]; also if the result is neither true nor false.
    pub fn holds(
        &self,
        values: &[Variable<'_>],
        allowance: &mut Allowance,
    ) -> Result<bool, EvaluationError> {
        let result = allowance.spend(|budget| {
            let mut evaluation = Evaluation::new(values, budget);
            (evaluation.truth(&self.root), evaluation.budget)
        });
        Ok(result?)
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates the expression, and returns the steps and bytes spent.
    #[cfg(test)]
    fn spent(&self, values: &[Variable<'_>]) -> (Result<Output, EvaluationError>, (u32, u32)) {
        let mut evaluation = Evaluation::new(values, budget::Budget::full());
        let result = evaluation.value(&self.root);
        let result = result.and_then(|value| output::output(&value, &mut evaluation.budget));
        (result.map_err(EvaluationError::from), evaluation.budget.spent())
    }
}

/// A text that is not a valid expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CEL expression `{expression}` does not compile: {reason}")]
pub struct InvalidExpression {
    expression: String,
    reason: String,
}

#[cfg(test)]
mod tests;
