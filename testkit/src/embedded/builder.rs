//! What an embedded server is to be like.

use std::io;

use russh::keys::PublicKey;

use super::EmbeddedServer;

/// What the server's tasks need to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) authorized_keys: Vec<PublicKey>,
    pub(super) max_sessions: usize,
    pub(super) max_auth_tries: usize,
    pub(super) rekey_after: Option<usize>,
}

/// Options of a server that is not started yet; [`EmbeddedServer::builder`] makes one.
#[derive(Clone, Debug)]
#[must_use = "does nothing until started"]
pub struct EmbeddedServerBuilder {
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) authorized_keys: Vec<String>,
    pub(super) max_sessions: usize,
    pub(super) max_auth_tries: usize,
    pub(super) rekey_after: Option<usize>,
}

impl EmbeddedServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            user: "demo".into(),
            password: Some(crate::keys::random_secret()),
            authorized_keys: Vec::new(),
            max_sessions: 10,
            max_auth_tries: 6,
            rekey_after: None,
        }
    }

    /// The only user who may log in. Default: `demo`. Commands run as whoever runs the server.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// The user's password. Default: a random one.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Refuses every password.
    pub fn no_password(mut self) -> Self {
        self.password = None;
        self
    }

    /// One more key that opens the server, as one line in OpenSSH's format.
    ///
    /// The key made for the run ([`EmbeddedServer::identity`]) opens it in any case.
    pub fn authorized_key(mut self, line: impl Into<String>) -> Self {
        self.authorized_keys.push(line.into());
        self
    }

    /// Session channels open at once in one connection. Default: 10, as with sshd.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Refused attempts after which a connection is ended. Default: 6, as with sshd.
    pub fn max_auth_tries(mut self, tries: usize) -> Self {
        self.max_auth_tries = tries;
        self
    }

    /// Agrees on new keys after so many bytes sent or received. Default: 1 GiB.
    pub fn rekey_after(mut self, bytes: usize) -> Self {
        self.rekey_after = Some(bytes);
        self
    }

    /// Starts the server on a free loopback port; it listens when this returns.
    pub fn start(self) -> io::Result<EmbeddedServer> {
        EmbeddedServer::start_with(self)
    }
}
