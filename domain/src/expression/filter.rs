//! The `where` of an objective.

use serde_json::Value as Json;

use super::compile::{Declared, is_never_true};
use super::failure::EvaluationError;
use super::types::{Others, Type};
use super::value::{Kind, Variable};
use super::{Allowance, Expression, FieldPath, InvalidExpression, fields, paths};
use crate::action::Action;

/// A compiled `where`.
///
/// A `where` that compiles costs at most [`STEPS_MAX`](super::STEPS_MAX) steps and
/// [`BYTES_MAX`](super::BYTES_MAX) bytes on any action, which is less than 10 ms and 16 MB. An
/// evaluation that needs more ends with an error. All expressions for one action share an
/// [`Allowance`].
#[derive(Debug)]
pub struct Filter(Expression);

/// A text that is not a valid `where`.
pub type InvalidFilter = InvalidExpression;

impl Filter {
    /// The variables that a `where` may use.
    pub const VARIABLES: [&str; 3] = ["data", "action", "user"];

    /// Compiles a `where`.
    ///
    /// # Errors
    ///
    /// [`InvalidFilter`] if the source is not valid CEL, uses an unknown name, is certainly not
    /// true or false, can never be true, or can't be bounded.
    pub fn compile(source: &str) -> Result<Self, InvalidFilter> {
        let [data, action, user] = Self::VARIABLES;
        let declared = [
            Declared { name: data, kind: Type::Known(Kind::Map) },
            Declared { name: action, kind: Type::Record(&ACTION_FIELDS, Others::Refused) },
            Declared { name: user, kind: Type::Record(&USER_FIELDS, Others::Allowed) },
        ];
        let (expression, kind) = Expression::compile_declared(source, &declared)?;
        expression.check_condition(kind)?;
        Ok(Self(expression))
    }

    /// Evaluates the `where` for an action. [`EvaluationError::Missing`] is an ordinary "no"; any
    /// other error is a fault of the `where` or of the data, or an allowance that is used up.
    pub fn matches_within(
        &self,
        variables: &Variables<'_>,
        allowance: &mut Allowance,
    ) -> Result<bool, EvaluationError> {
        self.0.holds(&variables.values(), allowance)
    }

    /// Like [`Self::matches_within`], for a single evaluation.
    #[cfg(test)]
    pub(super) fn matches(&self, variables: &Variables<'_>) -> Result<bool, EvaluationError> {
        self.matches_within(variables, &mut Allowance::default())
    }

    /// The fields of `data` and the attributes of `user` that the expression reads without a
    /// `has()` guard, such as `data.room.id`. An action without one of them does not count.
    pub fn unguarded_fields(&self) -> Vec<String> {
        let [data, _, user] = Self::VARIABLES;
        let mut found = fields::unguarded(&self.0.root, 0, data);
        found.extend(self.0.unguarded_attributes(2, user));
        found
    }

    /// The fields of `data` that the expression reads or tests by `has()`, such as `data.room.id`.
    pub fn data_fields(&self) -> Vec<String> {
        fields::mentioned(&self.0.root, 0, Self::VARIABLES[0])
    }

    /// The paths below `data`, `action` and `user` that the expression reads or tests by `has()`.
    pub fn paths(&self) -> Vec<FieldPath> {
        paths::paths(&self.0.root, &Self::VARIABLES)
    }

    pub(super) fn expression(&self) -> &Expression {
        &self.0
    }
}

impl Expression {
    /// The paths below its variables that the expression reads or tests by `has()`. `variables`
    /// holds the names in the order in which they were declared.
    pub(crate) fn paths(&self, variables: &[&str]) -> Vec<FieldPath> {
        paths::paths(&self.root, variables)
    }

    /// The attributes of a user that are read without a `has()` guard, such as `user.vip`.
    /// `variable` is the index of the user among the variables. Fields that Plaudit has for every
    /// user are left out.
    pub(crate) fn unguarded_attributes(&self, variable: usize, name: &str) -> Vec<String> {
        let mut found = fields::unguarded(&self.root, variable, name);
        let is_known = |path: &str| {
            let below = path.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            USER_FIELDS.iter().any(|(field, _)| below == Some(field))
        };
        found.retain(|path| !is_known(path));
        found
    }

    /// Checks that the expression can give true.
    pub(super) fn check_condition(&self, kind: Type) -> Result<(), InvalidExpression> {
        if !kind.may_be(Kind::Bool) {
            let got = match kind {
                Type::NotBool => "something that is never true or false".to_owned(),
                kind => kind.to_string(),
            };
            return Err(self.invalid(format!(
                "it gives {got}, and true or false is needed: compare it, as in `data.coins >= 10`"
            )));
        }
        if is_never_true(&self.root) {
            return Err(self.invalid("it can never be true, whatever the data".to_owned()));
        }
        Ok(())
    }
}

const ACTION_FIELDS: [(&str, Kind); 4] =
    [("id", Kind::Text), ("source", Kind::Text), ("type", Kind::Text), ("time", Kind::Timestamp)];
const USER_FIELDS: [(&str, Kind); 2] = [("id", Kind::Text), ("zone", Kind::Text)];

/// The variables of a `where`. They are borrowed: an expression reads only the fields that it
/// names.
pub struct Variables<'a> {
    data: &'a serde_json::Map<String, Json>,
    action: [(&'static str, Variable<'a>); 4],
    user: [(&'static str, Variable<'a>); 2],
    attributes: &'a serde_json::Map<String, Json>,
}

impl<'a> Variables<'a> {
    /// The variables for one action of a user.
    pub fn new(
        action: &'a Action,
        user_zone: &'a str,
        attributes: &'a serde_json::Map<String, Json>,
    ) -> Self {
        Self {
            data: &action.data,
            action: [
                ("id", Variable::Text(&action.id)),
                ("source", Variable::Text(&action.source)),
                ("type", Variable::Text(&action.kind)),
                ("time", Variable::Instant(action.occurred_at)),
            ],
            user: [
                ("id", Variable::Text(action.user.as_str())),
                ("zone", Variable::Text(user_zone)),
            ],
            attributes,
        }
    }

    /// The values of [`Filter::VARIABLES`]. Plaudit's own fields of a user take precedence over
    /// attributes of the same name.
    pub(super) fn values(&self) -> [Variable<'_>; 3] {
        [
            Variable::Object(self.data),
            Variable::Fields { own: &self.action, others: None },
            Variable::Fields { own: &self.user, others: Some(self.attributes) },
        ]
    }
}
