//! The servers of the grid: what they are, what they can do, and how they are started.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ssh_session::{Auth, HostKeyPolicy, HostKeys, Options, Target};

use test_servers::distant::AnyServer;
use test_servers::dropbear::Dropbear;
use test_servers::embedded::{EmbeddedServer, SFTP_SERVERS as EMBEDDED_SFTP};
use test_servers::proxy::FaultProxy;
use test_servers::sshd::{PasswordUser, Sshd};

/// What Debian's Dropbear runs for SFTP.
const DROPBEAR_SFTP: &str = "/usr/lib/sftp-server";

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// OpenSSH's, as [`Sshd`] starts it. Commands run as a user made for the run: sshd 9.2 does
    /// not signal those of root.
    Sshd,
    /// [`EmbeddedServer`].
    Embedded,
    /// [`Dropbear`].
    Dropbear,
}

/// What a kind of server does where they differ. Found out by asking it, and proved by the cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether commands can have a terminal.
    pub terminals: bool,
    /// Which variables a client may set.
    pub environment: Environment,
    /// Whether a connection may have so many session channels only.
    pub limits_sessions: bool,
    /// Whether it can be told to agree on new keys after little data.
    pub rekeys_early: bool,
    /// The longest command it runs; it ends the connection at a longer one.
    pub longest_command: usize,
    /// Whether it holds back what a client sends to a command that reads nothing.
    pub holds_input_back: bool,
    /// Whether every command has its end told when others start and end beside it.
    pub keeps_commands_apart: bool,
    /// Whether it serves files: it needs OpenSSH's `sftp-server` for that, but sshd.
    pub files: bool,
    /// Whether it can be told to end commands without saying how they ended.
    pub omits_status: bool,
    /// Whether it opens tunnels to Unix sockets, too.
    pub unix_tunnels: bool,
    /// Whether it closes a tunnel into which it can write no more, and does not just stop taking in.
    pub closes_dead_tunnels: bool,
}

/// Which variables a client may set for its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// Those that its configuration lists: `GREETING`, here.
    Listed,
    /// Any.
    Any,
    /// None.
    Nothing,
}

/// How a server of a case differs from the usual.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Session channels in one connection; each server's default where it is `None`.
    pub max_sessions: Option<usize>,
    /// Agrees on new keys after each megabyte, where it can be told to.
    pub rekeys: bool,
    /// Opens no tunnels.
    pub forbids_tunnels: bool,
}

/// A running server of some kind.
#[derive(Debug)]
pub struct Server {
    server: AnyServer,
    /// Whose commands an sshd runs.
    user: Option<Arc<PasswordUser>>,
}

impl ServerKind {
    /// All kinds, in the order of the grid.
    pub const ALL: [Self; 3] = [Self::Sshd, Self::Embedded, Self::Dropbear];

    /// Its name in the grid.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sshd => "sshd",
            Self::Embedded => "embedded",
            Self::Dropbear => "dropbear",
        }
    }

    /// What it does where servers differ.
    pub fn capabilities(self) -> Capabilities {
        match self {
            Self::Sshd => Capabilities {
                terminals: true,
                environment: Environment::Listed,
                limits_sessions: true,
                rekeys_early: true,
                longest_command: usize::MAX,
                holds_input_back: true,
                keeps_commands_apart: true,
                files: true,
                omits_status: false,
                unix_tunnels: true,
                closes_dead_tunnels: true,
            },
            Self::Embedded => Capabilities {
                terminals: false,
                environment: Environment::Any,
                limits_sessions: true,
                rekeys_early: true,
                longest_command: usize::MAX,
                holds_input_back: false,
                keeps_commands_apart: true,
                files: EMBEDDED_SFTP.iter().any(|path| Path::new(path).is_file()),
                omits_status: true,
                unix_tunnels: true,
                closes_dead_tunnels: true,
            },
            // Version 2022.83. It has 1,000 channels, agrees on new keys after 1 GiB, and takes
            // strings of up to 9,000 bytes. Of commands that run side by side it closes some
            // without a status, one in ten perhaps, and now and then it dies of a failed
            // assertion; OpenSSH's client does the same to it.
            Self::Dropbear => Capabilities {
                terminals: true,
                environment: Environment::Nothing,
                limits_sessions: false,
                rekeys_early: false,
                longest_command: 9_000,
                holds_input_back: true,
                keeps_commands_apart: false,
                files: Path::new(DROPBEAR_SFTP).is_file(),
                omits_status: false,
                unix_tunnels: false,
                closes_dead_tunnels: false,
            },
        }
    }

    /// Starts one; `user` is whose commands an sshd runs.
    pub fn start(self, setup: &Setup, user: Option<&Arc<PasswordUser>>) -> Server {
        let started = match self {
            Self::Sshd => sshd(setup, user),
            Self::Embedded => embedded(setup).map(Server::from),
            Self::Dropbear if setup.forbids_tunnels => {
                Dropbear::start_with(&["-j"]).map(Server::from)
            }
            Self::Dropbear => Dropbear::start().map(Server::from),
        };
        started.unwrap_or_else(|error| panic!("{} did not start: {error}", self.name()))
    }
}

impl Server {
    /// What leads there: the server's own key, and any host key is believed.
    pub fn options(&self) -> Options {
        let user = self.user.as_ref().map_or(self.server.user(), |user| user.name());
        options(self.addr(), user, self.server.identity())
    }

    /// As [`options`](Self::options), through a proxy to this server.
    pub fn options_through(&self, proxy: &FaultProxy) -> Options {
        let mut options = self.options();
        let user = options.target.user().to_owned();
        options.target = target(proxy.addr(), &user);
        options
    }

    /// Host and port.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// The embedded server, which does as tests tell it: refuses, answers late, closes channels.
    pub fn embedded(&self) -> Option<&EmbeddedServer> {
        match &self.server {
            AnyServer::Embedded(server) => Some(server),
            AnyServer::Sshd(_) | AnyServer::Dropbear(_) => None,
        }
    }

    /// Kills every session with its commands; the listener stays.
    pub fn kill_sessions(&self) {
        let killed = self.server.kill_sessions();
        killed.unwrap_or_else(|error| panic!("sessions were not killed: {error}"));
    }

    /// Ends commands without a word about how they ended, where the server can be told to.
    pub fn omit_exit_status(&self, omit: bool) {
        if let Some(server) = self.embedded() {
            server.omit_exit_status(omit);
        }
    }

    /// How often it died of a fault of its own.
    pub(super) fn crashes(&self) -> usize {
        match &self.server {
            AnyServer::Dropbear(server) => server.log().matches("Failed assertion").count(),
            AnyServer::Sshd(_) | AnyServer::Embedded(_) => 0,
        }
    }

    /// What the server wrote down, for whoever looks into a failed case.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl<S: Into<AnyServer>> From<S> for Server {
    fn from(server: S) -> Self {
        Self { server: server.into(), user: None }
    }
}

fn sshd(setup: &Setup, user: Option<&Arc<PasswordUser>>) -> io::Result<Server> {
    let mut builder = Sshd::builder().option("AcceptEnv GREETING");
    if let Some(sessions) = setup.max_sessions {
        builder = builder.max_sessions(sessions);
    }
    if setup.rekeys {
        builder = builder.option("RekeyLimit 1M 2s");
    }
    if setup.forbids_tunnels {
        builder = builder.option("AllowTcpForwarding no").option("AllowStreamLocalForwarding no");
    }
    let user = match user {
        Some(user) => Arc::clone(user),
        None => Arc::new(PasswordUser::create()?),
    };
    Ok(Server { user: Some(user), ..Server::from(builder.start()?) })
}

fn embedded(setup: &Setup) -> io::Result<EmbeddedServer> {
    let mut builder = EmbeddedServer::builder();
    if let Some(sessions) = setup.max_sessions {
        builder = builder.max_sessions(sessions);
    }
    if setup.rekeys {
        builder = builder.rekey_after(1_000_000);
    }
    let server = builder.start()?;
    server.forbid_tunnels(setup.forbids_tunnels);
    Ok(server)
}

fn options(address: SocketAddr, user: &str, identity: PathBuf) -> Options {
    Options::new(target(address, user))
        .auth(Auth::key_file(identity))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

fn target(address: SocketAddr, user: &str) -> Target {
    Target::new(address.ip().to_string(), address.port(), user).expect("a valid target")
}
