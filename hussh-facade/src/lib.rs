//! Pooled, kept-alive SSH sessions for automation that runs many small commands.
//!
//! A fresh SSH session costs a TCP handshake, a key exchange and an authentication. A session from
//! a pool costs nothing but the command.
//!
//! ```no_run
//! use hussh::ConnectionPool;
//!
//! let pool = ConnectionPool::builder("myserver.example.com", "deploy")
//!     .password("...")
//!     .max_connections(10)
//!     .build()?;
//! let connection = pool.get()?;
//! let result = connection.execute("uptime")?;
//! println!("{}", result.stdout_lossy());
//! # Ok::<(), hussh::Error>(())
//! ```
//!
//! * [`ConnectionPool`]: up to `max_connections` sessions, opened when needed, lent to one caller
//!   at a time (or to a few, `channels_per_connection`), checked when they were idle, replaced when
//!   they died. For many threads.
//! * [`Connection`]: one session, held for as long as you like.
//! * [`KeyedConnectionPool`]: a pool for each of many hosts, with one limit over all of them.
//! * [`MultiConnection`]: one call for many hosts, a result for each as it comes.
//! * `AsyncConnectionPool`, `AsyncConnection`, `AsyncKeyedConnectionPool` and `AsyncMultiConnection`:
//!   the same for tasks, on tokio.
//!
//! A [`Command`] may run as another user of the server: [`Command::become_user`].
//!
//! [`Connection::sftp`](sync::Connection::sftp) has the files of the server: [`Sftp`], and `AsyncSftp`.
//! [`Connection::shell`](sync::Connection::shell) is an interactive shell, also of a device that has
//! nothing else: [`Shell`], and `AsyncShell`. [`Connection::tail`](sync::Connection::tail) follows a
//! file while it grows, over rotation and truncation: [`Tail`], and `AsyncTail`.
//!
//! [`Connection::scp`](sync::Connection::scp) is for servers without SFTP.
//!
//! [`Connection::open_tcp`](sync::Connection::open_tcp) has the server connect to somewhere behind it,
//! and [`forward_local`](sync::Connection::forward_local) does so for each connection to a port here.
//!
//! Host keys are checked against `~/.ssh/known_hosts` before any password or key is sent; unknown
//! hosts are recorded there, changed keys refused ([`HostKeyPolicy`]). The agent and X11 are never
//! forwarded, nor is any port from there to here: a server that wants to open such a channel is refused. A command that may have
//! started is never run twice. A command without an exit status is an [`Error`], and one that was
//! killed by a signal is no success.
//!
//! Nothing of a borrower stays: what it left open is closed when it gives its connection back, or the
//! connection is. Forwarding of agents, of X11 and of ports from there to here is off: it is never
//! asked for, and a server that opens such a channel is refused.
//!
//! A pool may be used in a process that was forked off: it starts anew there, with connections of
//! its own, and leaves its parent's alone. A connection that was open when the process forked is
//! lost to the child: calls fail, and dropping it tells the server nothing.
//!
//! # Features
//!
//! | features | threads | tasks | needs |
//! |---|---|---|---|
//! | default: `ssh2` and `russh` | libssh2 | russh | a C compiler, OpenSSL and zlib headers |
//! | `russh` alone | russh, on a runtime of its own (`blocking`) | russh | a C compiler |
//! | `ssh2` alone | libssh2 | – | a C compiler, OpenSSL and zlib headers |
//! | `ssh2` and `vendored-openssl` | libssh2 | – | a C compiler, make and perl; OpenSSL is built in |
//!
//! All of them pass the same tests. With the default, `hussh::blocking` has the sync API over
//! russh, too.
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "ssh2", feature = "russh")))]
compile_error!(
    "hussh needs a backend: enable the feature `ssh2` (libssh2) or `russh`, or leave the default \
     features on"
);

#[cfg(any(feature = "ssh2", feature = "russh"))]
mod retry;
#[cfg(feature = "russh")]
pub mod blocking;
#[cfg(any(feature = "ssh2", feature = "russh"))]
mod builder;
mod error;
#[cfg(any(feature = "ssh2", feature = "russh"))]
mod forked;
#[cfg(any(feature = "ssh2", feature = "russh"))]
mod multi;
#[cfg(any(feature = "ssh2", feature = "russh"))]
mod queries;
#[cfg(any(feature = "ssh2", feature = "russh"))]
pub mod sync;
#[cfg(feature = "russh")]
mod tasks;

#[cfg(any(feature = "ssh2", feature = "russh"))]
pub use builder::{Builder, FleetKind, Host, JumpHost, KeyedKind, OnTheWay, OneOfMany, PoolKind};
pub use error::Error;
#[cfg(any(feature = "ssh2", feature = "russh"))]
pub use multi::{
    HostResult, LocalPath, MultiProgress, MultiResult, MultiStep, PartialFailure, Succeeds,
};
pub use pool_core::{
    CloseReason, DrainTimeout, Event, EventError, Health, KeyedStats, NotAcquired, Observer, Order,
    Stats, WaitPhase, WarmError,
};
pub use ssh_session::login::Method;
pub use ssh_session::sftp::{
    Bounds, Entry, FileKind, FileSystem, Links, Metadata, OpenFile, OpenOptions, Outcome, Progress,
    Report, TailFrom, TailOptions, Tailed, Transfer, Transferred,
};
pub use ssh_session::shell::{Match, Pattern, ReadUntil, ShellOptions};
pub use ssh_session::tunnel::{Destination, ForwardStats, Forwarding, LocalForward};
pub use ssh_session::{
    Algorithms, Answers, AskPassword, Auth, Become, BecomeProblem, BecomeRefused,
    CertificateSource, Chunk, Command, ConnectProblem, Crypto, ExitStatus, FileError, Fingerprint,
    HostKeyPolicy, HostKeyProblem, HostKeyRefused, KeyProblem, Kind, KnownHostsCommand, Line,
    Lines, Methods, Output, PartialOutput, Phase, Pin, ProcessReader, ProcessWriter, Prompt, Pty,
    Question, RekeyLimit, SecretString, Side, SshConfig, SshError, Target, TerminalMode, Transport,
    TunnelError, TunnelProblem, UNRECORDED,
};
#[cfg(feature = "russh")]
pub use ssh_session::{AsyncLines, AsyncProcessReader, AsyncProcessWriter};

#[cfg(all(feature = "russh", not(feature = "ssh2")))]
pub use blocking::{
    Connection, ConnectionPool, KeyedConnectionPool, MultiConnection, PooledConnection, Process,
    Scp, Sftp, Shell, Tail, Tunnel,
};
#[cfg(feature = "ssh2")]
pub use libssh2::{
    Connection, ConnectionPool, KeyedConnectionPool, MultiConnection, PooledConnection, Process,
    Scp, Sftp, Shell, Tail, Tunnel,
};
#[cfg(any(feature = "ssh2", feature = "russh"))]
pub use sync::MultiRun;
#[cfg(feature = "russh")]
pub use tasks::{
    AsyncConnection, AsyncConnectionPool, AsyncKeyedConnectionPool, AsyncMultiConnection,
    AsyncMultiRun, AsyncProcess, AsyncScp, AsyncSftp, AsyncShell, AsyncTail, AsyncTunnel,
    KeyedPooledAsyncConnection, PooledAsyncConnection,
};

/// The sync API over libssh2.
#[cfg(feature = "ssh2")]
mod libssh2 {
    use crate::sync::{self, Libssh2};

    /// One SSH connection, held as long as you like. See [`sync::Connection`].
    pub type Connection = sync::Connection<Libssh2>;

    /// A pool of SSH connections to one host as one user. See [`sync::ConnectionPool`].
    pub type ConnectionPool = sync::ConnectionPool<Libssh2>;

    /// A pool of SSH connections to each of many hosts. See [`sync::KeyedConnectionPool`].
    pub type KeyedConnectionPool = sync::KeyedConnectionPool<Libssh2>;

    /// Connections to many hosts, for one call over all of them. See [`sync::MultiConnection`].
    pub type MultiConnection = sync::MultiConnection<Libssh2>;

    /// A connection on loan from a [`ConnectionPool`]. See [`sync::PooledConnection`].
    pub type PooledConnection = sync::PooledConnection<Libssh2>;

    /// A command whose output is read, and input written, while it runs. See [`sync::Process`].
    pub type Process<'s> = sync::Process<'s, Libssh2>;

    /// Files on the server, over SFTP. See [`sync::Sftp`].
    pub type Sftp<'c> = sync::Sftp<'c, Libssh2>;

    /// Files on servers without SFTP. See [`sync::Scp`].
    pub type Scp<'c> = sync::Scp<'c, Libssh2>;

    /// An interactive shell. See [`sync::Shell`].
    pub type Shell<'s> = sync::Shell<'s, Libssh2>;

    /// A file that is followed. See [`sync::Tail`].
    pub type Tail<'c> = sync::Tail<'c, Libssh2>;
    /// A connection that the server has opened. See [`sync::Tunnel`].
    pub type Tunnel = sync::Tunnel<Libssh2>;
}

/// The README's example compiles.
#[cfg(all(doctest, feature = "ssh2", feature = "russh"))]
#[doc = include_str!("../../README.md")]
mod readme {}
