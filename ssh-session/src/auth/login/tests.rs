use secrecy::{ExposeSecret as _, SecretString};

use super::{Attempt, Login, Method};
use crate::{Auth, KeyProblem, Kind, Methods, Options, Prompt, SshError, Target};

fn options(auth: impl IntoIterator<Item = Auth>) -> Options {
    let target = Target::new("h", 22, "u").expect("a target");
    auth.into_iter().fold(Options::new(target), Options::auth)
}

fn list(methods: &str) -> Vec<String> {
    methods.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Plays a server: each line is what the plan is to send and what the server says to it.
///
/// `?methods` is a refusal with what it takes then, `+methods` a partial success.
fn play(auth: impl IntoIterator<Item = Auth>, lines: &[(&str, &str)]) -> SshError {
    let options = options(auth);
    let mut login = Login::new(&options);
    for (wanted, said) in lines {
        let attempt = login.attempt().unwrap_or_else(|| panic!("{wanted} is sent"));
        let (sent, method) = match attempt {
            Attempt::Ask(ask) => {
                assert_eq!(*wanted, "ask");
                login.asked(ask.ask(&options.target));
                continue;
            }
            Attempt::Inspect(_) => {
                assert_eq!(*wanted, "inspect");
                login.inspected(match *said {
                    "encrypted" => Ok(true),
                    "plain" => Ok(false),
                    "missing" => Err(KeyProblem::Missing),
                    _ => Err(KeyProblem::Malformed("no key".into())),
                });
                continue;
            }
            Attempt::Password(password) => {
                (format!("password {}", password.expose_secret()), Method::Password)
            }
            Attempt::KeyboardInteractive(mut dialogue) => {
                let asked: [(&[u8], bool); 1] = [(b"Password: ", false)];
                let prompt = Prompt::new(&options.target, b"", b"", asked).expect("a prompt");
                let answers = dialogue.answer(&prompt).expect("an answer");
                (format!("answer {}", answers[0].expose_secret()), Method::KeyboardInteractive)
            }
            Attempt::Key(key) => {
                let public = key.path().expect("a file").to_string_lossy().into_owned();
                assert!(login.is_new_key(public.as_bytes()), "{public} was judged already");
                (format!("key {public}"), Method::PublicKey)
            }
            Attempt::Agent(_) => ("agent".to_owned(), Method::PublicKey),
        };
        assert_eq!(sent, *wanted);
        match said.split_at(1) {
            ("?", methods) => login.refused(sent, method, Some(list(methods))),
            ("+", methods) => login.accepted_in_part(list(methods)),
            _ => panic!("{said} is no answer"),
        }
    }
    let left = login.attempt();
    assert!(left.is_none(), "{left:?} is left");
    login.failure()
}

fn answers(text: &'static str) -> Auth {
    Auth::keyboard_interactive(move |_| Some(vec![text.into()]))
}

#[test]
fn a_refused_credential_is_not_sent_again() {
    let refused = "?publickey,password,keyboard-interactive";
    let twice = [Auth::password("a"), Auth::password("a"), Auth::password("b")];
    let error = play(twice, &[("password a", refused), ("password b", refused)]);
    assert_eq!(error.kind(), Kind::AuthenticationFailed);
    let text = error.to_string();
    assert!(
        text.contains("tried: password a, password b; it takes: publickey, password"),
        "{text}"
    );
}

#[test]
fn what_the_server_does_not_take_waits_until_it_does() {
    // `AuthenticationMethods publickey,password`, in both orders.
    let (key, password) = (Auth::key_file("k"), Auth::password("p"));
    play([key.clone(), password.clone()], &[("key k", "+password"), ("password p", "+")]);
    play(
        [password.clone(), key.clone()],
        &[("password p", "?publickey"), ("key k", "+password"), ("password p", "+")],
    );
    play([key, password], &[("key k", "?password"), ("password p", "+publickey"), ("key k", "+")]);
}

#[test]
fn a_server_that_wants_more_than_there_is_has_refused() {
    let error = play([Auth::key_file("k")], &[("key k", "+password")]);
    assert_eq!(error.kind(), Kind::AuthenticationFailed);
    assert!(error.to_string().contains("wants another; it takes: password"), "{error}");
}

#[test]
fn a_password_answers_a_server_that_asks_instead_once() {
    let asks = "?publickey,keyboard-interactive";
    play([Auth::password("p")], &[("password p", asks), ("answer p", asks)]);
    play([answers("x")], &[("answer x", asks)]);
    let twice = answers("x");
    play([twice.clone(), twice], &[("answer x", asks)]);
}

#[test]
fn what_a_server_offered_and_refused_is_judged_though_it_offers_it_no_more() {
    let options = options([Auth::password("p")]);
    let mut login = Login::new(&options);
    login.offered(["password", "keyboard-interactive"]);
    assert!(matches!(login.attempt(), Some(Attempt::Password(_))));
    let left = vec!["keyboard-interactive".to_owned()];
    login.refused("password".into(), Method::Password, Some(left));
    assert!(login.attempt().is_none(), "it does not answer with what was refused");
}

#[test]
fn a_password_is_asked_for_only_where_it_can_be_sent() {
    let ask = || Auth::ask_password(|_| Some("p".into()));
    let takes = "?publickey,password";
    play(
        [Auth::password("x"), ask()],
        &[("password x", takes), ("ask", ""), ("password p", takes)],
    );
    play([Auth::password("p"), ask()], &[("password p", takes), ("ask", "")]);
    let error = play([Auth::key_file("k"), ask()], &[("key k", "?publickey")]);
    assert!(error.to_string().contains("not sent: password, which it does not take"), "{error}");
    let none = Auth::ask_password(|_| None);
    let error = play([none], &[("ask", "")]);
    assert_eq!(error.kind(), Kind::InvalidInput, "{error}");
}

#[test]
fn a_server_that_asks_two_things_gets_no_password() {
    let options = options([Auth::password("p")]);
    let mut login = Login::new(&options);
    login.offered(["keyboard-interactive"]);
    let Some(Attempt::KeyboardInteractive(mut dialogue)) = login.attempt() else {
        panic!("it answers");
    };
    let ask = |questions: &[(&[u8], bool)]| {
        Prompt::new(&options.target, b"", b"", questions.iter().copied()).expect("a prompt")
    };
    assert!(dialogue.answer(&ask(&[(b"Password: ", false), (b"Code: ", false)])).is_err());
    assert!(dialogue.answer(&ask(&[(b"Name: ", true)])).is_err());
    assert_eq!(dialogue.answer(&ask(&[])).map(|answers| answers.len()).ok(), Some(0));
    assert!(dialogue.answer(&ask(&[(b"Password: ", false)])).is_ok());
    let again = dialogue.answer(&ask(&[(b"Password: ", false)]));
    let text = again.expect_err("it has answered").to_string();
    assert!(text.contains("Password") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn default_keys_that_are_not_there_are_no_error_unless_there_is_nothing_at_all() {
    let options = options([Auth::Auto]);
    let mut login = Login::new(&options);
    let mut sent = 0;
    while let Some(attempt) = login.attempt() {
        sent += 1;
        let target = options.target.clone();
        match attempt {
            Attempt::Agent(agent) => {
                assert!(agent.optional);
                login.not_sent(SshError::Agent { target, detail: "none".into() });
                login.exhausted();
            }
            Attempt::Key(key) => {
                assert!(key.optional);
                let problem = KeyProblem::Missing;
                login.not_sent(SshError::KeyFile { target, path: key.path().cloned(), problem });
            }
            other => panic!("{other:?} is a default"),
        }
    }
    assert_eq!(sent, 1 + Auth::default_key_files().len());
    assert_eq!(login.failure().kind(), Kind::Agent);
}

#[test]
fn a_server_that_hangs_up_after_a_refusal_has_refused() {
    let options = options([Auth::password("a"), Auth::password("b")]);
    let mut login = Login::new(&options);
    let lost = || SshError::Closed { target: options.target.clone(), maybe_started: false };
    assert!(matches!(login.lost("password", lost()), SshError::Closed { .. }));
    login.attempt();
    login.refused("password".into(), Method::Password, None);
    let error = login.lost("password", lost());
    assert!(error.to_string().contains("at which it hung up"), "{error}");
}

#[test]
fn what_a_server_takes_is_shown_escaped_and_bounded() {
    let options = options([Auth::password("a")]);
    let mut login = Login::new(&options);
    login.attempt();
    let mut hostile = vec!["\x1b[2J".to_owned(), "x".repeat(1 << 20)];
    hostile.extend((0..1000).map(|number| format!("m{number}")));
    login.refused("password".into(), Method::Password, Some(hostile));
    let text = login.failure().to_string();
    assert!(text.len() < 1000 && !text.contains('\x1b'), "{text}");
}

#[test]
fn debug_shows_no_secret() {
    let secret = SecretString::from("geheim");
    let options = options([
        Auth::Password(secret.clone()),
        Auth::encrypted_key_file("k", "geheim"),
        Auth::KeyData { key: secret.clone(), passphrase: Some(secret) },
    ]);
    let mut login = Login::new(&options);
    assert!(!format!("{login:?}").contains("geheim"));
    login.offered(["publickey"]);
    assert!(!format!("{:?}", login.attempt()).contains("geheim"));
}

#[test]
fn a_secret_beside_a_key_is_sent_only_where_it_is_no_passphrase() {
    let auth = || [Auth::key_file_or_password("k", "p")];
    let refused = "?publickey,password";
    for known in ["encrypted", "garbled"] {
        let error = play(auth(), &[("key k", refused), ("inspect", known)]).to_string();
        assert!(error.contains("password, which is the private key's passphrase"), "{error}");
        // A server that does not even look at keys.
        let error = play(auth(), &[("key k", "?password"), ("inspect", known)]).to_string();
        assert!(error.contains("passphrase"), "{error}");
    }
    for known in ["plain", "missing"] {
        play(auth(), &[("key k", refused), ("inspect", known), ("password p", refused)]);
    }
    // Said apart, it is what it is said to be.
    let both = [Auth::key_file_or_password("k", "p"), Auth::password("p")];
    play(both, &[("key k", refused), ("inspect", "encrypted"), ("password p", refused)]);
}

#[test]
fn methods_that_are_not_allowed_are_not_used_and_the_order_is_the_one_preferred() {
    let refused = "?publickey,password,keyboard-interactive";
    let target = Target::new("h", 22, "u").expect("a target");
    let with = |set: fn(&mut Methods)| {
        let mut options =
            Options::new(target.clone()).auth(Auth::password("p")).auth(Auth::key_file("k"));
        set(&mut options.methods);
        let mut login = Login::new(&options);
        let mut sent = Vec::new();
        while let Some(attempt) = login.attempt() {
            let (name, method) = match attempt {
                Attempt::Password(_) => ("password", Method::Password),
                Attempt::Key(_) => ("key", Method::PublicKey),
                Attempt::KeyboardInteractive(_) => ("answer", Method::KeyboardInteractive),
                other => panic!("{other:?}"),
            };
            sent.push(name);
            login.refused(name.into(), method, Some(list(&refused[1..])));
        }
        sent.join(" ")
    };
    assert_eq!(with(|_| {}), "password key");
    assert_eq!(with(|methods| methods.password = false), "answer key");
    assert_eq!(with(|methods| methods.public_key = false), "password");
    let no_words = |methods: &mut Methods| {
        methods.password = false;
        methods.keyboard_interactive = false;
    };
    assert_eq!(with(no_words), "key");
    let prefer = |methods: &mut Methods| {
        methods.preferred = Some(vec![Method::PublicKey, Method::KeyboardInteractive]);
    };
    assert_eq!(with(prefer), "key answer");
    assert_eq!(with(|methods| methods.preferred = Some(Vec::new())), "");
}
