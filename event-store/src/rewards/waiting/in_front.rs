//! Pages of the users who wait for budgets, in the order in which they reached their milestones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use plaudit_domain::catalogue::{BudgetKey, BudgetsUsed, Catalogue, WaitingPlace};
use plaudit_domain::ids::{TaskId, UserId};
use plaudit_domain::lane::{Lane, LaneCount};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use tokio::time::Instant;

use crate::budgets;
use crate::states::{undecodable, unless_unreadable};

/// The maximum number of milestones per page: of a lane and place, and of all places together.
const PER_LANE_MAX: i64 = 200;
const PAGE_MAX: i64 = 5_000;

/// The maximum number of places per page. The others follow in turn.
const PLACES_MAX: usize = 10;

/// The minimum number of milestones of a place, even if the budgets hold less: the first reward may
/// not fit while later ones do.
const PER_PLACE_MIN: i64 = 100;

/// Interval after which a place is read from its beginning again. Rewards that began to wait in an
/// earlier window may have been passed by.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The progress through the users of each place. A place is read page by page, so that users whose
/// rewards don't fit keep no others waiting.
#[derive(Default)]
pub(crate) struct WaitingPages {
    places: HashMap<PlaceKey, Tried>,
    /// The place at which the next page begins, if there are more than fit into one.
    turn: usize,
}

/// A task and one of its milestones.
type PlaceKey = (TaskId, i64);

/// The place of a waiting milestone in its lane: when it was reached, and the position of that
/// event.
type Cursor = (DateTime<Utc>, i64);

struct Tried {
    /// The windows and limits of the place's budgets. While they stay the same, less and less fits.
    terms: BTreeMap<BudgetKey, i64>,
    began: Instant,
    /// The last milestone tried in each lane.
    after: BTreeMap<Lane, Cursor>,
    /// True if nothing was left after these.
    ended: bool,
}

/// A page of waiting users.
#[derive(Default)]
pub(crate) struct Page {
    /// The users, in order.
    pub users: Vec<(Lane, UserId)>,
    tried: Vec<(PlaceKey, Lane, Cursor)>,
    ended: Vec<PlaceKey>,
}

/// A place whose rewards may fit.
struct Open<'c> {
    place: &'c WaitingPlace,
    terms: BTreeMap<BudgetKey, i64>,
    /// The number of milestones to read.
    count: usize,
}

impl Open<'_> {
    fn key(&self) -> PlaceKey {
        (self.place.task.clone(), self.place.milestone)
    }
}

impl WaitingPages {
    /// Reads the next page of users who wait for budgets that are not used up.
    pub async fn next(
        &mut self,
        catalogue: &Catalogue,
        as_of: Timestamp,
        lane_count: LaneCount,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Page> {
        let keys: BTreeSet<_> = catalogue.budgets_waited_for(as_of).collect();
        let totals = budgets::used(&keys, connection).await?;
        let open = open_places(catalogue, as_of, &totals);
        self.begin(&open);
        let open = self.in_turn(open);
        if open.is_empty() {
            return Ok(Page::default());
        }
        let lanes: Vec<Lane> = (0..lane_count.get()).map(|lane| Lane(lane.cast_signed())).collect();
        let asked = || open.iter().flat_map(|open| lanes.iter().map(move |lane| (open, *lane)));
        let after = |(open, lane): (&Open<'_>, Lane)| {
            self.places.get(&open.key()).and_then(|tried| tried.after.get(&lane).copied())
        };
        let places = (0..open.len()).flat_map(|place| lanes.iter().map(move |_| place));
        let count = |open: &Open<'_>| {
            i64::try_from(open.count).map_or(PER_LANE_MAX, |n| n.min(PER_LANE_MAX))
        };
        let rows = sqlx::query(include_str!("users_in_front.sql"))
            .bind(asked().map(|(_, lane)| lane.0).collect::<Vec<_>>())
            .bind(asked().map(|(open, _)| open.place.task.as_str()).collect::<Vec<_>>())
            .bind(asked().map(|(open, _)| open.place.milestone).collect::<Vec<_>>())
            .bind(asked().map(|asked| after(asked).map(|(at, _)| at)).collect::<Vec<_>>())
            .bind(asked().map(|asked| after(asked).map(|(_, at)| at)).collect::<Vec<_>>())
            .bind(asked().map(|(open, _)| count(open)).collect::<Vec<_>>())
            .bind(places.filter_map(|place| i64::try_from(place).ok()).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
        page_of(&open, &rows)
    }

    /// The places of the next page.
    fn in_turn<'c>(&mut self, mut open: Vec<Open<'c>>) -> Vec<Open<'c>> {
        if open.len() > PLACES_MAX {
            let begin = self.turn % open.len();
            self.turn = begin + PLACES_MAX;
            open.rotate_left(begin);
            open.truncate(PLACES_MAX);
        }
        open
    }

    /// Forgets places whose rewards no longer fit or whose budgets have changed, and those that are
    /// due to be read from the beginning.
    fn begin(&mut self, open: &[Open<'_>]) {
        let terms: HashMap<PlaceKey, _> =
            open.iter().map(|open| (open.key(), &open.terms)).collect();
        self.places.retain(|key, tried| {
            terms.get(key) == Some(&&tried.terms)
                && !(tried.ended && tried.began.elapsed() >= AGAIN_AFTER)
        });
        for (key, terms) in terms {
            self.places.entry(key).or_insert_with(|| Tried {
                terms: terms.clone(),
                began: Instant::now(),
                after: BTreeMap::new(),
                ended: false,
            });
        }
    }

    /// Notes that the rewards of a page were tried. Those that fitted wait no more.
    pub fn note_tried(&mut self, page: &Page) {
        for (key, lane, cursor) in &page.tried {
            if let Some(tried) = self.places.get_mut(key) {
                tried.after.insert(*lane, *cursor);
            }
        }
        for key in &page.ended {
            if let Some(tried) = self.places.get_mut(key) {
                tried.ended = true;
            }
        }
    }
}

/// The places that wait for a budget with something left.
fn open_places<'c>(
    catalogue: &'c Catalogue,
    as_of: Timestamp,
    totals: &BudgetsUsed,
) -> Vec<Open<'c>> {
    let open = |place: &'c WaitingPlace| {
        let budgets = place.budgets.iter().filter_map(|id| catalogue.budget(id));
        let terms: BTreeMap<_, _> =
            budgets.map(|found| (found.key_at(as_of), found.budget.limit)).collect();
        let left = terms.iter().map(|(key, limit)| limit.saturating_sub(totals.of(key)).max(0));
        let left = left.fold(0, i64::saturating_add);
        (left > 0).then_some((place, terms, left))
    };
    let open: Vec<_> = catalogue.waiting_places().iter().filter_map(open).collect();
    let on_page = open.len().clamp(1, PLACES_MAX);
    let most = PAGE_MAX / i64::try_from(on_page).unwrap_or(i64::MAX);
    let counted = |(place, terms, left): (_, _, i64)| {
        let count = usize::try_from(left.clamp(PER_PLACE_MIN, most)).unwrap_or(usize::MAX);
        Open { place, terms, count }
    };
    open.into_iter().map(counted).collect()
}

/// Takes the first rows of each place. A lane's cursor moves only past rows that were taken.
fn page_of(open: &[Open<'_>], rows: &[PgRow]) -> sqlx::Result<Page> {
    let mut page = Page::default();
    let mut taken = vec![0; open.len()];
    for row in rows {
        let place = usize::try_from(row.try_get::<i64, _>(0)?).map_err(undecodable)?;
        let (Some(open), Some(taken)) = (open.get(place), taken.get_mut(place)) else { continue };
        if *taken >= open.count {
            continue;
        }
        *taken += 1;
        let lane = Lane(row.try_get(1)?);
        let user = UserId::try_from(row.try_get::<String, _>(2)?).map_err(undecodable);
        page.users.extend(unless_unreadable(user, "reward_state").map(|user| (lane, user)));
        page.tried.push((open.key(), lane, (row.try_get(3)?, row.try_get(4)?)));
    }
    let without_rows = open.iter().zip(taken).filter(|(_, taken)| *taken == 0);
    page.ended = without_rows.map(|(open, _)| open.key()).collect();
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_its_turn() {
        let place = |n| WaitingPlace {
            task: format!("t{n}").parse().expect("a task id"),
            milestone: 1,
            budgets: BTreeSet::new(),
        };
        let places: Vec<WaitingPlace> = (0..25).map(place).collect();
        let open = || places.iter().map(|place| Open { place, terms: BTreeMap::new(), count: 1 });
        let mut pages = WaitingPages::default();
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let page = pages.in_turn(open().collect());
            assert_eq!(page.len(), PLACES_MAX);
            seen.extend(page.iter().map(Open::key));
        }
        assert_eq!(seen.len(), 25);
        assert_eq!(pages.in_turn(open().take(3).collect()).len(), 3);
    }
}
