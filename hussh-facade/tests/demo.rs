//! The README's first command, run as a user runs it.
//!
//! `cargo xtask test`, `cargo test` and `cargo nextest run` build the example first. Where targets
//! are named, as in `--test demo`, it is for the caller to build it, and the tests say so.

#[path = "common/example.rs"]
mod example;

use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use example::example;
use serde_json::Value;
use test_servers::embedded::EmbeddedServer;

/// The demo with the environment of somebody without any set-up.
struct Demo {
    command: Command,
    home: tempfile::TempDir,
}

impl Demo {
    fn new(arguments: &[&str]) -> Self {
        let home = tempfile::tempdir().expect("a home");
        let mut command = Command::new(example("handshake_savings"));
        command
            .args(arguments)
            .env("HOME", home.path())
            .env_remove("HUSSH_PASSWORD")
            .env_remove("HUSSH_PASSPHRASE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self { command, home }
    }

    fn to(server: &EmbeddedServer, arguments: &[&str]) -> Self {
        let host = format!("{}@{}:{}", server.user(), server.host(), server.port());
        let mut demo = Self::new(&["--host", &host, "--commands", "6", "--connections", "2"]);
        demo.command.args(arguments).env("HUSSH_PASSWORD", server.password());
        demo
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    fn run(mut self) -> Output {
        self.command.output().expect("the demo starts")
    }

    /// Runs it and expects this exit code, one line of complaint, and nothing else.
    fn complaint(self, code: i32) -> String {
        let output = self.run();
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        let lines: Vec<_> = text.lines().filter(|line| !is_progress(line)).collect();
        assert_eq!(lines.len(), 1, "{text}");
        let sentence = lines[0].strip_prefix("handshake_savings: ").expect("says who complains");
        sentence.to_owned()
    }
}

fn is_progress(line: &str) -> bool {
    line.starts_with("fresh: ") || line.starts_with("pooled: ")
}

fn json(output: &Output) -> Value {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    assert!(complaint.lines().all(is_progress), "{complaint}");
    serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn check(report: &Value, server: &str, commands: u64, connections: u64) {
    assert_eq!(keys(report), ["backend", "fresh", "pooled", "saved_factor", "server"]);
    assert_eq!((&report["server"], &report["backend"]), (&server.into(), &"ssh2".into()));
    for half in [&report["fresh"], &report["pooled"]] {
        assert_eq!(keys(half), ["commands", "handshakes", "p50_ms", "p99_ms", "wall_s"]);
        assert_eq!(half["commands"], commands);
        let figure = |name: &str| half[name].as_f64().expect(name);
        assert!(0.0 < figure("p50_ms") && figure("p50_ms") <= figure("p99_ms"), "{half}");
        assert!(figure("wall_s") > 0.0, "{half}");
    }
    assert_eq!(report["fresh"]["handshakes"], commands);
    let pooled = report["pooled"]["handshakes"].as_u64().expect("a count");
    assert!((1..=connections).contains(&pooled), "{report}");
    assert!(report["saved_factor"].as_f64().expect("a factor") > 0.0, "{report}");
}

#[test]
fn the_embedded_server_counts_a_handshake_per_command_and_then_one_per_connection() {
    let demo = Demo::new(&["--json", "--commands", "40", "--connections", "4"]);
    check(&json(&demo.run()), "embedded", 40, 4);
}

#[test]
fn a_server_far_away_is_counted_through_the_proxy_before_it() {
    let demo =
        Demo::new(&["--json", "--round-trip", "40", "--commands", "8", "--connections", "2"]);
    let report = json(&demo.run());
    check(&report, "embedded 40 ms away", 8, 2);
    let half = |name: &str| report[name]["p50_ms"].as_f64().expect("a figure");
    assert!(half("pooled") > 40.0 && half("fresh") > 3.0 * 40.0, "{report}");
}

#[test]
fn a_real_sshd_counts_the_same() {
    let demo = Demo::new(&["--sshd", "--json", "--commands", "40", "--connections", "4"]);
    check(&json(&demo.run()), "sshd", 40, 4);
}

#[test]
fn more_threads_than_connections_and_than_max_startups_are_fine() {
    let arguments = "--sshd --json --commands 30 --connections 2 --threads 15";
    let arguments: Vec<_> = arguments.split(' ').collect();
    check(&json(&Demo::new(&arguments).run()), "sshd", 30, 2);
}

#[test]
fn without_a_terminal_progress_is_plain_lines_and_the_table_ends_it() {
    let arguments = ["--commands", "8", "--connections", "2", "--command", "echo hello"];
    let mut demo = Demo::new(&arguments);
    let output = demo.command.output().expect("the demo starts");
    assert!(output.status.success());
    let progress = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(progress.contains("fresh: 4 of 8 commands\n"), "{progress}");
    assert!(!progress.contains(['\x1b', '\r']), "{progress}");
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    for text in ["8 × \"echo hello\" on embedded", "a pool of 2", "by the server", "Saved: "] {
        assert!(table.contains(text), "{text} in {table}");
    }
    assert!(!demo.home.path().join(".ssh").exists(), "the user's known_hosts is left alone");
}

#[test]
fn a_server_of_ones_own_is_counted_on_our_side_and_recorded() {
    let server = EmbeddedServer::start().expect("embedded server");
    let mut demo = Demo::to(&server, &["--json"]);
    let output = demo.command.output().expect("the demo starts");
    let name = format!("{}@{}:{}", server.user(), server.host(), server.port());
    check(&json(&output), &name, 6, 2);
    let known = fs::read_to_string(demo.home.path().join(".ssh/known_hosts")).expect("recorded");
    assert_eq!(known.trim(), server.known_hosts_line());
    let table = Demo::to(&server, &[]).run();
    assert!(String::from_utf8_lossy(&table.stdout).contains("on our side"));
}

#[test]
fn a_key_opens_a_server_of_ones_own_if_its_passphrase_is_right() {
    let server = EmbeddedServer::start().expect("embedded server");
    let plain = server.identity();
    let plain = plain.to_str().expect("UTF-8");
    let encrypted = server.encrypted_identity();
    let encrypted = encrypted.to_str().expect("UTF-8");
    let with = |key| Demo::to(&server, &["--json", "--identity", key]);
    json(&with(plain).run());
    json(&with(encrypted).env("HUSSH_PASSPHRASE", server.passphrase()).run());
    let text = with(encrypted).complaint(1);
    assert!(text.contains("give its passphrase in HUSSH_PASSPHRASE"), "{text}");
    let text = with(encrypted).env("HUSSH_PASSPHRASE", "nonsense").complaint(1);
    assert!(text.contains("another passphrase") && !text.contains("nonsense"), "{text}");
    let text = with("/nonexistent").complaint(1);
    assert!(text.contains("/nonexistent does not exist"), "{text}");
}

#[test]
fn nonsense_is_refused_in_one_sentence() {
    for (arguments, what) in [
        ("--bogus", "--bogus"),
        ("--commands 0", "--commands"),
        ("--commands many", "--commands"),
        ("--connections 0", "--connections"),
        ("--threads 0", "--threads"),
        ("--host nobody", "user@host"),
        ("--host u@h:99999", "65535"),
        ("--host u@h:0", "port"),
        ("--host @h", "username"),
        ("--host u@", "host"),
        ("--host u@-oProxyCommand=x", "host"),
        ("--sshd --host u@h", "--sshd"),
        ("--round-trip 9999", "--round-trip"),
        ("--round-trip 9 --host u@h", "--round-trip"),
        ("--identity key", "--host"),
        ("--known-hosts file", "--host"),
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let text = Demo::new(&arguments).complaint(2);
        assert!(text.contains(what) && text.ends_with("see --help"), "{arguments:?}: {text}");
    }
    let help = Demo::new(&["--help"]).run();
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--sshd"));
}

#[test]
fn a_closed_port_is_named() {
    // Port 1 of loopback: nothing that runs here listens on it.
    for host in ["u@127.0.0.1:1", "u@localhost:1"] {
        let text = Demo::new(&["--host", host]).env("HUSSH_PASSWORD", "secret").complaint(1);
        let start = format!("{host}: cannot connect to port 1: Connection refused");
        assert!(text.starts_with(&start), "{text}");
    }
}

#[test]
fn a_wrong_password_is_said_and_tried_once() {
    let server = EmbeddedServer::start().expect("embedded server");
    let text = Demo::to(&server, &[]).env("HUSSH_PASSWORD", "wrong-secret").complaint(1);
    assert!(text.contains("authentication failed") && !text.contains("wrong-secret"), "{text}");
    assert_eq!(server.failed_authentications(), 1);
    let text = Demo::to(&server, &[]).env("HUSSH_PASSWORD", "").complaint(1);
    assert!(text.contains("set HUSSH_PASSWORD"), "{text}");
}

#[test]
fn a_changed_host_key_is_refused_before_the_password_is_sent() {
    let mut server = EmbeddedServer::start().expect("embedded server");
    let file = server.dir().join("known_hosts_of_test");
    let file = file.to_str().expect("UTF-8").to_owned();
    json(&Demo::to(&server, &["--json", "--known-hosts", &file]).run());
    let handshakes = server.handshakes();
    server.change_host_key().expect("changed");
    let text = Demo::to(&server, &["--known-hosts", &file]).complaint(1);
    assert!(text.contains("HOST KEY CHANGED") && text.contains(&file), "{text}");
    assert_eq!((server.handshakes(), server.failed_authentications()), (handshakes, 0));
}

#[test]
fn a_command_that_fails_is_named() {
    let text = Demo::new(&["--command", "echo why >&2; exit 3"]).complaint(1);
    assert!(text.contains("exit code 3") && text.contains("why"), "{text}");
}

#[test]
fn ctrl_c_ends_it_and_all_it_started() {
    for (number, server) in ["--json", "--sshd"].into_iter().enumerate() {
        let marker = format!("4{}.{}", std::process::id(), number);
        let mut demo = Demo::new(&[server, "--command", &format!("sleep {marker}")]);
        let child = demo.command.spawn().expect("the demo starts");
        assert!(wait_until(|| count_processes(&marker) > 1), "the commands run");
        let kill = format!("kill -INT {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
        let status = wait(child);
        assert_eq!(status.code(), Some(130), "{server}");
        assert_eq!(count_processes(&marker), 0, "{server}");
    }
}

fn wait(mut child: Child) -> ExitStatus {
    let ended = wait_until(|| child.try_wait().expect("a child").is_some());
    if !ended {
        child.kill().expect("killed");
    }
    assert!(ended, "it ends");
    child.wait().expect("a status")
}

fn wait_until(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

/// How many processes `sleep` for just this time.
fn count_processes(time: &str) -> usize {
    let wanted = format!("sleep\0{time}\0");
    let is_wanted = |entry: io::Result<fs::DirEntry>| {
        let entry = entry.expect("an entry of /proc");
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == wanted.as_bytes())
    };
    fs::read_dir("/proc").expect("/proc").map(is_wanted).filter(|is| *is).count()
}
