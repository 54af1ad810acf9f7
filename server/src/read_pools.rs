//! Connection pools for reading, one for each kind of reader: slow requests of auditors delay
//! neither screens nor delivery.

use plaudit_event_store::pool;
use sqlx::PgPool;

use crate::config::Config;
use crate::failure::Failure;
use crate::startup;

/// A pool for each kind of reader.
#[derive(Debug, Clone)]
pub struct ReadPools {
    /// For followers of the log: delivery, the topic of events, the hash chains.
    pub followers: PgPool,
    /// For the sweeper, upkeep, the topic monitor, source files, backfills, streams and warnings of
    /// `/readyz`.
    pub background: PgPool,
    /// For task screens.
    pub screens: PgPool,
    /// For other reads of clients.
    pub clients: PgPool,
    /// For requests of operators and auditors.
    pub operators: PgPool,
    /// Maximum number of statements for task screens at a time.
    pub screens_at_once: usize,
}

impl ReadPools {
    /// Divides the connections for reading among pools to the database of `pool`. Pools open
    /// connections as they need them.
    pub fn divide(pool: &PgPool, config: &Config) -> Result<Self, Failure> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let shares = Shares::of(startup::readers_max(config)?, cores);
        let clients = pool::reserved_for_requests(pool, shares.clients);
        let operators = match shares.operators {
            0 => clients.clone(),
            count => pool::reserved_for_requests(pool, count),
        };
        Ok(Self {
            followers: pool::reserved(pool, shares.followers),
            background: pool::reserved(pool, shares.background),
            screens: pool::reserved_for_requests(pool, shares.screens),
            clients,
            operators,
            screens_at_once: usize::try_from(shares.screens_at_once).unwrap_or(1),
        })
    }

    /// Closes all pools concurrently.
    pub async fn close(&self) {
        let Self { followers, background, screens, clients, operators, .. } = self;
        tokio::join!(
            followers.close(),
            background.close(),
            screens.close(),
            clients.close(),
            operators.close()
        );
    }
}

/// Number of connections of each kind of reader.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    followers: u32,
    background: u32,
    screens: u32,
    screens_at_once: u32,
    clients: u32,
    /// 0 if operators share the connections of the clients.
    operators: u32,
}

impl Shares {
    /// Divides this number of connections, at least [`startup::READERS_MIN`].
    ///
    /// There are at most half as many statements for screens as cores: the other half turns their
    /// rows into screens. With more statements, each would read fewer users (measured on two cores:
    /// 21,000 screens a second with one, 17,000 with two, 16,000 with four).
    fn of(readers: u32, cores: usize) -> Self {
        let half_of_cores = u32::try_from(cores / 2).unwrap_or(u32::MAX);
        let work = (readers / 6).clamp(1, 4);
        let screens_at_once = half_of_cores.clamp(1, (readers / 4).max(1));
        // One spare connection, since the pool tests each one that comes back.
        let screens = screens_at_once + u32::from(readers >= 8);
        let others = readers.saturating_sub(2 * work + screens).max(1);
        // A request may hold one connection while it uses another.
        let operators = if others < 4 { 0 } else { (others / 3).max(2) };
        let clients = others - operators;
        Self { followers: work, background: work, screens, screens_at_once, clients, operators }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_are_given_to_somebody_and_nobody_is_left_without() {
        let (screens_at_once, operators) = (1, 2);
        let default = Shares {
            followers: 2,
            background: 2,
            screens: 2,
            screens_at_once,
            clients: 4,
            operators,
        };
        assert_eq!(Shares::of(12, 2), default);
        let smallest = Shares {
            followers: 1,
            background: 1,
            screens: 1,
            screens_at_once,
            clients: 2,
            operators: 0,
        };
        assert_eq!(Shares::of(startup::READERS_MIN, 64), smallest);
        for readers in startup::READERS_MIN..=1_000 {
            for cores in [1, 2, 8, 256] {
                let shares = Shares::of(readers, cores);
                let Shares { followers, background, screens, clients, operators, .. } = shares;
                assert_eq!(followers + background + screens + clients + operators, readers);
                assert!(followers > 0 && background > 0 && screens > 0 && clients > 1);
            }
        }
    }
}
