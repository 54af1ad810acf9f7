//! Finds `PostgreSQL`'s programs.

use crate::EmbeddedError;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns the folder of `initdb` and `postgres`: of the major version that wrote `data_dir` if
/// that contains a cluster, otherwise the first candidate, which on Debian is the newest version.
pub(super) fn find(data_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    let written_by = fs::read_to_string(data_dir.join("PG_VERSION")).ok();
    let written_by = written_by.as_deref().map(str::trim);
    let (mut searched, mut found) = (Vec::new(), None);
    for dir in candidates() {
        if dir.join("initdb").is_file() && dir.join("postgres").is_file() {
            if written_by.is_none_or(|version| major_version(&dir).as_deref() == Some(version)) {
                return Ok(dir);
            }
            found.get_or_insert_with(|| dir.display().to_string());
        }
        searched.push(dir.display().to_string());
    }
    match (written_by, found) {
        (Some(written_by), Some(found)) => Err(EmbeddedError::PostgresVersion {
            dir: data_dir.to_owned(),
            written_by: written_by.to_owned(),
            found,
        }),
        _ => Err(EmbeddedError::PostgresMissing { searched: searched.join(", ") }),
    }
}

fn candidates() -> Vec<PathBuf> {
    if let Some(dir) = env::var_os("EMBEDDED_POSTGRES_BIN") {
        return vec![PathBuf::from(dir)]; // who names a folder wants no other
    }
    let mut dirs = debian_dirs();
    dirs.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    dirs
}

/// Returns Debian's folders, one for each installed major version, newest first.
fn debian_dirs() -> Vec<PathBuf> {
    let version = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let entries = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((version(&entry.path())?, entry.path()))).collect();
    versions.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    versions.into_iter().map(|(_, path)| path.join("bin")).collect()
}

/// Returns the major version, such as `15` from
/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major_version(dir: &Path) -> Option<String> {
    let output = std::process::Command::new(dir.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().nth(2)?;
    Some(version.split(['.', 'd', 'b', 'r']).next()?.to_owned()) // 18devel, 18beta1, 18rc1
}
