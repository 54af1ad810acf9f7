//! The folder of `plaudit dev`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The folder. It is locked as long as this value lives.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Locks the folder, creating it if necessary, and removes the `dev.json` of an earlier run:
    /// programs wait for that of this run.
    pub fn take(path: &Path) -> Result<Self, Failure> {
        let at = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| Failure::new(format!("{path}: {error}"))
        };
        // Not private: PostgreSQL may run as another user and must have access.
        std::fs::create_dir_all(path).map_err(at(path))?;
        let lock_path = path.join("dev.lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::new(format!(
                    "another `plaudit dev` runs in {}; --dir names another folder",
                    path.display()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(at(&lock_path)(error)),
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        let announcement = folder.path.join("dev.json");
        match std::fs::remove_file(&announcement) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(at(&announcement)(error))
            }
            _ => Ok(folder),
        }
    }

    /// Writes a file atomically that only its owner may read.
    pub fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let (path, unfinished) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let written = || -> std::io::Result<()> {
            if unfinished.exists() {
                std::fs::remove_file(&unfinished)?; // its mode would be kept
            }
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(text.as_bytes())?;
            std::fs::rename(&unfinished, &path)
        };
        written().map_err(|error| Failure::new(format!("{}: {error}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_folder_is_locked_and_the_announcement_of_an_earlier_run_removed() {
        let scratch = plaudit_embedded::ScratchDir::create("dev-folder").unwrap();
        let path = scratch.path().join("dev");
        let first = Folder::take(&path).unwrap();
        first.write("dev.json", "{}").unwrap();
        first.write("dev.json", "{\"url\":1}").unwrap();
        let said = path.join("dev.json");
        assert_eq!(std::fs::metadata(&said).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&said).unwrap(), "{\"url\":1}");
        assert!(Folder::take(&path).is_err_and(|why| why.to_string().contains("another")));
        assert!(said.exists(), "the running one's");
        drop(first);
        Folder::take(&path).unwrap();
        assert!(!said.exists());
    }
}
