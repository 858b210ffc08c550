//! A real OpenSSH server on a free loopback port, with keys, config and log of its own.
//!
//! ```no_run
//! use test_servers::sshd::Sshd;
//!
//! let server = Sshd::builder().max_sessions(2).start()?;
//! println!("ssh -i {} -p {} {}@{}", server.identity().display(), server.port(),
//!     server.user(), server.host());
//! assert_eq!(server.authentications(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It runs as whoever runs the tests: as root every user may log in, otherwise only oneself.
//! Everything it started has ended when the [`Sshd`] is dropped, also in a panic.

mod builder;
mod log;
mod pam;
mod user;

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

pub use builder::SshdBuilder;
pub use log::ServerCounters;
pub use user::PasswordUser;

use crate::Attempts;
use crate::daemon::Process;
use crate::keys::{KeyKind, KeyPair, random_secret};
use crate::place::{Place, has_place};
use crate::port::bind_free_on;

/// How long sshd may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How often another port is tried when somebody else took the one we found free.
const PORTS_TRIED: usize = 5;

/// How often a server is started again on the port it had, and how long after each other.
const LAUNCHES: usize = 20;
const LAUNCH_PAUSE: Duration = Duration::from_millis(100);

/// A running OpenSSH server; stopped when dropped.
#[derive(Debug)]
pub struct Sshd {
    // Fields are dropped in this order: the processes go before the folder they use.
    process: Option<Process>,
    pam: Option<pam::Service>,
    place: Place,
    sshd: PathBuf,
    user: String,
    marker: String,
    host_key_kinds: Vec<KeyKind>,
    passphrase: String,
}

has_place!(Sshd);

impl Sshd {
    /// A server with sshd's own limits.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// A server with limits of one's choice.
    pub fn builder() -> SshdBuilder {
        SshdBuilder::new()
    }

    fn start_with(builder: &SshdBuilder) -> io::Result<Self> {
        let sshd = builder::find_sshd()?;
        if rustix::process::geteuid().is_root() {
            make_privilege_separation_folder()?;
        }
        let place = Place::new("test-sshd-", (builder.address, 0))?;
        // Other users' logins look for the keys, too.
        fs::set_permissions(place.dir(), fs::Permissions::from_mode(0o755))?;
        let mut server = Self {
            process: None,
            pam: None,
            sshd,
            user: user::current_user()?,
            marker: format!("TESTKIT_SSHD={}", random_secret()),
            host_key_kinds: builder.host_keys.clone(),
            passphrase: random_secret(),
            place,
        };
        server.write_host_keys()?;
        server.write_client_keys()?;
        if let Some(line) = &builder.user_authority {
            fs::write(server.dir().join(builder::USER_AUTHORITY), format!("{line}\n"))?;
        }
        if builder.pam {
            server.pam = Some(pam::Service::create(&server.sshd, server.dir())?);
        }

        let mut tries = 0;
        loop {
            tries += 1;
            let (listener, address) = bind_free_on(builder.address)?;
            drop(listener);
            server.place.address = address;
            let service = server.pam.as_ref().map(pam::Service::name);
            let (sshd, marker) = (&server.sshd, &server.marker);
            let config = builder.config(server.dir(), address.port(), sshd, marker, service);
            fs::write(server.dir().join("sshd_config"), config)?;
            match server.launch() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < PORTS_TRIED => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    /// Kills the listener and all its sessions; the port refuses connections from then on.
    ///
    /// Does nothing when it is stopped already.
    pub fn stop(&mut self) -> io::Result<()> {
        self.process.take().map_or(Ok(()), Process::stop)
    }

    /// Stops the server and starts it anew: same port, same keys, and the log goes on.
    pub fn restart(&mut self) -> io::Result<()> {
        self.stop()?;
        self.launch_again()
    }

    /// Starts anew with other host keys of the same kinds on the same port.
    pub fn change_host_key(&mut self) -> io::Result<()> {
        self.stop()?;
        self.write_host_keys()?;
        self.launch_again()
    }

    /// Starts anew on the same port without the first of its host keys; the others stay.
    ///
    /// # Errors
    ///
    /// As [`restart`](Self::restart).
    pub fn retire_first_host_key(&mut self) -> io::Result<()> {
        let path = self.dir().join("sshd_config");
        let config = fs::read_to_string(&path)?;
        let mut is_first = true;
        let kept = config.lines().filter(|line| {
            let retired = is_first && line.starts_with("HostKey ");
            is_first &= !retired;
            !retired
        });
        fs::write(&path, kept.map(|line| format!("{line}\n")).collect::<String>())?;
        if !self.place.host_public_keys.is_empty() {
            self.place.host_public_keys.remove(0);
        }
        self.restart()
    }

    /// Starts on the port it had. A child that was being forked off as its parent was killed may
    /// hold that for a moment.
    fn launch_again(&mut self) -> io::Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.launch() {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < LAUNCHES => {
                    thread::sleep(LAUNCH_PAUSE);
                }
                launched => return launched,
            }
        }
    }

    /// Kills every session with its commands (`SIGKILL`); the listener stays.
    ///
    /// Clients see their connection end without a word.
    pub fn kill_sessions(&self) -> io::Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::kill_sessions)
    }

    /// Waits until the server's log shows what `wanted` asks for, for `patience` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut` with the figures last seen, or the log can't be read.
    pub fn wait_for(
        &self,
        patience: Duration,
        mut wanted: impl FnMut(&ServerCounters) -> bool,
    ) -> io::Result<ServerCounters> {
        let deadline = Instant::now() + patience;
        loop {
            let truth = ServerCounters::read(&self.log_path())?;
            if wanted(&truth) {
                return Ok(truth);
            }
            if Instant::now() >= deadline {
                let text = format!("not in sshd's log after {patience:?}: {truth:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// All figures at once, as the log has them now.
    pub fn counters(&self) -> ServerCounters {
        ServerCounters::read(&self.log_path()).unwrap_or_default()
    }

    /// TCP connections taken on so far; see [`ServerCounters::connections`].
    pub fn connections(&self) -> usize {
        self.counters().connections
    }

    /// Logins that succeeded so far; see [`ServerCounters::authentications`].
    pub fn authentications(&self) -> usize {
        self.counters().authentications
    }

    /// Refused attempts so far; see [`ServerCounters::failed_authentications`].
    pub fn failed_authentications(&self) -> usize {
        self.counters().failed_authentications
    }

    /// Refused attempts so far, by kind of credential.
    pub fn refused(&self) -> Attempts {
        self.counters().refused
    }

    /// Connections dropped by `MaxStartups` so far.
    pub fn refused_startups(&self) -> usize {
        self.counters().refused_startups
    }

    /// One more key that opens this server for every user, as one line of `authorized_keys(5)`.
    pub fn authorize(&self, line: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.dir().join("authorized_keys"))?;
        file.write_all(format!("{line}\n").as_bytes())
    }

    /// The whole log, empty when it can't be read.
    pub fn log(&self) -> String {
        log::read_log(&self.log_path()).unwrap_or_default()
    }

    /// Whether the listener runs: false after [`stop`](Self::stop), or when sshd died by itself.
    pub fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_running)
    }

    /// The user to log in as: who runs the test.
    pub fn user(&self) -> &str {
        &self.user
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

    fn launch(&mut self) -> io::Result<()> {
        let log_path = self.log_path();
        let seen = log::read_log(&log_path)?.len();
        let arguments: [OsString; 5] = [
            "-D".into(),
            "-f".into(),
            self.dir().join("sshd_config").into(),
            "-E".into(),
            log_path.clone().into(),
        ];
        let program = self.pam.as_ref().map_or(self.sshd.as_path(), pam::Service::program);
        let process = Process::start(program, &arguments, self.marker.clone(), |_| ())?;
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let running = process.is_running();
            let log = log::read_log(&log_path)?;
            let news = log.get(seen..).unwrap_or_default();
            if news.contains("Server listening on ") {
                self.process = Some(process);
                return Ok(());
            }
            if news.contains("Address already in use") {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, news.trim().to_owned()));
            }
            if !running || Instant::now() > deadline {
                return Err(io::Error::other(format!("sshd did not start: {}", news.trim())));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn write_host_keys(&mut self) -> io::Result<()> {
        self.place.host_public_keys.clear();
        for (name, kind) in builder::host_key_names(&self.host_key_kinds).zip(&self.host_key_kinds)
        {
            let pair = KeyPair::new(*kind)?;
            pair.write(&self.dir().join(name))?;
            self.place.host_public_keys.push(pair.public_line()?);
        }
        Ok(())
    }

    fn write_client_keys(&self) -> io::Result<()> {
        let (plain, encrypted) = (KeyPair::ed25519()?, KeyPair::ed25519()?);
        plain.write(&self.identity())?;
        encrypted.write_encrypted(&self.encrypted_identity(), &self.passphrase)?;
        let authorized = self.dir().join("authorized_keys");
        fs::write(authorized, format!("{}\n{}\n", plain.public_line()?, encrypted.public_line()?))
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("log")
    }
}

/// As root sshd wants `/run/sshd`, which a machine without an init system lacks.
fn make_privilege_separation_folder() -> io::Result<()> {
    let folder = Path::new("/run/sshd");
    match fs::DirBuilder::new().mode(0o755).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
