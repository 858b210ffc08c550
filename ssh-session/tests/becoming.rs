//! What `sudo` says before it runs a command, in pieces of any size.

use bytes::Bytes;
use proptest::prelude::*;
use ssh_session::becoming::{Step, Talk};
use ssh_session::{Become, BecomeProblem, Chunk, Command, ExitStatus, Pty, SshError, Target};

fn target() -> Target {
    Target::new("h", 22, "u").expect("valid")
}

/// The words of the line that is run, as a shell splits it: no quote is within another.
fn words(talk: &Talk, command: &str) -> Vec<String> {
    let line = talk.command(&Command::new(command)).expect("valid");
    let text = String::from_utf8(line.command().to_vec()).expect("text");
    text.split_whitespace().map(str::to_owned).collect()
}

/// The two markers, from the line that is run.
fn markers(talk: &Talk) -> [String; 2] {
    let words = words(talk, "true");
    let named = |what| words.iter().find(|word| word.starts_with(what)).expect("there").clone();
    [named("hussh-ask-"), named("hussh-run-")]
}

fn refusal(error: SshError) -> (BecomeProblem, String) {
    assert!(!error.may_have_started() && !error.is_retryable());
    let SshError::Become(refused) = error else { panic!("{error}") };
    (refused.problem, refused.said)
}

/// Feeds it, cut at these places, and tells the steps but `Read`.
fn feed(talk: &mut Talk, text: &[u8], cuts: &[usize]) -> Result<Vec<Step>, SshError> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
    places.extend([0, text.len()]);
    places.sort_unstable();
    let mut steps = Vec::new();
    for piece in places.windows(2).filter(|piece| piece[0] < piece[1]) {
        let bytes = Bytes::copy_from_slice(&text[piece[0]..piece[1]]);
        let noise = Chunk::Stdout(Bytes::from_static(b"from a start-up file"));
        assert_eq!(talk.read(&target(), &noise).expect("noise"), Step::Read);
        match talk.read(&target(), &Chunk::Stderr(bytes))? {
            Step::Read => {}
            step => steps.push(step),
        }
    }
    Ok(steps)
}

proptest! {
    #[test]
    fn it_asks_once_and_starts_however_the_bytes_arrive(
        lecture in "[ -~\n]{0,200}",
        warning in "[ -~\n]{0,60}",
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
        again in any::<bool>(),
    ) {
        let mut talk = Talk::new(&Become::sudo().password("secret"));
        let [ask, run] = markers(&talk);
        let steps = feed(&mut talk, format!("{lecture}{ask}").as_bytes(), &cuts).expect("asks");
        prop_assert_eq!(steps, [Step::Answer]);
        if again {
            let said = format!("{warning}{ask}");
            let (problem, said) = refusal(feed(&mut talk, said.as_bytes(), &cuts).expect_err("twice"));
            prop_assert_eq!(problem, BecomeProblem::WrongPassword);
            prop_assert!(!said.contains("hussh-ask"), "{}", said);
        } else {
            let steps = feed(&mut talk, format!("{warning}{run}").as_bytes(), &cuts).expect("runs");
            prop_assert_eq!(steps, [Step::Start]);
        }
    }

    #[test]
    fn no_text_but_the_markers_means_anything_and_none_is_kept_without_bound(
        text in proptest::collection::vec(any::<u8>(), 0..50_000),
        cuts in proptest::collection::vec(any::<usize>(), 0..40),
    ) {
        let mut talk = Talk::new(&Become::sudo().password("secret"));
        prop_assert_eq!(feed(&mut talk, &text, &cuts).expect("text"), []);
        let shown = format!("{talk:?}");
        prop_assert!(shown.len() < 100_000);
    }
}

#[test]
fn markers_are_new_each_time_and_the_password_is_in_no_line_and_no_debug() {
    let from = Become::sudo().user("app").password("pass-word");
    let (one, other) = (Talk::new(&from), Talk::new(&from));
    let (one_markers, other_markers) = (markers(&one), markers(&other));
    assert!(one_markers.iter().all(|marker| marker.len() == 42 && !other_markers.contains(marker)));
    assert!(!words(&one, "x").concat().contains("pass-word"));
    for shown in [format!("{one:?}"), format!("{from:?}")] {
        assert!(!shown.contains("pass-word"), "{shown}");
    }
    let command = Command::new("x").become_user(from.clone());
    assert!(!format!("{command:?}").contains("pass-word"));
    assert_eq!(from.answer(&target()).expect("given")[..], b"pass-word\n"[..]);
}

#[test]
fn where_it_ends_before_it_runs_the_reason_is_told() {
    for (said, code, problem) in [
        ("sh: 1: sudo: not found\n", 127, BecomeProblem::Missing),
        ("sudo: a password is required\n", 1, BecomeProblem::PasswordNeeded),
        ("sudo: sorry, you must have a tty to run sudo\n", 1, BecomeProblem::TerminalNeeded),
        ("u is not in the sudoers file.\n", 1, BecomeProblem::NotAllowed),
        ("sudo: unknown user: nobody2\n", 1, BecomeProblem::NoSuchUser),
        ("sudo: unable to stat /etc/sudoers\n", 1, BecomeProblem::Other),
        ("doas: Operation not permitted\n", 1, BecomeProblem::NotAllowed),
        ("doas: Authentication required\n", 1, BecomeProblem::PasswordNeeded),
    ] {
        let mut talk = Talk::new(&Become::sudo());
        feed(&mut talk, said.as_bytes(), &[3]).expect("text");
        let (found, words) = refusal(talk.ended(&target(), Ok(ExitStatus::Code(code))));
        assert_eq!(found, problem, "{said}");
        assert_eq!(words, said.trim(), "{said}");
    }
    let mut talk = Talk::new(&Become::sudo().password("x"));
    let [ask, _] = markers(&talk);
    feed(&mut talk, ask.as_bytes(), &[]).expect("asks");
    let (problem, _) = refusal(talk.ended(&target(), Ok(ExitStatus::Code(1))));
    assert_eq!(problem, BecomeProblem::WrongPassword, "in whatever language it says so");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    for (command, what) in [
        (Command::new("x").become_user(Become::sudo().user("")), "user"),
        (Command::new("x").become_user(Become::sudo().user("-h")), "user"),
        (Command::new("x").become_user(Become::sudo().password("a\nb")), "line"),
        (Command::new("x").become_user(Become::doas().password("a")), "nopass"),
        (Command::new("x").pty(Pty::default()).become_user(Become::sudo()), "pty"),
        (Command::subsystem("sftp").become_user(Become::sudo()), "subsystem"),
    ] {
        let error = command.validate().expect_err(what).to_string();
        assert!(error.contains("`become_user`") && error.contains(what), "{error}");
    }
    let gives_up = Become::sudo().ask_password(|_| None);
    let (problem, _) = refusal(gives_up.answer(&target()).expect_err("none"));
    assert_eq!(problem, BecomeProblem::NoPassword);
}
