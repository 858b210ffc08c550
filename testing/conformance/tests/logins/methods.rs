//! Passwords, questions and answers, and several methods in sequence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use conformance::{Pooled, for_all};
use pool_core::{Backend as _, Config, ErrorKind, Pool};
use ssh_session::{Auth, Kind};
use test_servers::embedded::{EmbeddedServer, Method, Round};
use test_servers::keys::KeyKind;
use test_servers::sshd::{PasswordUser, Sshd};

use crate::{
    NONE, ONE_ANSWER, ONE_KEY, ONE_PASSWORD, PATIENCE, as_user, at_embedded, counted, error_of,
    is_refused, key_in, works,
};

for_all![
    a_wrong_password_is_tried_once_and_a_right_one_works,
    a_password_given_or_asked_for_is_sent_once,
    a_password_answers_pam_that_asks_for_it_once,
    prompts_of_several_rounds_are_answered_and_wrong_answers_sent_once,
    whoever_gives_no_answer_may_log_in_in_another_way,
    pam_that_gets_no_answer_takes_another_credential,
    a_panic_in_a_callback_is_no_answer,
    two_methods_in_sequence_are_sent_in_the_servers_order,
    a_code_is_asked_for_after_the_key,
    eight_threads_at_once_send_a_wrong_credential_once,
    a_server_that_says_goodbye_to_a_credential_has_refused_it,
    a_server_that_hangs_up_on_a_wrong_password_refused_it,
];

fn a_wrong_password_is_tried_once_and_a_right_one_works<S: Pooled>(subject: &S) {
    let server = EmbeddedServer::start().expect("embedded server");
    works(subject, &at_embedded(&server, [Auth::password(server.password())]));
    let wrong = at_embedded(&server, [(); 2].map(|()| Auth::password("wrong-secret")));
    let error = error_of(subject, &wrong);
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    assert!(!format!("{error} {error:?} {wrong:?}").contains("wrong-secret"));
    assert_eq!(server.failed_authentications(), 1, "the same secret is not tried twice");
    let backend = subject.backend(wrong);
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
}

fn a_password_given_or_asked_for_is_sent_once<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let asked = Arc::new(AtomicUsize::new(0));
    let asking = |password: &str| {
        let (asked, password) = (Arc::clone(&asked), password.to_owned());
        Auth::ask_password(move |_| {
            asked.fetch_add(1, Ordering::SeqCst);
            Some(password.clone().into())
        })
    };
    works(subject, &as_user(&server, user.name(), [Auth::password(user.password())]));
    works(subject, &as_user(&server, user.name(), [asking(user.password())]));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    counted(subject, &server, NONE);
    let wrong = [Auth::password("wrong"), asking("wrong"), Auth::password("wrong")];
    is_refused(subject, &as_user(&server, user.name(), wrong));
    counted(subject, &server, ONE_PASSWORD);
    let none = as_user(&server, user.name(), [Auth::ask_password(|_| None)]);
    assert_eq!(error_of(subject, &none).kind(), Kind::InvalidInput);
    counted(subject, &server, ONE_PASSWORD);
}

fn a_password_answers_pam_that_asks_for_it_once<S: Pooled>(subject: &S) {
    let server = Sshd::builder().pam().start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    works(subject, &as_user(&server, user.name(), [Auth::password(user.password())]));
    counted(subject, &server, NONE);
    let wrong = as_user(&server, user.name(), [Auth::password("wrong"), Auth::password("wrong")]);
    is_refused(subject, &wrong);
    counted(subject, &server, ONE_ANSWER);
}

fn answering(answers: &'static [(&'static str, &'static str)]) -> Auth {
    Auth::keyboard_interactive(move |prompt| {
        let answer = |text: &str| {
            let known = answers.iter().find(|(question, _)| text.contains(question));
            known.map(|(_, answer)| (*answer).into())
        };
        prompt.questions.iter().map(|question| answer(&question.text)).collect()
    })
}

fn two_things_round_after_round() -> EmbeddedServer {
    let rounds = [
        Round::new("Two things").ask("Password: ", "first").ask_visibly("Code: ", "2nd"),
        Round::new("Nothing to say"),
        Round::new("").ask("Again: ", "third"),
    ];
    EmbeddedServer::builder().no_password().rounds(rounds).start().expect("embedded server")
}

fn prompts_of_several_rounds_are_answered_and_wrong_answers_sent_once<S: Pooled>(subject: &S) {
    let server = two_things_round_after_round();
    let right = answering(&[("Password", "first"), ("Code", "2nd"), ("Again", "third")]);
    works(subject, &at_embedded(&server, [right]));
    assert_eq!(server.refused(), NONE);
    let wrong = answering(&[("Password", "first"), ("Code", "2nd"), ("Again", "fourth")]);
    is_refused(subject, &at_embedded(&server, [wrong]));
    assert_eq!(server.refused(), ONE_ANSWER);
}

fn whoever_gives_no_answer_may_log_in_in_another_way<S: Pooled>(subject: &S) {
    let server = two_things_round_after_round();
    let silent = || Auth::keyboard_interactive(|_| None);
    let error = error_of(subject, &at_embedded(&server, [silent()]));
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
    assert_eq!(server.refused(), NONE, "nothing is sent where nothing is left to be sent");
    let right = || answering(&[("Password", "first"), ("Code", "2nd"), ("Again", "third")]);
    let half = || answering(&[("Password", "first"), ("Code", "2nd")]);
    let key = || Auth::key_file(server.identity());
    // Whoever comes next is asked the same, in the first round and in a later one.
    works(subject, &at_embedded(&server, [Auth::password("first"), silent(), right()]));
    assert_eq!(server.refused(), NONE);
    works(subject, &at_embedded(&server, [silent(), key()]));
    if subject.name() != "ssh2" {
        assert_eq!(server.refused(), ONE_ANSWER, "russh sends no key while a question is open");
        return;
    }
    works(subject, &at_embedded(&server, [half(), right()]));
    works(subject, &at_embedded(&server, [half(), key()]));
    assert_eq!(server.refused(), NONE);
    let wrong = key_in(server.dir(), "wrong", KeyKind::Ed25519);
    let error = error_of(subject, &at_embedded(&server, [half(), Auth::key_file(wrong), right()]));
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "libssh2 begins no other dialogue now");
    assert_eq!(server.refused(), ONE_KEY);
}

fn pam_that_gets_no_answer_takes_another_credential<S: Pooled>(subject: &S) {
    let server = Sshd::builder().pam().start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let silent = Auth::keyboard_interactive(|_| None);
    works(subject, &as_user(&server, user.name(), [silent, Auth::key_file(server.identity())]));
    // russh sends no key while a question is open, and PAM counts one that was left open as well.
    let truth = server.wait_for(PATIENCE, |truth| truth.authentications == 1).expect("a login");
    assert_eq!(truth.refused, ONE_ANSWER);
}

fn a_panic_in_a_callback_is_no_answer<S: Pooled>(subject: &S) {
    let server = two_things_round_after_round();
    let panicking = Auth::keyboard_interactive(|_| panic!("on purpose"));
    let error = error_of(subject, &at_embedded(&server, [panicking]));
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

fn two_methods_in_sequence_are_sent_in_the_servers_order<S: Pooled>(subject: &S) {
    let user = PasswordUser::create().expect("a user; run the tests as root");
    for methods in ["publickey,password", "password,publickey"] {
        let server = Sshd::builder().authentication_methods(methods).start().expect("sshd");
        let key = || Auth::key_file(server.identity());
        let password = || Auth::password(user.password());
        for both in [[key(), password()], [password(), key()]] {
            works(subject, &as_user(&server, user.name(), both));
        }
        assert_eq!(server.refused(), NONE, "{methods}");
        let text =
            is_refused(subject, &as_user(&server, user.name(), [key(), Auth::password("x")]));
        assert!(text.contains("password"), "{text}");
        is_refused(subject, &as_user(&server, user.name(), [password()]));
    }
}

fn a_code_is_asked_for_after_the_key<S: Pooled>(subject: &S) {
    let server = EmbeddedServer::builder()
        .authentication_methods([Method::PublicKey, Method::KeyboardInteractive])
        .rounds([Round::new("").ask("Code: ", "123")])
        .start()
        .expect("embedded server");
    let key = || Auth::key_file(server.identity());
    works(subject, &at_embedded(&server, [answering(&[("Code", "123")]), key()]));
    works(subject, &at_embedded(&server, [key(), answering(&[("Code", "123")])]));
    assert_eq!(server.refused(), NONE);
    is_refused(subject, &at_embedded(&server, [key(), answering(&[("Code", "456")])]));
    assert_eq!(server.refused(), ONE_ANSWER);
}

fn eight_threads_at_once_send_a_wrong_credential_once<S: Pooled>(subject: &S) {
    let server = Sshd::start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let wrong = as_user(&server, user.name(), [Auth::password("wrong")]);
    let pool = Pool::new(subject.backend(wrong), Config::default());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            thread::spawn(move || pool.get().map(drop))
        })
        .collect();
    for task in tasks {
        task.join().expect("no panic").expect_err("refused");
    }
    counted(subject, &server, ONE_PASSWORD);
}

fn a_server_that_says_goodbye_to_a_credential_has_refused_it<S: Pooled>(subject: &S) {
    let server = EmbeddedServer::builder().farewell("too many").start().expect("embedded server");
    let options = at_embedded(&server, [Auth::password("wrong"), Auth::password("other")]);
    let backend = subject.backend(options);
    let error = backend.connect().map(drop).expect_err("refused");
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    assert_eq!(backend.classify(&error), ErrorKind::Permanent);
    assert_eq!(server.refused(), ONE_PASSWORD);
}

fn a_server_that_hangs_up_on_a_wrong_password_refused_it<S: Pooled>(subject: &S) {
    let server = Sshd::builder().option("MaxAuthTries 1").start().expect("sshd");
    let user = PasswordUser::create().expect("a user; run the tests as root");
    let options = as_user(&server, user.name(), [Auth::password("wrong-secret")]);
    let error = error_of(subject, &options);
    assert_eq!(error.kind(), Kind::AuthenticationFailed, "{error}");
    assert!(error.to_string().contains("hung up"), "{error}");
    let backend = subject.backend(options);
    assert_eq!(backend.classify(&error), ErrorKind::Permanent, "so a pool does not try it again");
}
