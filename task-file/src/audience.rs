//! The audience of a task, and the past actions that count.

use plaudit_domain::catalogue::definition::{Audience, Backfill, BackfillRewards, Share};
use plaudit_domain::catalogue::{audience_filter, unguarded_attributes};
use plaudit_domain::expression::PatternTotal;

use crate::located::{Diagnostics, Located};
use crate::node::Value;
use crate::task::instant;

/// The longest salt, in characters.
const SALT_CHARS_MAX: usize = 200;

/// Reads the audience of a task.
pub fn read(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Audience> {
    let fields = place.fields(&["where", "percent", "salt"], diagnostics)?;
    let filter = fields.read_or("where", None, |place| {
        let source = place.text(diagnostics)?;
        let filter = diagnostics.compiled(place, || audience_filter(source), PatternTotal::add)?;
        if let attributes @ [first, ..] = &unguarded_attributes(&filter)[..] {
            let (guard, read) = (format!("has({first}) && …"), attributes.join(", "));
            let message = "a user without the attribute is outside of the audience";
            diagnostics.warn(place, format_args!("reads {read} without `{guard}`: {message}"));
        }
        Some(Some(source.to_owned()))
    });
    let share = fields.read_or("percent", None, |place| percent(place, diagnostics).map(Some));
    let salt = fields
        .read_or("salt", None, |place| place.line_of_text(SALT_CHARS_MAX, diagnostics).map(Some));
    if let Some(place) = fields.get("salt").filter(|_| fields.get("percent").is_none()) {
        diagnostics.warn(place, "has no meaning without `percent`");
    }
    if let Some(place) = fields.get("percent").filter(|_| share == Some(Share::try_from(0).ok())) {
        diagnostics.warn(place, "is 0, so no user has the task");
    }
    Some(Audience { filter: filter?, share: share?, salt: salt? })
}

/// A percentage with up to two decimals.
fn percent(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Share> {
    let hundredths = match place.node.value {
        Value::Integer(percent) => percent.checked_mul(100),
        // Two decimals of a number up to 100 are exact after rounding.
        #[expect(clippy::cast_possible_truncation, reason = "it is at most 10,000")]
        Value::Float(percent) if (0.0..=100.0).contains(&percent) => {
            let hundredths = (percent * 100.0).round();
            ((percent * 100.0 - hundredths).abs() < 1e-6).then_some(hundredths as i64)
        }
        _ => None,
    };
    let share = hundredths.and_then(|number| u32::try_from(number).ok());
    let share = share.and_then(|number| Share::try_from(number).ok());
    if share.is_none() {
        diagnostics.add(place, "must be a number from 0 to 100 with at most two decimals");
    }
    share
}

/// Reads the rule for past actions.
pub fn backfill(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Backfill> {
    let fields = place.fields(&["from", "rewards"], diagnostics)?;
    let from = fields.require("from", diagnostics);
    let from = from.cloned().and_then(|place| instant(&place, diagnostics));
    let words = [
        ("grant", BackfillRewards::Grant),
        ("hold", BackfillRewards::Hold),
        ("none", BackfillRewards::None),
    ];
    let rewards = fields
        .read_or("rewards", BackfillRewards::Grant, |place| place.choice(&words, diagnostics));
    Some(Backfill { from: from?, rewards: rewards? })
}
