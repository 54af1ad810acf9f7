//! The budgets of a file, and the lines that name them.

use std::collections::{BTreeMap, BTreeSet};

use plaudit_domain::calendar::{Cadence, DayStart};
use plaudit_domain::catalogue::definition::{
    AtCap, Budget, BudgetId, BudgetUse, Counts, Payout, TaskDefinition, ZoneRule,
};

use crate::located::{Diagnostics, Fields, Invalid, Located};
use crate::node::Value;
use crate::{suggestion, task};

/// The largest limit of a budget. Far below 2^63, so that sums of granted amounts fit.
const LIMIT_MAX: i64 = 1_000_000_000_000_000;

/// The most budgets of a file.
const BUDGETS_MAX: usize = 1_000;

/// The budgets that a file declares, by id. A budget is `None` if its declaration has errors, which
/// are reported.
#[derive(Default)]
pub struct Declared<'n> {
    by_id: BTreeMap<BudgetId, (Option<Budget>, Located<'n>)>,
}

impl<'n> Declared<'n> {
    /// Reads the budgets of a file.
    pub fn read(file: &Fields<'n>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let mut declared = Self::default();
        let Some(list) = file.get("budgets") else { return Some(declared) };
        let places = list.items(diagnostics)?;
        if places.len() > BUDGETS_MAX {
            diagnostics.add(list, format_args!("must have at most {BUDGETS_MAX} items"));
            return None;
        }
        for place in places {
            let known = ["id", "limit", "counts", "every", "zone", "day_starts_at"];
            let Some(fields) = place.fields(&known, diagnostics) else { continue };
            let id = fields.require("id", diagnostics).cloned();
            let id = id.and_then(|place| Some((budget_id(&place, diagnostics)?, place)));
            let terms = Terms::read(&fields, diagnostics);
            let Some((id, at)) = id else { continue };
            if let Some((_, earlier)) = declared.by_id.get(&id) {
                let line = earlier.node.line;
                diagnostics
                    .add(&at, format_args!("{id} is already the id of the budget in line {line}"));
                continue;
            }
            let budget = terms.map(|terms| terms.named(id.clone()));
            declared.by_id.insert(id, (budget, at));
        }
        Some(declared)
    }

    /// Reads the budget of a line, or of one of its choices, that pays this amount.
    pub fn of_line(
        &self,
        fields: &Fields<'_>,
        amount: Option<i64>,
        diagnostics: &mut Diagnostics,
    ) -> Result<Option<BudgetUse>, Invalid> {
        let at_cap = fields.get("at_cap");
        let Some(place) = fields.get("budget") else {
            if let Some(place) = at_cap {
                diagnostics.add(place, "has no meaning without `budget`");
                return Err(Invalid);
            }
            return Ok(None);
        };
        let budget = self.named(place, diagnostics);
        if at_cap.is_none() {
            let choices = ": wait, refuse or { substitute: { kind, code, amount } }";
            fields.miss("at_cap", choices, diagnostics);
        }
        let at_cap = at_cap.and_then(|place| read_at_cap(place, diagnostics));
        let budget = budget.ok_or(Invalid)?;
        if let Some(amount) = amount
            && budget.counts == Counts::Amount
            && (1..amount).contains(&budget.limit)
        {
            let Budget { id, limit, .. } = budget;
            diagnostics.warn(
                place,
                format_args!(
                    "{id} holds {limit}, and the line takes {amount}: it is never granted"
                ),
            );
        }
        Ok(Some(BudgetUse { budget: budget.clone(), at_cap: at_cap.ok_or(Invalid)? }))
    }

    fn named(&self, place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<&Budget> {
        let id = budget_id(place, diagnostics)?;
        if let Some((budget, _)) = self.by_id.get(&id) {
            return budget.as_ref();
        }
        let known: Vec<&str> = self.by_id.keys().map(BudgetId::as_str).collect();
        let hint = suggestion::did_you_mean(id.as_str(), &known);
        diagnostics.add(
            place,
            format_args!("{id} is not among the `budgets` of this file{hint}; declare it there"),
        );
        None
    }

    /// Warns of budgets that no line names.
    pub fn warn_of_unused(&self, tasks: &[&TaskDefinition], diagnostics: &mut Diagnostics) {
        let used: BTreeSet<&BudgetId> =
            tasks.iter().flat_map(|task| task.budgets()).map(|used| &used.budget.id).collect();
        for (id, (_, place)) in &self.by_id {
            if !used.contains(id) {
                diagnostics
                    .warn(place, format_args!("no reward line of this file names budget {id}"));
            }
        }
    }
}

fn budget_id(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<BudgetId> {
    let text = place.text(diagnostics)?;
    text.to_owned().try_into().map_err(|e| diagnostics.add(place, e)).ok()
}

/// The terms of a budget, whatever its id.
struct Terms {
    limit: i64,
    counts: Counts,
    every: Cadence,
    zone: String,
    day_starts_at: DayStart,
}

impl Terms {
    fn read(fields: &Fields<'_>, diagnostics: &mut Diagnostics) -> Option<Self> {
        let limit = fields.require("limit", diagnostics);
        let limit = limit.and_then(|place| place.integer_in(0, LIMIT_MAX, diagnostics));
        let counted = [("amount", Counts::Amount), ("grants", Counts::Grants)];
        let counts =
            fields.read_or("counts", Counts::Amount, |place| place.choice(&counted, diagnostics));
        let every = fields.read_or("every", Cadence::Once, |place| {
            task::recurrence(place, fields.get("day_starts_at"), diagnostics)
        });
        let zone = fields.read_or("zone", "UTC".to_owned(), |place| zone(place, diagnostics));
        let day_starts_at = fields.read_or("day_starts_at", DayStart::default(), |place| {
            task::day_start(place, diagnostics)
        });
        for name in ["zone", "day_starts_at"] {
            if let Some(place) = fields.get(name).filter(|_| fields.get("every").is_none()) {
                diagnostics
                    .add(place, "has no effect without `every`: the budget is never refilled");
            }
        }
        Some(Self {
            limit: limit?,
            counts: counts?,
            every: every?,
            zone: zone?,
            day_starts_at: day_starts_at?,
        })
    }

    fn named(self, id: BudgetId) -> Budget {
        let Self { limit, counts, every, zone, day_starts_at } = self;
        Budget { id, limit, counts, every, zone, day_starts_at }
    }
}

fn zone(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<String> {
    match task::zone_rule(place, diagnostics)? {
        ZoneRule::Fixed(name) => Some(name),
        ZoneRule::User => {
            diagnostics.add(place, "must be a zone by its name: all users share the budget");
            None
        }
    }
}

fn read_at_cap(place: &Located<'_>, diagnostics: &mut Diagnostics) -> Option<AtCap> {
    if !matches!(place.node.value, Value::Mapping(_)) {
        let waits = place.choice(&[("wait", true), ("refuse", false)], diagnostics)?;
        return Some(if waits { AtCap::Wait } else { AtCap::Refuse });
    }
    let fields = place.fields(&["substitute"], diagnostics)?;
    let place = fields.require("substitute", diagnostics)?;
    let fields = place.fields(&["kind", "code", "amount"], diagnostics)?;
    let payout: Payout = crate::rewards::payout(&fields, diagnostics)?;
    Some(AtCap::Substitute(payout))
}
