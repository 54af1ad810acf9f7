//! Reward lines, and the rules for claiming them.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::catalogue::definition::{
    AtPeriodEnd, BudgetUse, Claim, ClaimMode, Payout, RewardLine, Rewards, WeightedPayout,
};

use crate::budgets::Declared;
use crate::located::{Diagnostics, Fields, Located};
use crate::objective::seconds;
use crate::{meta, text};

/// The longest name of a line, in characters.
const LINE_CHARS_MAX: usize = 64;
/// The longest word for the payer, in characters.
const PAYER_CHARS_MAX: usize = 200;
/// The most lines of a milestone, and the most choices of a line.
const ITEMS_MAX: usize = 100;

/// Reads the lines of a milestone.
pub fn lines(
    place: &Located<'_>,
    declared: &Declared<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<RewardLine>> {
    let places = bounded(place.items_if_any(diagnostics)?, place, diagnostics)?;
    let mut names = BTreeSet::new();
    let mut read = Vec::with_capacity(places.len());
    for place in &places {
        let known =
            ["line", "kind", "code", "amount", "one_of", "budget", "at_cap", "title", "meta"];
        let Some(fields) = place.fields(&known, diagnostics) else { continue };
        let line = word(&fields, "line", LINE_CHARS_MAX, diagnostics);
        if let (Some(name), Some(place)) = (&line, fields.get("line"))
            && !names.insert(name.clone())
        {
            diagnostics.add(place, format_args!("{name:?} is already a line of this milestone"));
        }
        let pays = pays(&fields, declared, diagnostics);
        let title = fields
            .read_or("title", BTreeMap::new(), |place| text::line_by_locale(place, diagnostics));
        let meta = meta::read(&fields, diagnostics);
        let line = || {
            let (pays, budget) = pays?;
            Some(RewardLine { line: line?, pays, budget, title: title?, meta: meta? })
        };
        read.extend(line());
    }
    (read.len() == places.len()).then_some(read)
}

/// Reads the payouts of a line, and the budget of a line with a fixed payout.
fn pays(
    fields: &Fields<'_>,
    declared: &Declared<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<(Rewards, Option<BudgetUse>)> {
    let Some(place) = fields.get("one_of") else {
        let payout = payout(fields, diagnostics);
        let amount = payout.as_ref().map(|payout| payout.amount);
        let budget = declared.of_line(fields, amount, diagnostics);
        return Some((Rewards::Fixed(payout?), budget.ok()?));
    };
    for name in ["kind", "code", "amount", "budget", "at_cap"] {
        if let Some(place) = fields.get(name) {
            diagnostics.add(place, "belongs in each choice of `one_of`, not beside it");
        }
    }
    let places = bounded(place.items(diagnostics)?, place, diagnostics)?;
    let mut choices = Vec::with_capacity(places.len());
    for place in &places {
        let known = ["weight", "kind", "code", "amount", "budget", "at_cap"];
        let Some(fields) = place.fields(&known, diagnostics) else { continue };
        let weight = fields.require("weight", diagnostics);
        // The sum of a hundred of these fits in 64 bits.
        let weight = weight.and_then(|place| place.integer_in(1, 1_000_000_000, diagnostics));
        let payout = payout(&fields, diagnostics);
        let amount = payout.as_ref().map(|payout| payout.amount);
        let budget = declared.of_line(&fields, amount, diagnostics);
        let choice =
            || Some(WeightedPayout { weight: weight?, payout: payout?, budget: budget.ok()? });
        let Some(choice) = choice() else { continue };
        let twin = |other: &&WeightedPayout| other.payout == choice.payout;
        if choices.iter().find(twin).is_some_and(|twin| twin.budget != choice.budget) {
            let message = "pays the same as an earlier choice, so it must name the same budget";
            diagnostics.add(place, message);
        }
        choices.push(choice);
    }
    (choices.len() == places.len()).then_some((Rewards::OneOf(choices), None))
}

/// Reads a payout.
pub fn payout(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Option<Payout> {
    let kind = word(fields, "kind", PAYER_CHARS_MAX, diagnostics);
    let code = word(fields, "code", PAYER_CHARS_MAX, diagnostics);
    let amount = fields.require("amount", diagnostics);
    let amount = amount.and_then(|place| place.positive(diagnostics));
    Some(Payout { kind: kind?, code: code?, amount: amount? })
}

fn bounded<'n>(
    items: Vec<Located<'n>>,
    place: &Located<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Vec<Located<'n>>> {
    if items.len() > ITEMS_MAX {
        diagnostics.add(place, format_args!("must have at most {ITEMS_MAX} items"));
        return None;
    }
    Some(items)
}

/// Reads a required name. No name may have control characters, because U+001F separates the parts
/// of a grant id.
fn word(
    fields: &Fields<'_>,
    name: &str,
    chars_max: usize,
    diagnostics: &mut Diagnostics,
) -> Option<String> {
    let place = fields.require(name, diagnostics)?;
    place.line_of_text(chars_max, diagnostics)
}

/// Reads the rules for claiming rewards.
pub fn claim(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<Claim> {
    let fields = place.fields(&["mode", "expires_after", "at_period_end"], diagnostics)?;
    let modes = [("manual", ClaimMode::Manual), ("automatic", ClaimMode::Automatic)];
    let mode = fields.read_or("mode", ClaimMode::Manual, |place| place.choice(&modes, diagnostics));
    let expires_after_seconds = fields.read_or("expires_after", None, |place| {
        let seconds = seconds(place, diagnostics)?;
        if seconds == 0 {
            diagnostics.add(place, "must be longer than nothing; leave it out for no expiry");
        }
        Some(Some(seconds))
    });
    let outcomes = [
        ("keep", AtPeriodEnd::Keep),
        ("grant", AtPeriodEnd::Grant),
        ("forfeit", AtPeriodEnd::Forfeit),
    ];
    let at_period_end = fields
        .read_or("at_period_end", AtPeriodEnd::Keep, |place| place.choice(&outcomes, diagnostics));
    Some(Claim {
        mode: mode?,
        expires_after_seconds: expires_after_seconds?,
        at_period_end: at_period_end?,
    })
}
