//! `plaudit bench`: runs the benchmark, which is a separate program, so that the server contains
//! none of it.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::failure::Failure;

/// Runs `plaudit-bench` from the folder of this program.
pub fn run(arguments: &[OsString]) -> Result<ExitCode, Failure> {
    let beside = std::env::current_exe()?.with_file_name("plaudit-bench");
    if !beside.exists() {
        return Err(Failure::new(format!(
            "{} does not exist; `make bench` builds and runs it",
            beside.display()
        )));
    }
    let status = Command::new(&beside).args(arguments).status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
