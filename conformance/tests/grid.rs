//! The grid: every kind of session passes every case on every kind of server.

use conformance::cell;
use testkit::conformance::Place;

fn every_case_passes(session: &str, place: Place) {
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
                every_case_passes($session, Place::$place);
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
