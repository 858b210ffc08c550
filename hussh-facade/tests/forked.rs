//! What a forked-off process does with its copies of what a pool lent. Alone in its process: it
//! forks.

mod common;

use std::process::Command as Program;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{for_each_library, on_embedded};
use hussh::sync::Library;
use test_servers::embedded::EmbeddedServer;

for_each_library! {
    a_copy_of_a_lent_connection_is_let_go_without_a_lock_that_a_thread_of_the_parent_held
}

/// Longer than a process takes that only ends.
const SOON: Duration = Duration::from_secs(20);

fn a_copy_of_a_lent_connection_is_let_go_without_a_lock_that_a_thread_of_the_parent_held<
    L: Library,
>() {
    let server = EmbeddedServer::start().expect("a server");
    let pool = on_embedded::<L>(&server).max_connections(1).build().expect("valid");
    let ending = AtomicBool::new(false);
    thread::scope(|scope| {
        // Often in the pool's lock, so that a fork happens while it is held.
        for _ in 0..3 {
            scope.spawn(|| {
                while !ending.load(Ordering::Relaxed) {
                    pool.stats();
                }
            });
        }
        let mut hangs = false;
        for _ in 0..20 {
            let lent = pool.get().expect("a connection");
            match fork::fork().expect("forked") {
                fork::Fork::Child => {
                    drop(lent);
                    std::process::exit(0);
                }
                fork::Fork::Parent(child) => hangs |= !ends(child),
            }
        }
        ending.store(true, Ordering::Relaxed);
        assert!(!hangs, "a child waits for a lock that nobody of its own holds");
    });
    assert!(pool.execute("true").expect("output").success(), "and the parent's is as it was");
    assert_eq!(server.handshakes(), 1);
}

/// Whether a child ends soon; if not, it is killed.
fn ends(child: i32) -> bool {
    let (sender, ended) = mpsc::channel();
    thread::spawn(move || sender.send(fork::waitpid(child).is_ok()));
    let in_time = ended.recv_timeout(SOON).unwrap_or(false);
    if !in_time {
        let killed = Program::new("kill").args(["-KILL", &child.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "the child that hangs is left over");
    }
    in_time
}
