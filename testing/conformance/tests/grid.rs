//! The grid: every kind of session passes every case on every kind of server.

use std::sync::{PoisonError, RwLock};

use conformance::cell;
use conformance::suite::ServerKind;

/// Dropbear's cells run alone; see `.config/nextest.toml`, which says so where each test is a
/// process.
static ALONE: RwLock<()> = RwLock::new(());

fn every_case_passes(session: &str, place: ServerKind) {
    let (_alone, _beside) = match place {
        ServerKind::Dropbear => (Some(ALONE.write().unwrap_or_else(PoisonError::into_inner)), None),
        _ => (None, Some(ALONE.read().unwrap_or_else(PoisonError::into_inner))),
    };
    let report = cell(session, place, None).expect("a kind of session");
    let failures: Vec<_> = report
        .failures()
        .map(|outcome| format!("{}: {}", outcome.name, outcome.result.clone().unwrap_err()))
        .collect();
    for outcome in &report.outcomes {
        println!("{:>8.2?} {}", outcome.elapsed, outcome.name);
    }
    assert!(failures.is_empty(), "{session} on {place:?}:\n{}", failures.join("\n"));
    assert!(report.passed() > 40, "{} cases", report.passed());
}

macro_rules! grid {
    ($($name:ident: $session:literal on $place:ident;)*) => {
        $(
            #[test]
            fn $name() {
                every_case_passes($session, ServerKind::$place);
            }
        )*
    };
}

grid! {
    ssh2_sessions_are_as_they_should_on_sshd: "ssh2" on Sshd;
    ssh2_sessions_are_as_they_should_on_the_embedded_server: "ssh2" on Embedded;
    ssh2_sessions_are_as_they_should_on_dropbear: "ssh2" on Dropbear;
    russh_sessions_are_as_they_should_on_sshd: "russh" on Sshd;
    russh_sessions_are_as_they_should_on_the_embedded_server: "russh" on Embedded;
    russh_sessions_are_as_they_should_on_dropbear: "russh" on Dropbear;
    blocking_russh_sessions_are_as_they_should_on_sshd: "blocking-russh" on Sshd;
    blocking_russh_sessions_are_as_they_should_on_the_embedded_server: "blocking-russh" on Embedded;
    blocking_russh_sessions_are_as_they_should_on_dropbear: "blocking-russh" on Dropbear;
}
