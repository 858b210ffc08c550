//! The servers: many that answer, and some that do not.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hussh::Target;
use tempfile::TempDir;
use test_servers::embedded::EmbeddedServer;

/// Of all servers.
pub(crate) const PASSWORD: &str = "secret";

/// How long the slow one takes for a login.
const SLOW: Duration = Duration::from_secs(3);

/// Servers in another process, which ends with this.
pub(crate) struct Hosts {
    servers: Child,
    addresses: Vec<SocketAddr>,
    /// Takes connections, and never says a word.
    dead: TcpListener,
    refusing: SocketAddr,
    folder: TempDir,
    all_well: bool,
}

impl Hosts {
    pub(crate) fn start(count: u16, all_well: bool) -> Result<Self> {
        let mut servers = Command::new(std::env::current_exe()?)
            .args(["--serve", "--hosts", &count.to_string()])
            .args(all_well.then_some("--all-well"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the servers")?;
        let output = servers.stdout.take().context("a pipe")?;
        let lines = BufReader::new(output).lines().take(count.into());
        let addresses = lines.map(|line| Ok(line?.parse()?)).collect::<Result<_>>()?;
        let dead = TcpListener::bind("127.0.0.1:0")?;
        let refusing = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = tempfile::tempdir()?;
        Ok(Self { servers, addresses, dead, refusing, folder, all_well })
    }

    /// The dead one first.
    pub(crate) fn names(&self) -> Vec<String> {
        let bad = self.dead.local_addr().into_iter().chain([self.refusing]);
        let bad = bad.filter(|_| !self.all_well);
        let all = bad.chain(self.addresses.iter().copied());
        all.map(|address| address.to_string()).collect()
    }

    /// Whether a host is one of those that answer.
    pub(crate) fn answers(&self, host: &Target) -> bool {
        self.addresses.iter().any(|address| {
            (address.ip().to_string().as_str(), address.port()) == (host.host(), host.port())
        })
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // They end with their standard input.
        drop(self.servers.stdin.take());
        let _ = self.servers.wait();
    }
}

/// Is the servers, until standard input ends. The first is slow, unless all are to be well.
pub(crate) fn serve(count: u16, all_well: bool) -> Result<()> {
    let mut servers = Vec::new();
    let mut output = std::io::stdout().lock();
    for number in 0..count {
        let [high, low] = (number + 1).to_be_bytes();
        let address = Ipv4Addr::new(127, 0, 20 + high, low);
        let server = EmbeddedServer::builder().password(PASSWORD).address(address).start()?;
        if number == 0 && !all_well {
            server.delay_auth(SLOW);
        }
        writeln!(output, "{}:{}", server.host(), server.port())?;
        servers.push(server);
    }
    output.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    // Each would take its time to end.
    std::process::exit(0)
}
