//! Rules written in CEL: compiled once per version, evaluated per action.
//!
//! # Source
//!
//! Common Expression Language, <https://github.com/google/cel-spec>.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr};
use cel::objects::{Key, Map};
use cel::{Context, Env, Program, Value};
use jiff::Timestamp;
use serde_json::Value as Json;

use crate::action::Action;

/// The functions and macros of the CEL standard.
static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled expression over named variables.
#[derive(Debug)]
pub struct Expression {
    source: String,
    program: Program,
}

impl Expression {
    /// Compiles `source`, which may only speak of `variables`.
    pub fn compile(source: &str, variables: &[&str]) -> Result<Self, InvalidExpression> {
        let invalid = |reason: String| InvalidExpression { expression: source.to_owned(), reason };
        if source.len() > SOURCE_BYTES_MAX {
            return Err(invalid(format!("longer than {SOURCE_BYTES_MAX} bytes")));
        }
        let program = parse(source).map_err(invalid)?;
        let references = program.references();
        // Names with '@' are made by macros.
        let unknown = |name: &&str| !name.contains('@') && !variables.contains(name);
        let names = references.variables();
        if let Some(name) =
            names.iter().find(|name| unknown(name) && !is_bound_by_macro(source, name))
        {
            return Err(invalid(format!(
                "{name:?} is not known here, only {}",
                variables.join(", ")
            )));
        }
        // Operators have names such as `_+_`, and macros make some with '@'.
        let is_named = |name: &str| name.starts_with(|c: char| c.is_ascii_alphabetic());
        let functions = references.functions();
        let unknown = functions.iter().find(|name| is_named(name) && !FUNCTIONS.contains(name));
        if let Some(name) = unknown {
            return Err(invalid(format!("there is no function {name:?}")));
        }
        if loops_nested(program.expression()) > LOOPS_MAX {
            return Err(invalid(format!("loops nested more than {LOOPS_MAX} deep")));
        }
        Ok(Self { source: source.to_owned(), program })
    }

    /// What the expression gives for these values.
    pub fn evaluate<'v>(
        &self,
        variables: impl IntoIterator<Item = (&'v str, Value)>,
    ) -> Result<Value, String> {
        let mut context = Context::with_env(Arc::clone(&STANDARD));
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        self.program.execute(&context).map_err(|e| one_line(&e.to_string()))
    }

    /// The expression as written.
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// The functions that there are. The compiler takes any name, and a misspelt one would never match.
///
/// # Source
///
/// CEL language definition, "List of Standard Definitions"; `min` and `max` are the interpreter's.
const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "int",
    "matches",
    "max",
    "min",
    "optFlatMap",
    "optMap",
    "optional.none",
    "optional.of",
    "optional.ofNonZeroValue",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
    "value",
];

/// How many loops (`all`, `exists`, `map`, `filter`) may stand inside each other: each one more takes
/// the length of a list as many times, while a lane is held.
const LOOPS_MAX: usize = 2;

/// How many loops stand inside each other.
fn loops_nested(expression: &IdedExpr) -> usize {
    let own = usize::from(matches!(expression.expr, Expr::Comprehension(_)));
    own + parts(expression).into_iter().map(loops_nested).max().unwrap_or(0)
}

/// The longest expression, in bytes: a rule, not a program.
pub const SOURCE_BYTES_MAX: usize = 2048;

/// The deepest tree that is evaluated: each level takes stack, and a rule comes from outside.
const DEPTH_MAX: usize = 32;

/// How many levels a tree has.
fn depth(expression: &IdedExpr) -> usize {
    1 + parts(expression).into_iter().map(depth).max().unwrap_or(0)
}

/// The expressions right below one.
fn parts(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => vec![],
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Map(map) => map.entries.iter().flat_map(parts_of_entry).collect(),
        Expr::Struct(made) => made.entries.iter().flat_map(parts_of_entry).collect(),
        Expr::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
    }
}

fn parts_of_entry(entry: &IdedEntryExpr) -> Vec<&IdedExpr> {
    match &entry.expr {
        EntryExpr::StructField(field) => vec![&field.value],
        EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
    }
}

/// Whether a name may be the loop variable of a macro such as `exists(m, m == 1)`: these are
/// listed among the references, though they are bound inside.
fn is_bound_by_macro(source: &str, name: &str) -> bool {
    let compact: String = source.chars().filter(|c| !c.is_whitespace()).collect();
    ["all", "exists", "exists_one", "existsOne", "map", "filter"]
        .iter()
        .any(|of| compact.contains(&format!(".{of}({name},")))
}

/// Parses on a stack of its own: the parser takes tens of kilobytes for each level of nesting, more
/// than the threads of a server have to spare.
fn parse(source: &str) -> Result<Program, String> {
    let parsing = || {
        let program = STANDARD.compile(source).map_err(|e| one_line(&e.to_string()))?;
        let fits = depth(program.expression()) <= DEPTH_MAX;
        if fits {
            Ok(program)
        } else {
            Err(format!("nested, or chained, more than {DEPTH_MAX} deep"))
        }
    };
    std::thread::scope(|scope| {
        let thread =
            std::thread::Builder::new().stack_size(PARSER_STACK_BYTES).spawn_scoped(scope, parsing);
        let thread = thread.map_err(|e| format!("no thread to compile it: {e}"))?;
        thread.join().unwrap_or_else(|_| Err("the parser failed".to_owned()))
    })
}

/// Enough for any source that is not too long; only what is touched is used.
const PARSER_STACK_BYTES: usize = 64 * 1024 * 1024;

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Why a text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CEL expression `{expression}` does not compile: {reason}")]
pub struct InvalidExpression {
    expression: String,
    reason: String,
}

/// The `where` of an objective.
#[derive(Debug)]
pub struct Filter(Expression);

impl Filter {
    /// The names that a `where` may speak of.
    pub const VARIABLES: [&str; 3] = ["data", "action", "user"];

    /// Compiles a `where`.
    pub fn compile(source: &str) -> Result<Self, InvalidFilter> {
        Ok(Self(Expression::compile(source, &Self::VARIABLES)?))
    }

    /// Whether the expression holds. What can't be evaluated, or gives no truth value, is an error
    /// that says why; to the rules it is no match.
    pub fn matches(&self, facts: &Facts<'_>) -> Result<bool, String> {
        match self.0.evaluate(facts.variables())? {
            Value::Bool(holds) => Ok(holds),
            other => {
                Err(format!("`{}` gives {}, not true or false", self.0.source(), other.type_of()))
            }
        }
    }
}

/// Why a text is no `where`.
pub type InvalidFilter = InvalidExpression;

/// What a `where` may look at, converted when first asked for and once for all tasks.
pub struct Facts<'a> {
    action: &'a Action,
    user_zone: &'a str,
    attributes: &'a serde_json::Map<String, Json>,
    variables: OnceCell<[(&'static str, Value); 3]>,
}

impl<'a> Facts<'a> {
    /// The facts for judging one action of a user.
    pub fn new(
        action: &'a Action,
        user_zone: &'a str,
        attributes: &'a serde_json::Map<String, Json>,
    ) -> Self {
        Self { action, user_zone, attributes, variables: OnceCell::new() }
    }

    fn variables(&self) -> [(&'static str, Value); 3] {
        self.variables.get_or_init(|| self.convert()).clone()
    }

    fn convert(&self) -> [(&'static str, Value); 3] {
        let text = |s: &str| Value::String(Arc::new(s.to_owned()));
        let action = [
            ("id", text(&self.action.id)),
            ("source", text(&self.action.source)),
            ("type", text(&self.action.kind)),
            ("time", timestamp(self.action.occurred_at)),
        ];
        let own = [("id", text(self.action.user.as_str())), ("zone", text(self.user_zone))];
        let attributes =
            self.attributes.iter().map(|(name, value)| (name.as_str(), from_json(value)));
        let data = self.action.data.iter().map(|(name, value)| (name.as_str(), from_json(value)));
        // What Plaudit knows itself wins over an attribute of the same name.
        [("data", map(data)), ("action", map(action)), ("user", map(attributes.chain(own)))]
    }
}

fn map<'n>(fields: impl IntoIterator<Item = (&'n str, Value)>) -> Value {
    let fields: HashMap<Key, Value> =
        fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Value::Map(Map { map: Arc::new(fields) })
}

/// An instant as CEL has it.
pub fn timestamp(at: Timestamp) -> Value {
    let at = chrono::DateTime::from_timestamp_micros(at.as_microsecond()).unwrap_or_default();
    Value::Timestamp(at.fixed_offset())
}

/// A number written with a fraction or an exponent. `10.0` is the integer 10, as in a measure.
#[expect(clippy::cast_possible_truncation, reason = "it has no fraction and fits")]
fn fraction(number: f64) -> Value {
    // 2^63 is the first float that is too large.
    if number.fract() == 0.0 && number.abs() < 9_223_372_036_854_775_808.0 {
        Value::Int(number as i64)
    } else {
        Value::Float(number)
    }
}

/// A JSON value as CEL has it. A number without a fraction that fits is an `int`, so that
/// `data.coins + 1` and `data.coins >= 10` work as written.
pub fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::String(s) => Value::String(Arc::new(s.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(from_json).collect())),
        Json::Object(fields) => {
            map(fields.iter().map(|(name, value)| (name.as_str(), from_json(value))))
        }
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Value::Int(int),
            (None, Some(unsigned)) => Value::UInt(unsigned),
            (None, None) => fraction(number.as_f64().unwrap_or(f64::NAN)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[expect(clippy::needless_pass_by_value, reason = "every caller makes it on the spot")]
    fn holds(source: &str, data: Json) -> Result<bool, String> {
        let event = json!({"specversion":"1.0","source":"/s","id":"1","type":"gift.sent","subject":"u",
            "time":"2026-03-29T01:30:00Z","data":data});
        let action = Action::from_json(&event).unwrap();
        let attributes = json!({"segments": ["vip"]}).as_object().unwrap().clone();
        Filter::compile(source).unwrap().matches(&Facts::new(&action, "Europe/Paris", &attributes))
    }

    #[test]
    fn a_where_sees_the_data_the_action_and_the_user() {
        assert_eq!(holds("data.coins >= 10", json!({"coins": 10})), Ok(true));
        assert_eq!(holds("data.coins >= 10", json!({"coins": 9.5})), Ok(false));
        assert_eq!(holds("data.coins + 1 == 11", json!({"coins": 10})), Ok(true));
        assert_eq!(holds("data.coins + 1 == 11", json!({"coins": 10.0})), Ok(true));
        assert_eq!(holds("data.coins % 2 == 0", json!({"coins": 1e3})), Ok(true));
        assert_eq!(holds("action.type == 'gift.sent' && user.id == 'u'", json!({})), Ok(true));
        assert_eq!(
            holds("'vip' in user.segments && user.zone == 'Europe/Paris'", json!({})),
            Ok(true)
        );
        assert_eq!(holds("action.time < timestamp('2026-03-30T00:00:00Z')", json!({})), Ok(true));
        assert_eq!(holds("data.tags.exists(t, t == 'a')", json!({"tags": ["a"]})), Ok(true));
        assert_eq!(holds("has(data.room)", json!({})), Ok(false));
    }

    #[test]
    fn what_cannot_be_evaluated_says_why() {
        assert!(holds("data.coins >= 10", json!({})).unwrap_err().contains("coins"));
        assert!(holds("data.coins >= 10", json!({"coins": "ten"})).is_err());
        assert!(
            holds("data.coins", json!({"coins": 1})).unwrap_err().contains("not true or false")
        );
    }

    #[test]
    fn what_does_not_compile_is_refused() {
        let loops = "data.l.all(a, data.l.all(b, data.l.all(c, true)))";
        let misspelt = ["data.name.startWith('a')", "nosuch(data.x)"];
        for source in
            ["data.coins >=", "", "coins > 1", "data.x == '", loops, misspelt[0], misspelt[1]]
        {
            assert!(Filter::compile(source).is_err(), "{source}");
        }
    }

    #[test]
    fn what_would_exhaust_the_stack_is_refused() {
        let deep = |open: &str, inner: &str, close: &str| {
            format!("{}{inner}{}", open.repeat(300), close.repeat(300))
        };
        let hostile = [
            deep("(", "", ""),
            deep("[", "1", "]"),
            deep("true?", "1", ":1"),
            deep("{1:", "1", "}"),
            "1".to_owned() + &"+1".repeat(900),
        ];
        for source in hostile {
            assert!(Filter::compile(&source).is_err(), "{source}");
        }
        // The longest chains that are allowed are evaluated without harm.
        for source in [
            "data.a".to_owned() + &".b".repeat(1000),
            "data.a".to_owned() + &".b".repeat(28),
            "1".to_owned() + &"+1".repeat(28),
            "true".to_owned() + &"&&true".repeat(200),
            "!".repeat(24) + "true",
        ] {
            if let Ok(filter) = Filter::compile(&source) {
                let event = json!({"specversion":"1.0","source":"/s","id":"1","type":"t","subject":"u","time":"2026-03-29T01:30:00Z"});
                let action = Action::from_json(&event).unwrap();
                let _ = filter.matches(&Facts::new(&action, "UTC", &serde_json::Map::new()));
            }
        }
    }
}
