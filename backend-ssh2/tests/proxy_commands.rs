//! Sessions over the standard input and output of a command.

mod common;

use std::time::{Duration, Instant};

use backend_ssh2::{Ssh2Backend, Ssh2Session};
use common::{connect, sshd_options, target, within};
use pool_core::Backend as _;
use ssh_session::{Command, Kind, Options, ProxyCommand, Route, Session as _, SshError};
use test_servers::sshd::Sshd;

/// Bash connects to where `%h` and `%p` say.
const CONNECT: &str = "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&0 >&3 & cat <&3; kill $!'";

fn over(options: Options, template: &str) -> Options {
    options.route(Route::Command(ProxyCommand::parse(template).expect("a template")))
}

fn refusal(options: &Options) -> SshError {
    let error = Ssh2Session::connect(options).expect_err("refused");
    println!("{error}");
    error
}

#[test]
fn a_proxy_command_leads_to_the_target_and_to_the_first_jump_host() {
    let (bastion, server) = (Sshd::start().expect("sshd"), Sshd::start().expect("sshd"));
    let direct = over(sshd_options(&server), CONNECT);
    let hop = over(sshd_options(&bastion), CONNECT);
    for options in [direct, sshd_options(&server).route(Route::Jump(vec![hop]))] {
        let session = connect(&options);
        let output = session.exec(&Command::new("cat").stdin("through")).expect("output");
        assert_eq!(output.stdout_lossy(), "through");
        session.ping(Duration::from_secs(10)).expect("alive");
    }
    assert_eq!(bastion.authentications(), 1);
}

#[test]
fn what_the_command_says_of_its_failure_is_told() {
    let server = Sshd::start().expect("sshd");
    for template in ["sh -c 'echo no way >&2; exit 3' --token=geheim", "/no/such/program geheim"] {
        let error = refusal(&over(sshd_options(&server), template));
        assert_eq!(error.kind(), Kind::Connect, "{error}");
        let text = error.to_string();
        assert!(text.contains("no way") || text.contains("/no/such/program"), "{text}");
        assert!(!text.contains("geheim"), "{text}");
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_host_that_a_shell_would_obey_starts_no_command() {
    let server = Sshd::start().expect("sshd");
    let made = server.dir().join("made");
    let mut options = over(sshd_options(&server), &format!("touch {} %h", made.display()));
    options.target = target("a;b", 22, "u");
    assert_eq!(refusal(&options).kind(), Kind::InvalidInput);
    assert!(!made.exists());
}

#[test]
fn a_command_that_says_nothing_ends_at_the_deadline_and_with_it() {
    let server = Sshd::start().expect("sshd");
    let mut options = over(sshd_options(&server), "sleep 600");
    options.connect_timeout = Duration::from_millis(500);
    let start = Instant::now();
    assert_eq!(refusal(&options).kind(), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_session_ends_at_once_when_its_command_dies() {
    let server = Sshd::start().expect("sshd");
    let number = server.dir().join("number");
    let template =
        format!("bash -c 'echo $$ >{}; {}", number.display(), &CONNECT["bash -c '".len()..]);
    let session = connect(&over(sshd_options(&server), &template));
    let group = std::fs::read_to_string(number).expect("its number");
    let running = std::thread::spawn(move || session.exec(&Command::new("sleep 600")));
    server
        .wait_for(Duration::from_secs(20), |truth| truth.sessions == 1)
        .expect("the command runs");
    let killed = std::process::Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", group.trim())])
        .status();
    assert!(killed.expect("kill").success());
    let ended = within(Duration::from_secs(20), "the command", move || running.join());
    let error = ended.expect("no panic").expect_err("no status came");
    assert_eq!(error.kind(), Kind::ConnectionLost, "{error}");
}

#[test]
fn a_pools_sessions_over_a_command_are_checked_as_any_other() {
    let server = Sshd::start().expect("sshd");
    let backend = Ssh2Backend::new(over(sshd_options(&server), CONNECT)).expect("valid");
    let mut session = backend.connect().expect("a session");
    backend.check(&mut session).expect("it answers");
    server.kill_sessions().expect("killed");
    within(Duration::from_secs(20), "the end", move || {
        while !backend.is_broken(&mut session) {
            std::thread::sleep(Duration::from_millis(5));
        }
    });
}
