//! The user that runs `PostgreSQL`'s programs. `PostgreSQL` refuses to run as root.

use crate::EmbeddedError;
use nix::unistd::{Uid, User};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;
use std::process::{Command, Stdio};

/// A user that may run `PostgreSQL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// This process's own user, which is not root.
    Own,
    /// Root outside and an ordinary user inside a user namespace. Keeps root's access to every
    /// folder.
    Namespace,
    /// The account `postgres`, which a `PostgreSQL` package creates.
    Postgres { uid: u32, gid: u32 },
}

impl Account {
    /// Finds a user that can run `PostgreSQL`. The user namespace comes first, because it also
    /// works below folders that only root may enter, such as `/root`. Many containers forbid it.
    pub(crate) fn find() -> Result<Self, EmbeddedError> {
        if !Uid::effective().is_root() {
            return Ok(Self::Own);
        }
        if runs(&mut Self::Namespace.command("true")) {
            return Ok(Self::Namespace);
        }
        let user = User::from_name("postgres").ok().flatten().ok_or_else(|| {
            let reason = "user namespaces are forbidden here and there is no account `postgres`";
            EmbeddedError::NoOrdinaryUser { reason: reason.to_owned() }
        })?;
        let account = Self::Postgres { uid: user.uid.as_raw(), gid: user.gid.as_raw() };
        if runs(&mut account.command("true")) {
            return Ok(account);
        }
        let reason = "user namespaces are forbidden here, and so is becoming `postgres`";
        Err(EmbeddedError::NoOrdinaryUser { reason: reason.to_owned() })
    }

    /// Builds a command that runs `program` as this user. Both wrappers replace themselves with the
    /// program, so that the child's pid is the program's own.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Own => Command::new(program),
            Self::Namespace => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]).arg(program);
                command
            }
            Self::Postgres { uid, gid } => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}"));
                command.args(["--clear-groups", "--"]).arg(program);
                command
            }
        }
    }

    /// Returns true if this user can create files in `dir`, which requires access to every folder
    /// above it.
    pub(crate) fn can_write_to(&self, dir: &Path) -> bool {
        let mut test = self.command("test");
        runs(test.arg("-w").arg(dir).arg("-a").arg("-x").arg(dir))
    }

    /// Gives this user the ownership of `path`, including a folder's contents. An earlier run may
    /// have used another account.
    pub(crate) fn take_ownership(&self, path: &Path) -> Result<(), EmbeddedError> {
        let (uid, gid) = match self {
            Self::Own => return Ok(()),
            Self::Namespace => (0, 0),
            Self::Postgres { uid, gid } => (*uid, *gid),
        };
        let found = fs::symlink_metadata(path).map_err(EmbeddedError::file("look at", path))?;
        if found.uid() == uid && found.gid() == gid {
            return Ok(()); // the folder is handed over last, so what is in it was handed over too
        }
        if found.is_dir() {
            for entry in fs::read_dir(path).map_err(EmbeddedError::file("list", path))? {
                self.take_ownership(&entry.map_err(EmbeddedError::file("list", path))?.path())?;
            }
        }
        lchown(path, Some(uid), Some(gid)).map_err(EmbeddedError::file("change the owner of", path))
    }
}

fn runs(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
