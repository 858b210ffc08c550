//! What happens, one function each.

mod ending;
mod handshake;
mod identity;
mod idle;
mod outage;
mod process;
mod running;
mod servers;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use test_servers::sshd::Sshd;

use crate::api::Api;
use crate::ledger::Sums;
use crate::stage::{Setup, Stage};

pub use process::{Child, child};

/// What a scenario measured, and what a borrower saw.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the fault to the first who knew.
    pub detect: Option<Duration>,
    /// From the fault, or from its end if it lasts, to the next command that ended well.
    pub recover: Option<Duration>,
    /// In a few words.
    pub saw: String,
}

/// One thing that happens.
#[derive(Debug)]
pub struct Scenario {
    /// As in the table.
    pub name: &'static str,
    /// What is done, and what is asked for.
    pub about: &'static str,
    /// When it counts as hung, in seconds: in full, and quick.
    pub limits: (u64, u64),
    /// `MaxStartups` of its server.
    startups: &'static str,
    play: fn(&mut Stage) -> Result<Outcome>,
}

/// A line of the table.
#[derive(Debug)]
#[allow(missing_docs, reason = "columns")]
pub struct Report {
    pub scenario: &'static Scenario,
    pub api: Api,
    pub sums: Sums,
    pub outcome: Outcome,
    pub failure: Option<String>,
}

const fn scenario(
    name: &'static str,
    about: &'static str,
    play: fn(&mut Stage) -> Result<Outcome>,
) -> Scenario {
    Scenario { name, about, limits: (90, 45), startups: "200", play }
}

/// All of them, in the order of the table.
pub static SCENARIOS: &[Scenario] = &[
    scenario(
        "nat_keepalive",
        "A gateway forgets connections idle for 800 ms. A pool with `keepalive_interval` 100 ms has \
         one session idle and one lent and unused, for 20 times as long. Nothing may be noticed, \
         and no session replaced.",
        idle::held_open,
    ),
    scenario(
        "nat_no_keepalive",
        "The same without keepalive: three sessions idle for 1.5 s, forgotten after 1 s. The next borrow \
         must be served by another session within `check_timeout` (2 s here), without an error, \
         and the two others must not cost anybody a second wait.",
        idle::forgotten,
    ),
    scenario(
        "half_open_idle",
        "The server's side of idle sessions is gone and nobody told ours. The next borrow is served \
         by another session.",
        idle::half_open,
    ),
    scenario(
        "black_hole_lent_idle",
        "Silence under a session that is lent and unused, `keepalive_interval` 300 ms × 3: found \
         between 0.9 s and 1.2 s + 10 %; then the pool replaces it.",
        idle::lent_in_a_black_hole,
    ),
    scenario(
        "black_hole_mid_command",
        "Silence while a command runs, `keepalive_interval` 300 ms × 3: its caller is told between \
         0.9 s and 1.2 s + 10 % after.",
        running::black_hole,
    ),
    scenario(
        "packets_dropped",
        "The same with packets really dropped: a virtual cable between two network namespaces is \
         pulled while a command runs.",
        running::cable_pulled,
    ),
    scenario("rst_mid_command", "The connection is reset while a command runs.", running::reset),
    scenario(
        "byte_corrupted",
        "One bit is flipped on the way while commands run. No wrong output may come of it.",
        running::corrupted,
    ),
    scenario(
        "restart_between",
        "sshd and all its sessions are killed and started again between borrows, five times, with \
         three idle sessions each time. Nothing may be noticed.",
        servers::restart_between,
    ),
    scenario(
        "restart_during",
        "sshd is restarted twice under a load of 8 threads or tasks on 4 sessions.",
        servers::restart_during,
    ),
    scenario(
        "sessions_killed",
        "All sessions are killed on the server at once under a load of 8.",
        servers::sessions_killed,
    ),
    Scenario {
        startups: "10:30:100",
        limits: (180, 60),
        ..scenario(
            "max_startups",
            "60 sessions wanted at once from a server with `MaxStartups 10:30:100` (20 when quick): \
             all must come, and the server's log must show no refused connection.",
            servers::max_startups,
        )
    },
    scenario(
        "silent_server",
        "A server that accepts and never speaks: borrowers are told at `acquire_timeout`, and served \
         once it is gone.",
        servers::silent,
    ),
    scenario(
        "network_down",
        "Silence for 10 s (2 s when quick) under a load of 8, then the network is back.",
        outage::down,
    ),
    scenario(
        "host_key_changed",
        "The host comes back with another host key. Everybody is told so, and no credential is sent.",
        identity::other_host_key,
    ),
    scenario(
        "password_changed",
        "The password is changed. Open sessions work on; once they are gone, borrowers are told, and \
         the old password is tried once.",
        identity::other_password,
    ),
    scenario(
        "no_descriptors",
        "The process may open no more files. Borrowers share the sessions there are, or are told; \
         when it may again, all goes on.",
        process::descriptors,
    ),
    scenario(
        "clock_leaps",
        "The process is stopped for 3 s, ten keepalive intervals, and goes on: for it, the monotonic \
         clock leaps. Nothing may be noticed. (Nothing asks for the time of day, so setting that \
         changes nothing.)",
        process::stopped,
    ),
    scenario(
        "fork",
        "The process forks with an idle and a lent session. The child uses the pool and drops what \
         it inherited; the parent's sessions must not notice, and the child gets its own.",
        process::forks,
    ),
    scenario(
        "pool_closed",
        "A pool with three idle sessions is closed, or dropped, with the network up and in silence: \
         done within `close_timeout` (5 s), and no session stays on the server.",
        ending::closed,
    ),
    scenario(
        "process_exits",
        "A process ends with a lent session and idle ones, with the network up and in silence: it \
         does not hang, and no session stays on the server.",
        ending::exits,
    ),
    Scenario {
        limits: (1500, 60),
        startups: "1000",
        ..scenario(
            "handshake_cut",
            "The server dies after n bytes of the handshake and login, for every n in both \
             directions (every 211th when quick). Each dial must end with an error that blames \
             neither the host key nor the credentials, or succeed, within 6 s.",
            handshake::cut_everywhere,
        )
    },
];

impl Scenario {
    /// Plays it, bounded by its own limit.
    pub fn play(&'static self, api: Api, setup: &Setup) -> Report {
        let (sender, done) = mpsc::channel();
        let setup = setup.clone();
        let limit = if setup.quick { self.limits.1 } else { self.limits.0 };
        let playing = thread::Builder::new().name(self.name.into()).spawn(move || {
            let _ = sender.send(self.play_out(api, &setup));
        });
        let hung = |failure: String| Report {
            scenario: self,
            api,
            sums: Sums { hung: 1, ..Sums::default() },
            outcome: Outcome::default(),
            failure: Some(failure),
        };
        if let Err(error) = playing {
            return hung(error.to_string());
        }
        match done.recv_timeout(Duration::from_secs(limit)) {
            Ok(report) => report,
            Err(mpsc::RecvTimeoutError::Timeout) => hung(format!("not done after {limit} s")),
            Err(mpsc::RecvTimeoutError::Disconnected) => hung("it panicked".into()),
        }
    }

    fn play_out(&'static self, api: Api, setup: &Setup) -> Report {
        let name = format!("{}-{}-{}", self.name, api.backend(), api.style());
        let server = Sshd::builder().max_startups(self.startups).max_sessions(100);
        let failed = |failure: &anyhow::Error| Report {
            scenario: self,
            api,
            sums: Sums::default(),
            outcome: Outcome::default(),
            failure: Some(format!("{failure:#}")),
        };
        let mut stage = match Stage::with(api, setup, &name, server) {
            Ok(stage) => stage,
            Err(error) => return failed(&error),
        };
        let played = (self.play)(&mut stage);
        // What was lost on our side may still be on its way into the server's books.
        thread::sleep(Duration::from_millis(200));
        let sums = match stage.ledger.sums() {
            Ok(sums) => sums,
            Err(error) => return failed(&error.into()),
        };
        let (outcome, failure) = match played.and_then(|outcome| clean(&sums).map(|()| outcome)) {
            Ok(outcome) => (outcome, None),
            Err(error) => {
                let errors = stage.ledger.errors();
                (Outcome::default(), Some(format!("{error:#}; {sums:?}; {errors:?}")))
            }
        };
        Report { scenario: self, api, sums, outcome, failure }
    }
}

/// What holds in every scenario.
fn clean(sums: &Sums) -> Result<()> {
    ensure!(sums.doubled == 0, "{} commands ran twice", sums.doubled);
    ensure!(sums.wrong == 0, "{} wrong outputs", sums.wrong);
    ensure!(sums.hung == 0, "{} calls hang", sums.hung);
    ensure!(sums.lost == sums.reported_lost, "{} lost, {} reported", sums.lost, sums.reported_lost);
    Ok(())
}
