//! An SSH server inside the test's process, which needs nothing installed.
//!
//! ```no_run
//! use test_servers::embedded::EmbeddedServer;
//!
//! let server = EmbeddedServer::start()?;
//! println!("ssh -i {} -p {} {}@127.0.0.1", server.identity().display(), server.port(),
//!     server.user());
//! assert_eq!(server.handshakes(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It runs commands with `sh -c`, each in a process group of its own, and counts what clients
//! really did. A closed channel or a lost connection kills the command, which is stricter than
//! OpenSSH. It refuses what it hasn't got: terminals, X11, remote forwarding.
//!
//! Told to, it is a network device instead, which has shells with a prompt and a pager, and no
//! commands: [`Device`].

mod builder;
mod connection;
mod device;
mod forward;
mod handler;
mod inbox;
mod intrusion;
mod login;
mod process;
mod shared;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use russh::Limits;
use russh::keys::PublicKey;
use russh::server::Config;
use tokio::net::TcpListener;

pub use builder::EmbeddedServerBuilder;
pub use device::{CONFIG_LINES, Device};
pub use handler::SFTP_SERVERS;
pub use login::{Method, Round};

use crate::Attempts;
use crate::background::Background;
use crate::keys::{KeyPair, random_secret};
use crate::place::{Place, has_place};
use crate::port::{bind_again, bind_free_on};
use builder::Settings;
use connection::Connection;
use shared::{Shared, TaskGuard};

/// How long connections and commands may take to end when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// A running server; stopped when dropped, with all its connections and commands.
#[derive(Debug)]
pub struct EmbeddedServer {
    background: Option<Background>,
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    host_key: KeyPair,
    passphrase: String,
    place: Place,
}

has_place!(EmbeddedServer);

impl EmbeddedServer {
    /// A server with the user `demo`, a random password and ten sessions per connection.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server of one's choice.
    pub fn builder() -> EmbeddedServerBuilder {
        EmbeddedServerBuilder::new()
    }

    fn start_with(builder: EmbeddedServerBuilder) -> io::Result<Self> {
        let (listener, address) = bind_free_on(builder.address)?;
        let mut place = Place::new("test-embedded-", address)?;
        let (plain, encrypted) = (KeyPair::ed25519()?, KeyPair::ed25519()?);
        let passphrase = random_secret();
        plain.write(&place.identity())?;
        encrypted.write_encrypted(&place.dir().join("encrypted_identity"), &passphrase)?;
        let mut authorized_keys = Vec::new();
        let own = [plain.public_line()?, encrypted.public_line()?];
        for line in own.iter().chain(&builder.authorized_keys) {
            authorized_keys.push(public_key(line)?);
        }
        let user_authority = builder.user_authority.as_deref().map(public_key).transpose()?;
        let asked = |password| Round::default().ask("Password: ", password);
        let rounds = builder.rounds.unwrap_or_else(|| builder.password.iter().map(asked).collect());
        let host_key = KeyPair::ed25519()?;
        place.host_public_keys.push(host_key.public_line()?);
        let mut server = Self {
            background: None,
            shared: Arc::default(),
            settings: Arc::new(Settings {
                user: builder.user,
                password: builder.password,
                authorized_keys,
                max_sessions: builder.max_sessions,
                max_auth_tries: builder.max_auth_tries,
                rekey_after: builder.rekey_after,
                rounds,
                wanted: builder.wanted.into_iter().map(Method::kind).collect(),
                user_authority,
                banner: builder.banner,
                farewell: builder.farewell,
                intrudes: builder.intrudes,
                device: builder.device,
            }),
            host_key,
            passphrase,
            place,
        };
        server.serve(listener)?;
        Ok(server)
    }

    /// Stops listening, cuts all connections and kills all commands.
    ///
    /// Returns when they are gone, or after three seconds with an error. Does nothing when it is
    /// stopped already.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(background) = self.background.take() else { return Ok(()) };
        self.shared.stop_listening();
        let ended = self.shared.end_all(STOP_PATIENCE);
        drop(background);
        ended
    }

    /// Stops the server and starts it anew: same port, same keys, the counters go on.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        let listener = bind_again(self.addr())?;
        self.serve(listener)
    }

    /// Starts anew with another host key on the same port.
    pub fn change_host_key(&mut self) -> io::Result<()> {
        self.host_key = KeyPair::ed25519()?;
        self.place.host_public_keys = vec![self.host_key.public_line()?];
        self.restart()
    }

    /// Cuts all connections at once, in the middle of whatever they do; the listener stays.
    pub fn kill_connections(&self) {
        self.shared.cut_connections();
    }

    /// Refuses the `number`-th session channel wanted from now on; 1 is the next.
    ///
    /// Channels of all connections count. Can be said for several numbers.
    pub fn refuse_open(&self, number: u64) {
        let mut switches = self.shared.switches();
        let number = switches.opens_seen.saturating_add(number);
        switches.refused_opens.push(number);
    }

    /// Answers every session channel open this much later, also those that it refuses. Default:
    /// zero.
    pub fn delay_opens(&self, delay: Duration) {
        self.shared.switches().open_delay = delay;
    }

    /// Closes every session channel so long after it was opened, without a word and whether or not
    /// a command runs in it; `None`, the default, never. As sshd's `ChannelTimeout`, only harder.
    pub fn close_channels_after(&self, age: Option<Duration>) {
        self.shared.switches().channel_age = age;
    }

    /// Answers every password and every signed key this much later. Default: zero.
    pub fn delay_auth(&self, delay: Duration) {
        self.shared.switches().auth_delay = delay;
    }

    /// Ends commands without saying how they ended, as dying servers do. Default: false.
    pub fn omit_exit_status(&self, omit: bool) {
        self.shared.switches().omit_exit_status = omit;
    }

    /// Opens no connections for clients, neither to ports nor to sockets. Default: false.
    pub fn forbid_tunnels(&self, forbid: bool) {
        self.shared.switches().forbids_tunnels = forbid;
    }

    /// TCP connections accepted so far.
    pub fn connections(&self) -> usize {
        self.count(&self.shared.counters.connections)
    }

    /// Connections that authenticated so far.
    pub fn handshakes(&self) -> usize {
        self.count(&self.shared.counters.handshakes)
    }

    /// Refused passwords and keys so far. A key asked about first and then used isn't one.
    pub fn failed_authentications(&self) -> usize {
        self.refused().total()
    }

    /// The same by kind of credential.
    pub fn refused(&self) -> Attempts {
        self.shared.counters.refusals.read()
    }

    /// Forwardings that clients asked for so far, of the agent, of X11, of ports or sockets. All
    /// are refused.
    pub fn forwardings(&self) -> usize {
        self.count(&self.shared.counters.forwardings)
    }

    /// How many channels clients let us open so far, and how many they refused: four kinds at each
    /// login, if the builder was told to [intrude](EmbeddedServerBuilder::intrudes).
    pub fn intrusions(&self) -> (usize, usize) {
        let counters = &self.shared.counters;
        (self.count(&counters.intrusions), self.count(&counters.repelled))
    }

    /// Commands, shells and subsystems started so far.
    pub fn commands(&self) -> usize {
        self.count(&self.shared.counters.commands)
    }

    /// Session channels open now, in all connections. A slot is free when both the channel is
    /// closed and its process has ended.
    pub fn open_sessions(&self) -> usize {
        self.count(&self.shared.counters.open_sessions)
    }

    /// Waits until `wanted` is true of this server, for `patience` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut`.
    pub fn wait_for(
        &self,
        patience: Duration,
        mut wanted: impl FnMut(&Self) -> bool,
    ) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        while !wanted(self) {
            if Instant::now() >= deadline {
                let text = format!("the embedded server is not so after {patience:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The user who may log in.
    pub fn user(&self) -> &str {
        &self.settings.user
    }

    /// The user's password; empty when none opens the server.
    pub fn password(&self) -> &str {
        self.settings.password.as_deref().unwrap_or_default()
    }

    /// Another private key file that opens this server, encrypted with
    /// [`passphrase`](Self::passphrase).
    pub fn encrypted_identity(&self) -> PathBuf {
        self.dir().join("encrypted_identity")
    }

    /// The passphrase of [`encrypted_identity`](Self::encrypted_identity).
    pub fn passphrase(&self) -> &str {
        &self.passphrase
    }

    fn serve(&mut self, listener: std::net::TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let background = Background::start("test-ssh")?;
        let listener = background.enter(|| TcpListener::from_std(listener))?;
        let methods = self.settings.methods();
        let mut limits = Limits::default();
        if let Some(bytes) = self.settings.rekey_after {
            limits.rekey_write_limit = bytes;
            limits.rekey_read_limit = bytes;
        }
        let config = Arc::new(Config {
            methods,
            limits,
            auth_rejection_time: Duration::ZERO,
            keys: vec![self.host_key.private_key().clone()],
            max_auth_attempts: self.settings.max_auth_tries,
            inactivity_timeout: None,
            ..Config::default()
        });
        let settings = Arc::clone(&self.settings);
        let shared = Arc::clone(&self.shared);
        let stop = shared.listen();
        background.spawn(async move {
            tokio::select! {
                () = accept(&listener, &config, &settings, &shared) => {}
                _ = stop => {}
            }
        });
        self.background = Some(background);
        Ok(())
    }

    fn count(&self, counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }
}

impl Drop for EmbeddedServer {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

async fn accept(
    listener: &TcpListener,
    config: &Arc<Config>,
    settings: &Arc<Settings>,
    shared: &Arc<Shared>,
) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of descriptors, perhaps: somebody has to close one first.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let Ok((stream, twin, local)) = prepare(stream) else { continue };
        let id = shared.register(twin);
        let handle = Arc::new(OnceLock::new());
        let (settings, own) = (Arc::clone(settings), Arc::clone(&handle));
        let handler = Connection::new(settings, Arc::clone(shared), own, peer, local);
        let (config, shared) = (Arc::clone(config), Arc::clone(shared));
        tokio::spawn(async move {
            let _task = TaskGuard::new(&shared);
            // How a connection ended is the client's story, not ours.
            if let Ok(session) = russh::server::run_stream(config, stream, handler).await {
                let _ = handle.set(session.handle());
                let _ = session.await;
            }
            shared.forget(id);
        });
    }
}

fn public_key(line: &str) -> io::Result<PublicKey> {
    PublicKey::from_openssh(line)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// Sets the socket's options and makes a second descriptor for cutting the connection.
fn prepare(
    stream: tokio::net::TcpStream,
) -> io::Result<(tokio::net::TcpStream, std::net::TcpStream, SocketAddr)> {
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let stream = stream.into_std()?;
    let twin = stream.try_clone()?;
    Ok((tokio::net::TcpStream::from_std(stream)?, twin, local))
}
