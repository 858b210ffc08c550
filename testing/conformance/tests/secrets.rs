//! No secret is shown anywhere: not in an error, a `Debug`, a log at the lowest level, or a panic.

mod common;

use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::time::Duration;

use backend_russh::RusshBackend;
use backend_russh::blocking::BlockingBackend;
use backend_ssh2::Ssh2Backend;
use base64ct::{Base64, Base64Unpadded, Encoding as _};
use common::{Capture, Entry, shown};
use conformance::suite::{Subject, runtime};
use conformance::{BlockingRussh, Russh, Ssh2};
use pool_core::{AsyncPool, Config, Pool};
use ssh_session::shell::{Pattern, ReadUntil, Shell, ShellOptions};
use ssh_session::{
    Auth, Command, HostKeyPolicy, HostKeys, Kind, Options, ProxyCommand, Route, SecretString,
    Session as _, Target,
};
use test_servers::keys::{KeyPair, random_secret};
use test_servers::sshd::{PasswordUser, Sshd};

/// The secrets of a run, each in the ways in which it might be written.
#[derive(Default)]
struct Secrets(Vec<(&'static str, Vec<String>)>);

impl Secrets {
    fn add(&mut self, what: &'static str, bytes: &[u8]) {
        let decimal: Vec<_> = bytes.iter().map(u8::to_string).collect();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let spaced: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut forms = vec![
            Base64::encode_string(bytes),
            Base64Unpadded::encode_string(bytes),
            hex.to_uppercase(),
            hex,
            spaced.join(" "),
            spaced.join(":"),
            decimal.join(", "),
        ];
        // Inside something larger it is encoded from another place on.
        for shift in 1..3 {
            let shifted = Base64Unpadded::encode_string(&[&[0; 2][..shift], bytes].concat());
            forms.push(shifted[4..shifted.len() - 2].to_owned());
        }
        forms.extend(std::str::from_utf8(bytes).map(str::to_owned));
        self.0.push((what, forms));
    }

    /// A new one that is a text.
    fn make(&mut self, what: &'static str) -> String {
        let secret = random_secret();
        self.add(what, secret.as_bytes());
        secret
    }

    /// What a private key has that its public half has not.
    fn add_key(&mut self, what: &'static str, key: &KeyPair) {
        let keypair = key.private_key().key_data().ed25519().expect("an ed25519 key");
        self.add(what, keypair.private.as_ref());
        let text = key.private_pem().expect("the key's text");
        let lines: Vec<_> = text.lines().rev().skip(1).take(2).map(str::to_owned).collect();
        self.0.push((what, lines));
    }

    fn found_in<'a>(&'a self, text: &str) -> Option<&'a str> {
        self.0.iter().find(|(_, forms)| forms.iter().any(|form| text.contains(form))).map(|it| it.0)
    }
}

/// One login: what it is about, how, and whether it gets in.
struct Case {
    what: &'static str,
    auth: Vec<Auth>,
    route: Route,
    opens: bool,
}

fn case(what: &'static str, auth: Auth, opens: bool) -> Case {
    Case { what, auth: vec![auth], route: Route::Direct, opens }
}

/// Notes all that can be seen of something.
fn note(capture: &Capture, what: &str, it: &dyn Debug) {
    capture.add(what, format!("{it:?}"));
    capture.add(what, format!("{it:#?}"));
}

/// Logs in, with a session and from a pool, and looks at everything that there is then.
fn play<S: Subject>(
    capture: &Capture,
    subject: &S,
    pool: impl Fn(Options, Duration) -> Result<(), String>,
    options: &Options,
    case: &Case,
) where
    S::Session: Debug,
{
    let what = format!("{} with {}", case.what, subject.name());
    note(capture, &what, options);
    match subject.connect(options) {
        Ok(session) => {
            assert!(case.opens, "{what} gets in");
            note(capture, &what, &session);
            session.exec(&Command::new("true")).expect("output");
        }
        Err(error) => {
            assert!(!case.opens, "{what}: {error}");
            let hardly = [Kind::Timeout, Kind::Handshake, Kind::HostKey, Kind::Resolve];
            assert!(!hardly.contains(&error.kind()), "{what}: {error}");
            shown(&error).into_iter().for_each(|text| capture.add(&what, text));
        }
    }
    // What may get better is tried again until then.
    let patience = Duration::from_secs(if case.opens { 20 } else { 1 });
    let result = pool(options.clone(), patience);
    assert_eq!(result.is_ok(), case.opens, "{what}, from a pool: {result:?}");
    capture.add(&what, result.err().unwrap_or_default());
}

/// Types a secret into a shell, and reads it back.
fn type_into<S: Subject>(capture: &Capture, subject: &S, options: &Options, secret: &str) {
    let what = format!("a shell of {}", subject.name());
    let session = subject.connect(options).expect("connected");
    let shell = ShellOptions::new().pty(None);
    note(capture, &what, &shell);
    let process = session.spawn(&shell.command()).expect("a shell");
    let mut shell = Shell::new(process, &shell);
    shell.send(format!("echo {secret}\n").as_bytes()).expect("sent");
    let end = Pattern::literal("\n").expect("a pattern");
    let found = shell.read_until(&end, Duration::from_secs(20)).expect("read");
    let ReadUntil::Match(said) = &found else { panic!("{found:?}") };
    assert_eq!(said.before_text(), secret);
    note(capture, &what, &found);
    shell.send(format!("echo {secret}; exit\n").as_bytes()).expect("sent");
    let late = Pattern::literal("nothing of it").expect("a pattern");
    let ended = shell.read_until(&late, Duration::from_secs(20)).expect("read");
    assert_eq!((ended, shell.buffered().len()), (ReadUntil::Ended, secret.len() + 1));
    note(capture, &what, &shell);
}

fn from_pool<B>(capture: &Capture, backend: B, patience: Duration) -> Result<(), String>
where
    B: pool_core::Backend<Error = ssh_session::SshError> + Debug,
{
    note(capture, "backend", &backend);
    let config = Config::builder().max_size(2).acquire_timeout(Some(patience));
    let config = config.build().expect("a sensible pool");
    let pool = Pool::new(backend, config);
    note(capture, "pool", &pool);
    pool.get().map(drop).map_err(|error| shown(&error).join("\n"))
}

fn from_async_pool(
    capture: &Capture,
    backend: RusshBackend,
    patience: Duration,
) -> Result<(), String> {
    note(capture, "backend", &backend);
    let config = Config::builder().max_size(2).acquire_timeout(Some(patience));
    let config = config.build().expect("a sensible pool");
    let got = runtime().block_on(async {
        let pool = AsyncPool::new(backend, config);
        note(capture, "pool", &pool);
        pool.get().await.map(drop)
    });
    got.map_err(|error| shown(&error).join("\n"))
}

fn cases(secrets: &mut Secrets, server: &Sshd, user: &PasswordUser, folder: &Path) -> Vec<Case> {
    secrets.add("password", user.password().as_bytes());
    let password = user.password().to_owned();
    let answering = |answer: &str| {
        let answer = SecretString::from(answer.to_owned());
        Auth::keyboard_interactive(move |prompt| Some(vec![answer.clone(); prompt.questions.len()]))
    };
    let asking = |answer: &str| {
        let answer = SecretString::from(answer.to_owned());
        Auth::ask_password(move |_: &Target| Some(answer.clone()))
    };
    let (known, unknown) = (KeyPair::ed25519().expect("a key"), KeyPair::ed25519().expect("a key"));
    server.authorize(&known.public_line().expect("a line")).expect("authorised");
    secrets.add_key("private key", &known);
    secrets.add_key("unknown private key", &unknown);
    let text = |key: &KeyPair| key.private_pem().expect("the key's text");
    let (passphrase, wrong) = (secrets.make("passphrase"), secrets.make("wrong passphrase"));
    let file = folder.join("key");
    known.write_encrypted(&file, &passphrase).expect("written");
    let encrypted = fs::read_to_string(&file).expect("the key's text");
    let data = |key: &str, passphrase: &str| Auth::KeyData {
        key: key.to_owned().into(),
        passphrase: Some(passphrase.to_owned().into()),
    };
    let broken = text(&known).replacen('A', "*", 3);
    let wrong_password = secrets.make("wrong password");
    let wrong_answer = secrets.make("wrong answer");
    let token = secrets.make("proxy's token");
    let (ip, port) = (server.addr().ip(), server.port());
    let way =
        |command: String| Route::Command(ProxyCommand::parse(command).expect("a proxy command"));
    let tcp = format!("exec 3<>/dev/tcp/{ip}/{port}; cat <&3 & exec cat >&3");
    let leading = way(format!("bash -c '{tcp}' {token}"));
    let failing = way(format!("bash -c 'exit 3' {token}"));
    // The shell says what it cannot find.
    let confused = way(format!("TOKEN={token} bash -c 'exit 3'"));
    let through = |what, route, opens| Case {
        what,
        auth: vec![Auth::password(password.clone()), Auth::key_data(text(&known))],
        route,
        opens,
    };
    vec![
        case("a password", Auth::password(password.clone()), true),
        case("a wrong password", Auth::password(wrong_password.clone()), false),
        case("an asked password", asking(&password), true),
        case("a wrong asked password", asking(&wrong_password), false),
        case("answers", answering(&password), true),
        case("wrong answers", answering(&wrong_answer), false),
        case("a passphrase", Auth::encrypted_key_file(&file, &*passphrase), true),
        case("a wrong passphrase", Auth::encrypted_key_file(&file, &*wrong), false),
        case("key data", Auth::key_data(text(&known)), true),
        case("unknown key data", Auth::key_data(text(&unknown)), false),
        case("broken key data", Auth::key_data(broken), false),
        case("encrypted key data", data(&encrypted, &passphrase), true),
        case("encrypted key data, wrong passphrase", data(&encrypted, &wrong), false),
        through("a proxy command", leading, true),
        through("a proxy command that fails", failing, false),
        through("a proxy command that is none", confused, false),
    ]
}

#[test]
fn no_secret_is_shown_by_errors_debug_logs_or_panics() {
    let capture = Capture::start();
    // No server in this process, which would write down what it is sent.
    let folder = tempfile::tempdir().expect("a folder");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let taking = Sshd::start().expect("sshd");
    let asking = Sshd::builder().pam().start().expect("sshd");
    let mut secrets = Secrets::default();
    for case in cases(&mut secrets, &taking, &user, folder.path()) {
        let asked = matches!(case.auth[..], [Auth::KeyboardInteractive(_)]);
        let server = if asked { &asking } else { &taking };
        let target = Target::new(server.host(), server.port(), user.name()).expect("a target");
        let mut options = Options::new(target).route(case.route.clone());
        options.auth.clone_from(&case.auth);
        options.host_keys = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
        let ssh2 = |options, patience| {
            from_pool(&capture, Ssh2Backend::new(options).expect("valid"), patience)
        };
        play(&capture, &Ssh2, ssh2, &options, &case);
        let russh = |options, patience| {
            from_async_pool(&capture, RusshBackend::new(options).expect("valid"), patience)
        };
        play(&capture, &Russh, russh, &options, &case);
        let blocking = |options, patience| {
            from_pool(&capture, BlockingBackend::new(options).expect("valid"), patience)
        };
        play(&capture, &BlockingRussh, blocking, &options, &case);
    }
    let typed = secrets.make("what is typed");
    let target = Target::new(taking.host(), taking.port(), user.name()).expect("a target");
    let mut options = Options::new(target).auth(Auth::key_file(taking.identity()));
    options.host_keys = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
    type_into(&capture, &Ssh2, &options, &typed);
    type_into(&capture, &Russh, &options, &typed);
    type_into(&capture, &BlockingRussh, &options, &typed);
    facade(&capture, &mut secrets);
    let heard = capture.take();
    let by = |part: &str| heard.iter().filter(|entry| entry.by.contains(part)).count();
    println!("{} entries, {} of russh, {} of ours", heard.len(), by("russh"), by("ssh_session"));
    assert!(by("russh") > 100 && by("ssh_session") > 10, "logs are heard");
    let shown: Vec<_> = heard
        .iter()
        .filter_map(|entry| secrets.found_in(&entry.text).map(|what| (what, &entry.by, cut(entry))))
        .collect();
    assert!(shown.is_empty(), "{} times, as {:#?}", shown.len(), &shown[..shown.len().min(20)]);
}

/// What users hold in their hands.
fn facade(capture: &Capture, secrets: &mut Secrets) {
    let (password, passphrase) = (secrets.make("password"), secrets.make("passphrase"));
    let key = KeyPair::ed25519().expect("a key");
    secrets.add_key("private key", &key);
    let text = key.private_pem().expect("the key's text");
    macro_rules! all {
        ($($builder:expr),*) => {
            $(note(
                capture,
                "builder",
                &$builder
                    .password(&*password)
                    .private_key("/k", Some(&passphrase))
                    .private_key_data(&*text, Some(&passphrase)),
            );)*
        };
    }
    all!(
        hussh::Connection::builder("h", "u"),
        hussh::ConnectionPool::builder("h", "u"),
        hussh::blocking::Connection::builder("h", "u"),
        hussh::blocking::ConnectionPool::builder("h", "u"),
        hussh::AsyncConnection::builder("h", "u"),
        hussh::AsyncConnectionPool::builder("h", "u")
    );
}

fn cut(entry: &Entry) -> String {
    entry.text.chars().take(300).collect()
}

#[test]
fn the_search_finds_a_secret_in_whatever_way_it_is_written() {
    let mut secrets = Secrets::default();
    let secret = secrets.make("it");
    let bytes = secret.as_bytes();
    let packet = [&b"?"[..], bytes, b"!"].concat();
    for text in [
        format!("password={secret}"),
        format!("{bytes:?}"),
        format!("{packet:?}"),
        format!("{bytes:02x?}").replace(", ", " "),
        Base64::encode_string(bytes),
        Base64::encode_string(&packet),
        Base64::encode_string(&[&b"??"[..], bytes].concat()),
    ] {
        assert_eq!(secrets.found_in(&text), Some("it"), "{text}");
    }
    assert_eq!(secrets.found_in("nothing"), None);
}
