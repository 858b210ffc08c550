//! Both servers behind one face, and sessions on them.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::path::PathBuf;
use std::time::Duration;

use backend_russh::RusshSession;
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Options, Target};
use testkit::embedded::EmbeddedServer;
use testkit::proxy::FaultProxy;
use testkit::sshd::{PasswordUser, Sshd};

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

pub(crate) fn embedded_options(server: &EmbeddedServer) -> Options {
    options(&server.host(), server.port(), server.user(), server.identity())
}

/// Options for a user whose commands sshd 9.2 kills when asked: anybody but root.
pub(crate) fn as_user(server: &Sshd, user: &PasswordUser) -> Options {
    Options::new(target(&server.host(), server.port(), user.name()))
        .auth(Auth::password(user.password()))
        .host_keys(HostKeys::new(HostKeyPolicy::DangerAcceptAny))
}

/// The same by way of a proxy.
pub(crate) fn through(proxy: &FaultProxy, mut options: Options) -> Options {
    options.target = target("127.0.0.1", proxy.port(), options.target.user());
    options
}

pub(crate) async fn connect(options: &Options) -> RusshSession {
    RusshSession::connect(options).await.expect("connected")
}

/// Runs a test on a session of each server.
pub(crate) async fn on_both(test: impl AsyncFn(&str, RusshSession)) {
    let sshd = Sshd::start().expect("sshd");
    test("sshd", connect(&sshd_options(&sshd)).await).await;
    let embedded = EmbeddedServer::builder().max_sessions(2000).start().expect("embedded server");
    test("embedded", connect(&embedded_options(&embedded)).await).await;
}

/// Fails the test if `work` takes longer: a hang must not stop the run.
pub(crate) async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing after {limit:?}"))
}
