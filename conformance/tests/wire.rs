//! Servers that mean harm: every session makes an error of them, in bounded time and memory.

use conformance::{BlockingRussh, Russh, Ssh2};
use testkit::conformance::Subject;
use testkit::conformance::hostile;

fn all(subject: &impl Subject) {
    // Part of the name of the cases that are wanted, for whoever looks into one.
    let filter = std::env::var("HUSSH_TEST_HOSTILE").unwrap_or_default();
    let mut wrong = Vec::new();
    for case in hostile::all().iter().filter(|case| case.name.contains(&filter)) {
        let finding = case.put(subject);
        println!("{finding}");
        if finding.wrong.is_some() {
            wrong.push(finding.to_string());
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", subject.name(), wrong.join("\n"));
}

#[test]
fn ssh2_makes_an_error_of_every_hostile_server() {
    all(&Ssh2);
}

#[test]
fn russh_makes_an_error_of_every_hostile_server() {
    all(&Russh);
}

#[test]
fn blocking_russh_makes_an_error_of_every_hostile_server() {
    all(&BlockingRussh);
}
