//! Signals by the names of RFC 4254, 6.10.

use crate::SshError;

/// All that the RFC names, without `SIG`.
const SIGNALS: [&str; 13] = [
    "ABRT", "ALRM", "FPE", "HUP", "ILL", "INT", "KILL", "PIPE", "QUIT", "SEGV", "TERM", "USR1",
    "USR2",
];

/// Checks that a signal can be sent by this name.
///
/// # Errors
///
/// [`SshError::InvalidInput`] with the names there are.
pub fn check_signal(name: &str) -> Result<(), SshError> {
    if SIGNALS.contains(&name) {
        return Ok(());
    }
    Err(SshError::invalid("signal", format!("must be one of {}", SIGNALS.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::{SIGNALS, check_signal};

    #[test]
    fn the_names_of_the_rfc_and_no_others_are_known() {
        for known in SIGNALS {
            check_signal(known).expect(known);
        }
        for unknown in ["", "SIGTERM", "term", "STOP", "9"] {
            assert!(check_signal(unknown).is_err(), "{unknown}");
        }
    }
}
