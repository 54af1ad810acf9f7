//! `plaudit rewards reconcile`: compares grants with the payments that a payer reports.

use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use plaudit_audit::{Deadlines, Difference, FileFormat, Payments, Reconciliation};
use plaudit_delivery::Channels;
use plaudit_event_store::deliveries;
use sqlx::PgPool;

use crate::cli::FormatKind;
use crate::failure::Failure;
use crate::output::{count, errln, outln, word};

/// Compares, and prints each difference and the number of each kind.
pub async fn run(
    pool: &PgPool,
    (from, until): (Timestamp, Timestamp),
    payments: Option<Payments>,
    channels: &Channels,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let report = Reconciliation::read(pool, (from, until), payments, &deadlines(channels)).await?;
    if report.unreadable_events > 0 {
        errln!(
            "{} of that time can't be read and are left out; `plaudit projections verify` names their users",
            count(report.unreadable_events, "event")
        );
    }
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    // Events that can't be read may hide a difference.
    let is_equal = report.differences.is_empty() && report.unreadable_events == 0;
    Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Time limit of each channel: its retries, and then the confirmation of its payer by an action.
fn deadlines(channels: &Channels) -> Deadlines {
    let kafka = (deliveries::IN_ORDER.to_owned(), channels.kafka.ack_within);
    let webhooks = channels.webhooks.iter().map(|webhook| {
        (webhook.name.clone(), webhook.retry_for.saturating_add(webhook.ack_within))
    });
    Deadlines { by_channel: std::iter::once(kafka).chain(webhooks).collect() }
}

fn print(report: &Reconciliation) {
    for Difference { kind, grant, user, granted, paid } in &report.differences {
        let (kind, user) = (word(kind), user.as_deref().unwrap_or("-"));
        let granted = granted.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        outln!("{kind:<17} {grant}  user {user}  granted {granted}  paid {paid:?}");
    }
    let named = |counts: Vec<(String, u64)>| {
        let texts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    };
    let states = report.states.iter().map(|(state, n)| ((*state).to_owned(), *n));
    outln!("grants: {}", named(states.collect()));
    let counts = report.counts.iter().map(|(kind, n)| (word(kind), *n));
    outln!("differences: {}", named(counts.collect()));
}

/// Reads the payer's file. Prints the first lines that can't be read.
pub fn payments(path: &Path) -> Result<Payments, Failure> {
    let name = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    Payments::parse(&text, FileFormat::of(path)).map_err(|fault| {
        for (line, what) in &fault.first {
            errln!("{name}:{line}: {what}");
        }
        let hidden = fault.count - fault.first.len() as u64;
        if hidden > 0 {
            errln!("{name}: and {} more", count(hidden, "line"));
        }
        Failure::new(format!("{name} has {} that can't be read", count(fault.count, "line")))
    })
}
