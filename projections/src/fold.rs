//! The fold of whole streams: the same rules that keep the live views, fed from the log.

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use plaudit_domain::user_tasks::{UserTasks, evolve};
use plaudit_event_store::ExecuteError;
use plaudit_event_store::reader::{self, Recorded};
use sqlx::PgConnection;

use crate::reward_state::Ledger;

/// A user, folded from the first event to the last.
#[derive(Debug)]
pub(crate) struct FoldedUser {
    pub user: UserId,
    pub state: UserTasks,
    pub ledger: Ledger,
    /// Of the last event; also how many there are.
    pub sequence: i64,
}

impl FoldedUser {
    fn new(user: UserId) -> Self {
        Self { user, state: UserTasks::default(), ledger: Ledger::default(), sequence: 0 }
    }

    fn record(&mut self, recorded: &Recorded) {
        evolve(&mut self.state, &recorded.event);
        self.ledger.record(&recorded.event, recorded.position.number);
        self.sequence = recorded.sequence;
    }
}

/// How many events of one user are read at once.
const USER_PAGE: i64 = 5_000;

/// Folds one user.
pub(crate) async fn user(
    lane: Lane,
    user: &UserId,
    connection: &mut PgConnection,
) -> Result<FoldedUser, ExecuteError> {
    let mut folded = FoldedUser::new(user.clone());
    loop {
        let page = reader::user_page(lane, user, folded.sequence, USER_PAGE, connection).await?;
        page.iter().for_each(|recorded| folded.record(recorded));
        if i64::try_from(page.len()).is_ok_and(|len| len < USER_PAGE) {
            return Ok(folded);
        }
    }
}

/// The users of a lane in order of their ids, each folded whole however the log is cut into pages.
pub(crate) struct LaneFold {
    lane: Lane,
    /// The last event that was read.
    after: (String, i64),
    /// The user whose later events may be on the next page.
    open: Option<FoldedUser>,
    ended: bool,
}

impl LaneFold {
    /// Begins with the first user after this one.
    pub fn after(lane: Lane, user: Option<String>) -> Self {
        Self { lane, after: (user.unwrap_or_default(), i64::MAX), open: None, ended: false }
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
        let page = reader::users_page(self.lane, after, events, connection).await?;
        let mut completed = Vec::new();
        for recorded in &page {
            if self.open.as_ref().is_none_or(|open| open.user != recorded.user) {
                completed.extend(self.open.replace(FoldedUser::new(recorded.user.clone())));
            }
            self.open.iter_mut().for_each(|open| open.record(recorded));
        }
        match page.last().filter(|_| i64::try_from(page.len()).is_ok_and(|len| len >= events)) {
            Some(last) => self.after = (last.user.to_string(), last.sequence),
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
