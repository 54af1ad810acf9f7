//! `plaudit ingest`.

use std::process::ExitCode;

use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::operations::{self, OperationKind};
use plaudit_event_store::sources as remembered;
use plaudit_ingest::IngestOptions;
use plaudit_ingest::status::{TopicState, TopicStatus, status};
use sqlx::PgPool;

use super::serve;
use crate::cli::{FormatKind, IngestCommand};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, outln, word};
use crate::source_files::SourceFiles;
use crate::{operator, startup};

/// Runs `plaudit ingest`.
pub async fn run(config: &Config, command: IngestCommand) -> Result<ExitCode, Failure> {
    let (files, options) = (SourceFiles::read(config)?, serve::ingest_options(config)?);
    let (pool, _) = startup::checked_database(config).await?;
    let options = options.with_topics_of(&startup::answer(files.in_force(&pool)).await?);
    match command {
        IngestCommand::AcceptNewTopic { topic, even_if_it_looks_the_same, reason } => {
            let author = operator::author(reason.as_deref())?;
            accept_new_topic(options, &pool, topic, even_if_it_looks_the_same, &author).await
        }
        IngestCommand::Status(format) => {
            let status = status(&options, &pool).await?;
            if format.format == FormatKind::Json {
                outln!("{}", serde_json::to_string(&status)?);
            } else {
                status.topics.iter().for_each(print_topic);
                print_totals(&status.topics);
            }
            Ok(if status.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Accepts a recreated topic. It must not be the one that was read: reading that from its beginning
/// would count actions again that are older than the deduplication window.
async fn accept_new_topic(
    mut options: IngestOptions,
    pool: &PgPool,
    topic: String,
    even_if_it_looks_the_same: bool,
    author: &Author,
) -> Result<ExitCode, Failure> {
    if !options.topics.contains(&topic) {
        return Err(Failure::new(format!(
            "{topic} is not read here; topics that are: {}. Nothing was changed",
            options.topics.join(", ")
        )));
    }
    options.topics = vec![topic.clone()];
    let found = status(&options, pool).await.map_err(|error| {
        let error = Failure::from(error);
        Failure::new(format!(
            "can't find out whether {topic} was recreated: {error}. Nothing was changed"
        ))
    })?;
    match found.topics.first().map(|found| found.state) {
        Some(TopicState::Recreated) => {}
        Some(TopicState::Fine) if even_if_it_looks_the_same => {}
        Some(TopicState::Missing) => {
            return Err(Failure::new(format!(
                "the topic {topic} does not exist; create it first. Nothing was changed"
            )));
        }
        Some(TopicState::Unreadable) => {
            let problem = found.topics.first().and_then(|found| found.problem.as_deref());
            return Err(Failure::new(format!(
                "can't find out whether {topic} was recreated: {}. Nothing was changed",
                problem.unwrap_or_default()
            )));
        }
        Some(TopicState::Fine) | None => {
            return Err(Failure::new(format!(
                "{topic} does not look recreated: it ends where it should, or later. If it were read again from \
                 its beginning, actions older than seven days would count twice. Nothing was changed. If you \
                 know that it was recreated and has already grown beyond what was read, add \
                 --even-if-it-looks-the-same"
            )));
        }
    }
    let incarnation = startup::answer(remembered::accept_new_topic(pool, &topic)).await?;
    startup::answer(operations::record(OperationKind::AcceptNewTopic, &topic, author, pool))
        .await?;
    outln!(
        "{topic} is accepted as incarnation {incarnation}; running processes read it from its beginning within 5 s"
    );
    Ok(ExitCode::SUCCESS)
}

fn print_totals(topics: &[TopicStatus]) {
    let partitions = || topics.iter().flat_map(|topic| &topic.partitions);
    let (lag, lost): (i64, i64) =
        partitions().fold((0, 0), |(lag, lost), one| (lag + one.lag, lost + one.lost));
    let unhealthy = topics.iter().filter(|topic| topic.state != TopicState::Fine).count();
    outln!(
        "total: {}, {}, {unhealthy} not fine, lag {lag}, lost {lost}",
        count(topics.len(), "topic"),
        count(partitions().count(), "partition"),
    );
}

fn print_topic(topic: &TopicStatus) {
    outln!("{}  {}", topic.topic, word(&topic.state));
    if let Some(problem) = &topic.problem {
        outln!("  {problem}");
    }
    for p in &topic.partitions {
        outln!(
            "  partition {:>3}  next {:>10}  end {:>10}  lag {:>8}  lost {}",
            p.partition,
            p.next_offset,
            p.end_offset,
            p.lag,
            p.lost
        );
    }
}
