//! Keeps the mappings up to date with publications of source files.

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
use crate::startup;

/// Pause between looks at the database. A publication must take effect everywhere within 2 s.
const EVERY: Duration = Duration::from_millis(500);

/// Time limit for one look.
const LOOK_MAX: Duration = Duration::from_secs(3);

/// The current mappings, updated until the process ends. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SourceWatch {
    current: watch::Receiver<Arc<Sources>>,
    /// Set while the newest publication can't take effect here, with the reason.
    problem: Arc<Mutex<Option<String>>>,
}

impl SourceWatch {
    /// Reads the current source files, and follows publications until `stop`.
    pub async fn start(
        files: SourceFiles,
        pool: &PgPool,
        stop: CancellationToken,
    ) -> Result<Self, Failure> {
        let published = startup::answer(source_files::in_force(pool)).await?;
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

    /// The current mappings.
    pub fn current(&self) -> watch::Receiver<Arc<Sources>> {
        self.current.clone()
    }

    /// The reason why the newest publication has not taken effect here; `None` if it has.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Follower {
    files: SourceFiles,
    database: Deadlined,
    sender: watch::Sender<Arc<Sources>>,
    problem: Arc<Mutex<Option<String>>>,
    /// Identity of the last publication that was read.
    identity: Uuid,
}

impl Follower {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            // Other parts report a database that is down; the next look asks again.
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
