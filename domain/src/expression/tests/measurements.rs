//! Measures the time of the worst and of ordinary expressions. Run with optimisation, and with
//! `--nocapture`.

#![expect(clippy::disallowed_methods, reason = "measuring takes a clock")]

use std::time::Instant;

use super::generator::hostile_data;
use super::*;

/// The processor time of this thread, in microseconds: other threads may want the processor too.
fn cpu_micros() -> f64 {
    let ran = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    ran.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e3
}

/// The mean time of fifty evaluations, in microseconds: the clock of the processor is coarse.
fn micros(source: &str, data: &Json) -> String {
    let filter = Filter::compile(source).unwrap_or_else(|e| panic!("{e}"));
    let action = action(data.clone());
    let attributes = json!({"segments": ["vip", "new"], "level": 3});
    let variables = Variables::new(&action, "Europe/Paris", attributes.as_object().unwrap());
    let began = cpu_micros();
    for _ in 0..50 {
        let _ = std::hint::black_box(filter.matches(&variables));
    }
    let each = (cpu_micros() - began) / 50.0;
    let (steps, bytes) = filter.expression().spent(&variables.values()).1;
    format!("{each:8.0} us, {steps} steps, {bytes} bytes")
}

#[test]
#[ignore = "a measurement, for a build with optimisation"]
fn the_dearest_expressions() {
    let zeros = json!({"l": vec![0; 31_000], "n": 1, "s": "x"});
    let texts = json!({"l": vec![0; 10_000], "s": "x".repeat(40_000), "t": "y".repeat(2_000)});
    let keys = json!({"l": vec![0; 10_000], "k": "a".repeat(8_000), "m": {"a": 1}});
    // Letters of one, two and three bytes, so that a search meets many states.
    let mixed: String =
        (0_u32..20_000).map(|n| ['a', 'é', '語', 'ß', 'z'][(n * n / 7 % 5) as usize]).collect();
    let mixed = json!({"s": mixed});
    let kept: String = mixed["s"].as_str().unwrap().chars().take(1_000).collect();
    let short = json!({"s": kept});
    for (source, data) in [
        ("data.l.exists(a, data.l.exists(b, a + b == -1))", &zeros),
        ("data.l.exists(a, data.l.exists(b, data.none == b))", &zeros),
        ("data.l.exists(a, data.l.exists(b, string(b) == 'x'))", &zeros),
        ("data.l.exists(a, data.l.exists(b, string(1.7e308 - double(b)) == 'x'))", &zeros),
        ("data.l.exists(a, data.l.exists(b, action.time.getHours('Europe/Paris') == -1))", &zeros),
        (
            "data.l.exists(a, data.l.exists(b, action.time.getHours('Europe/Nowhere') == -1))",
            &zeros,
        ),
        (
            "data.l.exists(a, data.l.exists(b, timestamp('2026-03-29T01:30:00Z') + duration(string(b) + 'ms') > timestamp(string(action.time)) + duration('1h')))",
            &zeros,
        ),
        ("data.l.exists(a, data.l.exists(b, string(timestamp(b)) == 'x'))", &zeros),
        ("data.l.exists(a, data.l.exists(b, user.none == 1))", &zeros),
        ("data.l.map(x, data.l + [x]).size() > 0", &zeros),
        ("data.l.map(x, [[x]]).size() == 0", &zeros),
        ("data.l.map(x, {'a': x, 'b': x}).size() == 0", &zeros),
        ("data.l == data.l && data.l == data.l && data.l.map(x, x) != data.l", &zeros),
        ("data.l.exists(x, x in data.l.map(y, y + 1))", &zeros),
        ("data.l.exists(x, data.s == data.t)", &texts),
        ("data.l.exists(x, data.s + 'a' == data.s + 'b')", &texts),
        ("data.l.exists(x, data.s.contains(data.t))", &texts),
        ("data.l.exists(x, size(data.s) == 1)", &texts),
        ("data.l.exists(x, int('1' + data.t) == 1)", &texts),
        ("data.l.exists(x, data.t.matches('x+y'))", &texts),
        ("data.l.exists(x, data.s.matches('(x|y)*z'))", &texts),
        ("data.l.exists(x, data.m[data.k] == 1)", &keys),
        (r"data.s.matches('[\\p{L}]{1,40}[0-9]')", &mixed),
        (r"data.s.matches('[\\p{L}]{1,64}@[\\p{L}.]{1,64}')", &short),
        (r"data.s.matches('(é|語|ß){3,90}[0-9]')", &mixed),
        (r"data.s.matches('\\b[a-zé語]{2,9}\\b\\w*[0-9]$')", &mixed),
        (r"data.s.matches('(a|é.{1,30}|語.{2,40}|ß.{3,20})[0-9]')", &mixed),
        (r"data.s.matches('.*é.*語.*ß.*[0-9]')", &mixed),
    ] {
        println!("{}  {source}", micros(source, data));
    }
    for shape in 0..6 {
        let source = "data.l.exists(x, data.l.exists(y, x != y || data.m != data.m))";
        println!("{}  shape {shape}", micros(source, &hostile_data(shape)));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
}

#[test]
#[ignore = "a measurement, for a build with optimisation"]
fn ordinary_rules() {
    for (source, data) in [
        (
            "data.coins >= 10",
            json!({"coins": 12, "room": "r-1", "gift": {"id": 7, "name": "rose"}}),
        ),
        ("data.coins >= 10 && user.zone != 'UTC' && 'vip' in user.segments", json!({"coins": 12})),
        (
            "has(data.gift) && data.gift.name.startsWith('ro')",
            json!({"coins": 12, "gift": {"name": "rose"}}),
        ),
        (
            "data.members.exists(m, m.id == 9 && m.role == 'host')",
            json!({"members": (0..10).map(|n| json!({"id": n, "role": "host"})).collect::<Vec<_>>()}),
        ),
        (
            r"data.s.matches('^[\\p{L}\\p{N}._-]{1,64}@[\\p{L}.]{1,64}$')",
            json!({"s": "someone@example.com"}),
        ),
        ("data.coins >= 10", json!({"room": "no coins"})),
    ] {
        let filter = Filter::compile(source).unwrap();
        let action = action(data);
        let attributes = json!({"segments": ["new", "vip"]});
        let rounds = 300_000;
        let began = cpu_micros();
        for _ in 0..rounds {
            let variables =
                Variables::new(&action, "Europe/Paris", attributes.as_object().unwrap());
            let _ = std::hint::black_box(filter.matches(&variables));
        }
        let nanos = (cpu_micros() - began) * 1e3 / f64::from(rounds);
        println!("{nanos:7.0} ns  {source}");
    }
    let began = Instant::now();
    Filter::compile(r"data.s.matches('^[\\p{L}\\p{N}._-]{1,64}@[\\p{L}.]{1,64}$')").unwrap();
    println!("{:?} to compile the address pattern", began.elapsed());
}
