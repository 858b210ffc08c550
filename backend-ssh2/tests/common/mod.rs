//! Both servers behind one face, and sessions on them.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::time::Duration;

use backend_ssh2::Ssh2Session;
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Options, Target};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::{PasswordUser, Sshd};

pub(crate) fn target(host: &str, port: u16, user: &str) -> Target {
    Target::new(host, port, user).expect("a valid target")
}

/// Options that log in with the server's own key and believe any host key.
pub(crate) fn options(host: &str, port: u16, user: &str, identity: PathBuf) -> Options {
    Options::new(target(host, port, user))
        .auth(Auth::key_file(identity))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

pub(crate) fn sshd_options(server: &Sshd) -> Options {
    options(&server.host(), server.port(), server.user(), server.identity())
}

/// Options that log in as somebody else than root.
pub(crate) fn user_options(server: &Sshd, user: &PasswordUser) -> Options {
    Options::new(target(&server.host(), server.port(), user.name()))
        .auth(Auth::password(user.password()))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

pub(crate) fn embedded_options(server: &EmbeddedServer) -> Options {
    options(&server.host(), server.port(), server.user(), server.identity())
}

pub(crate) fn connect(options: &Options) -> Ssh2Session {
    Ssh2Session::connect(options).expect("connected")
}

/// Runs a test on a session of each server.
pub(crate) fn on_both(test: impl Fn(&str, Ssh2Session)) {
    let sshd = Sshd::start().expect("sshd");
    test("sshd", connect(&sshd_options(&sshd)));
    let embedded = EmbeddedServer::builder().max_sessions(2000).start().expect("embedded server");
    test("embedded", connect(&embedded_options(&embedded)));
}

/// Fails the test if `work` takes longer: a hang must not stop the run.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    what: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(limit).unwrap_or_else(|error| panic!("{what}: {error} after {limit:?}"))
}
