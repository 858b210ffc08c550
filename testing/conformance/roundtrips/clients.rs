//! The clients: each opens a connection and runs commands on it, as its users would.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use backend_russh::RusshSession;
use backend_ssh2::Ssh2Session;
use russh::client;
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key};
use ssh_session::{
    AsyncSession as _, Auth, HostKeyPolicy, HostKeys, Options, Session as _, Target,
};
use tokio::runtime::Runtime;

use crate::measure::Line;

/// What is run.
const COMMAND: &str = "echo ok";

/// Something that dials.
pub(crate) trait Client {
    fn dial(&self) -> Result<Box<dyn Held + '_>>;
}

/// A connection that is held.
pub(crate) trait Held {
    /// Runs a command to its end.
    fn run(&mut self) -> Result<()>;
}

/// Where clients go, and as whom.
struct Way {
    address: SocketAddr,
    user: String,
    identity: PathBuf,
}

/// A client's name, and what makes it.
pub(crate) type Entry = (&'static str, fn(&Line) -> Result<Box<dyn Client>>);

/// All clients: ours first.
pub(crate) const ALL: [Entry; 5] = [
    ("hussh over russh", |line| {
        Ok(Box::new(OurRussh { options: options(line)?, runtime: Runtime::new()? }))
    }),
    ("hussh over ssh2", |line| Ok(Box::new(OurSsh2 { options: options(line)? }))),
    ("crate russh", |line| Ok(Box::new(RawRussh { way: way(line), runtime: Runtime::new()? }))),
    ("crate ssh2", |line| Ok(Box::new(RawSsh2 { way: way(line) }))),
    ("OpenSSH ControlMaster", |line| {
        Ok(Box::new(Master { way: way(line), folder: tempfile::tempdir()? }))
    }),
];

fn way(line: &Line) -> Way {
    let (address, server) = (line.proxy.addr(), &line.server);
    Way { address, user: server.user().to_owned(), identity: server.identity() }
}

fn options(line: &Line) -> Result<Options> {
    let way = way(line);
    let target = Target::new(way.address.ip().to_string(), way.address.port(), way.user)?;
    Ok(Options::new(target)
        .auth(Auth::key_file(way.identity))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny)))
}

struct OurRussh {
    options: Options,
    runtime: Runtime,
}

struct OurRusshHeld<'a>(RusshSession, &'a Runtime);

impl Client for OurRussh {
    fn dial(&self) -> Result<Box<dyn Held + '_>> {
        let session = self.runtime.block_on(RusshSession::connect(&self.options))?;
        Ok(Box::new(OurRusshHeld(session, &self.runtime)))
    }
}

impl Held for OurRusshHeld<'_> {
    fn run(&mut self) -> Result<()> {
        let output = self.1.block_on(self.0.exec(&COMMAND.into()))?;
        ensure!(output.success(), "{output:?}");
        Ok(())
    }
}

struct OurSsh2 {
    options: Options,
}

impl Client for OurSsh2 {
    fn dial(&self) -> Result<Box<dyn Held + '_>> {
        Ok(Box::new(Ssh2Session::connect(&self.options)?))
    }
}

impl Held for Ssh2Session {
    fn run(&mut self) -> Result<()> {
        let output = self.exec(&COMMAND.into())?;
        ensure!(output.success(), "{output:?}");
        Ok(())
    }
}

struct RawRussh {
    way: Way,
    runtime: Runtime,
}

struct Believing;

impl client::Handler for Believing {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

struct RawRusshHeld<'a>(client::Handle<Believing>, &'a Runtime);

impl Client for RawRussh {
    fn dial(&self) -> Result<Box<dyn Held + '_>> {
        let way = &self.way;
        let key = Arc::new(load_secret_key(&way.identity, None)?);
        let handle = self.runtime.block_on(async {
            let config = client::Config { nodelay: true, ..Default::default() };
            let mut handle = client::connect(Arc::new(config), way.address, Believing).await?;
            let key = PrivateKeyWithHashAlg::new(key, None);
            let result = handle.authenticate_publickey(&way.user, key).await?;
            ensure!(result.success(), "no login");
            Ok(handle)
        })?;
        Ok(Box::new(RawRusshHeld(handle, &self.runtime)))
    }
}

impl Held for RawRusshHeld<'_> {
    fn run(&mut self) -> Result<()> {
        self.1.block_on(async {
            let mut channel = self.0.channel_open_session().await?;
            channel.exec(true, COMMAND).await?;
            let mut status = None;
            while let Some(message) = channel.wait().await {
                if let russh::ChannelMsg::ExitStatus { exit_status } = message {
                    status = Some(exit_status);
                }
            }
            ensure!(status == Some(0), "{status:?}");
            Ok(())
        })
    }
}

struct RawSsh2 {
    way: Way,
}

impl Client for RawSsh2 {
    fn dial(&self) -> Result<Box<dyn Held + '_>> {
        let stream = TcpStream::connect(self.way.address)?;
        stream.set_nodelay(true)?;
        let mut session = ssh2::Session::new()?;
        session.set_tcp_stream(stream);
        session.handshake()?;
        session.userauth_pubkey_file(&self.way.user, None, &self.way.identity, None)?;
        Ok(Box::new(session))
    }
}

impl Held for ssh2::Session {
    fn run(&mut self) -> Result<()> {
        let mut channel = self.channel_session()?;
        channel.exec(COMMAND)?;
        let mut output = String::new();
        channel.read_to_string(&mut output)?;
        channel.wait_close()?;
        ensure!(channel.exit_status()? == 0, "{output}");
        Ok(())
    }
}

/// OpenSSH's client: a master that holds the connection, and a process for each command.
struct Master {
    way: Way,
    folder: tempfile::TempDir,
}

struct MasterHeld<'a> {
    master: &'a Master,
    socket: PathBuf,
}

impl Master {
    fn ssh(&self, socket: &Path) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oLogLevel=ERROR"])
            .args(["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null"])
            .arg("-i")
            .arg(&self.way.identity)
            .args(["-p", &self.way.address.port().to_string(), "-l", &self.way.user])
            .arg("-S")
            .arg(socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    fn host(&self) -> String {
        self.way.address.ip().to_string()
    }
}

impl Client for Master {
    fn dial(&self) -> Result<Box<dyn Held + '_>> {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let socket = self.folder.path().join(number.to_string());
        // Goes into the background once it is logged in.
        let mut master = self.ssh(&socket);
        // What stays in the background must not keep a pipe of ours open.
        master.args(["-M", "-N", "-f"]).arg(self.host()).stderr(Stdio::null());
        let status = master.status().context("ssh: install openssh-client")?;
        ensure!(status.success(), "the master: {status}");
        Ok(Box::new(MasterHeld { master: self, socket }))
    }
}

impl Held for MasterHeld<'_> {
    fn run(&mut self) -> Result<()> {
        let status = self.master.ssh(&self.socket).args([&self.master.host(), COMMAND]).status()?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

impl Drop for MasterHeld<'_> {
    fn drop(&mut self) {
        let mut exit = self.master.ssh(&self.socket);
        let _ = exit.args(["-O", "exit"]).arg(self.master.host()).stderr(Stdio::null()).status();
    }
}
