//! Logging in by the plan that all backends share.
//!
//! libssh2 tells of a refusal neither what the server takes nor whether it accepted in part. So the
//! server is asked, which sshd counts as one of `MaxAuthTries` from the second time on: before
//! anything but keys is sent, after a signature that was not enough, and where nothing that it is
//! known to take is left.

use ssh_session::login::{Agent, Attempt, Key, KeyboardInteractive, Login, Method};
use ssh_session::{ExposeSecret, KeyProblem, Phase, SecretString, SshError, printable};

use crate::agent::{Agent as Client, Identity, is_certificate};
use crate::dial::{Dial, StepError};
use crate::ffi::{self, Error, Method as Preference};
use crate::keys;
use crate::prompts::{Conversation, End, ask};

/// What a private key is called where it cannot be read.
const FIELD: &str = "private_key";

/// Logs in, with as many credentials as the server wants.
pub(crate) fn login(dial: &Dial<'_>) -> Result<(), SshError> {
    let plan = Login::new(dial.options);
    let mut talk = Authenticator { dial, plan, offered: Vec::new(), unsure: false, is_mute: false };
    if talk.plan.wants_offer() {
        talk.ask_methods()?;
        talk.plan.offered(&talk.offered);
    }
    while !dial.session.authenticated() {
        match talk.plan.attempt() {
            Some(Attempt::Ask(asked)) => {
                let target = dial.options.target.clone();
                match ask(dial, "password", move || asked.ask(&target)) {
                    Err(late @ SshError::Timeout { .. }) => return Err(late),
                    answer => talk.plan.asked(answer.ok().flatten()),
                }
            }
            Some(Attempt::Inspect(key)) => {
                let rules = dial.options.key_rules;
                let encrypted = ask(dial, FIELD, move || key.is_encrypted(&rules))?;
                talk.plan.inspected(encrypted);
            }
            Some(Attempt::Password(password)) => talk.password(&password)?,
            Some(Attempt::KeyboardInteractive(dialogue)) => talk.converse(dialogue)?,
            Some(Attempt::Key(key)) => talk.key(key)?,
            Some(Attempt::Agent(agent)) => talk.agent(&agent)?,
            Some(_) => return Err(SshError::invalid("auth", "has a way that is not known here")),
            None => talk.look_for_more()?,
        }
    }
    Ok(())
}

struct Authenticator<'a> {
    dial: &'a Dial<'a>,
    plan: Login<'a>,
    /// What the server said last that it takes.
    offered: Vec<String>,
    /// What looked like a refusal since may have been a success in part.
    unsure: bool,
    /// No dialogue can be begun any more.
    is_mute: bool,
}

impl Authenticator<'_> {
    fn password(&mut self, password: &SecretString) -> Result<(), SshError> {
        let user = self.dial.options.target.user();
        let session = &self.dial.session;
        let sent = self.dial.step(Phase::Authenticate, || {
            session.userauth_password(user, password.expose_secret())
        });
        self.judge("password".into(), Method::Password, sent)
    }

    fn converse(&mut self, dialogue: KeyboardInteractive) -> Result<(), SshError> {
        let dial = self.dial;
        let user = dial.options.target.user();
        let mut conversation = Conversation::new(dial, &mut self.plan, dialogue);
        let mut waits = false;
        let sent = dial.step(Phase::Authenticate, || {
            let done = ffi::auth_interactive(&dial.session, user, &mut conversation);
            if conversation.end.is_none() {
                return done;
            }
            waits = matches!(&done, Err(error) if ffi::is_again(error));
            Err(ffi::refused("declined"))
        });
        let name = conversation.name;
        match conversation.end {
            None => self.judge(name.into(), Method::KeyboardInteractive, sent),
            Some(End::Late(late)) => Err(late),
            Some(End::Declined) => {
                // Behind an answered prompt libssh2 waits for the server all the same, and begins
                // no other dialogue. Anything else can be sent.
                if waits {
                    self.is_mute = true;
                    self.offer(self.offered.clone());
                    self.plan.offered(&self.offered);
                }
                Ok(())
            }
        }
    }

    fn key(&mut self, key: Key) -> Result<(), SshError> {
        let target = &self.dial.options.target;
        let (name, path) = (key.name(), key.path().cloned());
        let failed =
            |problem| SshError::KeyFile { target: target.clone(), path: path.clone(), problem };
        let rules = self.dial.options.key_rules;
        let private = match ask(self.dial, FIELD, move || keys::open(&key, &rules))? {
            Ok(private) => private,
            Err(problem) => {
                self.plan.not_sent(failed(problem));
                return Ok(());
            }
        };
        let certificate = private.certificate;
        let public = match &certificate {
            Some(text) => ssh_key::Certificate::from_openssh(text)
                .and_then(|certificate| certificate.to_bytes())
                .ok(),
            None => private.public,
        };
        if public.is_some_and(|public| !self.plan.is_new_key(&public)) {
            self.plan.exhausted();
            return Ok(());
        }
        self.prefer_rsa(certificate.is_some())?;
        let passphrase = private.passphrase.as_ref().map(ExposeSecret::expose_secret);
        let text = private.text.expose_secret();
        let session = &self.dial.session;
        let sent = self.dial.step(Phase::Authenticate, || {
            let certificate = certificate.as_deref();
            session.userauth_pubkey_memory(target.user(), certificate, text, passphrase)
        });
        match &sent {
            Err(StepError::Refused(error)) if ffi::is_unsent_key(error) => {
                let problem = match passphrase {
                    Some(_) if ffi::is_unreadable_key(error) => KeyProblem::WrongPassphrase,
                    _ => KeyProblem::Malformed(printable(error.message().as_bytes())),
                };
                self.plan.not_sent(failed(problem));
                Ok(())
            }
            _ => self.judge(name, Method::PublicKey, sent),
        }
    }

    fn agent(&mut self, agent: &Agent) -> Result<(), SshError> {
        let proof = self.dial.session.with_framing(|framing| framing.opening.proof().cloned());
        let connected = Client::connect(agent.socket.as_deref(), self.dial.deadline, proof);
        let found = connected.and_then(|mut client| {
            let identities = client.identities(&agent.only)?;
            match (identities.is_empty(), agent.only.is_empty()) {
                (false, _) => Ok((client, identities)),
                (true, true) => Err("it holds no keys; add one with ssh-add".into()),
                (true, false) => Err("it holds none of the keys named".into()),
            }
        });
        match found {
            Ok((mut client, identities)) => {
                let mut left = None;
                for identity in identities {
                    if !self.plan.takes(Method::PublicKey) || self.dial.session.authenticated() {
                        return Ok(());
                    }
                    if left.is_none() && client.is_bound() {
                        left = client.identities(&[]).ok();
                    }
                    if left.as_ref().is_some_and(|left| !left.contains(&identity)) {
                        continue;
                    }
                    if self.plan.is_new_key(&identity.public) {
                        self.identity(&mut client, &identity)?;
                    }
                }
            }
            Err(detail) => self.no_agent(detail)?,
        }
        self.plan.exhausted();
        Ok(())
    }

    fn identity(&mut self, client: &mut Client, identity: &Identity) -> Result<(), SshError> {
        let Identity { public, comment } = identity;
        let name = format!("agent key {}", printable(comment));
        self.prefer_rsa(is_certificate(public))?;
        let crypto = &self.dial.options.crypto;
        let user = self.dial.options.target.user();
        let session = &self.dial.session;
        let mut unsigned = None;
        let sent = self.dial.step(Phase::Authenticate, || {
            let mut sign = |data: &[u8]| match client.sign(public, data, crypto) {
                Ok(signature) => Some(signature),
                Err(detail) => {
                    unsigned = Some(detail);
                    None
                }
            };
            ffi::auth_signed(session, user, public, &mut sign)
        });
        if let Err(StepError::Refused(error)) = &sent
            && ffi::is_unsent_key(error)
        {
            let detail = unsigned.unwrap_or_else(|| printable(error.message().as_bytes()));
            return self.no_agent(format!("{detail} ({name})"));
        }
        self.judge(name, Method::PublicKey, sent)
    }

    /// Says by what an RSA key may sign. Where the server doesn't say what it takes, libssh2 would
    /// sign by SHA-1, which it has not as it is built, and which no agent is asked for.
    fn prefer_rsa(&self, certified: bool) -> Result<(), SshError> {
        let names: Vec<_> = self.plan.rsa_algorithms(certified).collect();
        if names.is_empty() {
            return Ok(());
        }
        let preferred = self.dial.session.prefer(Preference::UserRsa, &names.join(","));
        preferred.map_err(|error| {
            self.dial.lost(Phase::Authenticate, printable(error.message().as_bytes()))
        })
    }

    fn no_agent(&mut self, detail: String) -> Result<(), SshError> {
        if self.dial.deadline.is_over() {
            return Err(self.dial.late(Phase::Authenticate));
        }
        self.plan.not_sent(SshError::Agent { target: self.dial.options.target.clone(), detail });
        Ok(())
    }

    /// What the server makes of what was sent.
    fn judge(
        &mut self,
        name: String,
        method: Method,
        sent: Result<(), StepError>,
    ) -> Result<(), SshError> {
        let Some(refusal) = self.heard(&name, sent)? else { return Ok(()) };
        self.plan.refused(name, method, None);
        self.unsure |= method != Method::PublicKey;
        if ffi::is_signature_refused(&refusal) && self.plan.has_more() {
            // It had taken the key itself.
            self.ask_methods()?;
            self.plan.accepted_in_part(self.offered.clone());
        }
        Ok(())
    }

    /// Whether the server takes more than before, where nothing that it took is left to be sent.
    fn look_for_more(&mut self) -> Result<(), SshError> {
        if self.unsure && self.plan.has_more() {
            let before = self.offered.clone();
            self.ask_methods()?;
            if self.offered != before {
                self.plan.accepted_in_part(self.offered.clone());
                return Ok(());
            }
        }
        Err(self.plan.failure())
    }

    /// Takes note of what the server takes, as far as it can be sent.
    fn offer(&mut self, mut methods: Vec<String>) {
        let dialogue = Method::KeyboardInteractive.name();
        methods.retain(|method| !self.is_mute || method != dialogue);
        self.offered = methods;
    }

    /// Asks what the server takes, or learns that it has let us in.
    fn ask_methods(&mut self) -> Result<(), SshError> {
        let user = self.dial.options.target.user();
        let session = &self.dial.session;
        let mut methods = Vec::new();
        let asked = self.dial.step(Phase::Authenticate, || {
            methods = ffi::auth_methods(session, user)?;
            Ok(())
        });
        self.unsure = false;
        self.offer(methods);
        // Nothing was to be judged, so a goodbye is no refusal.
        let asked = asked.map_err(|error| match error {
            StepError::Disconnected(lost) => StepError::Fatal(lost),
            other => other,
        });
        match self.heard("asking what it takes", asked)? {
            Some(error) => {
                Err(self.dial.lost(Phase::Authenticate, printable(error.message().as_bytes())))
            }
            None => Ok(()),
        }
    }

    /// The server's refusal, if it is one. A connection that ends instead is an error.
    fn heard(
        &mut self,
        name: &str,
        sent: Result<(), StepError>,
    ) -> Result<Option<Error>, SshError> {
        match sent {
            Ok(()) => Ok(None),
            Err(StepError::Refused(error)) => Ok(Some(error)),
            Err(StepError::Disconnected(_)) => Err(self.plan.hung_up(name)),
            Err(StepError::Fatal(lost @ SshError::ConnectionLost { .. })) => {
                Err(self.plan.lost(name, lost))
            }
            Err(StepError::Fatal(error)) => Err(error),
        }
    }
}
