//! Locates and creates the files of a cluster.

use crate::EmbeddedError;
use crate::account::Account;
use crate::owned_dir::{LINES_MAX, OwnedDir, last_lines};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Returns the folder for the files of the cluster in `dir`: below `dir`, unless `account` has no
/// access to it.
pub(super) fn data_dir(dir: &OwnedDir, account: &Account) -> Result<PathBuf, EmbeddedError> {
    account.take_ownership(dir.path())?;
    // A link shows where an earlier run had to put the files; see below.
    if let Ok(linked) = fs::read_link(dir.join("data"))
        && let Some(elsewhere) = linked.parent().filter(|elsewhere| elsewhere.exists())
    {
        account.take_ownership(elsewhere)?;
        return Ok(linked);
    }
    if account.can_write_to(dir.path()) {
        return Ok(dir.join("data"));
    }
    let elsewhere = reachable_dir(dir.path(), account)?;
    tracing::warn!(
        dir = %elsewhere.display(),
        "the user that PostgreSQL must run as can't get to {}: its files are in {}",
        dir.path().display(),
        elsewhere.display(),
    );
    let (link, data) = (dir.join("data"), elsewhere.join("data"));
    symlink(&data, &link).map_err(EmbeddedError::file("link", &link))?;
    Ok(data)
}

/// Returns a folder below `/var/tmp`, named after `dir`, that belongs to `account` alone.
fn reachable_dir(dir: &Path, account: &Account) -> Result<PathBuf, EmbeddedError> {
    let name = dir.to_string_lossy().replace('/', "-");
    let elsewhere = Path::new("/var/tmp").join(format!("plaudit-postgres{name}"));
    // `create` also fails on a link, so an existing entry is checked without following links.
    if let Err(source) = fs::DirBuilder::new().mode(0o700).create(&elsewhere) {
        let found = fs::symlink_metadata(&elsewhere).map_err(|_| EmbeddedError::File {
            action: "create",
            path: elsewhere.clone(),
            source,
        })?;
        let account_uid = if let Account::Postgres { uid, .. } = account { *uid } else { 0 };
        // Every user may write to /var/tmp, so the folder may belong to another one.
        if !found.is_dir() || ![0, account_uid].contains(&found.uid()) || found.mode() & 0o077 != 0
        {
            let source = std::io::Error::other("it belongs to another user");
            return Err(EmbeddedError::File { action: "use", path: elsewhere, source });
        }
    }
    account.take_ownership(&elsewhere)?;
    Ok(elsewhere)
}

/// Returns the password in `file`, or writes a random one if there is none yet.
pub(super) fn password(file: &Path) -> Result<String, EmbeddedError> {
    if let Ok(kept) = fs::read_to_string(file)
        && !kept.is_empty()
    {
        return Ok(kept);
    }
    let mut random = [0; 16];
    let urandom = Path::new("/dev/urandom");
    File::open(urandom)
        .and_then(|mut source| source.read_exact(&mut random))
        .map_err(EmbeddedError::file("read", urandom))?;
    let password = format!("{:032x}", u128::from_ne_bytes(random));
    write_secret(file, &password)?;
    Ok(password)
}

fn write_secret(file: &Path, secret: &str) -> Result<(), EmbeddedError> {
    File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut out| out.write_all(secret.as_bytes()))
        .map_err(EmbeddedError::file("write", file))
}

/// Creates a cluster in `data_dir` unless there is one. It is created beside `data_dir` and then
/// renamed, so that an unfinished cluster is never taken for a complete one.
pub(super) async fn create_if_new(
    data_dir: &Path,
    initdb: &Path,
    account: &Account,
    superuser_password: &str,
    durable: bool,
) -> Result<(), EmbeddedError> {
    if data_dir.join("PG_VERSION").exists() {
        return account.take_ownership(data_dir);
    }
    let unfinished = data_dir.with_extension("unfinished");
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).map_err(EmbeddedError::file("remove", &unfinished))?;
    }
    let password_file = data_dir.with_extension("initial-password");
    write_secret(&password_file, superuser_password)?;
    account.take_ownership(&password_file)?;

    let mut command = account.command(initdb);
    command.arg("-D").arg(&unfinished);
    command.args(["--username=postgres", "--encoding=UTF8", "--locale=C"]);
    // Any user of this machine may connect to 127.0.0.1, so a password is required even there.
    command.args(["--auth-host=scram-sha-256", "--auth-local=reject"]);
    command.arg(format!("--pwfile={}", password_file.display()));
    if !durable {
        command.arg("--no-sync");
    }
    let cwd = data_dir.parent().unwrap_or(Path::new("/"));
    // In a process group of its own: only this process reacts to Ctrl-C.
    command.current_dir(cwd).stdin(Stdio::null()).process_group(0);
    let output = tokio::process::Command::from(command).kill_on_drop(true).output().await;
    let _ = fs::remove_file(&password_file); // a second copy of what `password.postgres` keeps
    let output = output
        .map_err(|source| EmbeddedError::Run { program: initdb.display().to_string(), source })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        return Err(EmbeddedError::Prepare {
            program: "initdb",
            dir: data_dir.to_owned(),
            output: last_lines(&String::from_utf8_lossy(&said), LINES_MAX),
        });
    }
    fs::rename(&unfinished, data_dir).map_err(EmbeddedError::file("rename", &unfinished))
}
