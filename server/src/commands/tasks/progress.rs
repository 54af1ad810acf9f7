//! `plaudit tasks adjust`, `complete`, `reset` and `restore`.

use std::process::ExitCode;

use plaudit_domain::calendar::PeriodKey;
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::user_tasks::{Adjustment, Change};
use plaudit_event_store::hand_answers::{CorrectedProgress, RestoredStreak};
use serde_json::json;

use super::http::HttpCatalogue;
use crate::cli::{CorrectionArgs, CorrectionReason};
use crate::commands::corrections::{Corrector, Why, other_change, print_progress, print_restored};
use crate::config::{Config, ConfigError};
use crate::failure::Failure;

/// A correction of a period.
#[derive(Debug, Clone, Copy)]
pub enum Correction {
    /// Changes its progress.
    Adjust(Adjustment),
    /// Completes it.
    Complete,
    /// Restarts it.
    Reset,
}

/// Corrects a user's progress, in the database or through a server.
pub async fn correct(
    (url, token): (Option<&str>, Option<&str>),
    config: &dyn Fn() -> Result<Config, ConfigError>,
    (user, task): (&str, &str),
    correction: Correction,
    how: CorrectionArgs,
) -> Result<ExitCode, Failure> {
    let (user, task): (UserId, TaskId) = (user.parse()?, task.parse()?);
    let CorrectionArgs { period, why } = how;
    let CorrectionReason { reason, idempotency_key, format } = why;
    let why = Why::new(&reason, idempotency_key)?;
    if let (Some(url), Some(token)) = (url, token) {
        let server = HttpCatalogue::new(url, token)?;
        let (verb, mut body) = match correction {
            Correction::Adjust(Adjustment::By(by)) => ("adjust", json!({ "by": by })),
            Correction::Adjust(Adjustment::To(to)) => ("adjust", json!({ "to": to })),
            Correction::Complete => ("complete", json!({})),
            Correction::Reset => ("reset", json!({})),
        };
        (body["period"], body["reason"]) = (json!(period), json!(why.reason));
        let key = why.idempotency_key.as_deref();
        let answer = server.correct((&user, &task), verb, &body, key).await?;
        return print_progress(&answer, format.format);
    }
    let period = period.map(PeriodKey::from);
    let change = match correction {
        Correction::Adjust(adjustment) => Change::Adjust { task, period, adjustment },
        Correction::Complete => Change::Complete { task, period },
        Correction::Reset => Change::Reset { task, period },
    };
    let corrector = Corrector::open(&config()?).await?;
    let receipt = corrector.correct(&user, (change, None), &why).await?;
    let receipt = receipt.map_err(|rejection| Failure::new(rejection.to_string()))?;
    let answer = CorrectedProgress::of(user, receipt).ok_or_else(other_change)?;
    print_progress(&answer, format.format)
}

/// Fills a missed period of a user's streak, in the database or through a server.
pub async fn restore(
    (url, token): (Option<&str>, Option<&str>),
    config: &dyn Fn() -> Result<Config, ConfigError>,
    (user, task): (&str, &str),
    period: String,
    why: CorrectionReason,
) -> Result<ExitCode, Failure> {
    let (user, task): (UserId, TaskId) = (user.parse()?, task.parse()?);
    let CorrectionReason { reason, idempotency_key, format } = why;
    let why = Why::new(&reason, idempotency_key)?;
    if let (Some(url), Some(token)) = (url, token) {
        let server = HttpCatalogue::new(url, token)?;
        let body = json!({ "period": period, "reason": why.reason });
        let key = why.idempotency_key.as_deref();
        let answer = server.correct((&user, &task), "restore", &body, key).await?;
        return print_restored(&answer, format.format);
    }
    let change = Change::Restore { task, period: PeriodKey::from(period) };
    let corrector = Corrector::open(&config()?).await?;
    let receipt = corrector.correct(&user, (change, None), &why).await?;
    let receipt = receipt.map_err(|rejection| Failure::new(rejection.to_string()))?;
    let answer = RestoredStreak::of(user, receipt).ok_or_else(other_change)?;
    print_restored(&answer, format.format)
}
