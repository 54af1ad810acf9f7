//! The fold of whole streams: the same rules that keep the live views, fed from the log.

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{UserTasks, evolve};
use plaudit_event_store::ExecuteError;
use plaudit_event_store::reader::{self, Fact, Kinds};
use sqlx::PgConnection;

use crate::reward_state::Ledger;

/// What of a user is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The rules' state.
    State,
    /// The rewards: they follow from few of the events.
    Rewards,
    /// Both.
    Both,
}

impl Wanted {
    fn kinds(self) -> Kinds {
        if self == Self::Rewards { Kinds::OfRewards } else { Kinds::All }
    }
}

/// A user, folded from the first event to the last.
#[derive(Debug)]
pub(crate) struct FoldedUser {
    pub user: UserId,
    pub state: UserTasks,
    pub ledger: Ledger,
    /// Of the last event that was folded.
    pub sequence: i64,
    /// How many were folded.
    pub events: i64,
}

impl FoldedUser {
    fn new(user: UserId) -> Self {
        Self {
            user,
            state: UserTasks::default(),
            ledger: Ledger::default(),
            sequence: 0,
            events: 0,
        }
    }

    fn record(&mut self, wanted: Wanted, fact: &Fact) {
        if wanted != Wanted::Rewards {
            evolve(&mut self.state, &fact.event);
        }
        if wanted != Wanted::State {
            self.ledger.record(&fact.event, fact.position);
        }
        self.sequence = fact.sequence;
        self.events += 1;
    }
}

/// How many users are asked for at once.
const USERS_AT_ONCE: usize = 64;

/// Folds some users of a lane; those of whom nothing is known are left out.
pub(crate) async fn users(
    lane: Lane,
    users: &[&str],
    wanted: Wanted,
    connection: &mut PgConnection,
) -> Result<Vec<FoldedUser>, ExecuteError> {
    let mut all = Vec::with_capacity(users.len());
    for some in users.chunks(USERS_AT_ONCE) {
        let found = reader::users_whole(lane, some, wanted.kinds(), connection).await?;
        all.extend(found.into_iter().map(|(user, facts)| {
            let mut folded = FoldedUser::new(user);
            facts.iter().for_each(|fact| folded.record(wanted, fact));
            folded
        }));
    }
    Ok(all)
}

/// The users of a lane in order of their ids, each folded whole however the log is cut into pages.
pub(crate) struct LaneFold {
    lane: Lane,
    wanted: Wanted,
    /// The last event that was read.
    after: (String, i64),
    /// The user whose later events may be on the next page.
    open: Option<FoldedUser>,
    ended: bool,
}

impl LaneFold {
    /// Begins with the first user after this one.
    pub fn after(lane: Lane, wanted: Wanted, user: Option<String>) -> Self {
        let after = (user.unwrap_or_default(), i64::MAX);
        Self { lane, wanted, after, open: None, ended: false }
    }

    /// Reads a page and gives the users that it completes, maybe none; `None` after the last.
    pub async fn next(
        &mut self,
        events: i64,
        connection: &mut PgConnection,
    ) -> Result<Option<Vec<FoldedUser>>, ExecuteError> {
        if self.ended {
            return Ok(None);
        }
        let after = (self.after.0.as_str(), self.after.1);
        let (page, count) =
            reader::users_page(self.lane, after, self.wanted.kinds(), events, connection).await?;
        let last = page
            .last()
            .and_then(|(user, facts)| facts.last().map(|fact| (user.to_string(), fact.sequence)));
        let mut completed = Vec::new();
        for (user, facts) in page {
            if self.open.as_ref().is_none_or(|open| open.user != user) {
                completed.extend(self.open.replace(FoldedUser::new(user)));
            }
            if let Some(open) = &mut self.open {
                facts.iter().for_each(|fact| open.record(self.wanted, fact));
            }
        }
        match last.filter(|_| i64::try_from(count).is_ok_and(|count| count >= events)) {
            Some(last) => self.after = last,
            None => {
                self.ended = true;
                completed.extend(self.open.take());
            }
        }
        Ok(Some(completed))
    }

    /// Whether the last user was given.
    pub fn has_ended(&self) -> bool {
        self.ended
    }
}
