//! `plaudit rewards grant` and `revoke`.

use std::process::ExitCode;

use plaudit_domain::catalogue::definition::Payout;
use plaudit_domain::user_tasks::Change;
use plaudit_event_store::hand_answers::GrantedByHand;
use plaudit_event_store::rewards::handed_over::{self, MAY_BE_PAID};
use plaudit_event_store::{HandChange, deliveries};
use uuid::Uuid;

use crate::cli::FormatKind;
use crate::commands::corrections::{Corrector, Why, other_change};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, errln, outln};
use crate::startup;

/// Checks the texts of a grant by the limits of task files.
pub fn checked(payout: Payout, line: Option<&str>) -> Result<Payout, Failure> {
    let words = [
        ("--kind", Some(payout.kind.as_str()), 200),
        ("--code", Some(payout.code.as_str()), 200),
        ("--line", line, 64),
    ];
    for (name, word, chars_max) in words {
        let fits = |word: &str| {
            (1..=chars_max).contains(&word.chars().count())
                && !word.trim().is_empty()
                && !word.chars().any(char::is_control)
        };
        if word.is_some_and(|word| !fits(word)) {
            return Err(Failure::new(format!(
                "{name} is a text of 1 to {chars_max} characters without control characters"
            )));
        }
    }
    Ok(payout)
}

/// Grants a reward by hand.
pub async fn grant(
    config: &Config,
    user: &str,
    payout: Payout,
    line: Option<String>,
    why: &Why,
    format: FormatKind,
) -> Result<ExitCode, Failure> {
    let user = user.parse()?;
    let corrector = Corrector::open(config).await?;
    // Printed before anything can fail, so that the operator can repeat the command.
    let line = line.unwrap_or_else(|| {
        let line = Uuid::now_v7().to_string();
        errln!("line {line}; if this ends without an answer, repeat it with --line {line}");
        line
    });
    let change = Change::Grant { line, payout };
    let receipt = corrector.correct(&user, (change, None), why).await?;
    let receipt = receipt.map_err(|rejection| Failure::new(rejection.to_string()))?;
    let granted = GrantedByHand::of(user, receipt).ok_or_else(other_change)?;
    if format == FormatKind::Json {
        outln!("{}", serde_json::to_string(&granted)?);
    } else {
        let GrantedByHand { user, grant, line, kind, code, amount, .. } = &granted;
        outln!("{grant}  granted to {user}  {amount} {kind}/{code}  line {line}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Revokes grants. Exit code 1 if one of them can't be revoked.
pub async fn revoke(
    config: &Config,
    grants: &[Uuid],
    whole_milestone: bool,
    why: &Why,
) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let corrector = Corrector::open(config).await?;
    let (mut revoked, mut all_revoked) = (Vec::new(), true);
    for grant in grants.iter().copied() {
        if revoked.contains(&grant) {
            continue; // with its milestone
        }
        let Some(entry) = startup::answer(deliveries::find(&pool, grant)).await? else {
            errln!("unknown grant {grant}");
            all_revoked = false;
            continue;
        };
        let change = Change::Revoke { grant, whole_milestone };
        let reward = entry.revoked_with_milestone().cloned();
        match corrector.correct(&entry.user, (change, reward), why).await? {
            Ok(receipt) => {
                if let HandChange::RewardsRevoked { grants } = receipt.change {
                    let mut connection = pool.acquire().await?;
                    let (lane, user) = (entry.lane, &entry.user);
                    let asked = handed_over::handed_over(lane, user, &grants, &mut connection);
                    for grant in startup::answer(asked).await? {
                        errln!("warning: {grant}: {MAY_BE_PAID}");
                    }
                    revoked.extend(grants);
                }
            }
            Err(rejection) => {
                errln!("{rejection}");
                all_revoked = false;
            }
        }
    }
    outln!("{} revoked", count(revoked.len(), "grant"));
    Ok(if all_revoked { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
