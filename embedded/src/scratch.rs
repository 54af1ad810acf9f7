//! Folders that last for one run of tests.

use crate::EmbeddedError;
use crate::owned_dir::OwnedDir;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A new, empty folder below the build's own `target/`. Dropping it removes the folder.
#[derive(Debug)]
pub struct ScratchDir {
    dir: OwnedDir,
}

impl ScratchDir {
    /// Creates a folder whose name begins with `prefix`. Also removes folders that killed runs have
    /// left.
    pub fn create(prefix: &str) -> Result<Self, EmbeddedError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let all = scratch_root();
        fs::create_dir_all(&all).map_err(EmbeddedError::file("create", &all))?;
        // One process at a time: between its creation and its lock, a folder looks abandoned.
        let turn = all.join("turn.lock");
        let lock = File::create(&turn).map_err(EmbeddedError::file("create", &turn))?;
        lock.lock().map_err(EmbeddedError::file("lock", &turn))?;
        remove_abandoned(&all);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = all.join(format!("{prefix}-{}-{number}", std::process::id()));
        // Less private than a server's own folder, since the user that PostgreSQL runs as needs
        // access.
        fs::create_dir(&path).map_err(EmbeddedError::file("create", &path))?;
        Ok(Self { dir: OwnedDir::claim(&path)? })
    }

    /// Returns the path of the folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path()); // whoever comes next removes what is left
    }
}

/// Removes folders whose owner has died, which shows in that their lock is free.
fn remove_abandoned(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        if let Ok(abandoned) = OwnedDir::claim(&entry.path()) {
            let _ = fs::remove_dir_all(abandoned.path());
        }
    }
}

/// Returns `target/embedded`, found from the running program, which cargo puts below `target/`.
fn scratch_root() -> PathBuf {
    let exe = env::current_exe().unwrap_or_default();
    let target = exe.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file());
    target.map_or_else(env::temp_dir, Path::to_owned).join("embedded")
}
