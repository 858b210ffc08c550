//! What an embedded server is to be like.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use russh::keys::PublicKey;
use russh::{MethodKind, MethodSet};

use super::EmbeddedServer;
use super::device::Device;
use super::login::{Method, Round};
use crate::authority::Authority;

/// What the server's tasks need to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) user: String,
    pub(super) password: Option<String>,
    pub(super) authorized_keys: Vec<PublicKey>,
    pub(super) max_sessions: usize,
    pub(super) max_auth_tries: usize,
    pub(super) rekey_after: Option<usize>,
    pub(super) rounds: Vec<Round>,
    pub(super) wanted: Vec<MethodKind>,
    pub(super) user_authority: Option<PublicKey>,
    pub(super) banner: Option<String>,
    pub(super) farewell: Option<String>,
    pub(super) intrudes: bool,
    pub(super) device: Option<Device>,
}

impl Settings {
    /// What a client may begin with.
    pub(super) fn methods(&self) -> MethodSet {
        if let Some(first) = self.wanted.first() {
            return MethodSet::from(&[*first][..]);
        }
        let mut methods = MethodSet::empty();
        methods.push(MethodKind::PublicKey);
        if self.password.is_some() {
            methods.push(MethodKind::Password);
        }
        if !self.rounds.is_empty() {
            methods.push(MethodKind::KeyboardInteractive);
        }
        methods
    }
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
    pub(super) rounds: Option<Vec<Round>>,
    pub(super) wanted: Vec<Method>,
    pub(super) user_authority: Option<String>,
    pub(super) banner: Option<String>,
    pub(super) farewell: Option<String>,
    pub(super) intrudes: bool,
    pub(super) device: Option<Device>,
    pub(super) address: IpAddr,
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
            rounds: None,
            wanted: Vec::new(),
            user_authority: None,
            banner: None,
            farewell: None,
            intrudes: false,
            device: None,
            address: Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Where to listen. Default: 127.0.0.1.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
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
    /// The key made for the run (`identity` of the server) opens it in any case.
    pub fn authorized_key(mut self, line: impl Into<String>) -> Self {
        self.authorized_keys.push(line.into());
        self
    }

    /// Takes certificates that this authority signed, for the user they name.
    pub fn user_authority(mut self, authority: &Authority) -> Self {
        self.user_authority = Some(authority.public_line().to_owned());
        self
    }

    /// What is asked in keyboard-interactive authentication, round after round. Default: the
    /// password. None takes keyboard-interactive away.
    pub fn rounds(mut self, rounds: impl IntoIterator<Item = Round>) -> Self {
        self.rounds = Some(rounds.into_iter().collect());
        self
    }

    /// What has to succeed, in this order. By default any one method will do.
    pub fn authentication_methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.wanted = methods.into_iter().collect();
        self
    }

    /// Shown before the login.
    pub fn banner(mut self, text: impl Into<String>) -> Self {
        self.banner = Some(text.into());
        self
    }

    /// Ends every connection with this text: at the first refused credential, or right after the
    /// login.
    pub fn farewell(mut self, text: impl Into<String>) -> Self {
        self.farewell = Some(text.into());
        self
    }

    /// Opens channels of all kinds at every client that has logged in. See
    /// [`EmbeddedServer::intrusions`].
    pub fn intrudes(mut self) -> Self {
        self.intrudes = true;
        self
    }

    /// Plays a network device: its own shells, in terminals that it has, and neither commands nor
    /// subsystems.
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
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
