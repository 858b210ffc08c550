//! How clients prove who they are: what is asked, in which order, and how refusals are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use russh::keys::{Certificate, PublicKey};
use russh::server::{Auth, Response};
use russh::{MethodKind, MethodSet};
use ssh_key::certificate::CertType;

use super::builder::Settings;
use super::shared::Shared;
use crate::Attempts;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// A key, or a certificate.
    PublicKey,
    /// A password.
    Password,
    /// Answers to prompts.
    KeyboardInteractive,
}

impl Method {
    pub(super) fn kind(self) -> MethodKind {
        match self {
            Self::PublicKey => MethodKind::PublicKey,
            Self::Password => MethodKind::Password,
            Self::KeyboardInteractive => MethodKind::KeyboardInteractive,
        }
    }
}

/// What a server asks at once in keyboard-interactive authentication, and the answers it wants.
#[derive(Clone, Debug, Default)]
#[must_use = "asked only once a builder has it"]
pub struct Round {
    instructions: String,
    questions: Vec<(String, bool, String)>,
}

impl Round {
    /// A round without questions, which a client has to answer all the same.
    pub fn new(instructions: impl Into<String>) -> Self {
        Self { instructions: instructions.into(), questions: Vec::new() }
    }

    /// Asks a question whose answer must not be seen while it is typed.
    pub fn ask(mut self, question: impl Into<String>, answer: impl Into<String>) -> Self {
        self.questions.push((question.into(), false, answer.into()));
        self
    }

    /// Asks a question whose answer may be seen.
    pub fn ask_visibly(mut self, question: impl Into<String>, answer: impl Into<String>) -> Self {
        self.questions.push((question.into(), true, answer.into()));
        self
    }

    fn as_request(&self) -> Auth {
        let prompts = self.questions.iter().map(|(text, echo, _)| (text.clone().into(), *echo));
        Auth::Partial {
            name: "".into(),
            instructions: self.instructions.clone().into(),
            prompts: prompts.collect::<Vec<_>>().into(),
        }
    }

    fn is_answered(&self, answers: Response<'_>) -> bool {
        let wanted = self.questions.iter().map(|(_, _, answer)| answer.as_bytes());
        answers.eq(wanted)
    }
}

/// Refusals counted so far.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    public_key: AtomicUsize,
    password: AtomicUsize,
    keyboard_interactive: AtomicUsize,
}

impl Refusals {
    pub(super) fn read(&self) -> Attempts {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        Attempts {
            public_key: count(&self.public_key),
            password: count(&self.password),
            keyboard_interactive: count(&self.keyboard_interactive),
        }
    }

    fn count(&self, method: MethodKind) {
        let counter = match method {
            MethodKind::Password => &self.password,
            MethodKind::KeyboardInteractive => &self.keyboard_interactive,
            _ => &self.public_key,
        };
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

/// The login of one connection.
pub(super) struct Login {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    /// How many of the methods that are wanted one after another have succeeded.
    passed: usize,
    /// The round of questions that is under way.
    round: usize,
}

impl Login {
    pub(super) fn new(settings: Arc<Settings>, shared: Arc<Shared>) -> Self {
        Self { settings, shared, passed: 0, round: 0 }
    }

    pub(super) fn password(&mut self, user: &str, password: &str) -> Auth {
        let right = self.settings.password.as_deref() == Some(password);
        self.judge(MethodKind::Password, user, right)
    }

    /// A key that is asked about or used. With an authority every key may have a certificate, which
    /// is not told here: then it is judged once it has signed.
    pub(super) fn offered_key(&mut self, user: &str, key: &PublicKey) -> Auth {
        if self.settings.user_authority.is_some() || self.is_authorized(key) {
            return Auth::Accept;
        }
        self.judge(MethodKind::PublicKey, user, false)
    }

    pub(super) fn key(&mut self, user: &str, key: &PublicKey) -> Auth {
        let right = self.is_authorized(key);
        self.judge(MethodKind::PublicKey, user, right)
    }

    /// Its dates and signatures are checked already.
    pub(super) fn certificate(&mut self, user: &str, certificate: &Certificate) -> Auth {
        let authority = self.settings.user_authority.as_ref();
        let right = certificate.cert_type() == CertType::User
            && authority.is_some_and(|key| key.key_data() == certificate.signature_key())
            && certificate.valid_principals().iter().any(|principal| principal == user);
        self.judge(MethodKind::PublicKey, user, right)
    }

    pub(super) fn answers(&mut self, user: &str, answers: Option<Response<'_>>) -> Auth {
        let rounds = &self.settings.rounds;
        let right = match answers {
            None => {
                self.round = 0;
                true
            }
            Some(answers) => {
                let round = rounds.get(self.round);
                self.round += 1;
                round.is_some_and(|round| round.is_answered(answers))
            }
        };
        match rounds.get(self.round) {
            Some(round) if right => round.as_request(),
            _ => self.judge(MethodKind::KeyboardInteractive, user, right && self.round > 0),
        }
    }

    fn is_authorized(&self, key: &PublicKey) -> bool {
        // Without the comment, which is none of the key's business.
        self.settings.authorized_keys.iter().any(|known| known.key_data() == key.key_data())
    }

    fn judge(&mut self, method: MethodKind, user: &str, right: bool) -> Auth {
        let wanted = &self.settings.wanted;
        let due = wanted.get(self.passed);
        let right = right && user == self.settings.user && due.is_none_or(|due| *due == method);
        if !right {
            self.shared.counters.refusals.count(method);
            return match due {
                None => Auth::reject(),
                Some(due) => reject_for([*due], false),
            };
        }
        self.passed += 1;
        match wanted.get(self.passed) {
            None => Auth::Accept,
            Some(next) => reject_for([*next], true),
        }
    }
}

fn reject_for(methods: [MethodKind; 1], partial_success: bool) -> Auth {
    Auth::Reject { proceed_with_methods: Some(MethodSet::from(&methods[..])), partial_success }
}
