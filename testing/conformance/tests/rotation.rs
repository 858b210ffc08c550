//! Other keys that a known server says it has: recorded where it proves to have them, and where
//! OpenSSH would (`UpdateHostKeys`).

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use conformance::suite::Subject;
use conformance::{BlockingRussh, Russh, Ssh2};
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, KnownHosts, Options, Pin, Session as _, Target,
};
use tempfile::TempDir;
use test_servers::keys::{KeyKind, KeyPair};
use test_servers::scripted::{Kex, Packet, ScriptedServer, Wire};
use test_servers::sshd::Sshd;

const KINDS: [KeyKind; 2] = [KeyKind::Ed25519, KeyKind::EcdsaP256];

/// How long recording may take, which nobody waits for.
const PATIENCE: Duration = Duration::from_secs(10);

/// As long as something that must not happen is watched for.
const A_WHILE: Duration = Duration::from_millis(300);

/// What sshd logs where it is asked to prove that it has its keys.
const ASKED: &str = "hostkeys-prove-00@openssh.com";

struct Host {
    server: Sshd,
    folder: TempDir,
}

impl Host {
    /// A server with two keys, that logs what it is asked.
    fn start() -> Self {
        let builder = Sshd::builder().option("LogLevel DEBUG3").host_keys(KINDS);
        let server = builder.start().expect("sshd (Debian package openssh-server)");
        Self { server, folder: TempDir::new().expect("a folder") }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// One line that knows the server by its first key, or what is made of that.
    fn know_first(&self, change: impl FnOnce(String) -> String) {
        let line = format!("{} {}", self.name(), self.server.host_public_keys()[0]);
        fs::write(self.file(), change(line) + "\n").expect("written");
    }

    fn name(&self) -> String {
        format!("[{}]:{}", self.server.host(), self.server.port())
    }

    fn known(&self) -> String {
        fs::read_to_string(self.file()).unwrap_or_default()
    }

    fn options(&self, policy: HostKeyPolicy) -> Options {
        let (host, port) = (self.server.host(), self.server.port());
        let target = Target::new(host, port, self.server.user()).expect("a target");
        let mut host_keys = HostKeys::new(policy).files([self.file()]);
        host_keys.update = Some(true);
        Options::new(target).auth(Auth::key_file(self.server.identity())).host_keys(host_keys)
    }
}

/// The key in a line, without what stands behind it.
fn key(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

fn wait_for(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Opens a session, sees to it that the server's announcement was heard, and ends it.
fn talk(subject: &impl Subject, options: &Options) {
    let session = subject.connect(options).expect("let in");
    for _ in 0..2 {
        session.exec(&Command::new("true")).expect("run");
    }
    thread::sleep(A_WHILE);
}

fn a_key_that_is_announced_and_proven_is_recorded_and_believed(subject: &impl Subject) {
    let host = Host::start();
    let second = key(&host.server.host_public_keys()[1]);
    for (what, hashed) in [("by its name", false), ("by a hash", true)] {
        host.know_first(|line| line);
        let mut options = host.options(HostKeyPolicy::Strict);
        options.host_keys.hash_names = hashed;
        {
            let session = subject.connect(&options).expect("known by its first key");
            session.exec(&Command::new("true")).expect("run");
            wait_for(what, || host.known().contains(&second));
        }
        let known = host.known();
        assert_eq!(known.lines().count(), 2, "{known}");
        let line = known.lines().last().expect("a line");
        assert_eq!(line.starts_with("|1|"), hashed, "{known}");
        assert_eq!(line.starts_with(&host.name()), !hashed, "{known}");
        // The file without the first line knows the server by what was learned.
        fs::write(host.file(), format!("{line}\n")).expect("written");
        talk(subject, &options);
    }
    // A host that is met for the first time tells of its other keys as well.
    fs::remove_file(host.file()).expect("removed");
    talk(subject, &host.options(HostKeyPolicy::AcceptNew));
    wait_for("both of a new host", || host.known().lines().count() == 2);
    // Once all are known the server is not asked again.
    let asked = host.server.log().matches(ASKED).count();
    talk(subject, &host.options(HostKeyPolicy::Strict));
    assert_eq!(host.server.log().matches(ASKED).count(), asked);
    assert_eq!(host.known().lines().count(), 2);
}

/// Where OpenSSH does not, either.
fn nothing_is_recorded_where_that_is_not_wanted(subject: &impl Subject) {
    let host = Host::start();
    let none = |host: &Host, what: &str, options: &Options| {
        let before = host.known();
        talk(subject, options);
        assert_eq!(host.known(), before, "{what}");
        let log = host.server.log();
        assert!(!log.contains(ASKED), "{what}: it was asked: {log}");
    };
    host.know_first(|line| line);
    let mut off = host.options(HostKeyPolicy::Strict);
    off.host_keys.update = Some(false);
    none(&host, "it is off", &off);
    off.host_keys.update = None;
    none(&host, "the files are not the default ones", &off);
    let mut global = host.options(HostKeyPolicy::Strict);
    let own = host.folder.path().join("own");
    fs::write(&own, "").expect("written");
    global.host_keys.files = KnownHosts::user_and_system([&own], [&host.file()]);
    none(&host, "it is known by a file of the system", &global);
    assert_eq!(fs::read_to_string(&own).expect("readable"), "");
    let first: Pin = host.server.host_public_keys()[0].parse().expect("a pin");
    none(&host, "it is pinned", &host.options(HostKeyPolicy::pinned([first])));
    none(&host, "nobody cares", &host.options(HostKeyPolicy::DangerAcceptAny));
    let strict = host.options(HostKeyPolicy::Strict);
    for (what, hosts) in [
        ("a pattern", "[127.0.0.*]:*".to_owned()),
        ("several hosts", format!("{},other,another", host.name())),
    ] {
        host.know_first(|line| line.replace(&host.name(), &hosts));
        none(&host, what, &strict);
    }
    let authority = key(&KeyPair::ed25519().expect("a key").public_line().expect("a line"));
    host.know_first(|line| format!("{line}\n@cert-authority {} {authority}", host.name()));
    none(&host, "an authority", &strict);
    let second = key(&host.server.host_public_keys()[1]);
    host.know_first(|line| format!("{line}\n@revoked * {second}"));
    none(&host, "a revoked key", &strict);
    host.know_first(|line| line);
    let mut typed = host.options(HostKeyPolicy::Strict);
    typed.host_keys.algorithms =
        ssh_session::HostKeyAlgorithms::parse("ssh-ed25519").expect("a list");
    none(&host, "a type that is not asked for", &typed);
}

const GLOBAL_REQUEST: u8 = 80;
const REQUEST_SUCCESS: u8 = 81;
const REQUEST_FAILURE: u8 = 82;

/// How a server answers that is asked to prove that it has another key: with its own key's script,
/// and the other key.
type Answer = fn(&mut Wire, &Kex, &Kex) -> io::Result<()>;

/// What is to be signed for a key (OpenSSH's PROTOCOL, 2.5).
fn challenge(wire: &Wire, key: &Kex) -> Vec<u8> {
    Packet::default().string(ASKED).string(wire.session_id()).string(public(key)).0
}

fn public(key: &Kex) -> Vec<u8> {
    key.key.public_key().to_bytes().expect("a key")
}

fn prove(wire: &mut Wire, signature: &[u8]) -> io::Result<()> {
    wire.send(&Packet::new(REQUEST_SUCCESS).string(signature))
}

/// Announces another key beside its own, and answers by `answer` when it is asked to prove that it
/// has it.
fn announcer(own: Kex, other: Kex, answer: Answer) -> ScriptedServer {
    let server = ScriptedServer::start(move |wire| {
        wire.begin(&own)?;
        let announcement = Packet::new(GLOBAL_REQUEST).string("hostkeys-00@openssh.com").byte(0);
        wire.send(&announcement.string(public(&own)).string(public(&other)))?;
        let asked = wire.receive_ahead(GLOBAL_REQUEST)?;
        if !asked.windows(ASKED.len()).any(|name| name == ASKED.as_bytes()) {
            return Err(io::Error::other("asked something else"));
        }
        answer(wire, &own, &other)?;
        wire.serve()
    });
    server.expect("a server")
}

fn a_key_that_is_not_proven_is_not_recorded(subject: &impl Subject) {
    let answers: [(&str, bool, Answer); 8] = [
        ("the right signature", true, |wire, _, other| {
            let signature = other.sign(&challenge(wire, other))?;
            prove(wire, &signature)
        }),
        ("no", false, |wire, _, _| wire.send(&Packet::new(REQUEST_FAILURE))),
        ("a yes without a proof", false, |wire, _, _| wire.send(&Packet::new(REQUEST_SUCCESS))),
        ("an empty proof", false, |wire, _, _| prove(wire, b"")),
        ("a signature of zeros", false, |wire, _, _| {
            prove(wire, &Packet::default().string("ssh-ed25519").string([0; 64]).0)
        }),
        ("a signature by its own key", false, |wire, own, other| {
            let signature = own.sign(&challenge(wire, other))?;
            prove(wire, &signature)
        }),
        ("one for another session", false, |wire, _, other| {
            let signed = Packet::default().string(ASKED).string([7; 32]).string(public(other));
            let signature = other.sign(&signed.0)?;
            prove(wire, &signature)
        }),
        ("one for its own key", false, |wire, own, _| {
            let signature = own.sign(&challenge(wire, own))?;
            prove(wire, &signature)
        }),
    ];
    for (what, is_right, answer) in answers {
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("known_hosts");
        let (own, other) = (Kex::default(), Kex::default());
        let server = announcer(own.clone(), other, answer);
        let (host, port) = (server.addr().ip().to_string(), server.addr().port());
        let line = own.key.public_key().to_openssh().expect("a key");
        let line = format!("[{host}]:{port} {}\n", key(&line));
        fs::write(&file, &line).expect("written");
        let target = Target::new(host, port, "u").expect("a target");
        let mut host_keys = HostKeys::new(HostKeyPolicy::Strict).files([&file]);
        host_keys.update = Some(true);
        let options = Options::new(target).auth(Auth::password("p")).host_keys(host_keys);
        let session = subject.connect(&options).expect(what);
        let output = session.exec(&Command::new("x")).expect(what);
        assert_eq!(output.stdout_lossy(), "works\n", "{what}");
        let known = || fs::read_to_string(&file).expect("readable");
        if is_right {
            wait_for(what, || known().lines().count() == 2);
        } else {
            thread::sleep(A_WHILE);
            assert_eq!(known(), line, "{what}");
        }
        session.exec(&Command::new("x")).expect("the session goes on");
    }
}

mod russh {
    #[test]
    fn a_key_that_is_announced_and_proven_is_recorded_and_believed() {
        super::a_key_that_is_announced_and_proven_is_recorded_and_believed(&super::Russh);
    }

    #[test]
    fn nothing_is_recorded_where_that_is_not_wanted() {
        super::nothing_is_recorded_where_that_is_not_wanted(&super::Russh);
    }

    #[test]
    fn a_key_that_is_not_proven_is_not_recorded() {
        super::a_key_that_is_not_proven_is_not_recorded(&super::Russh);
    }
}

mod blocking_russh {
    #[test]
    fn a_key_that_is_announced_and_proven_is_recorded_and_believed() {
        super::a_key_that_is_announced_and_proven_is_recorded_and_believed(&super::BlockingRussh);
    }

    #[test]
    fn nothing_is_recorded_where_that_is_not_wanted() {
        super::nothing_is_recorded_where_that_is_not_wanted(&super::BlockingRussh);
    }

    #[test]
    fn a_key_that_is_not_proven_is_not_recorded() {
        super::a_key_that_is_not_proven_is_not_recorded(&super::BlockingRussh);
    }
}

/// libssh2 drops what a server announces: there is no call that tells of it, so nothing can be
/// learned, and nothing is asked.
#[test]
fn ssh2_hears_of_no_announcement_and_records_nothing() {
    let host = Host::start();
    host.know_first(|line| line);
    let before = host.known();
    talk(&Ssh2, &host.options(HostKeyPolicy::Strict));
    assert_eq!(host.known(), before);
    assert!(!host.server.log().contains(ASKED));
}
