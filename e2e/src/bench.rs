//! Benchmarks on real services: a private PostgreSQL with durable commits, a private Apache Kafka,
//! and the program as it ships. Each figure is printed beside a reference from the same run.

mod baseline;
mod cpu;
mod curves;
mod deliveries;
mod endpoints;
mod features;
mod histories;
mod http;
mod in_process;
mod kafka;
mod latency;
mod place;
mod rebuild;
mod requests;
mod screens;
mod stock;
mod throughput;

use std::path::PathBuf;

use clap::Parser;

pub use place::Place;

/// The result of a benchmark's step. An error ends the whole benchmark.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The options of the benchmark.
#[derive(Debug, Parser)]
#[command(name = "plaudit-bench")]
pub struct Options {
    /// Records of the throughput run, at least 1,000.
    #[arg(long, default_value_t = 1_000_000, value_parser = records)]
    pub records: u64,
    /// Users of the throughput run, at least 10,000, so that every lane has some.
    #[arg(long, default_value_t = 100_000, value_parser = users)]
    pub users: u64,
    /// Seconds of each timed run, 1 to 600.
    #[arg(long, default_value_t = 10, value_parser = seconds)]
    pub seconds: u64,
    /// Undelivered grants of the run with a backlog, up to 100 million.
    #[arg(long, default_value_t = 1_000_000, value_parser = backlog)]
    pub backlog: u64,
    /// Runs only these parts.
    #[arg(long, value_delimiter = ',', value_parser = PARTS)]
    pub only: Vec<String>,
    /// The folder for the plots.
    #[arg(long, default_value = "docs/plots")]
    pub plots: PathBuf,
    /// The program under test. The default is the one beside this benchmark.
    #[arg(long)]
    pub plaudit: Option<PathBuf>,
}

/// The parts of the benchmark, in their order.
const PARTS: [&str; 13] = [
    "baseline",
    "throughput",
    "catalogue",
    "snapshot",
    "rebuild",
    "stock",
    "latency",
    "screens",
    "curves",
    "deliveries",
    "features",
    "histories",
    "requests",
];

fn records(text: &str) -> Result<u64, String> {
    number("records", text, (1_000, 1_000_000_000))
}

fn users(text: &str) -> Result<u64, String> {
    number("users", text, (10_000, 100_000_000))
}

fn seconds(text: &str) -> Result<u64, String> {
    number("seconds", text, (1, 600))
}

fn backlog(text: &str) -> Result<u64, String> {
    number("grants", text, (0, 100_000_000))
}

/// Parses a number within these bounds. Outside of them a run would not end, or measure nothing.
fn number(what: &str, text: &str, (least, most): (u64, u64)) -> Result<u64, String> {
    let parsed = text.parse().ok().filter(|number: &u64| (least..=most).contains(number));
    parsed.ok_or_else(|| format!("expected a number of {what} from {least} to {most}"))
}

impl Options {
    fn wants(&self, part: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == part)
    }
}

/// Runs the chosen benchmarks and prints a line per figure.
pub async fn run(options: Options) -> Outcome<()> {
    let place = Place::start(options.plaudit.clone()).await?;
    place.describe();
    println!(
        "{} records of {} users, {} s for each timed run",
        options.records, options.users, options.seconds
    );
    let reference =
        if options.wants("baseline") { Some(baselines(&place, &options).await?) } else { None };
    let uniform = throughputs(&place, &options, reference).await?;
    if options.wants("rebuild") {
        println!("rebuild of a log of {} events", options.records);
        rebuild::run(&place, options.records, options.users).await?.print();
    }
    if options.wants("stock") {
        stocks(&place, &options, uniform).await?;
    }
    if options.wants("latency") {
        latencies(&place, &options, uniform).await?;
    }
    if options.wants("screens") {
        screens(&place, &options).await?;
    }
    if options.wants("curves") {
        curves::run(&place, &options.plots, options.seconds).await?;
    }
    if options.wants("deliveries") {
        deliveries::run(&place, options.records, options.backlog).await?;
        endpoints::run(&place, options.seconds).await?;
    }
    if options.wants("features") {
        features::run(&place, options.records).await?;
    }
    if options.wants("histories") {
        histories::run(&place, options.users, options.seconds).await?;
    }
    if options.wants("requests") {
        let found = requests::run(&place, options.seconds).await?;
        println!(
            "(i) one action in each of {} requests/s        p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, {:.0} answers/s",
            requests::RATE,
            found.p50_ms,
            found.p99_ms,
            found.max_ms,
            found.rate
        );
        println!(
            "    processor time, of one core                 {:>9.2}; PostgreSQL {:.2}",
            found.cores, found.postgres_cores
        );
    }
    println!("load average at the end: {}", place::load_average());
    place.stop().await;
    Ok(())
}

/// Measures all variants of the baseline. Returns the one that others are compared with.
async fn baselines(place: &Place, options: &Options) -> Outcome<f64> {
    let mut rates = Vec::new();
    for (what, variant) in [
        ("one lane per batch", baseline::REFERENCE),
        ("and rows never read", baseline::REMEMBERING),
        ("all lanes per batch", baseline::SPREAD),
    ] {
        let rate = baseline::run(place, options.records, options.users, variant).await?;
        println!("(a) statements alone, {what:<19}       {rate:>9.0} events/s");
        rates.push(rate);
    }
    Ok(rates[0])
}

/// Measures the wanted runs from Kafka to visible. Returns the rate of the first one.
async fn throughputs(
    place: &Place,
    options: &Options,
    reference: Option<f64>,
) -> Outcome<Option<f64>> {
    let one_task = throughput::Load {
        name: "uniform",
        records: options.records,
        users: options.users,
        spread: kafka::Spread::Uniform,
        catalogue: false,
        snapshot: false,
    };
    let mut uniform = None;
    if options.wants("throughput") {
        let run = throughput::run(place, one_task).await?;
        report("(b) Kafka to visible, uniform", &run, reference);
        uniform = Some(run.rate);
        let zipf = throughput::Load { name: "zipf", spread: kafka::Spread::Zipf, ..one_task };
        report("(b) Kafka to visible, zipf", &throughput::run(place, zipf).await?, reference);
    }
    if options.wants("catalogue") {
        let load = throughput::Load { name: "catalogue", catalogue: true, ..one_task };
        report("(b) 24 tasks, 3 moved by each", &throughput::run(place, load).await?, reference);
    }
    if options.wants("snapshot") {
        let load = throughput::Load { name: "snapshot", snapshot: true, ..one_task };
        report("(b) with an old snapshot open", &throughput::run(place, load).await?, reference);
    }
    Ok(uniform)
}

/// Measures the stock crates, and compares (b) with them if it was measured.
async fn stocks(place: &Place, options: &Options, uniform: Option<f64>) -> Outcome<()> {
    for (in_flight, view) in [(1, true), (32, true), (1, false), (32, false)] {
        let driven = stock::Stock { in_flight, view };
        let rate = stock::run(place, options.users, options.seconds, driven).await?;
        let what = if view { "one view" } else { "no view " };
        println!("(c) stock cqrs-es, {what}, {in_flight:>2} in flight      {rate:>9.0} actions/s");
        if let Some(ours) = uniform {
            println!("    (b) is so many times as fast                {:>9.1}", ours / rate);
        }
    }
    Ok(())
}

/// Measures latencies at 10,000 actions/s and at a quarter of the sustained rate: on a machine that
/// can't sustain it, a fixed rate says nothing; a share of the sustained rate does.
async fn latencies(place: &Place, options: &Options, uniform: Option<f64>) -> Outcome<()> {
    let share = uniform.map(latency::quarter_of);
    for rate in std::iter::once(10_000).chain(share) {
        let found = latency::run(place, rate, options.seconds).await?;
        println!(
            "(d) produce to visible at {:>5} actions/s        p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms, {} samples",
            found.rate, found.p50_ms, found.p99_ms, found.max_ms, found.samples
        );
    }
    Ok(())
}

async fn screens(place: &Place, options: &Options) -> Outcome<()> {
    for found in screens::run(place, options.seconds).await? {
        let connections = found.connections;
        println!(
            "(e) task screens over HTTP, {connections:>2} connections       {:>9.0} a second",
            found.http
        );
        println!("    pgbench with the same statement             {:>9.0} a second", found.pgbench);
        println!(
            "    ratio                                       {:>9.2}",
            found.http / found.pgbench
        );
    }
    Ok(())
}

/// Prints the results of a throughput run.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn report(what: &str, run: &throughput::Run, reference: Option<f64>) {
    println!("{what:<45} {:>11.0} actions/s, peak memory {} MiB", run.rate, run.peak_mib);
    run.cpu.print(run.actions);
    if let Some(reference) = reference {
        println!(
            "    events, of the statements alone             {:>9.2}",
            run.rate * run.events as f64 / reference
        );
    }
    run.rebuild.print();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Options, String> {
        let arguments = ["plaudit-bench"].iter().chain(arguments);
        Options::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_would_never_end_or_measure_nothing_are_refused() {
        let small =
            ["--records", "150000", "--seconds", "6", "--backlog", "0", "--only", "stock,baseline"];
        let options = parsed(&small).unwrap();
        assert!(options.wants("baseline") && !options.wants("latency"));
        for (name, value, expected) in [
            ("--users", "31", "a number of users from 10000"),
            ("--users", "-1", "a number of users"),
            ("--seconds", "0", "a number of seconds from 1 to 600"),
            ("--records", "0", "a number of records from 1000"),
            ("--backlog", "x", "a number of grants from 0"),
            ("--only", "baselin", "[possible values: baseline,"),
        ] {
            let error = parsed(&[&format!("{name}={value}")]).unwrap_err();
            assert!(error.contains(name) && error.contains(expected), "{error}");
        }
    }
}
