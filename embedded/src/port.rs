//! Ports on 127.0.0.1 that servers keep from one start to the next.

use crate::EmbeddedError;
use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::net::TcpListener;
use std::ops::Range;
use std::path::Path;

/// The candidate ports, below Linux's range for outgoing connections (32768 and up by default). A
/// client that retries a port in that range while the server is down may get the same port as its
/// own, connect to itself, and so take the port from the server.
const CANDIDATES: Range<u16> = 20_000..32_000;

/// Returns the port written in `file` if it is still free; otherwise chooses another and writes it
/// there.
pub(crate) fn keep_or_choose(file: &Path) -> Result<u16, EmbeddedError> {
    let kept = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
    match kept {
        Some(port) if is_free(port) => Ok(port),
        _ => choose(file),
    }
}

/// Chooses a free port and writes it to `file`.
pub(crate) fn choose(file: &Path) -> Result<u16, EmbeddedError> {
    let port = choose_free()?;
    fs::write(file, format!("{port}\n")).map_err(EmbeddedError::file("write", file))?;
    Ok(port)
}

/// Returns a free port of 127.0.0.1, below the range for outgoing connections, so that the system
/// does not give it away before it is used. Processes that ask at the same moment start at
/// different ports.
pub fn choose_free() -> Result<u16, EmbeddedError> {
    let size = u64::from(CANDIDATES.end - CANDIDATES.start);
    // A random first candidate keeps servers that start at the same moment apart.
    let start = RandomState::new().hash_one(std::process::id()) % size;
    (0..size)
        .filter_map(|step| u16::try_from((start + step) % size).ok())
        .map(|offset| CANDIDATES.start + offset)
        .find(|port| is_free(*port))
        .ok_or_else(|| EmbeddedError::NoFreePort { tried: format!("{CANDIDATES:?}") })
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_chosen_is_free_and_below_those_of_outgoing_connections() {
        // Another process may take the port first.
        let listener = loop {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", choose_free().unwrap())) {
                break listener;
            }
        };
        let taken = listener.local_addr().unwrap().port();
        assert!(CANDIDATES.contains(&taken) && CANDIDATES.end <= 32_768);
        for _ in 0..50 {
            assert!(!is_free(taken));
            assert_ne!(choose_free().unwrap(), taken);
        }
    }
}
