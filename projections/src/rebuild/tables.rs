//! Creates, indexes, swaps and drops the versions of a view's tables.

use std::fmt::Write as _;

use sqlx::{Connection as _, Executor as _, PgConnection, Row};

use crate::view::View;

/// Creates empty tables like the live ones, without the indexes, which would slow the load down.
pub(crate) async fn create(view: View, connection: &mut PgConnection) -> sqlx::Result<()> {
    for table in view.tables() {
        let name = table.name;
        let options: Option<Vec<String>> =
            sqlx::query_scalar("select reloptions from pg_class where oid = $1::regclass")
                .bind(name)
                .fetch_one(&mut *connection)
                .await?;
        let with = options.map_or_else(String::new, |o| format!("with ({})", o.join(", ")));
        let sql = format!(
            "create table {name}_new (like {name} including all excluding indexes excluding comments) {with}"
        );
        connection.execute(sqlx::raw_sql(&sql)).await?;
    }
    Ok(())
}

/// Returns true if the new tables exist.
pub(crate) async fn exist(view: View, connection: &mut PgConnection) -> sqlx::Result<bool> {
    let names: Vec<String> = view.tables().iter().map(|t| format!("{}_new", t.name)).collect();
    sqlx::query_scalar(
        "select bool_and(to_regclass(name) is not null) from unnest($1::text[]) name",
    )
    .bind(names)
    .fetch_one(connection)
    .await
}

/// Drops the tables of this suffix: `_new` or `_old`.
pub(crate) async fn drop(
    view: View,
    suffix: &str,
    connection: &mut PgConnection,
) -> sqlx::Result<()> {
    for table in view.tables() {
        let sql = format!("drop table if exists {}{suffix}", table.name);
        connection.execute(sqlx::raw_sql(&sql)).await?;
    }
    Ok(())
}

/// An index of a live table.
struct Index {
    name: String,
    /// Definition after the name in `add constraint`, if it belongs to a constraint.
    constraint: Option<String>,
    unique: bool,
    /// Definition from `using` on.
    using: String,
}

async fn indexes(table: &str, connection: &mut PgConnection) -> sqlx::Result<Vec<Index>> {
    let rows =
        sqlx::query(include_str!("tables/indexes.sql")).bind(table).fetch_all(connection).await?;
    let index = |row: &sqlx::postgres::PgRow| {
        Ok(Index {
            name: row.try_get(0)?,
            constraint: row.try_get(1)?,
            unique: row.try_get(2)?,
            using: row.try_get(3)?,
        })
    };
    rows.iter().map(index).collect()
}

/// Returns the name of an index for the version of its table with this suffix. Names of indexes
/// begin with their table's.
fn versioned(name: &str, table: &str, suffix: &str) -> String {
    let rest = name.strip_prefix(table).map_or_else(|| format!("_{name}"), str::to_owned);
    format!("{table}{suffix}{rest}")
}

/// Creates the keys and indexes of the live tables on the new ones, and statistics. Skips indexes
/// that were created before a restart.
pub(crate) async fn index(view: View, connection: &mut PgConnection) -> sqlx::Result<()> {
    for table in view.tables() {
        let name = table.name;
        for index in indexes(name, connection).await? {
            let new = versioned(&index.name, name, "_new");
            let made: bool = sqlx::query_scalar("select to_regclass($1) is not null")
                .bind(&new)
                .fetch_one(&mut *connection)
                .await?;
            if made {
                continue;
            }
            let unique = if index.unique { "unique " } else { "" };
            let sql = match index.constraint {
                Some(definition) => {
                    format!("alter table {name}_new add constraint {new} {definition}")
                }
                None => format!("create {unique}index {new} on {name}_new {}", index.using),
            };
            let mut tx = connection.begin().await?;
            // For a view of some million rows, the default of 64 MB sorts on disk; 256 MB sorts in
            // memory.
            tx.execute("set local maintenance_work_mem = '256MB'").await?;
            tx.execute(sqlx::raw_sql(&sql)).await?;
            tx.commit().await?;
        }
        connection.execute(sqlx::raw_sql(&format!("analyze {name}_new"))).await?;
    }
    Ok(())
}

/// Puts the new tables in the place of the live ones, which become the old version. Drops the
/// previous old version.
pub(crate) async fn swap(view: View, connection: &mut PgConnection) -> sqlx::Result<()> {
    drop(view, "_old", connection).await?;
    for table in view.tables() {
        let name = table.name;
        let mut sql = String::new();
        let indexes = indexes(name, connection).await?;
        let mut rename = |kind: &str, from: &str, to: &str| {
            let _ = write!(sql, "alter {kind} {from} rename to {to};");
        };
        rename("table", name, &format!("{name}_old"));
        rename("table", &format!("{name}_new"), name);
        for index in &indexes {
            let live = &index.name;
            rename("index", live, &versioned(live, name, "_old"));
            rename("index", &versioned(live, name, "_new"), live);
        }
        connection.execute(sqlx::raw_sql(&sql)).await?;
    }
    Ok(())
}
