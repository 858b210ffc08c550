//! Many connections at once to one server: they pass one gate, and one that a busy server turned
//! away comes again.

use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use conformance::suite::runtime;
use conformance::{Pooled, for_all};
use pool_core::{AsyncPool, Pool};
use ssh_session::{Auth, HostKeyPolicy, HostKeys, Kind, Options, Session as _, SshError, Target};
use test_servers::sshd::Sshd;

for_all![
    sixty_at_once_all_log_in,
    a_busy_server_is_dialled_again_within_the_time_to_connect,
    a_server_that_stays_busy_is_told_so_in_time,
    those_who_wait_for_a_silent_server_wait_no_longer_than_they_said,
];

fn options(port: u16, user: &str, auth: Auth) -> Options {
    let target = Target::new("127.0.0.1", port, user).expect("a target");
    let anybody = HostKeys::new(HostKeyPolicy::DangerAcceptAny);
    Options::new(target).auth(auth).host_keys(anybody)
}

fn own(server: &Sshd) -> Options {
    options(server.port(), server.user(), Auth::key_file(server.identity()))
}

/// A server that says nothing, and what leads there within `time`, one at a time.
fn silent(time: Duration) -> (TcpListener, Options) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("its own").port();
    let mut options = options(port, "user", Auth::password("secret"));
    (options.connect_timeout, options.max_startups) = (time, 1);
    (silent, options)
}

fn sixty_at_once_all_log_in<S: Pooled>(subject: &S) {
    let server = Sshd::builder().max_startups("10:30:100").start().expect("sshd");
    let mut options = own(&server);
    options.connect_timeout = Duration::from_secs(30);
    let sessions: Vec<_> = thread::scope(|scope| {
        let dial = || scope.spawn(|| subject.connect(&options));
        let dials: Vec<_> = (0..60).map(|_| dial()).collect();
        dials.into_iter().map(|dial| dial.join().expect("no panic").expect("logged in")).collect()
    });
    assert!(sessions.iter().all(ssh_session::Session::is_alive));
    // sshd hears a little late that somebody has logged in, so that it may turn away one or another,
    // which came again; of sixty without a gate it is twenty.
    assert!(server.refused_startups() <= 6, "{} turned away", server.refused_startups());
}

fn a_busy_server_is_dialled_again_within_the_time_to_connect<S: Pooled>(subject: &S) {
    let server = Sshd::builder().max_startups("1:100:1").start().expect("sshd");
    let address = ("127.0.0.1", server.port());
    let intruder = TcpStream::connect(address).expect("a connection that logs in never");
    server.wait_for(Duration::from_secs(10), |server| server.connections == 1).expect("taken");
    let session = thread::scope(|scope| {
        let dialling = scope.spawn(|| subject.connect(&own(&server)));
        server
            .wait_for(Duration::from_secs(10), |server| server.refused_startups > 0)
            .expect("turned away");
        drop(intruder);
        dialling.join().expect("no panic")
    });
    assert!(session.expect("in the end").is_alive());
}

fn a_server_that_stays_busy_is_told_so_in_time<S: Pooled>(subject: &S) {
    let server = Sshd::builder().max_startups("1:100:1").start().expect("sshd");
    let _intruder = TcpStream::connect(("127.0.0.1", server.port())).expect("a connection");
    server.wait_for(Duration::from_secs(10), |server| server.connections == 1).expect("taken");
    let options = Options { connect_timeout: Duration::from_millis(900), ..own(&server) };
    let start = Instant::now();
    let error = subject.connect(&options).err().expect("no session");
    assert_eq!(error.kind(), Kind::Busy, "{error}");
    assert!(start.elapsed() < Duration::from_millis(1400), "{:?}", start.elapsed());
    assert!(server.refused_startups() >= 2, "tried once");
}

fn those_who_wait_for_a_silent_server_wait_no_longer_than_they_said<S: Pooled>(subject: &S) {
    let (silent, options) = silent(Duration::from_millis(500));
    let hasty = Options { connect_timeout: Duration::from_millis(200), ..options.clone() };
    thread::scope(|scope| {
        let first = scope.spawn(|| subject.connect(&options).err());
        drop(silent.accept().expect("the first comes"));
        // The connection is over, and the next one comes while the first waits for its pause.
        let _second = scope.spawn(|| subject.connect(&options).err());
        let (_held, _) = silent.accept().expect("another one, or the first again");
        let start = Instant::now();
        let late = subject.connect(&hasty).err().expect("nobody answers");
        let timed_out = matches!(&late, SshError::Timeout { .. });
        assert!(timed_out && !late.may_have_started(), "{late}");
        assert!(start.elapsed() < Duration::from_millis(700), "{:?}", start.elapsed());
        assert!(first.join().expect("no panic").is_some());
    });
}

/// Somebody who is dialled by and keeps all others at the gate, while `work` goes on.
fn behind_another<S: Pooled>(subject: &S, work: impl FnOnce(Options)) {
    let (silent, options) = silent(Duration::from_secs(20));
    thread::scope(|scope| {
        let ahead = Options { connect_timeout: Duration::from_secs(2), ..options.clone() };
        let ahead = scope.spawn(move || subject.connect(&ahead).err());
        let (_held, _) = silent.accept().expect("it comes");
        work(options);
        assert!(ahead.join().expect("no panic").is_some(), "nobody answers");
    });
}

fn closes_at_once<S: Pooled>(subject: &S) {
    behind_another(subject, |options| {
        let pool = Pool::builder(subject.backend(options)).build();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.get().err());
            thread::sleep(Duration::from_millis(300));
            let start = Instant::now();
            pool.close().expect("closed");
            assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
            assert!(waiting.join().expect("no panic").is_some(), "there is none");
        });
    });
}

#[test]
fn a_pool_over_libssh2_that_closes_waits_for_nobody_at_the_gate() {
    closes_at_once(&conformance::Ssh2);
}

#[test]
fn a_blocking_pool_over_russh_that_closes_waits_for_nobody_at_the_gate() {
    closes_at_once(&conformance::BlockingRussh);
}

#[test]
fn an_async_pool_that_closes_waits_for_nobody_at_the_gate() {
    behind_another(&conformance::Russh, |options| {
        runtime().block_on(async {
            let backend = backend_russh::RusshBackend::new(options).expect("valid");
            let pool = AsyncPool::builder(backend).build();
            let waiting = tokio::spawn({
                let pool = pool.clone();
                async move { pool.get().await.err() }
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            let start = Instant::now();
            pool.close().await.expect("closed");
            assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
            assert!(waiting.await.expect("no panic").is_some(), "there is none");
        });
    });
}
