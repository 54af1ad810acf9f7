//! The library as the oracle: an expression that both can evaluate must give the same result.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, Value as Cel};
use proptest::prelude::*;

use super::generator::{Choices, condition, ordinary_data};
use super::*;

static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

fn to_cel(value: &Json) -> Cel {
    match value {
        Json::Null => Cel::Null,
        Json::Bool(holds) => Cel::Bool(*holds),
        Json::String(text) => Cel::String(Arc::new(text.clone())),
        Json::Array(items) => Cel::List(Arc::new(items.iter().map(to_cel).collect())),
        Json::Object(fields) => {
            let fields =
                fields.iter().map(|(name, value)| (Key::from(name.as_str()), to_cel(value)));
            Cel::Map(Map { map: Arc::new(fields.collect::<HashMap<_, _>>()) })
        }
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(int), _) => Cel::Int(int),
            (None, Some(uint)) => Cel::UInt(uint),
            (None, None) => Cel::Float(number.as_f64().unwrap()),
        },
    }
}

/// The library's result of an expression, as JSON; `None` if it fails.
fn oracle(source: &str, data: &Json) -> Option<Json> {
    let program = STANDARD.compile(source).ok()?;
    let mut context = Context::with_env(Arc::clone(&STANDARD));
    context.add_variable_from_value("data", to_cel(data));
    from_cel(&program.execute(&context).ok()?)
}

fn from_cel(value: &Cel) -> Option<Json> {
    Some(match value {
        Cel::Null => Json::Null,
        Cel::Bool(holds) => json!(holds),
        Cel::Int(number) => json!(number),
        Cel::UInt(number) => json!(number),
        Cel::Float(number) => json!(number),
        Cel::String(text) => json!(**text),
        Cel::List(items) => Json::Array(items.iter().map(from_cel).collect::<Option<_>>()?),
        Cel::Map(map) => {
            let fields =
                map.map.iter().map(|(key, value)| Some((key.to_string(), from_cel(value)?)));
            Json::Object(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// Our result of an expression; `None` if it fails.
fn ours(expression: &Expression, data: &Json) -> Option<Json> {
    match expression.evaluate(&[Variable::Json(data)]) {
        Ok(Output::Json(json)) => Some(json),
        Ok(other) => panic!("{}: {other:?}", expression.source()),
        Err(_) => None,
    }
}

/// Expressions over the data of the test below; some of them fail.
const STANDARD_USES: &[&str] = &[
    "data.n + 1",
    "data.n - 9",
    "data.n * 2",
    "data.n / 2",
    "-data.n / 2",
    "-7 % data.n",
    "data.n % -3",
    "data.f * 2.0",
    "data.f / 0.5",
    "data.f + 0.25",
    "-data.f",
    "data.n + data.f",
    "data.s + 'd'",
    "data.l + [4]",
    "data.s < 'abd'",
    "data.n < 7.5",
    "data.n >= 7u",
    "true > false",
    "b'a' < b'b'",
    "data.n == 7.0",
    "data.n == 7u",
    "data.s == b'abc'",
    "data.none == null",
    "data.m == {'b': null, 'a': 1.0}",
    "data.l == [1, 2u, 3.0]",
    "data.l != [1]",
    "data.s != 7",
    "data.l[0]",
    "data.l[3]",
    "data.l[-1]",
    "data.l[1.0]",
    "data.l[3.0]",
    "data.l[1.5]",
    "data.l[-0.0]",
    "data.l[-1.0]",
    "data.l[1e300]",
    "data.l[double(size('ab'))]",
    "data.m['a']",
    "data.m['c']",
    "data.m.b",
    "data.m.c",
    "data.s.x",
    "{1: 'a'}[1u]",
    "{1u: 'a'}[1.0]",
    "{true: 1}[true]",
    "2 in data.l",
    "2.0 in data.l",
    "'a' in data.m",
    "'c' in data.m",
    "1 in data.m",
    "has(data.m.a)",
    "has(data.m.c)",
    "has(data.none.x)",
    "has(data.m.b)",
    "size(data.s)",
    "data.s.size()",
    "size(data.l)",
    "size(data.m)",
    "size(b'abc')",
    "size('äö')",
    "data.s.contains('b')",
    "data.s.startsWith('ab')",
    "data.s.endsWith('bc')",
    "data.s.matches('^[a-c]{3}$')",
    "matches(data.s, 'x')",
    "int('12')",
    "int('x')",
    "int(2.9)",
    "int(-2.9)",
    "int(12u)",
    "int(data.u)",
    "uint('12')",
    "uint(-1)",
    "uint(2.9)",
    "double('1.5')",
    "double(7)",
    "string(1)",
    "string(1.5)",
    "string(1e20)",
    "string(true)",
    "string(b'abc')",
    "string(1u)",
    "bool('true')",
    "bool('T')",
    "bool('x')",
    "type(1) == int",
    "type(data.l) == list",
    "type(null) == null_type",
    "type(type(1)) == type",
    "type(data.f) == double",
    "dyn(1) == 1.0",
    "string(timestamp(data.at))",
    "timestamp(data.at).getFullYear()",
    "timestamp(data.at).getMonth()",
    "timestamp(data.at).getDayOfMonth()",
    "timestamp(data.at).getDate()",
    "timestamp(data.at).getDayOfYear()",
    "timestamp(data.at).getDayOfWeek()",
    "timestamp(data.at).getHours()",
    "timestamp(data.at).getMinutes()",
    "timestamp(data.at).getSeconds()",
    "timestamp(data.at).getMilliseconds()",
    "timestamp(data.at).getHours('Europe/Paris')",
    "timestamp(data.at).getDate('America/New_York')",
    "timestamp(data.at).getMinutes('+05:30')",
    "timestamp(data.at).getMinutes('-00:30')",
    "timestamp(data.at).getHours('Mars/Base')",
    "timestamp(data.at).getHours('24:00')",
    "string(timestamp(data.at) + duration('1h30m'))",
    "string(timestamp(data.at) - duration('1.5s'))",
    "string(timestamp(data.at) - timestamp('2026-03-28T01:30:00Z'))",
    "int(timestamp(data.at))",
    "string(timestamp(1774747800))",
    "duration('1h') + duration('90m') == duration('2.5h')",
    "duration('2h30m45s').getMinutes()",
    "duration('1s500ms').getMilliseconds()",
    "string(duration('-1.5s'))",
    "duration('1h') < duration('61m')",
    "duration('x')",
    "timestamp('x')",
    "timestamp('9999-12-31T23:59:59Z') + duration('1s')",
    "string(timestamp('9999-12-31T23:59:59.999999999Z'))",
    "string(timestamp('0001-01-01T00:00:00Z'))",
    "timestamp('0001-01-01T00:00:00+01:00')",
    "data.l.all(x, x > 0)",
    "data.l.exists(x, x == 2)",
    "data.l.exists_one(x, x > 2)",
    "data.l.existsOne(x, x > 1)",
    "data.l.map(x, x * 2)",
    "data.l.map(x, x > 1, x * 2)",
    "data.l.filter(x, x % 2 == 1)",
    "data.m.exists(k, k == 'a')",
    "data.l.map(x, data.l.map(y, x * y))",
    "data.l.exists(x, x / 0 == 1)",
    "data.l.exists(x, 1 / (x - 1) == 1)",
    "data.l.all(x, 1 / (x - 1) == 7)",
    "data.l.map(x, 1 / (x - 1))",
    "[0, 1].exists_one(x, 1 / x == 1)",
    "data.n > 5 ? 'a' : 'b'",
    "data.n ? 1 : 2",
    "data.nothing || true",
    "true || data.nothing",
    "data.nothing && false",
    "data.s && false",
    "data.s || false",
    "false || data.s",
    "!data.s",
    "!data.n",
    "data.n > 5 && data.s == 'abc'",
    "9223372036854775807 + data.n",
    "-9223372036854775807 - data.n",
    "data.n / 0",
    "data.n % 0",
    "data.n < 'a'",
    "data.l < data.l",
    "{'a': data.n, 'b': [data.s]}",
    "{'a': 1}.a",
    "[1, 'a', null, {'x': 1.5}]",
    "r'\\d' == '\\\\d'",
    "'\\u00e4' == 'ä'",
    "\"x\" + 'y'",
    "0x1F + data.n",
    "1e3 + data.f",
    "data.n in [7]",
    "data.m.map(k, k).size()",
    "data.m.all(k, k in data.m)",
];

#[test]
fn the_standard_definitions_mean_what_they_mean_to_the_library() {
    let data = json!({"n": 7, "f": 2.5, "s": "abc", "l": [1, 2, 3], "m": {"a": 1, "b": null},
                      "at": "2026-03-29T01:30:00.125Z", "u": "12", "none": null});
    for source in STANDARD_USES {
        let expected = oracle(source, &data);
        // An expression that we refuse must be one that the library can't evaluate either.
        let got = Expression::compile(source, &["data"]).ok().and_then(|e| ours(&e, &data));
        assert_eq!(got, expected, "{source}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_accepted_means_what_it_means_to_the_library(
        choices in prop::collection::vec(any::<u8>(), 4..50),
    ) {
        let source = condition(&mut Choices::new(&choices));
        let data = ordinary_data();
        // Proptest fails if most of the sources are refused.
        let compiled = Expression::compile(&source, &["data"]);
        prop_assume!(compiled.is_ok());
        prop_assert_eq!(ours(&compiled.unwrap(), &data), oracle(&source, &data), "{}", source);
    }
}
