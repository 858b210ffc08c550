//! What the server itself says happened, read from its log.

use std::path::Path;
use std::{fs, io};

use crate::Attempts;

/// Figures counted in the server's log since it was first started, restarts included.
///
/// The log lags behind what a client sees by some milliseconds: a test waits for the figure it
/// expects with [`Sshd::wait_for`](super::Sshd::wait_for).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// TCP connections that sshd took on. Those dropped by `MaxStartups` are not among them.
    pub connections: usize,
    /// Logins that succeeded, by any method. A key that is first asked about and then used is one.
    pub authentications: usize,
    /// Refused attempts: passwords that were wrong and keys that are not authorised, each once.
    ///
    /// The `none` attempt with which clients ask for the methods doesn't count. For a user who
    /// doesn't exist, sshd logs refused passwords but not refused keys.
    pub failed_authentications: usize,
    /// The same by kind of credential.
    pub refused: Attempts,
    /// Connections dropped by `MaxStartups`.
    pub refused_startups: usize,
    /// Session channels that started a command, a shell or a subsystem.
    pub sessions: usize,
}

impl ServerCounters {
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        Ok(Self::count(&read_log(path)?))
    }

    fn count(log: &str) -> Self {
        let mut truth = Self::default();
        for line in log.lines() {
            let mut words = line.split_whitespace();
            let start = (words.next(), words.next(), words.next());
            match start {
                (Some("Connection"), Some("from"), _) => truth.connections += 1,
                // "Accepted key …" is a key found in authorized_keys, not a login.
                (Some("Accepted"), Some(_), Some("for")) => truth.authentications += 1,
                (Some("Failed"), Some("none"), _) => {}
                (Some("Failed"), Some(method), Some("for")) => {
                    truth.failed_authentications += 1;
                    match method.split('/').next() {
                        Some("publickey") => truth.refused.public_key += 1,
                        Some("password") => truth.refused.password += 1,
                        Some("keyboard-interactive") => truth.refused.keyboard_interactive += 1,
                        _ => {}
                    }
                }
                (Some("drop"), Some("connection"), _) => truth.refused_startups += 1,
                (Some("Starting"), Some("session:"), _) => truth.sessions += 1,
                _ => {}
            }
        }
        truth
    }
}

pub(super) fn read_log(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Attempts, ServerCounters};

    #[test]
    fn a_login_with_a_key_asked_about_first_is_counted_once() {
        let log = "Connection from 127.0.0.1 port 5 on 127.0.0.1 port 9 rdomain \"\"\r\n\
            Failed none for root from 127.0.0.1 port 5 ssh2\r\n\
            Failed publickey for root from 127.0.0.1 port 5 ssh2: ED25519 SHA256:x\r\n\
            Failed password for root from 127.0.0.1 port 5 ssh2\r\n\
            Failed keyboard-interactive/pam for root from 127.0.0.1 port 5 ssh2\r\n\
            Accepted key ED25519 SHA256:y found at /k:1\r\n\
            Postponed publickey for root from 127.0.0.1 port 5 ssh2 [preauth]\r\n\
            Accepted key ED25519 SHA256:y found at /k:1\r\n\
            Accepted publickey for root from 127.0.0.1 port 5 ssh2: ED25519 SHA256:y\r\n\
            Starting session: command for root from 127.0.0.1 port 5 id 0\r\n\
            drop connection #2 from [127.0.0.1]:6 on [127.0.0.1]:9 past MaxStartups\r\n";
        let expected = ServerCounters {
            connections: 1,
            authentications: 1,
            failed_authentications: 3,
            refused: Attempts { public_key: 1, password: 1, keyboard_interactive: 1 },
            refused_startups: 1,
            sessions: 1,
        };
        assert_eq!(ServerCounters::count(log), expected);
    }
}
