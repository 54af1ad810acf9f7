//! Follows publications of source files.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plaudit_actions::sources::Sources;
use plaudit_event_store::pool::Deadlined;
use plaudit_event_store::{off_the_runtime, source_files};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::SourceFiles;
use crate::failure::Failure;

/// The pause between looks at the database. A publication must be in force everywhere within 2 s.
const EVERY: Duration = Duration::from_millis(500);

/// The time limit of a look.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// The mappings in force, kept current until the process ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceWatch {
    current: watch::Receiver<Arc<Sources>>,
    /// The reason why the newest publication is not in force here, if it is not.
    problem: Arc<Mutex<Option<String>>>,
}

impl SourceWatch {
    /// Reads what is in force, and follows what is published from then on until `stop`.
    pub async fn start(
        files: SourceFiles,
        pool: &PgPool,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let published = source_files::in_force(pool).await?;
        let sources = off_the_runtime(|| files.compile(&published.files))?;
        let (sender, current) = watch::channel(Arc::new(sources));
        let problem: Arc<Mutex<Option<String>>> = Arc::default();
        let follower = Follower {
            files,
            database: Deadlined::new(pool, LOOK_MAX),
            sender,
            problem: Arc::clone(&problem),
            identity: published.identity,
        };
        tokio::spawn(async move {
            stop.run_until_cancelled(follower.run()).await;
        });
        Ok(Self { current, problem })
    }

    /// The mappings in force.
    pub fn current(&self) -> watch::Receiver<Arc<Sources>> {
        self.current.clone()
    }

    /// The reason why the newest publication is not in force here, if it is not.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Follower {
    files: SourceFiles,
    database: Deadlined,
    sender: watch::Sender<Arc<Sources>>,
    problem: Arc<Mutex<Option<String>>>,
    /// Of the last publication that was looked at.
    identity: Uuid,
}

impl Follower {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            // A database that is away is named by others, and asked again.
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "published source files can't be read");
            }
        }
    }

    async fn look(&mut self) -> sqlx::Result<()> {
        let identity = |pool| async move { source_files::identity(&pool).await };
        if self.database.call(identity).await? == self.identity {
            return Ok(());
        }
        let in_force = |pool| async move { source_files::in_force(&pool).await };
        let published = self.database.call(in_force).await?;
        self.identity = published.identity;
        let names = || published.files.iter().map(|f| format!("{} {}", f.name, f.version));
        let problem = match off_the_runtime(|| self.files.compile(&published.files)) {
            Ok(sources) => {
                tracing::info!(files = ?names().collect::<Vec<_>>(), "published source files are in force");
                self.sender.send_replace(Arc::new(sources));
                None
            }
            Err(why) => {
                let problem = format!(
                    "published source files are not in force here, since they do not fit those of the \
                     folder `sources`: {why}"
                );
                tracing::error!("{problem}");
                Some(problem)
            }
        };
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
        Ok(())
    }
}
