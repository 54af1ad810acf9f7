//! Expressions that are refused before any evaluation, and the messages.

use super::*;

fn refused(cases: &[(&str, &str)]) {
    for (source, expected) in cases {
        let got = refusal(source);
        assert!(got.contains(expected), "{source}: {got}");
    }
}

#[test]
fn what_is_not_the_language_is_refused() {
    refused(&[
        ("data.coins >=", "line 1"),
        ("", "does not compile"),
        ("data.x == '", "line 1"),
        ("data.?room == 1", "unsupported"),
        ("Gift{coins: 1} == data", "not supported"),
        ("[1][?0] == 1", "unsupported"),
    ]);
}

#[test]
fn names_that_are_not_declared_are_refused() {
    refused(&[
        ("coins > 1", "\"coins\" is not known here, only data, action, user (at character 1)"),
        ("data.l.exists(x, x > 1) && x > 1", "only within its loop (at character 28)"),
        ("data.l.exists(x, y > 1)", "\"y\" is not known here"),
        ("x.exists(x, x > 1)", "\"x\" is not known here"),
        ("action.kind == 'a'", "unknown field \"kind\"; one of: id, source, type, time"),
        ("has(action.kind)", "unknown field \"kind\""),
    ]);
    // The variable of a loop may hide another variable, within the loop.
    assert_eq!(
        holds("data.l.exists(data, data == 1) && data.n == 2", json!({"l": [1], "n": 2})),
        Ok(true)
    );
}

#[test]
fn functions_that_do_not_exist_are_refused() {
    refused(&[
        ("min(data.a, data.b) == 1", "unknown function \"min\"; write a < b ? a : b"),
        ("data.name.startWith('a')", "did you mean \"startsWith\"?"),
        ("nosuch(data.x)", "unknown function \"nosuch\""),
        ("optional.of(data.x).hasValue()", "unknown function"),
        ("data.x.int() == 1", "is called as int(x)"),
        ("contains(data.x, 'a')", "is called on a value"),
        ("size(data.x, 1) == 1", "`size` takes 1 argument, got 2"),
        ("data.x.contains() == true", "`contains` takes 1 argument, got 0"),
        ("data.x.exists(1, true)", "needs a plain name"),
        ("data.x.exists(a)", "takes a name and an expression"),
        ("has(data)", "takes one field"),
    ]);
}

#[test]
fn what_is_certainly_not_true_or_false_is_refused() {
    refused(&[
        ("data.coins + 1", "it gives an int"),
        ("data.a + data.b", "never true or false"),
        ("-data.a", "never true or false"),
        ("'text'", "it gives a string"),
        ("size(data.l)", "it gives an int"),
        ("data.l.map(x, x)", "it gives a list"),
        ("data.a ? 1 : 'x'", "never true or false"),
        ("action.time", "it gives a timestamp"),
        ("data", "it gives a map"),
        ("data.a && size(data.l)", "an int where a boolean is required (at character 15)"),
        ("!size(data.l)", "an int where"),
        ("data.l.exists(x, size(x))", "an int where"),
    ]);
    assert_eq!(holds("data.yes", json!({"yes": true})), Ok(true));
    assert_eq!(holds("data.a ? data.yes : false", json!({"a": true, "yes": true})), Ok(true));
}

#[test]
fn what_can_never_be_true_is_refused() {
    for source in [
        "false",
        "1 > 2",
        "true && false",
        "data.yes && false",
        "false && data.yes",
        "!true",
        "data.x in []",
        "[].exists(x, x == data.y)",
        "data.l.exists(x, 'a' == 'b')",
        "data.a ? false : 1 > 2",
        "data.a && (1 > 2 || false)",
        "[1, 2].exists(x, x > 2)",
        "size('abc') > 3 && data.x",
    ] {
        assert!(refusal(source).contains("never be true"), "{source}");
    }
    for source in ["true", "data.yes || true", "[].all(x, x == data.y)", "1 < 2"] {
        assert_eq!(holds(source, json!({})), Ok(true), "{source}");
    }
}

#[test]
fn types_that_can_not_fit_are_refused() {
    refused(&[
        ("'a' + 1 == 'a1'", "`+` can't take a string and an int (at character 5)"),
        ("true + data.x == 1", "`+` can't take"),
        ("action.type == 5", "a string is never equal to an int"),
        ("data.x < [1]", "`<` can't take"),
        ("'a' < 1", "`<` can't take"),
        ("action.type.foo == 1", "a string has no fields"),
        ("1 in 'abc'", "`in` needs a list or a map"),
        ("int([1]) == 1", "`int` can't take a list"),
        ("action.type.exists(x, x == 'a')", "`exists` can't take a string"),
        ("timestamp('yesterday') < action.time", "can never be evaluated"),
        ("1 / 0 == data.x", "can never be evaluated: a division by zero"),
        ("9223372036854775807 + 1 > data.x", "can never be evaluated"),
        ("{1: 'a', 1u: 'b'} == data", "same key twice"),
    ]);
}

#[test]
fn patterns_that_can_not_be_bounded_are_refused() {
    refused(&[
        ("data.s.matches(data.r)", "must be written in the expression"),
        ("data.s.matches('a' + data.r)", "use ==, contains, startsWith, endsWith or in"),
        ("data.s.matches('(a')", "is not valid: unclosed group"),
        ("data.s.matches('(x{1,100}){1,100}')", "write `+` or `*`"),
        ("data.s.matches('\\\\p{L}{1,200}')", "bound the length with size()"),
    ]);
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
        "data.l.all(a, data.l.all(b, data.l.all(c, true)))".to_owned(),
        format!("data.s == '{}'", "x".repeat(SOURCE_BYTES_MAX)),
    ];
    for source in hostile {
        refusal(&source);
    }
    // The longest chains that are allowed are evaluated without harm, on an ordinary thread.
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
        for source in [
            "data.a".to_owned() + &".b".repeat(28) + "== 1",
            "1".to_owned() + &"+data.n".repeat(28) + "== 1",
            "data.n == 1".to_owned() + &"&&data.n == 1".repeat(140),
            "!".repeat(24) + "(data.n == 1)",
            "[".repeat(28) + "data.n" + &"]".repeat(28) + " != data.l",
        ] {
            let filter = Filter::compile(&source).unwrap_or_else(|e| panic!("{e}"));
            let action = action(json!({"n": 1}));
            let _ = filter.matches(&Variables::new(&action, "UTC", &serde_json::Map::new()));
        }
    });
    thread.unwrap().join().unwrap();
}
