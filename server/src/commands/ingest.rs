//! `plaudit ingest`.

use std::process::ExitCode;

use plaudit_event_store::sources as remembered;
use plaudit_ingest::status::{TopicStatus, status};

use super::serve;
use crate::cli::{FormatKind, IngestCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::startup;

/// Shows how reading stands, or goes on with a topic that was created again.
pub async fn run(config: &Config, command: IngestCommand) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    match command {
        IngestCommand::AcceptNewTopic { topic } => {
            let incarnation = remembered::accept_new_topic(&pool, &topic).await?;
            println!(
                "{topic} is read from its beginning, as incarnation {incarnation}; running processes follow within 5 s"
            );
            Ok(ExitCode::SUCCESS)
        }
        IngestCommand::Status(format) => {
            let options = serve::ingest_options(config, &serve::sources(config)?)?;
            let status = status(&options, &pool).await?;
            if format.format == FormatKind::Json {
                println!("{}", serde_json::to_string(&status)?);
            } else {
                status.topics.iter().for_each(print_topic);
            }
            Ok(if status.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn print_topic(topic: &TopicStatus) {
    println!("{}  {:?}", topic.topic, topic.state);
    if let Some(problem) = &topic.problem {
        println!("  {problem}");
    }
    for p in &topic.partitions {
        println!(
            "  partition {:>3}  next {:>10}  end {:>10}  lag {:>8}  lost {}",
            p.partition, p.next_offset, p.end_offset, p.lag, p.lost
        );
    }
}
