//! What a simulated server does with whoever connects.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::server::Config;
use russh::{Limits, MethodKind, MethodSet, SshId};

/// What host keys are made of: that which clients know, and the other.
pub(crate) const USUAL_KEY: u8 = 1;
pub(crate) const OTHER_KEY: u8 = 2;

/// What a site does with whoever connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Mood {
    /// It serves.
    Serving,
    /// Nobody listens.
    Down,
    /// The machine is off: nobody says anything.
    Off,
    /// A balancer in front of it accepts and closes.
    Balancer,
    /// It accepts and never speaks.
    Silent,
}

/// What can be changed while it runs.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    pub(crate) mood: Mood,
    pub(crate) host_key: u8,
    pub(crate) refuses_logins: bool,
    pub(crate) login_delay: Duration,
    pub(crate) max_startups: usize,
    pub(crate) max_sessions: usize,
    pub(crate) rekey_after: Option<usize>,
    /// Commands end when they are told to, or nobody reads them any more; else when they are done, or
    /// their connection is.
    pub(crate) kills: bool,
    /// Channels on which nothing was started for so long are closed, as by sshd's `ChannelTimeout`.
    pub(crate) channel_timeout: Option<Duration>,
}

impl Habits {
    /// As russh has it.
    pub(crate) fn config(&self) -> Arc<Config> {
        // Never by time: russh's goes by the system's clock.
        let mut limits =
            Limits { rekey_time_limit: Duration::from_secs(1 << 32), ..Limits::default() };
        if let Some(bytes) = self.rekey_after {
            (limits.rekey_write_limit, limits.rekey_read_limit) = (bytes, bytes);
        }
        let key = Ed25519Keypair::from_seed(&[self.host_key; 32]);
        Arc::new(Config {
            server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-simulated")),
            methods: MethodSet::from(&[MethodKind::Password][..]),
            auth_rejection_time: Duration::ZERO,
            keys: vec![PrivateKey::from(key)],
            limits,
            max_auth_attempts: 6,
            inactivity_timeout: None,
            ..Config::default()
        })
    }
}
