//! `action_fields`: the types of recent actions and the fields of their data, so that `plan` and `publish` can
//! warn of a field that no action has.
//!
//! Each process notes what it sees in a sample of the actions that it applies. Upkeep writes the new names once a
//! minute; no batch waits for it.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use plaudit_domain::action::{Action, RecentFields};
use sqlx::PgPool;

use crate::batch::{Incoming, Item, Work};
use crate::purge;

/// Sampling: the first actions of a type within a minute are all inspected, after that one in 64.
/// At 10,000 actions a second this costs less than a thousandth of a core.
const ALL_OF_THE_FIRST: u32 = 16;
const ONE_IN: u32 = 64;

/// Types and field names that this process has seen today (UTC).
#[derive(Debug, Default)]
pub struct SeenFields(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// The day, in UTC, for which types and names are noted.
    day: Option<Date>,
    types: HashMap<String, SeenType>,
    /// (type, field name) pairs not yet in the table; an empty name stands for the type itself.
    /// Each pair is added once a day, which bounds the list.
    unsaved: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct SeenType {
    /// Actions since the last save by upkeep.
    actions: u32,
    names: HashSet<String>,
}

impl SeenFields {
    /// Notes applied actions. Skips those of backfills, because they are old.
    pub(crate) fn note(&self, items: &[Item]) {
        let mut seen = self.seen();
        for item in items {
            match &item.work {
                Work::Incoming(Incoming::Action(action)) => seen.note(action),
                Work::ResolveParked(resolved) => {
                    resolved.actions.iter().for_each(|action| seen.note(action));
                }
                _ => {}
            }
        }
    }

    /// Writes the new names. Names that could not be written are kept for the next call.
    pub(crate) async fn save(&self, pool: &PgPool) -> sqlx::Result<()> {
        let unsaved = self.unsaved(TimeZone::UTC.to_datetime(Timestamp::now()).date());
        if unsaved.is_empty() {
            return Ok(());
        }
        let (types, names): (Vec<_>, Vec<_>) =
            unsaved.iter().cloned().partition(|(_, name)| name.is_empty());
        sqlx::query(include_str!("action_fields/note_types.sql"))
            .bind(types.into_iter().map(|(kind, _)| kind).collect::<Vec<_>>())
            .bind(bound(RecentFields::TYPES_MAX))
            .execute(pool)
            .await?;
        let (of, names): (Vec<_>, Vec<_>) = names.into_iter().unzip();
        sqlx::query(include_str!("action_fields/note_names.sql"))
            .bind(of)
            .bind(names)
            .bind(bound(RecentFields::NAMES_MAX))
            .execute(pool)
            .await?;
        self.seen().unsaved.drain(..unsaved.len());
        Ok(())
    }

    /// Returns the names to write. Starts a new day only after all names of the previous day are
    /// saved.
    fn unsaved(&self, today: Date) -> Vec<(String, String)> {
        let mut seen = self.seen();
        if seen.day != Some(today) && seen.unsaved.is_empty() {
            seen.day = Some(today);
            seen.types.clear();
        }
        seen.types.values_mut().for_each(|of| of.actions = 0);
        seen.unsaved.clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn note(&mut self, action: &Action) {
        let Self { types, unsaved, .. } = self;
        if !types.contains_key(&action.kind) {
            if types.len() >= RecentFields::TYPES_MAX {
                return;
            }
            types.insert(action.kind.clone(), SeenType::default());
            unsaved.push((action.kind.clone(), String::new()));
        }
        let Some(SeenType { actions, names }) = types.get_mut(&action.kind) else { return };
        *actions = actions.wrapping_add(1);
        let is_looked_at = *actions <= ALL_OF_THE_FIRST || actions.is_multiple_of(ONE_IN);
        if !is_looked_at || names.len() >= RecentFields::NAMES_MAX {
            return;
        }
        RecentFields::names_of(&action.data, |name| {
            if names.len() < RecentFields::NAMES_MAX && !names.contains(name) {
                names.insert(name.to_owned());
                unsaved.push((action.kind.clone(), name.to_owned()));
            }
        });
    }
}

/// Loads the recent types, and the fields of `types` among them.
pub async fn recent(pool: &PgPool, types: &[String]) -> sqlx::Result<RecentFields> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(include_str!("action_fields/recent.sql"))
            .bind(types)
            .bind(RecentFields::DAYS)
            .fetch_all(pool)
            .await?;
    let since = rows.iter().filter_map(|(.., since)| since.parse::<Date>().ok()).min();
    let noted = rows.into_iter().map(|(kind, name, _)| (kind, name));
    Ok(since.map(|since| RecentFields::new(since, noted)).unwrap_or_default())
}

/// Deletes types and names not seen for [`RecentFields::DAYS`] days.
pub(crate) async fn purge(pool: &PgPool) -> sqlx::Result<()> {
    let purge = sqlx::query(include_str!("action_fields/purge.sql"))
        .bind(RecentFields::DAYS)
        .bind(purge::DELETED_MAX);
    purge.execute(pool).await.map(drop)
}

fn bound(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
