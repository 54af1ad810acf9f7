//! A private `PostgreSQL` and a private Apache Kafka as child processes, for `plaudit dev` and for tests.
//!
//! Each keeps everything in one folder, listens on 127.0.0.1 only, and finds its data and its port
//! again at the next start. They end with the process that started them, even if that is killed. If
//! one survives all the same, the next start in its folder ends it first.
//!
//! Three variables name the programs if they are not in their usual places: `EMBEDDED_POSTGRES_BIN`
//! (a folder with `initdb` and `postgres`), `EMBEDDED_KAFKA_LIBS` (a folder with Kafka's jars) and
//! `EMBEDDED_JAVA` (the program).

mod account;
mod error;
pub mod fault_proxy;
mod kafka;
mod owned_dir;
pub mod port;
mod postgres;
mod scratch;
mod server_process;
pub mod test_cluster;
pub mod waiting;
mod watchdog;

pub use error::EmbeddedError;
pub use kafka::{Kafka, KafkaOptions, kafka_programs};
pub use owned_dir::last_lines;
pub use postgres::{Postgres, PostgresOptions};
pub use scratch::ScratchDir;
pub use watchdog::Watchdog;
