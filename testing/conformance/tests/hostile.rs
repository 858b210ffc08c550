//! Texts of servers, agents, key files and callers that are made to harm whoever reads them: control
//! characters, escape sequences, a megabyte. They are bounded and escaped wherever they are shown,
//! and nothing panics or hangs.

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use common::{Capture, shown};
use conformance::suite::Subject;
use conformance::{BlockingRussh, Russh, Ssh2};
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Options, Prompt, Session as _, SshConfig, SshError,
    Target,
};
use test_servers::embedded::{EmbeddedServer, Round};
use test_servers::keys::KeyPair;

/// The longest that an error may be, in whatever way it is shown.
const LONGEST: usize = 4_096;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Control characters, escape sequences, characters that turn the text around, and much of it.
fn hostile(length: usize) -> String {
    let mut text = String::from("\x1b]0;title\x07\x1b[2J\r\n\u{9b}31m\u{202e}\0\x7f");
    text.push_str(&"A\x08\x1b[1A".repeat(length / 7 + 1));
    text.truncate(length);
    text
}

/// What a packet can carry, and more than that.
const LENGTHS: [usize; 2] = [20_000, 1 << 20];

/// Fails unless a text can be shown to anybody on a terminal.
fn fit(what: &str, text: &str, lines: bool) {
    let harmful =
        |c: char| (c.is_control() && !(lines && c == '\n')) || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!text.chars().any(harmful), "{what}: not escaped: {:?}", &cut(text));
    assert!(text.len() <= LONGEST, "{what}: {} bytes: {:?}", text.len(), &cut(text));
}

fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

fn check(what: &str, error: &SshError) {
    for text in shown(error) {
        // An alternate Debug has lines.
        fit(what, &text, true);
    }
    fit(what, &error.to_string(), false);
}

fn options(address: (String, u16), user: &str, auth: impl IntoIterator<Item = Auth>) -> Options {
    let target = Target::new(address.0, address.1, user).expect("a target");
    let mut options = auth.into_iter().fold(Options::new(target), Options::auth);
    options.host_keys = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
    options.connect_timeout = Duration::from_secs(10);
    options
}

fn at(server: &EmbeddedServer, auth: impl IntoIterator<Item = Auth>) -> Options {
    options((server.host(), server.port()), server.user(), auth)
}

/// Connects, runs a command, and checks what goes wrong.
fn play(what: &str, subject: &impl Subject, options: &Options) -> Result<(), SshError> {
    let what = format!("{what}, {}", subject.name());
    let start = Instant::now();
    let result = subject.connect(options).and_then(|session| {
        session.exec(&Command::new("true")).map(drop)?;
        session.ping(Duration::from_secs(5))
    });
    assert!(start.elapsed() < PATIENCE, "{what}: {:?}", start.elapsed());
    if let Err(error) = &result {
        println!("{what}: {}", cut(&error.to_string()));
        check(&what, error);
    }
    result
}

fn banners(subject: &impl Subject) {
    for length in LENGTHS {
        let server = EmbeddedServer::builder().banner(hostile(length)).start().expect("a server");
        let right = Auth::password(server.password());
        let inside = play("banner", subject, &at(&server, [right]));
        assert!(inside.is_ok() || length > 100_000, "a banner is no reason not to log in");
        play("banner", subject, &at(&server, [Auth::password("wrong")])).expect_err("refused");
    }
}

fn farewells(subject: &impl Subject) {
    for length in LENGTHS {
        let server = EmbeddedServer::builder().farewell(hostile(length)).start().expect("a server");
        let wrong = ["a", "b", "c"].map(Auth::password);
        play("farewell to a stranger", subject, &at(&server, wrong)).expect_err("refused");
        let right = Auth::password(server.password());
        play("farewell", subject, &at(&server, [right])).expect_err("it hangs up");
    }
}

fn prompts(subject: &impl Subject) {
    for length in LENGTHS {
        let rounds = [Round::new(hostile(length)).ask(hostile(length), "x")];
        let server =
            EmbeddedServer::builder().no_password().rounds(rounds).start().expect("a server");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&seen);
        let asked = Auth::keyboard_interactive(move |prompt: &Prompt| {
            own.lock().expect("no panic before").push(prompt.clone());
            Some(vec!["y".into(); prompt.questions.len()])
        });
        play("prompt", subject, &at(&server, [asked])).expect_err("refused");
        // A password does not answer two questions, and says which there are.
        play("prompt for a password", subject, &at(&server, [Auth::password("x")])).ok();
        let seen = seen.lock().expect("no panic before");
        assert!(!seen.is_empty() || length > 100_000, "{}: the prompt is seen", subject.name());
        for prompt in seen.iter() {
            fit("instructions", &prompt.instructions, false);
            prompt.questions.iter().for_each(|question| fit("question", &question.text, false));
        }
    }
}

/// An agent with one key, whose comment is this; it signs nothing.
fn agent(folder: &Path, comment: &str) -> PathBuf {
    let socket = folder.join(format!("agent-{}", comment.len()));
    let key = KeyPair::ed25519().expect("a key");
    let blob = key.private_key().public_key().to_bytes().expect("a blob");
    let string = |bytes: &[u8]| {
        [&u32::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
    };
    let identities = [&[12, 0, 0, 0, 1][..], &string(&blob), &string(comment.as_bytes())].concat();
    let (identities, failure) = (string(&identities), string(&[5]));
    let listener = UnixListener::bind(&socket).expect("a socket");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut length = [0; 4];
            while stream.read_exact(&mut length).is_ok() {
                let mut request = vec![0; u32::from_be_bytes(length) as usize];
                let read = stream.read_exact(&mut request);
                let answer = if request.first() == Some(&11) { &identities } else { &failure };
                if read.is_err() || stream.write_all(answer).is_err() {
                    break;
                }
            }
        }
    });
    socket
}

fn comments(subject: &impl Subject) {
    let folder = tempfile::tempdir().expect("a folder");
    let server = EmbeddedServer::start().expect("a server");
    for length in LENGTHS {
        let socket = Some(agent(folder.path(), &hostile(length)));
        let agent = Auth::AgentWith { socket, only: Vec::new() };
        play("agent's comment", subject, &at(&server, [agent])).expect_err("refused");

        let mut key = KeyPair::ed25519().expect("a key").private_key().clone();
        key.set_comment(hostile(length));
        let text = key.to_openssh(ssh_key::LineEnding::LF).expect("a key's text").to_string();
        let file = folder.path().join(format!("key-{length}"));
        fs::write(&file, &text).expect("written");
        play("key file's comment", subject, &at(&server, [Auth::key_file(&file)])).expect_err("no");
        play("key's comment", subject, &at(&server, [Auth::key_data(text)])).expect_err("no");
        let nonsense = Auth::key_data(hostile(length));
        play("no key at all", subject, &at(&server, [nonsense])).expect_err("no");
    }
}

/// What is no SSH server, or calls itself something.
fn greetings(subject: &impl Subject) {
    for length in LENGTHS {
        let text = hostile(length);
        for greeting in [text.clone(), format!("SSH-2.0-{text}\r\n"), format!("SSH-1.5-{text}\r\n")]
        {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = listener.local_addr().expect("bound").port();
            thread::spawn(move || {
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.write_all(greeting.as_bytes());
                }
            });
            let options = options(("127.0.0.1".into(), port), "u", [Auth::password("x")]);
            play("greeting", subject, &options).expect_err("no server");
        }
    }
}

fn hosts(subject: &impl Subject) {
    let names =
        [hostile(20), hostile(255), hostile(1 << 20), "h".repeat(1 << 20), "\u{202e}h".into()];
    for name in names {
        check("host", &Target::new(&*name, 22, "u").expect_err("no host"));
        check("user", &Target::new("h", 22, &*name).expect_err("no user"));
        for line in
            ["HostName", "User", "ProxyJump", "ProxyCommand", "IdentityFile", "UserKnownHostsFile"]
        {
            let text = format!("{line} {name}\n");
            let config = SshConfig::parse(text.as_bytes(), "/c");
            match config.and_then(|config| Options::from_ssh_config("h", &config)) {
                Err(error) => check(line, &error),
                Ok(options) => fit(line, &format!("{:?}", options.target), false),
            }
        }
    }
    // The strangest name that is one.
    let strange = format!("{}.invalid", "ü'\"$%".repeat(20));
    let options = options((strange, 22), "\"$(x)'", [Auth::password("x")]);
    play("strange host", subject, &options).expect_err("no such host");
}

fn all(subject: &impl Subject) {
    let capture = Capture::start();
    banners(subject);
    farewells(subject);
    prompts(subject);
    comments(subject);
    greetings(subject);
    hosts(subject);
    let heard = capture.take();
    // What the library logs is its own; the embedded server is one of russh, too.
    let ours = ["ssh_session", "backend_", "pool_core", "hussh"];
    let ours = heard.iter().filter(|entry| ours.iter().any(|name| entry.by.starts_with(name)));
    let mut count = 0;
    for entry in ours {
        count += 1;
        fit(&format!("log of {}", entry.by), &entry.text, false);
    }
    assert!(count > 0, "logs are heard");
    assert!(heard.iter().all(|entry| entry.by != "panic"), "nothing panics");
}

// One in a process: they listen to all of it.
#[test]
fn ssh2_shows_hostile_texts_bounded_and_escaped() {
    alone("ssh2_shows_hostile_texts_bounded_and_escaped", || all(&Ssh2));
}

#[test]
fn russh_shows_hostile_texts_bounded_and_escaped() {
    alone("russh_shows_hostile_texts_bounded_and_escaped", || all(&Russh));
}

#[test]
fn blocking_russh_shows_hostile_texts_bounded_and_escaped() {
    alone("blocking_russh_shows_hostile_texts_bounded_and_escaped", || all(&BlockingRussh));
}

/// Runs a test in a process of its own, which is this program told to run that test.
fn alone(name: &str, test: impl FnOnce()) {
    const INSIDE: &str = "HUSSH_TEST_ALONE";
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let mut again = std::process::Command::new(std::env::current_exe().expect("this test"));
    let output = again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output();
    let output = output.expect("it runs again");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    println!("{said}");
    assert!(output.status.success() && said.contains("1 passed"), "see above");
}
