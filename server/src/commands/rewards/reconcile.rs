//! `plaudit rewards reconcile`: what was granted, held against what a payer says it paid.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;

use jiff::Timestamp;
use plaudit_domain::user_tasks::RewardState;
use plaudit_event_store::deliveries::{self, Filter, GrantReport};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::cli::FormatKind;
use crate::failure::Failure;
use crate::output::{errln, outln};

/// How many grants are read at once.
const PAGE: usize = 1_000;

/// A line of the payer's file. Other fields are left alone.
#[derive(Debug, Deserialize)]
struct Payment {
    grant: Uuid,
    amount: i64,
}

/// How a grant and its payments differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Delivered by what Plaudit knows, and not paid by what the payer says.
    Missing,
    /// Paid more than once.
    Double,
    /// Paid with another amount.
    DifferentAmount,
    /// Paid, and not confirmed to Plaudit.
    Unconfirmed,
    /// Paid, and never granted, or granted at another time.
    Unknown,
    /// Neither paid nor confirmed, and given up.
    Failed,
}

#[derive(Debug, Serialize)]
struct Difference {
    kind: Kind,
    grant: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    granted: Option<i64>,
    paid: Vec<i64>,
}

/// Compares, and prints each difference and how many there are of each kind.
pub async fn run(
    pool: &PgPool,
    from: Timestamp,
    until: Timestamp,
    against: Option<&Path>,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let mut payments = against.map(read).transpose()?;
    let (mut states, mut differences) = (BTreeMap::new(), Vec::new());
    let mut filter = Filter { limit: PAGE, ..Filter::default() };
    loop {
        let page = deliveries::list(pool, &filter).await?;
        let page = page.ok_or_else(|| Failure::new("a grant is gone from the list"))?;
        for entry in page.grants {
            let state = entry.row.state;
            let grant = GrantReport::from(entry);
            if grant.granted_at < from || grant.granted_at >= until {
                // Paid in this time and granted in another one: known, and not of this report.
                if let Some(payments) = &mut payments {
                    payments.remove(&grant.grant);
                }
                continue;
            }
            *states.entry(state.as_str()).or_insert(0u64) += 1;
            let paid = payments.as_mut().map(|payments| payments.remove(&grant.grant));
            differences.extend(compare(&grant, state, paid.map(Option::unwrap_or_default)));
        }
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    for (grant, paid) in payments.into_iter().flatten() {
        differences.push(Difference {
            kind: Kind::Unknown,
            grant,
            user: None,
            granted: None,
            paid,
        });
    }
    differences.sort_by_key(|difference| (difference.kind, difference.grant));
    print(&states, &differences, format)?;
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How a grant differs from its payments; without a payer's file: whether it has failed.
fn compare(grant: &GrantReport, state: RewardState, paid: Option<Vec<i64>>) -> Option<Difference> {
    let kind = match (paid.as_deref(), state) {
        (None | Some([]), RewardState::Failed) => Kind::Failed,
        (Some([_, _, ..]), _) => Kind::Double,
        (Some([amount]), _) if *amount != grant.amount => Kind::DifferentAmount,
        (Some([]), RewardState::Delivered) => Kind::Missing,
        (Some([_]), state) if state != RewardState::Delivered => Kind::Unconfirmed,
        _ => return None,
    };
    let (user, granted) = (Some(grant.user.clone()), Some(grant.amount));
    Some(Difference { kind, grant: grant.grant, user, granted, paid: paid.unwrap_or_default() })
}

fn print(
    states: &BTreeMap<&str, u64>,
    differences: &[Difference],
    format: FormatKind,
) -> Result<(), Failure> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for difference in differences {
        *counts.entry(crate::output::word(&difference.kind)).or_default() += 1;
    }
    if format == FormatKind::Json {
        let report = json!({ "states": states, "counts": counts, "differences": differences });
        outln!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    for Difference { kind, grant, user, granted, paid } in differences {
        let (kind, user) = (crate::output::word(kind), user.as_deref().unwrap_or("-"));
        let granted = granted.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        outln!("{kind:<17} {grant}  user {user}  granted {granted}  paid {paid:?}");
    }
    let named = |counts: Vec<(String, u64)>| {
        let texts: Vec<String> = counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    };
    outln!("grants: {}", named(states.iter().map(|(s, n)| ((*s).to_owned(), *n)).collect()));
    outln!("differences: {}", named(counts.into_iter().collect()));
    Ok(())
}

/// Reads the payer's file: the amounts by grant. Names every line that can't be read.
fn read(path: &Path) -> Result<HashMap<Uuid, Vec<i64>>, Failure> {
    let name = path.display();
    let cannot = |error: &dyn std::fmt::Display| Failure::new(format!("{name}: {error}"));
    let is_json = path.extension().is_some_and(|ext| ext == "jsonl" || ext == "ndjson");
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
    let mut payments: HashMap<Uuid, Vec<i64>> = HashMap::new();
    let mut faults = 0;
    let mut add = |line: u64, payment: Result<Payment, String>| match payment {
        Ok(Payment { grant, amount }) => payments.entry(grant).or_default().push(amount),
        Err(error) => {
            faults += 1;
            errln!("{name}:{line}: {error}");
        }
    };
    if is_json {
        for (line, row) in (1..).zip(text.lines()).filter(|(_, row)| !row.trim().is_empty()) {
            add(line, serde_json::from_str(row).map_err(|error| error.to_string()));
        }
    } else {
        let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        for (line, row) in (2..).zip(rows.deserialize::<Payment>()) {
            add(line, row.map_err(|error| error.to_string()));
        }
    }
    if faults > 0 {
        return Err(Failure::new(format!("{name} has {faults} lines that can't be read")));
    }
    Ok(payments)
}
