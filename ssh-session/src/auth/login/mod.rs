//! The plan of a login: which credential to send next, and what to say when none is left.
//!
//! Nothing here talks to a server. A backend asks for the next [`Attempt`], sends it, and tells what
//! came of it; so the rules are the same for all backends:
//!
//! * Each credential is judged by the server once at most, whatever it is called.
//! * What the server says it takes steers what is sent: a credential of another kind is passed
//!   over, and comes again once the server has accepted one and wants another.
//! * A password also answers the one hidden question of a server that asks instead of taking
//!   passwords (PAM).

mod dialogue;
mod way;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use secrecy::{ExposeSecret as _, SecretString};

use crate::host_keys::rsa_size;
use crate::opening::take;
use crate::{Algorithms, Answers, AskPassword, KeyProblem, Options, SshError, printable};

pub use dialogue::KeyboardInteractive;
pub use way::{Agent, Key, KeySource};
use way::{Kind, Way};

/// The most names of methods that are kept of what a server says it takes, and how long they are.
const MAX_METHODS: usize = 16;
const LONGEST_METHOD: usize = 64;

/// How a server can be convinced, as RFC 4252 and 4256 name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// RFC 4252, section 8.
    Password,
    /// RFC 4252, section 7: keys, also an agent's, and certificates.
    PublicKey,
    /// RFC 4256.
    KeyboardInteractive,
}

impl Method {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::PublicKey => "publickey",
            Self::KeyboardInteractive => "keyboard-interactive",
        }
    }
}

/// What to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Attempt {
    /// Ask the user, where that may wait, and tell [`Login::asked`].
    Ask(AskPassword),
    /// Find out whether a key is encrypted ([`Key::is_encrypted`]), where that may wait, and tell
    /// [`Login::inspected`].
    Inspect(Key),
    /// Send a password.
    Password(SecretString),
    /// Let the server ask, and answer each prompt by [`KeyboardInteractive::answer`], where that may wait.
    KeyboardInteractive(KeyboardInteractive),
    /// Send a private key, unless [`Login::is_new_key`] knows it.
    Key(Key),
    /// Send an agent's keys, one after another, unless [`Login::is_new_key`] knows them, as long as
    /// the server [takes](Login::takes) keys.
    Agent(Agent),
}

/// A login under way.
#[derive(Debug)]
pub struct Login<'a> {
    options: &'a Options,
    ways: Vec<Way>,
    /// The way whose attempt is under way.
    current: usize,
    /// What the server says it takes, once it has said so.
    offered: Option<Vec<String>>,
    keys: HashSet<Vec<u8>>,
    last_key: Vec<u8>,
    /// What the server refused, for the error's text.
    tried: Vec<String>,
    /// It has accepted one, and wants another.
    in_part: bool,
    /// A password that was not sent, since it is a private key's passphrase, or may be.
    withheld: bool,
    /// What kept us from asking the server, in order.
    local: Vec<SshError>,
}

impl<'a> Login<'a> {
    /// A login with the credentials of these options.
    pub fn new(options: &'a Options) -> Self {
        Self {
            options,
            ways: Way::all(&options.auth),
            current: 0,
            offered: None,
            keys: HashSet::new(),
            last_key: Vec::new(),
            tried: Vec::new(),
            in_part: false,
            withheld: false,
            local: Vec::new(),
        }
    }

    /// Whether it pays to ask the server what it takes, before anything is sent: where only keys
    /// can be sent it does not.
    pub fn wants_offer(&self) -> bool {
        self.ways.iter().any(|way| way.methods() != [Method::PublicKey])
    }

    /// What to do next; `None` when there is nothing left.
    pub fn attempt(&mut self) -> Option<Attempt> {
        let (index, method) = self.next()?;
        self.current = index;
        let way = &mut self.ways[index];
        Some(match (&way.kind, method) {
            (Kind::Password(password), Method::Password) => Attempt::Password(password.clone()),
            (Kind::Password(password), _) => {
                way.spent = true;
                Attempt::KeyboardInteractive(KeyboardInteractive::password(password.clone()))
            }
            (Kind::AskPassword(ask), _) => Attempt::Ask(ask.clone()),
            (Kind::KeysPassword(key), _) => Attempt::Inspect(key.clone()),
            (Kind::Answers(answers), _) => {
                Attempt::KeyboardInteractive(KeyboardInteractive::answers(Answers::clone(answers)))
            }
            (Kind::Key(key), _) => Attempt::Key(key.clone()),
            (Kind::Agent(agent), _) => Attempt::Agent(agent.clone()),
        })
    }

    /// The user's answer to [`Attempt::Ask`].
    pub fn asked(&mut self, password: Option<SecretString>) {
        let Some(password) = password else {
            self.give_up(SshError::invalid("password", "was asked for and not given"));
            return;
        };
        if password.expose_secret().contains('\0') {
            self.give_up(SshError::invalid("password", "has a NUL character in it"));
            return;
        }
        let known = self.ways.iter().any(|way| way.is_password(&password));
        let way = &mut self.ways[self.current];
        way.spent = known;
        way.kind = Kind::Password(password);
    }

    /// What is known of the key of [`Attempt::Inspect`]: whether it is encrypted. Where it is, or
    /// that is not known, what was given with it is not sent.
    pub fn inspected(&mut self, encrypted: Result<bool, KeyProblem>) {
        let way = &mut self.ways[self.current];
        let Kind::KeysPassword(key) = &way.kind else { return };
        let (passphrase, path) = (key.passphrase.clone(), key.path().cloned());
        match (encrypted, passphrase) {
            (Ok(false) | Err(KeyProblem::Missing), Some(password)) => {
                way.kind = Kind::Password(password);
            }
            (encrypted, _) => {
                way.spent = true;
                self.withheld = true;
                let told = |error: &SshError| matches!(error, SshError::KeyFile { path: told, .. } if *told == path);
                if let Err(problem) = encrypted
                    && !self.local.iter().any(told)
                {
                    let target = self.options.target.clone();
                    self.local.push(SshError::KeyFile { target, path, problem });
                }
            }
        }
    }

    /// What the server said it takes, without having been sent anything to judge.
    pub fn offered<N: AsRef<str>>(&mut self, methods: impl IntoIterator<Item = N>) {
        let short = |name: &N| name.as_ref().len() <= LONGEST_METHOD;
        let names = methods.into_iter().filter(short).take(MAX_METHODS);
        self.offered = Some(names.map(|name| printable(name.as_ref().as_bytes())).collect());
    }

    /// Whether the server takes a kind of credential, as far as is known.
    pub fn takes(&self, method: Method) -> bool {
        let known = |offered: &Vec<String>| offered.iter().any(|name| name == method.name());
        self.options.methods.allow(method) && self.offered.as_ref().is_none_or(known)
    }

    /// Whether a credential is left, be it one that the server does not take for now.
    pub fn has_more(&self) -> bool {
        self.ways.iter().any(|way| !way.spent)
    }

    /// Whether a key may be sent, and was not before, whatever it is called: by its public half, or
    /// its certificate, in wire format. It counts as sent from now on.
    pub fn is_new_key(&mut self, public: &[u8]) -> bool {
        let key_type = key_type(public);
        if let Some(key_type) = key_type.filter(|name| !self.options.crypto.may_log_in_with(name)) {
            self.not_accepted(&printable(key_type.as_bytes()));
            return false;
        }
        let policy = self.options.crypto.min_rsa_bits();
        let required = self.options.key_rules.required_rsa_size.max(policy);
        if let Some(bits) = rsa_size(public).filter(|bits| *bits < required) {
            self.too_short(bits, required);
            return false;
        }
        self.last_key = public.to_vec();
        self.keys.insert(public.to_vec())
    }

    /// The key of [`Attempt::Key`] was sent before, or there is nothing left of
    /// [`Attempt::Agent`].
    pub fn exhausted(&mut self) {
        self.ways[self.current].spent = true;
    }

    /// The server refused what was sent by a method. `name` is what to call it, `methods` what the
    /// server said it takes, where that is known.
    ///
    /// One of an agent's keys leaves the others to be sent.
    pub fn refused(&mut self, name: String, method: Method, methods: Option<Vec<String>>) {
        tracing::debug!(target = %self.options.target, credential = %name, "refused");
        self.tried.push(name);
        // Some servers stop offering a method once it has failed.
        let was_offered = self.offered.is_some() && self.takes(method);
        if let Some(methods) = methods {
            self.offered(methods);
        }
        let judged = was_offered || self.takes(method);
        if !judged {
            self.keys.remove(&self.last_key);
        }
        let way = &mut self.ways[self.current];
        match way.kind {
            _ if !judged => way.unjudged = Some(method),
            Kind::Agent(_) => {}
            _ => way.spent = true,
        }
    }

    /// The server accepted what was sent, and wants more.
    pub fn accepted_in_part(&mut self, methods: Vec<String>) {
        self.in_part = true;
        self.offered(methods);
        let way = &mut self.ways[self.current];
        // It may want another of an agent's keys.
        way.spent = !matches!(way.kind, Kind::Agent(_));
        for way in &mut self.ways {
            way.unjudged = None;
        }
    }

    /// The credential could not be sent. The way is at its end, unless it is an agent's.
    pub fn not_sent(&mut self, error: SshError) {
        tracing::debug!(%error, "credential not sent");
        let way = &mut self.ways[self.current];
        way.spent |= !matches!(way.kind, Kind::Agent(_));
        // A key that would be tried unasked and may not be is worth a word, as with `ssh`.
        let too_open =
            matches!(error, SshError::KeyFile { problem: KeyProblem::TooOpen { .. }, .. });
        if too_open || !way.is_optional() {
            self.local.push(error);
        }
    }

    /// The connection ended while `name` was sent. That is no refusal, unless the server had
    /// refused something before: then it has hung up on us (`MaxAuthTries`), and the same
    /// credentials must not be sent again.
    pub fn lost(&mut self, name: &str, lost: SshError) -> SshError {
        if self.tried.is_empty() { lost } else { self.hung_up(name) }
    }

    /// The server said goodbye instead of an answer to `name`: a refusal.
    pub fn hung_up(&mut self, name: &str) -> SshError {
        self.tried.push(format!("{name}, at which it hung up"));
        self.failure()
    }

    /// What to tell when there is nothing left.
    pub fn failure(&mut self) -> SshError {
        let target = self.options.target.clone();
        let mut tried = std::mem::take(&mut self.tried);
        let mut local = std::mem::take(&mut self.local);
        if tried.is_empty() && !self.in_part && !local.is_empty() {
            return local.swap_remove(0);
        }
        if self.in_part {
            tried.insert(0, "one that it accepted, but it wants another".into());
        }
        tried.extend(local.iter().map(|error| format!("not sent: {error}")));
        if self.withheld {
            tried.push("not sent: password, which is the private key's passphrase".into());
        }
        for way in self.ways.iter().filter(|way| !way.spent && way.unjudged.is_none()) {
            if !way.is_optional() {
                let allow = |method: &Method| self.options.methods.allow(*method);
                let why = match way.methods().iter().any(allow) {
                    true => "which it does not take",
                    false => "which is not allowed here",
                };
                tried.push(format!("not sent: {}, {why}", way.name()));
            }
        }
        let offered = self.offered.take().unwrap_or_default();
        if tried.is_empty() {
            let detail = "there is none, and no default key file that can be used; start one, or \
                          name a password or a private key"
                .into();
            return SshError::Agent { target, detail };
        }
        SshError::AuthenticationFailed { target, tried, offered }
    }

    /// By which algorithms an RSA key may sign, of the two that any library here has, best first.
    /// `certified` is whether it does for a certificate.
    pub fn rsa_algorithms(&self, certified: bool) -> impl Iterator<Item = &'static str> {
        let crypto = &self.options.crypto;
        let both = [
            ("rsa-sha2-512", "rsa-sha2-512-cert-v01@openssh.com"),
            ("rsa-sha2-256", "rsa-sha2-256-cert-v01@openssh.com"),
        ];
        both.into_iter()
            .filter(move |(plain, of_certificate)| {
                crypto.has(Algorithms::UserKeys, if certified { of_certificate } else { plain })
            })
            .map(|(plain, _)| plain)
    }

    /// A key of ours is of a type that is not to be sent.
    fn not_accepted(&mut self, key_type: &str) {
        let field = Algorithms::UserKeys.field();
        self.unfit(format!("{key_type} is not among those to log in with ({field})"));
    }

    /// A key of ours is an RSA key with too few bits.
    fn too_short(&mut self, bits: u32, required: u32) {
        self.unfit(format!("it is an RSA key of {bits} bits, fewer than {required}"));
    }

    /// A key of ours is not sent, for this reason.
    fn unfit(&mut self, detail: String) {
        let target = self.options.target.clone();
        self.local.push(match &self.ways[self.current].kind {
            Kind::Key(key) => SshError::KeyFile {
                target,
                path: key.path().cloned(),
                problem: KeyProblem::Malformed(detail),
            },
            _ => SshError::Agent { target, detail: format!("of one of its keys: {detail}") },
        });
    }

    /// The way that goes next, and how its credential is sent.
    fn next(&self) -> Option<(usize, Method)> {
        let methods = &self.options.methods;
        let mut ways = Vec::new();
        for (index, way) in self.ways.iter().enumerate().filter(|(_, way)| !way.spent) {
            let mut allowed: Vec<_> =
                way.methods().iter().copied().filter(|method| methods.allow(*method)).collect();
            allowed.sort_by_key(|method| methods.rank(*method));
            if self.offered.is_none() {
                // Unasked, a server gets each kind of credential in its own way.
                allowed.truncate(1);
            }
            let next = |method: &Method| way.unjudged != Some(*method) && self.takes(*method);
            ways.extend(allowed.into_iter().find(next).map(|method| (index, method)));
        }
        // The first of those that are equal.
        ways.into_iter().min_by_key(|(_, method)| methods.rank(*method))
    }

    fn give_up(&mut self, error: SshError) {
        self.ways[self.current].spent = true;
        tracing::debug!(%error, "credential not sent");
        self.local.push(error);
    }
}

/// The type of a key, or of a certificate, in wire format; `None` where it is none.
fn key_type(mut public: &[u8]) -> Option<&str> {
    take(&mut public).and_then(|name| std::str::from_utf8(name).ok())
}
