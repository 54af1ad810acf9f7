//! Published source files: `plaudit sources publish`, `list`, `history`, `export` and `withdraw`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use plaudit_actions::formats::Format;
use plaudit_actions::sources::{SourceError, SourceFile, Sources};
use plaudit_event_store::catalogue_store::Author;
use plaudit_event_store::pool;
use plaudit_event_store::source_files::{self, FilePublished, FileVersion, PublishedFile};
use plaudit_release::Operator;
use serde_json::json;
use sqlx::PgPool;

use crate::cli::{FormatKind, Reason};
use crate::config::Config;
use crate::failure::Failure;
use crate::output::{count, errln, outln};
use crate::source_files::{SourceFiles, name_of};
use crate::{operator, startup};

/// Maximum number of files of one publication, and of bytes of a name.
const FILES_MAX: usize = 100;
const NAME_BYTES_MAX: usize = 100;

/// The reason why nothing was published.
enum Refused {
    Files(Vec<SourceError>),
    Store(sqlx::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error)
    }
}

/// Publishes files. Prints all faults in them, and all conflicts with published files.
pub async fn publish(
    config: &Config,
    files: &[PathBuf],
    why: &Reason,
) -> Result<ExitCode, Failure> {
    let files = read(files)?;
    let (pool, _) = startup::checked_database(config).await?;
    publish_named(config, &pool, files, why).await
}

/// Publishes files by name and content.
pub(super) async fn publish_named(
    config: &Config,
    pool: &PgPool,
    files: Vec<(String, String)>,
    why: &Reason,
) -> Result<ExitCode, Failure> {
    let author = author(why)?;
    let mut topics = BTreeSet::new();
    let before = startup::answer(source_files::in_force(pool)).await?.files;
    let mut check = |after: &[PublishedFile]| -> Result<(), Refused> {
        let sources = compiled(after).map_err(Refused::Files)?;
        topics = topics_of(&sources);
        if config.get("schema_registry").is_none()
            && let Some((topic, format)) = sources.needs_registry()
        {
            warn_of_registry(topic, format);
        }
        Ok(())
    };
    let publishing = source_files::publish(pool, &files, &author, &mut check);
    let published = match startup::answer_within(pool::ANSWER_MAX, publishing).await? {
        Ok(published) => published,
        Err(Refused::Store(error)) => return Err(error.into()),
        Err(Refused::Files(errors)) => {
            errors.iter().for_each(|error| errln!("{error}"));
            errln!("{}; nothing was published", count(errors.len(), "error"));
            return Ok(ExitCode::FAILURE);
        }
    };
    print_published(&published);
    let known = compiled(&before).map(|sources| topics_of(&sources)).unwrap_or_default();
    let new: Vec<&str> = topics.difference(&known).map(String::as_str).collect();
    if !new.is_empty() && published.iter().any(|published| published.changed) {
        outln!(
            "{}: processes that did not read these topics rejoin the group, which takes a few seconds",
            new.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn warn_of_registry(topic: &str, format: Format) {
    errln!(
        "plaudit: {topic} is read as {format}: its records wait in every process that has no `schema_registry`"
    );
}

fn print_published(published: &[FilePublished]) {
    for FilePublished { name, version, changed } in published {
        match changed {
            true => outln!("{name}  version {version}"),
            false => outln!("{name}  unchanged, version {version}"),
        }
    }
    if published.iter().any(|published| published.changed) {
        outln!("in force in every running process within 2 s");
    }
}

/// Reads the files by name. Two files of the same name are refused: one would replace the other.
fn read(files: &[PathBuf]) -> Result<Vec<(String, String)>, Failure> {
    if files.len() > FILES_MAX {
        return Err(Failure::new(format!("at most {FILES_MAX} files can be published at once")));
    }
    let mut read: Vec<(String, String)> = Vec::with_capacity(files.len());
    for path in files {
        let name = name_of(path);
        if !is_name(&name) {
            return Err(Failure::new(format!(
                "{name:?} can't be published: a name ends with .yaml, .yml or .json, has at most \
                 {NAME_BYTES_MAX} bytes and no control characters"
            )));
        }
        if read.iter().any(|(known, _)| *known == name) {
            return Err(Failure::new(format!(
                "two files have the name {name}; rename one of them"
            )));
        }
        read.push((name, SourceFile::read(path)?.text));
    }
    Ok(read)
}

fn is_name(name: &str) -> bool {
    let ends = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
    ends && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

fn compiled(files: &[PublishedFile]) -> Result<Sources, Vec<SourceError>> {
    let file = |file: &PublishedFile| SourceFile {
        path: PathBuf::from(&file.name),
        text: file.content.clone(),
    };
    Sources::compile(&files.iter().map(file).collect::<Vec<_>>())
}

fn topics_of(sources: &Sources) -> BTreeSet<String> {
    sources.topics().map(str::to_owned).collect()
}

fn author(why: &Reason) -> Result<Author, Failure> {
    let reason = why.reason.as_deref().map(Operator::checked_reason).transpose()?;
    Ok(Author { by: operator::name(), reason })
}

/// Lists the current source files of this process's folder and of the database.
pub async fn list(config: &Config, format: FormatKind) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let folder = SourceFiles::read(config)?;
    let published = startup::answer(source_files::in_force(&pool)).await?.files;
    let is_published = |name: &String| published.iter().any(|file| file.name == *name);
    let of_folder: Vec<String> = folder.folder_names().filter(|n| !is_published(n)).collect();
    if format == FormatKind::Json {
        let published: Vec<_> =
            published.iter().map(|f| json!({"name": f.name, "version": f.version})).collect();
        outln!("{}", json!({"published": published, "folder": of_folder}));
        return Ok(ExitCode::SUCCESS);
    }
    published.iter().for_each(|file| outln!("{}  version {}", file.name, file.version));
    of_folder.iter().for_each(|name| outln!("{name}  of the folder"));
    outln!("{}", count(published.len() + of_folder.len(), "source file"));
    Ok(ExitCode::SUCCESS)
}

/// Lists the versions of a file with author, time and reason.
pub async fn history(config: &Config, name: &str, format: FormatKind) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let versions = known(&pool, name).await?;
    if format == FormatKind::Json {
        let version = |v: &FileVersion| {
            json!({"version": v.version, "at": v.published_at.to_string(), "by": v.by, "reason": v.reason,
                "withdrawn": v.content.is_none(), "content": v.content})
        };
        let versions: Vec<_> = versions.iter().map(version).collect();
        outln!("{}", json!({"name": name, "versions": versions}));
        return Ok(ExitCode::SUCCESS);
    }
    for FileVersion { version, content, published_at, by, reason } in &versions {
        let did = if content.is_some() { "published" } else { "withdrawn" };
        let why = reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
        outln!("{version}  {did} {published_at} by {by}{why}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a version of a file, byte for byte.
pub async fn export(
    config: &Config,
    name: &str,
    version: Option<u32>,
) -> Result<ExitCode, Failure> {
    let (pool, _) = startup::checked_database(config).await?;
    let versions = known(&pool, name).await?;
    let last = versions.last().map_or(0, |version| version.version);
    let requested = version.unwrap_or(last);
    let content = version_of(&versions, name, requested)?.content.as_deref().ok_or_else(|| {
        Failure::new(format!(
            "version {requested} withdrew {name}; `plaudit sources history {name}` lists earlier versions"
        ))
    })?;
    outln!("{}", content.strip_suffix('\n').unwrap_or(content));
    Ok(ExitCode::SUCCESS)
}

/// A version by its number.
pub(super) fn version_of<'v>(
    versions: &'v [FileVersion],
    name: &str,
    number: u32,
) -> Result<&'v FileVersion, Failure> {
    let last = versions.last().map_or(0, |version| version.version);
    let missing = || Failure::new(format!("{name} has no version {number}, only 1 to {last}"));
    versions.iter().find(|known| known.version == number).ok_or_else(missing)
}

/// Withdraws a published file.
pub async fn withdraw(config: &Config, name: &str, why: &Reason) -> Result<ExitCode, Failure> {
    let author = author(why)?;
    let (pool, _) = startup::checked_database(config).await?;
    known(&pool, name).await?;
    match startup::answer(source_files::withdraw(&pool, name, &author)).await? {
        Some(version) => {
            outln!("{name}  withdrawn with version {version}, in every running process within 2 s");
        }
        None => outln!("{name}  was already withdrawn"),
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn known(pool: &PgPool, name: &str) -> Result<Vec<FileVersion>, Failure> {
    let versions = startup::answer(source_files::history(pool, name)).await?;
    if versions.is_empty() {
        return Err(Failure::new(format!(
            "unknown source file {name}; `plaudit sources list` lists those published"
        )));
    }
    Ok(versions)
}
