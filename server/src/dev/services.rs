//! The private PostgreSQL and Kafka, or those of the command line.

use std::path::Path;

use plaudit_embedded::{Kafka, KafkaOptions, Postgres, PostgresOptions};

use crate::failure::Failure;
use crate::output::outln;

/// The services that the server needs. They end with it.
pub struct Services {
    postgres: Option<Postgres>,
    kafka: Option<Kafka>,
    /// The address of the database.
    pub database_url: String,
    /// The address of the broker.
    pub brokers: String,
}

impl Services {
    /// Starts the services that the command line does not name.
    pub async fn start(
        dir: &Path,
        database: Option<String>,
        kafka: Option<String>,
    ) -> Result<Self, Failure> {
        let (postgres, database_url) = match database {
            Some(url) => (None, url),
            None => {
                outln!("starting a private PostgreSQL under {}", dir.display());
                let postgres =
                    Postgres::start(&dir.join("postgres"), PostgresOptions::default()).await?;
                let url = postgres.url("plaudit");
                (Some(postgres), url)
            }
        };
        let (kafka, brokers) = match kafka {
            Some(brokers) => (None, brokers),
            None => {
                outln!("starting a private Apache Kafka under {}", dir.display());
                let kafka = Kafka::start(&dir.join("kafka"), KafkaOptions::default()).await?;
                let brokers = kafka.brokers();
                (Some(kafka), brokers)
            }
        };
        Ok(Self { postgres, kafka, database_url, brokers })
    }

    /// Stops the services that were started.
    pub async fn stop(mut self) {
        if let Some(kafka) = &mut self.kafka {
            kafka.stop().await;
        }
        if let Some(postgres) = &mut self.postgres {
            postgres.stop().await;
        }
    }
}
