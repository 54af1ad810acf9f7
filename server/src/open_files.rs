//! The limit of open files. Systems set a low soft limit for the sake of old programs, and let
//! every process raise it to the hard limit.

/// Raises the soft limit to the hard limit. Returns the new limit, `None` if it is unknown.
pub fn raise_limit() -> Option<usize> {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => Some(usize::try_from(limit).unwrap_or(usize::MAX)),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files can't be raised: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use rlimit::Resource;

    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let (_, hard) = rlimit::getrlimit(Resource::NOFILE).unwrap();
        rlimit::setrlimit(Resource::NOFILE, hard.min(256), hard).unwrap();
        let raised = raise_limit().unwrap();
        assert_eq!(rlimit::getrlimit(Resource::NOFILE).unwrap(), (hard, hard));
        assert_eq!(raised, usize::try_from(hard).unwrap());
    }
}
