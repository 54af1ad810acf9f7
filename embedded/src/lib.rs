//! A private `PostgreSQL` and a private Apache Kafka as child processes, for `plaudit dev` and for tests.
//!
//! Both keep all they have in one folder each, listen on 127.0.0.1 only, and find their data and
//! their port again at the next start. They end with the process that started them, even if that is
//! killed; should one survive all the same, the next start on its folder ends it first.
//!
//! Three variables say where the programs are, if they are not where they usually are:
//! `EMBEDDED_POSTGRES_BIN` (a folder with `initdb` and `postgres`), `EMBEDDED_KAFKA_LIBS` (a folder
//! with Kafka's jars), `EMBEDDED_JAVA` (the program).

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

pub use error::EmbeddedError;
pub use kafka::{Kafka, KafkaOptions, kafka_programs};
pub use postgres::{Postgres, PostgresOptions};
pub use scratch::ScratchDir;
