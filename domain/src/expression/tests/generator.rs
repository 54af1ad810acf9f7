//! Expressions and data, generated from a sequence of choices.

use super::*;

/// A sequence of choices. Once it ends, the first option is taken each time.
pub struct Choices<'c> {
    left: &'c [u8],
    depth: usize,
    loops: usize,
}

impl<'c> Choices<'c> {
    pub fn new(left: &'c [u8]) -> Self {
        Self { left, depth: 0, loops: 0 }
    }

    fn of<T: Copy>(&mut self, options: &[T]) -> T {
        let Some((first, rest)) = self.left.split_first() else { return options[0] };
        self.left = rest;
        options[usize::from(*first) % options.len()]
    }

    /// A simple part if the expression is deep, else any.
    fn part(&mut self, simple: &[&str], composed: &[fn(&mut Self) -> String]) -> String {
        let many = [true, true, false];
        if self.depth > 5 || !self.of(&many) {
            return self.leaf(simple);
        }
        self.depth += 1;
        let part = self.of(composed)(self);
        self.depth -= 1;
        part
    }

    fn leaf(&mut self, simple: &[&str]) -> String {
        if self.loops > 0 && self.of(&[true, false, false]) {
            return self.of(&["x", "y"][..self.loops]).to_owned();
        }
        self.of(simple).to_owned()
    }

    fn within_loop(&mut self, list: &str, name: &str, body: fn(&mut Self) -> String) -> String {
        if self.loops == 2 {
            return body(self);
        }
        let variable = ["x", "y"][self.loops];
        self.loops += 1;
        let body = body(self);
        self.loops -= 1;
        format!("{list}.{name}({variable}, {body})")
    }
}

pub fn condition(c: &mut Choices<'_>) -> String {
    c.part(
        &[
            "data.b",
            "true",
            "data.n > 1",
            "has(data.s)",
            "has(data.none)",
            "data.none",
            "data.s == 'abc'",
        ],
        &[
            |c| format!("({} {} {})", condition(c), c.of(&["&&", "||"]), condition(c)),
            |c| format!("!{}", condition(c)),
            |c| {
                format!(
                    "({} {} {})",
                    number(c),
                    c.of(&["<", "<=", ">", ">=", "==", "!="]),
                    number(c)
                )
            },
            |c| format!("({} {} {})", text(c), c.of(&["<", "==", "!=", ">="]), text(c)),
            |c| format!("({} {} {})", list(c), c.of(&["==", "!="]), list(c)),
            |c| format!("({} in {})", number(c), list(c)),
            |c| format!("({} in data.m)", text(c)),
            |c| {
                format!(
                    "{}.{}({})",
                    text(c),
                    c.of(&["contains", "startsWith", "endsWith"]),
                    text(c)
                )
            },
            |c| {
                format!(
                    "{}.matches('{}')",
                    text(c),
                    c.of(&["a+b?", "^x*$", "[a-c]{2,9}", "(a|b)*c"])
                )
            },
            |c| {
                let (list, name) = (list(c), c.of(&["exists", "all", "exists_one"]));
                c.within_loop(&list, name, condition)
            },
            |c| format!("({} ? {} : {})", condition(c), condition(c), condition(c)),
            |c| format!("(type({}) == type({}))", number(c), text(c)),
        ],
    )
}

fn number(c: &mut Choices<'_>) -> String {
    c.part(
        &["data.n", "0", "1", "-3", "7", "data.f", "data.none", "data.s", "data.m.k", "2.5", "3u"],
        &[
            |c| format!("({} {} {})", number(c), c.of(&["+", "-", "*", "/", "%"]), number(c)),
            |c| format!("size({})", list(c)),
            |c| format!("size({})", text(c)),
            |c| format!("{}.size()", text(c)),
            |c| format!("(-{})", number(c)),
            |c| format!("{}({})", c.of(&["int", "double", "uint"]), number(c)),
            |c| format!("int({})", text(c)),
            |c| format!("{}[{}]", list(c), number(c)),
            |c| format!("data.m[{}]", text(c)),
            |c| format!("{{'abc': 1, 'b': 2}}[{}]", text(c)),
            |c| format!("({} ? {} : {})", condition(c), number(c), number(c)),
            |c| {
                format!(
                    "int(timestamp('2026-03-29T01:30:00Z') + duration('{}s'))",
                    c.of(&["1", "-2.5", "90"])
                )
            },
        ],
    )
}

fn text(c: &mut Choices<'_>) -> String {
    c.part(
        &["data.s", "'abc'", "''", "'b'", "data.none", "data.n", "data.long", "'äöü'"],
        &[
            |c| format!("({} + {})", text(c), text(c)),
            |c| format!("string({})", number(c)),
            |c| format!("string({})", condition(c)),
            |c| format!("({} ? {} : {})", condition(c), text(c), text(c)),
            |c| format!("data.texts[{}]", number(c)),
        ],
    )
}

fn list(c: &mut Choices<'_>) -> String {
    c.part(
        &[
            "data.l",
            "[]",
            "[1, 2, 3]",
            "data.texts",
            "data.m",
            "data.none",
            "data.s",
            "[1, 'a', null]",
        ],
        &[
            |c| format!("({} + {})", only_list(c), only_list(c)),
            |c| format!("[{}, {}]", number(c), text(c)),
            |c| {
                let list = list(c);
                c.within_loop(&list, "map", number)
            },
            |c| {
                let list = list(c);
                c.within_loop(&list, "map", text)
            },
            |c| {
                let list = list(c);
                c.within_loop(&list, "filter", condition)
            },
            |c| {
                let of = list(c);
                c.within_loop(&of, "map", list)
            },
        ],
    )
}

/// A list but never a map: the library adds the keys of a map to a list, which the language does
/// not allow.
fn only_list(c: &mut Choices<'_>) -> String {
    // The variable of a loop may be a map.
    let loops = std::mem::take(&mut c.loops);
    let list = c.part(
        &["data.l", "[]", "[1, 2, 3]", "data.texts", "data.none"],
        &[
            |c| format!("({} + {})", only_list(c), only_list(c)),
            |c| {
                let list = list(c);
                c.within_loop(&list, "map", number)
            },
        ],
    );
    c.loops = loops;
    list
}

/// Data that suits the generated expressions.
pub fn ordinary_data() -> Json {
    json!({"n": 7, "f": 2.5, "b": true, "s": "abc", "long": "abcabc", "l": [1, 2, 3, 7],
           "texts": ["abc", "b", ""], "m": {"abc": 1, "k": 5}})
}

/// Data of nearly 64 KiB that takes as much work as possible.
pub fn hostile_data(shape: u8) -> Json {
    let mut data = ordinary_data();
    match shape {
        0 => data["l"] = json!(vec![0; 31_000]),
        1 => {
            data["l"] = json!(vec![0; 9_000]);
            data["s"] = "x".repeat(40_000).into();
        }
        2 => {
            data["l"] = json!(vec![1; 10_000]);
            data["texts"] = json!(vec!["a".repeat(20); 1_500]);
        }
        3 => {
            let fields = (0..4_000).map(|n| (format!("k{n}"), json!(n)));
            data["m"] = Json::Object(fields.collect());
            data["l"] = json!(vec!["k1"; 1_000]);
        }
        4 => {
            data["long"] = "é".repeat(15_000).into();
            data["s"] = "abc".repeat(8_000).into();
        }
        _ => {
            let mut deep = json!(vec![0; 100]);
            (0..90).for_each(|_| deep = json!([deep.take(), 1]));
            data["l"] = json!([deep.clone(), deep]);
        }
    }
    data
}
