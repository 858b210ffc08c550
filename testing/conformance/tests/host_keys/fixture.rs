//! Keys, servers and known_hosts files for the table.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use conformance::suite::Subject;
use ssh_session::{
    Auth, HostKey, HostKeyPolicy, HostKeys, Kind, Options, PresentedKey, ProxyCommand, Route,
    Session as _, SshError, Target,
};
use tempfile::TempDir;
use test_servers::sshd::{ServerCounters, Sshd};

/// How long a login or a log may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server shows: key files in its order of preference, and a certificate for the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Shows {
    pub(crate) keys: &'static [&'static str],
    pub(crate) certificate: Option<&'static str>,
}

/// Keys made once, and servers started when they are first asked for.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    servers: Mutex<HashMap<Shows, Arc<Sshd>>>,
}

/// Name, type: `a`, `r` and `e` are keys of hosts, `b` is another's, `ca`… are authorities.
const KEYS: [(&str, &str); 7] = [
    ("a", "ed25519"),
    ("b", "ed25519"),
    ("r", "rsa"),
    ("e", "ecdsa"),
    ("ca", "ed25519"),
    ("ca2", "ed25519"),
    ("rsaca", "rsa"),
];

/// Certificates: name, authority, what `ssh-keygen` is told. All are for key `a`.
const CERTIFICATES: [(&str, &str, &[&str]); 10] = [
    ("good", "ca", &["-h", "-n", "h.example,other.example"]),
    ("rsa-signed", "rsaca", &["-h", "-n", "h.example"]),
    ("sha1-signed", "rsaca", &["-h", "-n", "h.example", "-t", "ssh-rsa"]),
    ("wrong-principal", "ca", &["-h", "-n", "other.example"]),
    ("expired", "ca", &["-h", "-n", "h.example", "-V", "20200101:20200102"]),
    ("not-yet", "ca", &["-h", "-n", "h.example", "-V", "20900101:20900102"]),
    ("no-principals", "ca", &["-h"]),
    ("wild-principal", "ca", &["-h", "-n", "*.example"]),
    ("critical", "ca", &["-h", "-n", "h.example", "-O", "critical:x@example.com=1"]),
    ("users", "ca", &["-n", "h.example"]),
];

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let fixture = Self { folder, servers: Mutex::default() };
        for (name, kind) in KEYS {
            fixture.keygen(&["-N", "", "-C", "", "-t", kind, "-f", name]);
        }
        for (name, authority, arguments) in CERTIFICATES {
            fs::copy(fixture.path("a.pub"), fixture.path(&format!("{name}.pub"))).expect("copied");
            let public = format!("{name}.pub");
            fixture.keygen(&[&["-s", authority, "-I", name], arguments, &[&public]].concat());
        }
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A public key as known_hosts files have it.
    fn public(&self, name: &str) -> String {
        let text = fs::read_to_string(self.path(&format!("{name}.pub"))).expect("a public key");
        text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// A known_hosts text: `{a}` and its like are keys.
    pub(crate) fn text(&self, template: &str) -> String {
        let fill = |text: String, (name, _): &(&str, &str)| {
            text.replace(&format!("{{{name}}}"), &self.public(name))
        };
        KEYS.iter().fold(template.to_owned(), fill)
    }

    pub(crate) fn host_key(&self, name: &str) -> HostKey {
        let key = ssh_key::PublicKey::from_openssh(&self.public(name)).expect("a public key");
        HostKey::from_wire(&key.to_bytes().expect("bytes")).expect("a host key")
    }

    /// What the server presents to a client with these preferences.
    pub(crate) fn presented(&self, shows: Shows, algorithms: &[String]) -> Option<PresentedKey> {
        let blob = |algorithm: &str| -> Option<Vec<u8>> {
            if let Some(plain) = algorithm.strip_suffix("-cert-v01@openssh.com") {
                let file = self.path(&format!("{}-cert.pub", shows.certificate?));
                let read = ssh_key::Certificate::read_file(&file).expect("a certificate");
                return (read.algorithm().as_str() == plain)
                    .then(|| read.to_bytes().expect("bytes"));
            }
            let wanted = if algorithm.starts_with("rsa-") { "ssh-rsa" } else { algorithm };
            let keys = shows.keys.iter().map(|name| self.host_key(name));
            keys.into_iter().find(|key| key.algorithm() == wanted).map(|key| key.as_wire().to_vec())
        };
        let blob = algorithms.iter().find_map(|algorithm| blob(algorithm))?;
        Some(PresentedKey::from_wire(&blob).expect("a key"))
    }

    /// Logs in with OpenSSH's client; its standard error if it does not come that far.
    pub(crate) fn ssh(
        &self,
        shows: Shows,
        host: &str,
        port: u16,
        options: &[String],
    ) -> Result<(), String> {
        let (way, identity, user) =
            self.server(shows, |server| (way(server), server.identity(), server.user().to_owned()));
        let output = Command::new("timeout")
            .args(["30", "ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "CheckHostIP=no", "-o"])
            .args([
                "UpdateHostKeys=no",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "HashKnownHosts=no",
                "-o",
            ])
            .arg(format!("ProxyCommand={way}"))
            .args(options.iter().flat_map(|option| ["-o", option]))
            .arg("-i")
            .arg(identity)
            .args(["-p", &port.to_string(), "-l", &user, "--", host, "exit 0"])
            .output()
            .expect("ssh runs (Debian package openssh-client)");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// Logs in with a backend of ours as somebody, and runs a command.
    pub(crate) fn ours(
        &self,
        backend: &impl Subject,
        shows: Shows,
        target: &Target,
        host_keys: HostKeys,
    ) -> Result<(), SshError> {
        let (way, identity) = self.server(shows, |server| (way(server), server.identity()));
        let options = Options::new(target.clone())
            .auth(Auth::key_file(identity))
            .host_keys(host_keys)
            .route(Route::Command(ProxyCommand::parse(way)?));
        let session = backend.connect(&Options { connect_timeout: PATIENCE, ..options })?;
        session.exec(&ssh_session::Command::new("exit 0")).map(drop)
    }

    /// Whether a server heard of a user, up to now: it is asked once it has heard of another one.
    pub(crate) fn heard_of(&self, shows: Shows, user: &str) -> bool {
        let marker = format!("marker-for-{user}");
        let target = Target::new("h.example", 22, &marker).expect("a target");
        let anybody = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
        let error =
            self.ours(&conformance::Ssh2, shows, &target, anybody).expect_err("no such user");
        assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
        self.server(shows, |server| {
            let heard = |_: &ServerCounters| server.log().contains(&marker);
            server.wait_for(PATIENCE, heard).expect("the marker is heard of");
            server.log().lines().any(|line| line.contains(user) && !line.contains(&marker))
        })
    }

    /// Who may log in.
    pub(crate) fn user(&self, shows: Shows) -> String {
        self.server(shows, |server| server.user().to_owned())
    }

    fn server<T>(&self, shows: Shows, ask: impl FnOnce(&Sshd) -> T) -> T {
        let mut servers = self.servers.lock().expect("no panic before");
        let server = servers.entry(shows).or_insert_with(|| self.start(shows));
        let server = Arc::clone(server);
        drop(servers);
        ask(&server)
    }

    fn start(&self, shows: Shows) -> Arc<Sshd> {
        let mut builder = Sshd::builder().host_keys([]).max_startups("1000");
        for key in shows.keys {
            builder = builder.option(format!("HostKey {}", self.path(key).display()));
        }
        if let Some(name) = shows.certificate {
            let file = self.path(&format!("{name}-cert.pub"));
            builder = builder.option(format!("HostCertificate {}", file.display()));
        }
        Arc::new(builder.start().expect("sshd (Debian package openssh-server)"))
    }

    fn keygen(&self, arguments: &[&str]) {
        let made = Command::new("ssh-keygen")
            .arg("-q")
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .expect("ssh-keygen runs (Debian package openssh-client)");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

/// A command that leads to a server, so that it has any name and port we like. What is left running
/// when `ssh` ends must not keep its standard error open, which we read to its end.
fn way(server: &Sshd) -> String {
    let (ip, port) = (server.addr().ip(), server.port());
    format!("bash -c 'exec 2>/dev/null 3<>/dev/tcp/{ip}/{port}; cat <&3 & exec cat >&3'")
}

/// A known_hosts file, hashed if need be. Its last line ends, but for one with an `x` at its end.
pub(crate) fn write(path: &Path, content: &str, hashed: bool) {
    let end = if content.is_empty() || content.ends_with('x') { "" } else { "\n" };
    // A byte that is no text.
    let parts: Vec<&[u8]> = content.split("{ff}").map(str::as_bytes).collect();
    fs::write(path, [parts.join(&b"\xff"[..]), end.into()].concat()).expect("written");
    if hashed {
        let done =
            Command::new("ssh-keygen").arg("-qHf").arg(path).output().expect("ssh-keygen runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

/// One word for what became of a key.
pub(crate) fn word(verdict: &Result<ssh_session::Verdict, SshError>) -> &'static str {
    match verdict {
        Ok(ssh_session::Verdict::Trusted) => "trusted",
        Ok(ssh_session::Verdict::New(_)) => "new",
        Err(_) => "refused",
    }
}
