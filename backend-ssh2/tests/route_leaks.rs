//! What ways to a server leave behind. Alone in its process: its threads are counted.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use backend_ssh2::Ssh2Session;
use common::{connect, sshd_options};
use ssh_session::{Auth, Command, Options, Process as _, ProxyCommand, Route, Session as _};
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;

const PROXY: &str = "bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&0 >&3 & cat <&3; kill $!'";

/// Threads of ours, open descriptors and children of this process.
fn held() -> (Vec<String>, usize, usize) {
    let mut threads = Vec::new();
    let mut children = 0;
    for task in fs::read_dir("/proc/self/task").expect("tasks").flatten() {
        // One that ended meanwhile is none.
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        threads.extend(Some(name.trim().to_owned()).filter(|name| name.starts_with("hussh-")));
        let of_task = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        children += of_task.split_whitespace().count();
    }
    (threads, fs::read_dir("/proc/self/fd").expect("descriptors").count(), children)
}

fn until(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "left: {:?}", held());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn no_thread_descriptor_or_process_is_left_of_a_way_however_its_session_ended() {
    let bastions = [(); 2].map(|()| Sshd::start().expect("sshd"));
    let server = Sshd::start().expect("sshd");
    let proxy = Route::Command(ProxyCommand::parse(PROXY).expect("a template"));
    let hops = [sshd_options(&bastions[0]).route(proxy), sshd_options(&bastions[1])];
    let to = |options: Options| options.route(Route::Jump(hops.to_vec()));
    let good = to(sshd_options(&server));
    let mut refused = to(sshd_options(&server));
    refused.auth = vec![Auth::password("wrong-secret")];
    let nowhere = {
        let mut options = sshd_options(&server);
        options.target = common::target("127.0.0.1", 1, "u");
        to(options)
    };

    let stuck = FaultProxy::start(bastions[0].addr()).expect("a proxy");
    let mut hop = sshd_options(&bastions[0]);
    hop.target = common::target("127.0.0.1", stuck.port(), bastions[0].user());
    let through_stuck = sshd_options(&server).route(Route::Jump(vec![hop]));

    let before = held();
    assert!(before.0.is_empty(), "{before:?}");
    for round in 0..15 {
        match round % 5 {
            0 => drop(connect(&good).exec(&Command::new("true")).expect("output")),
            1 => {
                let session = connect(&good);
                let hops = held().0.iter().filter(|name| *name == "hussh-jump").count();
                assert!(hops >= 2, "a thread for each hop");
                let command = Command::new("sleep 600").timeout(Duration::from_millis(50));
                session.exec(&command).expect_err("timeout");
            }
            2 => {
                let session = connect(&through_stuck);
                let process = session.spawn(&Command::new("cat").stdin_piped()).expect("started");
                stuck.black_hole();
                std::thread::scope(|scope| {
                    let writing = scope.spawn(|| process.write(&vec![0; 32 << 20]));
                    // Until nothing more goes anywhere.
                    std::thread::sleep(Duration::from_millis(200));
                    session.close();
                    writing.join().expect("no panic").expect_err("it is over");
                });
                until(|| held().0.is_empty());
                stuck.resume();
            }
            3 => drop(Ssh2Session::connect(&refused).expect_err("refused")),
            _ => drop(Ssh2Session::connect(&nowhere).expect_err("nobody is there")),
        }
    }
    until(|| held() == before);
    for server in [&bastions[0], &bastions[1], &server] {
        assert!(server.is_running());
    }
}
