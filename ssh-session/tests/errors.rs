//! What an error says of the next attempt.

use std::time::Duration;

use ssh_session::{Outlook, Phase, SshError, Target};

fn timeout(phase: Phase, maybe_started: bool) -> SshError {
    let target = Target::new("web1.example.com", 22, "deploy").expect("a target");
    let elapsed = Duration::from_secs(15);
    SshError::Timeout { target, phase, elapsed, partial: None, maybe_started }
}

/// Servers that count refusals take their time for them, and count each.
#[test]
fn a_login_that_ran_out_of_time_is_not_tried_again_unasked() {
    let error = timeout(Phase::Authenticate, false);
    assert_eq!(error.outlook(), Outlook::Permanent);
    assert!(!error.is_retryable() && !error.may_have_started());
}

#[test]
fn what_ran_out_of_time_before_or_behind_a_login_may_go_well_the_next_time() {
    use Phase::{Connect, Handshake, OpenChannel, Resolve, Start};
    for phase in [Resolve, Connect, Handshake, OpenChannel] {
        let error = timeout(phase, false);
        assert_eq!(error.outlook(), Outlook::Transient, "{phase:?}");
        assert!(error.is_retryable(), "{phase:?}");
    }
    assert!(!timeout(Start, true).is_retryable(), "it may run");
}
