//! Source files that were published: numbered versions that are never altered.

use chrono::{DateTime, Utc};
use jiff::Timestamp;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::catalogue_store::Author;
use crate::instant;

/// The files in force, as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFiles {
    /// Changes with each publication.
    pub identity: Uuid,
    /// In the order of their names, without those that were withdrawn.
    pub files: Vec<PublishedFile>,
}

/// A file in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedFile {
    /// Its name, without a folder.
    pub name: String,
    /// From 1.
    pub version: u32,
    /// The content.
    pub content: String,
}

/// A version of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileVersion {
    /// From 1.
    pub version: u32,
    /// The content; absent: the file was withdrawn.
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
    /// A new version was published; false: the same was in force already.
    pub changed: bool,
}

/// Changes with each publication. Cheap: it is asked for twice a second.
pub async fn identity(pool: &PgPool) -> sqlx::Result<Uuid> {
    sqlx::query_scalar("select identity from source_files").fetch_one(pool).await
}

/// The files in force.
pub async fn in_force(pool: &PgPool) -> sqlx::Result<PublishedFiles> {
    let mut connection = pool.acquire().await?;
    read(&mut connection).await
}

/// A file in force, or the identity alone if there is none.
#[derive(sqlx::FromRow)]
struct InForce {
    identity: Uuid,
    name: Option<String>,
    version: Option<i32>,
    content: Option<String>,
}

/// One statement, so that a publication is seen whole or not at all.
async fn read(connection: &mut PgConnection) -> sqlx::Result<PublishedFiles> {
    let rows: Vec<InForce> = sqlx::query_as(
        "select s.identity, v.name, v.version, v.content
         from source_files s
         left join (
             select distinct on (name) name, version, content
             from source_file_versions order by name, version desc
         ) v on v.content is not null
         order by v.name",
    )
    .fetch_all(connection)
    .await?;
    let identity = rows.first().map(|row| row.identity).ok_or(sqlx::Error::RowNotFound)?;
    let files = rows.into_iter().filter_map(|row| {
        let version = number(row.version?);
        Some(PublishedFile { name: row.name?, version, content: row.content? })
    });
    Ok(PublishedFiles { identity, files: files.collect() })
}

/// Publishes files by name and content, all or none. One that is in force already makes no version; those
/// that are not named stay as they are.
///
/// `check` sees what would be in force, while no one else can publish, and may refuse it.
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

/// Takes a file back, so that the folder's file of this name counts again, if there is one. `None`: it is
/// not in force.
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

/// Every version of a file, oldest first; none if it was never published.
pub async fn history(pool: &PgPool, name: &str) -> sqlx::Result<Vec<FileVersion>> {
    let rows: Vec<VersionColumns> = sqlx::query_as(
        "select version, content, published_at, published_by, reason
         from source_file_versions where name = $1 order by version",
    )
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

/// Publications wait for each other; processes only read the row.
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
    let version: i32 = sqlx::query_scalar(
        "insert into source_file_versions (name, version, content, published_by, reason)
         select $1, coalesce(max(version), 0) + 1, $2, $3, $4
         from source_file_versions where name = $1
         returning version",
    )
    .bind(name)
    .bind(content)
    .bind(&author.by)
    .bind(&author.reason)
    .fetch_one(tx)
    .await?;
    Ok(number(version))
}

/// The database holds versions above 0 only.
fn number(version: i32) -> u32 {
    u32::try_from(version).unwrap_or_default()
}
