//! Servers of the grid, and what they counted.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use conformance::suite::ServerKind;
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Options, Target};
use test_servers::dropbear::Dropbear;
use test_servers::embedded::{self, EmbeddedServer, EmbeddedServerBuilder, Round};
use test_servers::keys::random_secret;
use test_servers::sshd::{PasswordUser, ServerCounters, Sshd};

use crate::fixture::Fixture;
use crate::method::{CODE, Wants};

/// How long a server's log may lag behind.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server for one cell.
pub(crate) enum Server {
    Sshd { server: Box<Sshd>, user: Arc<PasswordUser> },
    Embedded(Box<EmbeddedServer>),
    Dropbear(Box<Dropbear>),
}

/// What a server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) accepted: usize,
    /// Passwords and answers.
    pub(crate) words: usize,
    /// Keys; `None` where the server does not say.
    pub(crate) keys: Option<usize>,
    /// Connections that ended before anybody had logged in, where that is all that is known of
    /// keys.
    pub(crate) unauthenticated: usize,
}

impl Server {
    pub(crate) fn start(fixture: &Fixture, place: ServerKind, wants: Wants) -> Result<Self> {
        let keys = if wants == Wants::NoKeys { Vec::new() } else { fixture.authorized()? };
        Ok(match place {
            ServerKind::Sshd => {
                let mut builder = Sshd::builder().user_authority(fixture.authority());
                let mut user = Arc::clone(fixture.user());
                match wants {
                    Wants::Nothing | Wants::NoKeys => {}
                    Wants::Asking => builder = builder.pam(),
                    Wants::AskingMore => {
                        builder = builder.pam();
                        user = Arc::new(PasswordUser::create()?);
                        user.expire_password()?;
                    }
                    Wants::Both => builder = builder.authentication_methods("publickey,password"),
                }
                let server = builder.start()?;
                keys.iter().try_for_each(|line| server.authorize(line))?;
                Self::Sshd { server: Box::new(server), user }
            }
            ServerKind::Embedded => {
                let mut builder = EmbeddedServer::builder().user_authority(fixture.authority());
                let password = random_secret();
                builder = match wants {
                    Wants::Nothing | Wants::NoKeys => builder.password(&password),
                    Wants::Both => builder.password(&password).authentication_methods([
                        embedded::Method::PublicKey,
                        embedded::Method::Password,
                    ]),
                    Wants::Asking => builder
                        .password(&password)
                        .authentication_methods([embedded::Method::KeyboardInteractive]),
                    Wants::AskingMore => builder
                        .password(&password)
                        .authentication_methods([embedded::Method::KeyboardInteractive])
                        .rounds([
                            Round::new("Two questions")
                                .ask("Password: ", &password)
                                .ask_visibly("Code: ", CODE),
                            Round::new("No question"),
                            Round::new("One more").ask("Password again: ", &password),
                        ]),
                };
                builder = keys.iter().fold(builder, EmbeddedServerBuilder::authorized_key);
                Self::Embedded(Box::new(builder.start()?))
            }
            ServerKind::Dropbear => {
                let server = match wants {
                    Wants::Both => Dropbear::start_with(&["-t"])?,
                    // It would take the password instead of asking.
                    Wants::Asking | Wants::AskingMore => Dropbear::start_with(&["-s"])?,
                    Wants::Nothing | Wants::NoKeys => Dropbear::start()?,
                };
                keys.iter().try_for_each(|line| server.authorize(line))?;
                Self::Dropbear(Box::new(server))
            }
        })
    }

    /// Whoever has these credentials, and believes any host key.
    pub(crate) fn options(&self, auth: Vec<Auth>) -> Result<Options> {
        let (address, user) = match self {
            Self::Sshd { server, user } => (server.addr(), user.name()),
            Self::Embedded(server) => (server.addr(), server.user()),
            Self::Dropbear(server) => (server.addr(), server.user()),
        };
        let target = Target::new(address.ip().to_string(), address.port(), user)?;
        let mut options = Options::new(target);
        options.auth = auth;
        options.host_keys = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
        options.connect_timeout = Duration::from_secs(30);
        Ok(options)
    }

    pub(crate) fn password(&self) -> &str {
        match self {
            Self::Sshd { user, .. } => user.password(),
            Self::Embedded(server) => server.password(),
            Self::Dropbear(server) => server.password(),
        }
    }

    /// What the server has counted since, of which there is something.
    pub(crate) fn counts_since(&self, before: Counts) -> Result<Counts> {
        if let Self::Sshd { server, .. } = self {
            // sshd's monitor tells its child, and that the client, before it writes to the log.
            let attempts = before.attempts();
            server.wait_for(PATIENCE, |truth| Counts::from(truth).attempts() > attempts)?;
        }
        Ok(self.counts()?.since(before))
    }

    /// What the server has counted by now. What its log says later is about later connections: it
    /// is asked once it tells of one that is made here, and that sends nothing.
    pub(crate) fn counts(&self) -> Result<Counts> {
        match self {
            Self::Sshd { server, .. } => {
                let before = server.connections();
                knock(server.addr())?;
                let truth = server.wait_for(PATIENCE, |truth| truth.connections > before)?;
                Ok(Counts::from(&truth))
            }
            Self::Embedded(server) => {
                let refused = server.refused();
                Ok(Counts {
                    accepted: server.handshakes(),
                    words: refused.password + refused.keyboard_interactive,
                    keys: Some(refused.public_key),
                    unauthenticated: 0,
                })
            }
            Self::Dropbear(server) => {
                let deadline = Instant::now() + PATIENCE;
                loop {
                    let (ended, inside) = (server.unauthenticated(), server.authentications());
                    if server.connections() == ended + inside {
                        return Ok(Counts {
                            accepted: inside,
                            words: server.refused_passwords(),
                            keys: None,
                            unauthenticated: ended,
                        });
                    }
                    ensure!(Instant::now() < deadline, "Dropbear still has a login under way");
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        match self {
            Self::Sshd { server, .. } => server.log(),
            Self::Embedded(_) => String::new(),
            Self::Dropbear(server) => server.log(),
        }
    }
}

impl Counts {
    fn since(self, before: Self) -> Self {
        Self {
            accepted: self.accepted - before.accepted,
            words: self.words - before.words,
            keys: self.keys.map(|keys| keys - before.keys.unwrap_or(0)),
            unauthenticated: self.unauthenticated - before.unauthenticated,
        }
    }

    fn attempts(&self) -> usize {
        self.accepted + self.words + self.keys.unwrap_or(0)
    }
}

impl From<&ServerCounters> for Counts {
    fn from(truth: &ServerCounters) -> Self {
        let refused = truth.refused;
        Self {
            accepted: truth.authentications,
            words: refused.password + refused.keyboard_interactive,
            keys: Some(refused.public_key),
            unauthenticated: 0,
        }
    }
}

fn knock(address: SocketAddr) -> Result<()> {
    drop(TcpStream::connect(address)?);
    Ok(())
}
