//! What the database alone takes: the statements of a batch with content made beforehand and no
//! rules. A benchmark holds the executor against it; nothing else uses it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use plaudit_domain::ids::UserId;
use plaudit_domain::lane::Lane;
use sqlx::PgPool;
use uuid::Uuid;

use crate::batch::{BatchProjection, Changes};
use crate::error::ExecuteError;
use crate::load::SourceKey;
use crate::{append, lanes, load};

/// A batch whose content is made.
pub struct Synthetic {
    /// Events and states; their positions and sequences are as the database has them.
    pub changes: Changes,
    /// An identity per action.
    pub identities: Vec<(Lane, Uuid)>,
    /// The offset that each lane moves to.
    pub next_offset: i64,
}

/// Sends the statements of a batch in one transaction.
pub async fn write(
    pool: &PgPool,
    batch: &Synthetic,
    projections: &[Arc<dyn BatchProjection>],
) -> Result<(), ExecuteError> {
    let users: Vec<(Lane, UserId)> =
        batch.changes.users.iter().map(|u| (u.lane, u.user.clone())).collect();
    let in_lanes: BTreeSet<Lane> = users.iter().map(|(lane, _)| *lane).collect();
    let key = SourceKey { topic: "floor".into(), incarnation: 0, partition: 0 };
    let wanted: HashSet<_> = in_lanes.iter().map(|lane| (*lane, key.clone())).collect();
    let mut tx = pool.begin().await?;
    let mut locked = lanes::lock(&in_lanes, &mut tx).await?;
    load::states(&users, load::Suspect::Lanes(&BTreeSet::new()), &mut tx).await?;
    load::seen(&batch.identities, locked.generation, &mut tx).await?;
    load::offsets(&wanted, &mut tx).await?;
    append::events(&batch.changes.events, &mut tx).await?;
    append::states(&batch.changes.users, &mut tx).await?;
    append::seen(&batch.identities, locked.generation, &mut tx).await?;
    let moved: HashMap<_, _> = wanted.into_iter().map(|at| (at, batch.next_offset)).collect();
    append::offsets(&moved, &mut tx).await?;
    for projection in projections {
        projection.apply(&batch.changes, &mut tx).await?;
    }
    for event in &batch.changes.events {
        if let Some(head) = locked.heads.get_mut(&event.lane) {
            head.next_position = head.next_position.max(event.position + 1);
        }
    }
    lanes::close(&locked.heads, &mut tx).await?;
    tx.commit().await?;
    Ok(())
}
