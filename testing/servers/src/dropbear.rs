//! Dropbear's server on a free loopback port, with keys, a user and a log of its own.
//!
//! ```no_run
//! use test_servers::dropbear::Dropbear;
//!
//! let server = Dropbear::start()?;
//! println!("ssh -i {} -p {} {}@{}", server.identity().display(), server.port(),
//!     server.user(), server.host());
//! assert_eq!(server.authentications(), 0);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! It looks for keys in the user's home and nowhere else, so it has a user made for it, and must
//! run as root. Everything it started has ended when the [`Dropbear`] is dropped, also in a panic.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{Process, find};
use crate::keys::{KeyPair, random_secret};
use crate::place::{Place, has_place};
use crate::port::bind_free;
use crate::sshd::PasswordUser;

/// How long the server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// How often another port is tried when somebody else took the one we found free.
const PORTS_TRIED: usize = 5;

/// A running Dropbear server; stopped when dropped.
#[derive(Debug)]
pub struct Dropbear {
    // Fields are dropped in this order: the processes go before the user and the folder.
    process: Option<Process>,
    user: PasswordUser,
    place: Place,
    dropbear: PathBuf,
    marker: String,
    options: Vec<OsString>,
}

has_place!(Dropbear);

impl Dropbear {
    /// A server with Dropbear's own limits: 5 connections at once that have not logged in.
    ///
    /// Without it on this machine the error says `dropbear not found: install dropbear-bin`.
    pub fn start() -> io::Result<Self> {
        Self::start_with(&[])
    }

    /// A server with options of `dropbear(8)`: `-t`, say, wants a key and then the password.
    pub fn start_with(options: &[&str]) -> io::Result<Self> {
        let dropbear = find_or_say("dropbear")?;
        let place = Place::new("test-dropbear-", (Ipv4Addr::LOCALHOST, 0))?;
        let mut server = Self {
            process: None,
            user: PasswordUser::create()?,
            dropbear,
            marker: format!("TESTKIT_DROPBEAR={}", random_secret()),
            options: options.iter().map(Into::into).collect(),
            place,
        };
        server.write_host_key()?;
        server.write_client_key()?;
        let mut tries = 0;
        loop {
            tries += 1;
            let (listener, address) = bind_free()?;
            drop(listener);
            server.place.address = address;
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
        self.launch()
    }

    /// Kills every session with its commands (`SIGKILL`); the listener stays.
    ///
    /// Clients see their connection end without a word.
    pub fn kill_sessions(&self) -> io::Result<()> {
        self.process.as_ref().map_or(Ok(()), Process::kill_sessions)
    }

    /// TCP connections taken on so far, restarts included.
    pub fn connections(&self) -> usize {
        self.count(|line| line.contains("Child connection from "))
    }

    /// Logins that succeeded so far, by any method.
    pub fn authentications(&self) -> usize {
        let succeeded = |line: &str| {
            line.contains(" auth succeeded for ") && !line.contains("extra auth required")
        };
        self.count(succeeded)
    }

    /// Refused passwords so far. Of keys that it refuses Dropbear says nothing.
    pub fn refused_passwords(&self) -> usize {
        self.count(|line| line.contains("Bad password attempt"))
    }

    /// Connections so far that ended before anybody had logged in.
    pub fn unauthenticated(&self) -> usize {
        self.count(|line| line.contains("Exit before auth"))
    }

    /// One more key that opens this server, as one line of `authorized_keys(5)`.
    pub fn authorize(&self, line: &str) -> io::Result<()> {
        let keys = self.user.home().join(".ssh/authorized_keys");
        OpenOptions::new().append(true).open(keys)?.write_all(format!("{line}\n").as_bytes())
    }

    /// The whole log, empty when it can't be read.
    pub fn log(&self) -> String {
        fs::read(self.log_path())
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_default()
    }

    /// Whether the listener runs: false after [`stop`](Self::stop), or when it died by itself.
    pub fn is_running(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_running)
    }

    /// The user to log in as, made for this server. The shell is `/bin/sh`.
    pub fn user(&self) -> &str {
        self.user.name()
    }

    /// The user's password.
    pub fn password(&self) -> &str {
        self.user.password()
    }

    fn launch(&mut self) -> io::Result<()> {
        let seen = self.log().len();
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut arguments: Vec<OsString> = vec![
            // In the foreground, log to standard error, no message of the day.
            "-F".into(),
            "-E".into(),
            "-m".into(),
            // Commands get our environment, and with it the marker.
            "-e".into(),
            "-r".into(),
            self.host_key_path().into(),
            "-p".into(),
            self.addr().to_string().into(),
            "-P".into(),
            self.dir().join("pid").into(),
        ];
        arguments.extend(self.options.iter().cloned());
        let process = Process::start(&self.dropbear, &arguments, self.marker.clone(), |command| {
            command.stderr(log).env_clear();
            if let Some((name, value)) = self.marker.split_once('=') {
                command.env(name, value);
            }
        })?;
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            let running = process.is_running();
            let log = self.log();
            let news = log.get(seen..).unwrap_or_default();
            // Said once it listens.
            if news.contains("Not backgrounding") {
                self.process = Some(process);
                return Ok(());
            }
            if news.contains("Address already in use") {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, news.trim().to_owned()));
            }
            if !running || Instant::now() > deadline {
                return Err(io::Error::other(format!("dropbear did not start: {}", news.trim())));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// In Dropbear's own format, which only its own program writes.
    fn write_host_key(&mut self) -> io::Result<()> {
        let output = Command::new(find_or_say("dropbearkey")?)
            .args(["-t", "ed25519", "-f"])
            .arg(self.host_key_path())
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("ssh-ed25519 "));
        let line = line.ok_or_else(|| io::Error::other(format!("dropbearkey said: {text}")))?;
        self.place.host_public_keys = vec![line.to_owned()];
        Ok(())
    }

    fn write_client_key(&self) -> io::Result<()> {
        let pair = KeyPair::ed25519()?;
        pair.write(&self.identity())?;
        let home = self.user.home();
        let owner = fs::metadata(home)?;
        let folder = home.join(".ssh");
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let keys = folder.join("authorized_keys");
        fs::write(&keys, format!("{}\n", pair.public_line()?))?;
        fs::set_permissions(&keys, fs::Permissions::from_mode(0o600))?;
        chown(&keys, Some(owner.uid()), Some(owner.gid()))?;
        chown(&folder, Some(owner.uid()), Some(owner.gid()))
    }

    fn count(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.log().lines().filter(|line| wanted(line)).count()
    }

    fn host_key_path(&self) -> PathBuf {
        self.dir().join("host_key")
    }

    fn log_path(&self) -> PathBuf {
        self.dir().join("log")
    }
}

fn find_or_say(program: &str) -> io::Result<PathBuf> {
    find(program).ok_or_else(|| {
        let text = format!("{program} not found: install dropbear-bin");
        io::Error::new(io::ErrorKind::NotFound, text)
    })
}
