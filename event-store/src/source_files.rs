//! Published source files, in numbered versions that never change.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::catalogue_store::Author;
use crate::instant;

/// The files in force at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFiles {
    /// Changes with every publication.
    pub identity: Uuid,
    /// In order of their names, without withdrawn files.
    pub files: Vec<PublishedFile>,
}

/// A file in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// The name, without a folder.
    pub name: String,
    /// The version, from 1.
    pub version: u32,
    /// The content.
    pub content: String,
}

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion {
    /// The version, from 1.
    pub version: u32,
    /// The content; absent if this version withdrew the file.
    pub content: Option<String>,
    /// The time of publication.
    pub published_at: Timestamp,
    /// The publisher.
    pub by: String,
    /// The reason; absent: none was given.
    pub reason: Option<String>,
}

/// The effect of a publication on one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePublished {
    /// The file.
    pub name: String,
    /// The version in force.
    pub version: u32,
    /// True if a new version was published; false if the same content was already in force.
    pub changed: bool,
}

/// Returns an id that changes with every publication. Cheap: it is read twice a second.
pub async fn identity(pool: &PgPool) -> sqlx::Result<Uuid> {
    sqlx::query_scalar("select identity from source_files").fetch_one(pool).await
}

/// Returns the files in force.
pub async fn in_force(pool: &PgPool) -> sqlx::Result<PublishedFiles> {
    let mut connection = pool.acquire().await?;
    read(&mut connection).await
}

/// A row: a file in force, or only the identity if there is none.
#[derive(sqlx::FromRow)]
struct InForce {
    identity: Uuid,
    name: Option<String>,
    version: Option<i32>,
    content: Option<String>,
}

/// Reads the files in force. One statement, so that a publication is visible completely or not at
/// all.
async fn read(connection: &mut PgConnection) -> sqlx::Result<PublishedFiles> {
    let rows: Vec<InForce> =
        sqlx::query_as(include_str!("source_files/load.sql")).fetch_all(connection).await?;
    let identity = rows.first().map(|row| row.identity).ok_or(sqlx::Error::RowNotFound)?;
    let files = rows.into_iter().filter_map(|row| {
        let version = number(row.version?);
        Some(PublishedFile { name: row.name?, version, content: row.content? })
    });
    Ok(PublishedFiles { identity, files: files.collect() })
}

/// Publishes files by name and content, all or none. A file that is already in force with the same
/// content gets no new version; files that are not named stay unchanged.
///
/// `check` gets the files that would be in force, while publications are locked, and may refuse
/// them.
pub async fn publish<E: From<sqlx::Error>>(
    pool: &PgPool,
    files: &[(String, String)],
    author: &Author,
    check: impl FnOnce(&[PublishedFile]) -> Result<(), E>,
) -> Result<Vec<FilePublished>, E> {
    let mut tx = pool.begin().await?;
    lock(&mut tx).await?;
    let before = read(&mut tx).await?.files;
    let mut after = before.clone();
    let mut published = Vec::with_capacity(files.len());
    for (name, content) in files {
        let same = before.iter().find(|known| known.name == *name && known.content == *content);
        let version = match same {
            Some(known) => known.version,
            None => insert(&mut tx, name, Some(content), author).await?,
        };
        after.retain(|known| known.name != *name);
        after.push(PublishedFile { name: name.clone(), version, content: content.clone() });
        published.push(FilePublished { name: name.clone(), version, changed: same.is_none() });
    }
    after.sort_by(|a, b| a.name.cmp(&b.name));
    check(&after)?;
    if published.iter().any(|published| published.changed) {
        renew_identity(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(published)
}

/// Withdraws a file, so that the file of this name in the folder is used again, if there is one.
/// `None`: no such file is in force.
pub async fn withdraw(pool: &PgPool, name: &str, author: &Author) -> sqlx::Result<Option<u32>> {
    let mut tx = pool.begin().await?;
    lock(&mut tx).await?;
    if !read(&mut tx).await?.files.iter().any(|known| known.name == name) {
        return Ok(None);
    }
    let version = insert(&mut tx, name, None, author).await?;
    renew_identity(&mut tx).await?;
    tx.commit().await?;
    Ok(Some(version))
}

/// Returns all versions of a file, oldest first; empty if it was never published.
pub async fn history(pool: &PgPool, name: &str) -> sqlx::Result<Vec<FileVersion>> {
    let rows: Vec<VersionColumns> = sqlx::query_as(include_str!("source_files/versions.sql"))
        .bind(name)
        .fetch_all(pool)
        .await?;
    let version = |row: VersionColumns| FileVersion {
        version: number(row.version),
        content: row.content,
        published_at: instant::from_sql(row.published_at),
        by: row.published_by,
        reason: row.reason,
    };
    Ok(rows.into_iter().map(version).collect())
}

#[derive(sqlx::FromRow)]
struct VersionColumns {
    version: i32,
    content: Option<String>,
    published_at: DateTime<Utc>,
    published_by: String,
    reason: Option<String>,
}

/// Makes publications wait for each other. Other processes only read the row.
async fn lock(tx: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query("select identity from source_files for update").execute(tx).await.map(drop)
}

async fn renew_identity(tx: &mut PgConnection) -> sqlx::Result<()> {
    let renew = sqlx::query("update source_files set identity = gen_random_uuid()");
    renew.execute(tx).await.map(drop)
}

async fn insert(
    tx: &mut PgConnection,
    name: &str,
    content: Option<&str>,
    author: &Author,
) -> sqlx::Result<u32> {
    let version: i32 = sqlx::query_scalar(include_str!("source_files/insert.sql"))
        .bind(name)
        .bind(content)
        .bind(&author.by)
        .bind(&author.reason)
        .fetch_one(tx)
        .await?;
    Ok(number(version))
}

/// Versions in the database are above 0.
fn number(version: i32) -> u32 {
    u32::try_from(version).unwrap_or_default()
}
