//! Logging in: sending what the plan of the login says, and telling it what came of it.

use std::future::Future;
use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Response};
use russh::keys::agent::AgentIdentity;
use russh::keys::{Certificate, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{AgentAuthError, MethodSet, Signer};
use ssh_session::login::{Agent, Attempt, Key, KeyboardInteractive, Login as Plan, Method};
use ssh_session::{
    ExposeSecret as _, KeyProblem, Phase, Prompt, SecretString, SshError, printable,
};

use crate::agent;
use crate::apart::spawn_blocking;
use crate::client::{Client, describe};
use crate::dial::Dial;
use crate::keys::{self, Credential, OwnKey};
use crate::liveness::End;

/// Logs in with what the server accepts of our credentials.
pub(crate) async fn login(dial: &Dial<'_>, handle: &mut Handle<Client>) -> Result<(), SshError> {
    let plan = Plan::new(dial.options);
    let mut login = Login { dial, handle, plan, rsa_hash: None, unanswered: None };
    if login.plan.wants_offer() && login.offer().await? {
        return Ok(());
    }
    while let Some(attempt) = login.plan.attempt() {
        if let Attempt::Ask(ask) = attempt {
            let target = dial.options.target.clone();
            let asking = spawn_blocking(move || ask.ask(&target));
            let asked = bound(dial, asking).await?;
            login.plan.asked(asked.ok().flatten());
            continue;
        }
        if let Attempt::Inspect(key) = attempt {
            let reading = keys::is_encrypted(key, dial.options.key_rules);
            let encrypted = bound(dial, reading).await?;
            login.plan.inspected(encrypted);
            continue;
        }
        let answers = matches!(attempt, Attempt::KeyboardInteractive(_));
        let accepted = !answers && login.free().await?
            || match attempt {
                Attempt::Password(password) => login.password(&password).await?,
                Attempt::KeyboardInteractive(dialogue) => login.dialogue(dialogue).await?,
                Attempt::Key(key) => login.key(key).await?,
                Attempt::Agent(agent) => login.agent(agent).await?,
                // One that we don't know cannot be sent.
                _ => return Err(login.plan.failure()),
            };
        if accepted {
            return Ok(());
        }
    }
    Err(login.plan.failure())
}

struct Login<'a> {
    dial: &'a Dial<'a>,
    handle: &'a mut Handle<Client>,
    plan: Plan<'a>,
    /// How to sign with RSA keys on this server, once it is known.
    rsa_hash: Option<HashAlg>,
    /// What the server asks and nobody answered.
    unanswered: Option<Prompt>,
}

/// What came of asking the server.
enum Answer {
    Accepted,
    /// With the names of what the server takes.
    Refused(Vec<String>),
    /// The same; it wants more.
    AcceptedInPart(Vec<String>),
    /// The agent failed us; the server was not asked, or not to the end.
    Agent(String),
    Lost(End),
}

impl Login<'_> {
    /// Asks the server what it takes. True where it takes nothing to let us in.
    async fn offer(&mut self) -> Result<bool, SshError> {
        let (dial, user) = (self.dial, self.dial.options.target.user());
        let asking = self.handle.authenticate_none(user);
        match answer(dial, asking).await? {
            Answer::Refused(methods) | Answer::AcceptedInPart(methods) => {
                self.plan.offered(methods);
                Ok(false)
            }
            other => self.judge("no credential".into(), Method::Password, other),
        }
    }

    async fn password(&mut self, password: &SecretString) -> Result<bool, SshError> {
        let (dial, user) = (self.dial, self.dial.options.target.user());
        let asking = self.handle.authenticate_password(user, password.expose_secret());
        let answer = answer(dial, asking).await?;
        self.judge("password".into(), Method::Password, answer)
    }

    async fn dialogue(&mut self, mut dialogue: KeyboardInteractive) -> Result<bool, SshError> {
        let (dial, user) = (self.dial, self.dial.options.target.user());
        let name = dialogue.name();
        let mut said = match self.unanswered.take() {
            Some(prompt) => Heard::Question(prompt),
            None => {
                let hint = None::<String>;
                let starting = self.handle.authenticate_keyboard_interactive_start(user, hint);
                heard(dial, starting).await?
            }
        };
        loop {
            let prompt = match said {
                Heard::Question(prompt) => prompt,
                Heard::TooMuch => {
                    let problem = "was asked more than anybody would answer";
                    self.plan.not_sent(SshError::invalid("keyboard_interactive", problem));
                    return Err(self.plan.failure());
                }
                Heard::Answer(answer) => {
                    return self.judge(name.into(), Method::KeyboardInteractive, answer);
                }
            };
            let asked = prompt.clone();
            let answering = spawn_blocking(move || (dialogue.answer(&asked), dialogue));
            let (answers, left) = match bound(dial, answering).await? {
                Ok((Ok(answers), left)) => (answers, left),
                Ok((Err(error), _)) => return Ok(self.give_up(error, prompt)),
                Err(_) => {
                    let error = SshError::invalid("keyboard_interactive", "panicked when asked");
                    return Ok(self.give_up(error, prompt));
                }
            };
            dialogue = left;
            said = self.respond(answers).await?;
        }
    }

    /// Leaves a question to whoever is asked next.
    fn give_up(&mut self, error: SshError, question: Prompt) -> bool {
        self.plan.not_sent(error);
        self.unanswered = Some(question);
        false
    }

    async fn respond(&mut self, answers: Vec<SecretString>) -> Result<Heard, SshError> {
        let texts = answers.iter().map(|answer| answer.expose_secret().to_owned()).collect();
        heard(self.dial, self.handle.authenticate_keyboard_interactive_respond(texts)).await
    }

    /// Has the server ask no more. russh sends nothing else while it does, so where something else
    /// is left to be sent, the server must get answers: empty ones, as OpenSSH gives, which it
    /// refuses.
    async fn free(&mut self) -> Result<bool, SshError> {
        while let Some(prompt) = self.unanswered.take() {
            let empty = prompt.questions.iter().map(|_| SecretString::from(""));
            match self.respond(empty.collect()).await? {
                Heard::Question(prompt) => self.unanswered = Some(prompt),
                Heard::TooMuch => return Err(self.plan.failure()),
                Heard::Answer(Answer::Refused(methods)) => self.plan.offered(methods),
                Heard::Answer(other) => {
                    return self.judge("no answer".into(), Method::KeyboardInteractive, other);
                }
            }
        }
        Ok(false)
    }

    async fn key(&mut self, key: Key) -> Result<bool, SshError> {
        let target = &self.dial.options.target;
        let (name, path) = (key.name(), key.path().cloned());
        let Credential { key, certificate } = match self.read(key).await? {
            Ok(credential) => credential,
            Err(problem) => {
                self.plan.not_sent(SshError::KeyFile { target: target.clone(), path, problem });
                return Ok(false);
            }
        };
        if !self.is_new(key.public_key(), certificate.as_ref()) {
            self.plan.exhausted();
            return Ok(false);
        }
        let hash = self.hash_for(key.public_key(), certificate.is_some()).await?;
        let (dial, user) = (self.dial, target.user());
        let answer = match certificate {
            None => {
                let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
                answer(dial, self.handle.authenticate_publickey(user, key)).await?
            }
            Some(certificate) => {
                // russh itself would sign for a certificate of an RSA key with SHA-1.
                let mut signer = OwnKey(key);
                self.signed(AgentIdentity::from(certificate), hash, &mut signer).await?
            }
        };
        self.judge(name, Method::PublicKey, answer)
    }

    async fn read(&self, key: Key) -> Result<Result<Credential, KeyProblem>, SshError> {
        bound(self.dial, keys::read(key, self.dial.options.key_rules)).await
    }

    async fn agent(&mut self, agent: Agent) -> Result<bool, SshError> {
        let target = self.dial.options.target.clone();
        let failed = |detail| SshError::Agent { target: target.clone(), detail };
        let (mut agent, identities) =
            match bound(self.dial, agent::open(&agent, self.handle.agent_session_binding())).await?
            {
                Ok(opened) => opened,
                Err(detail) => {
                    self.plan.not_sent(failed(detail));
                    self.plan.exhausted();
                    return Ok(false);
                }
            };
        for identity in identities {
            if !self.plan.takes(Method::PublicKey) {
                return Ok(false);
            }
            let (key, certificate) = match &identity {
                AgentIdentity::PublicKey { key, .. } => (key.clone(), None),
                AgentIdentity::Certificate { certificate, .. } => {
                    (PublicKey::from(certificate.public_key().clone()), Some(certificate))
                }
            };
            if !self.is_new(&key, certificate) {
                continue;
            }
            let certified = certificate.is_some();
            let kind = if certified { "certificate" } else { "key" };
            let name = format!("agent {kind} {}", printable(identity.comment().as_bytes()));
            let hash = self.hash_for(&key, certified).await?;
            match self.signed(identity, hash, &mut agent).await? {
                Answer::Agent(detail) => self.plan.not_sent(failed(detail)),
                Answer::AcceptedInPart(methods) => {
                    self.plan.accepted_in_part(methods);
                    return Ok(false);
                }
                other => {
                    if self.judge(name, Method::PublicKey, other)? {
                        return Ok(true);
                    }
                }
            }
        }
        self.plan.exhausted();
        Ok(false)
    }

    /// Sends a key or a certificate that somebody else signs for.
    async fn signed(
        &mut self,
        identity: AgentIdentity,
        hash: Option<HashAlg>,
        signer: &mut impl Signer<Error = AgentAuthError>,
    ) -> Result<Answer, SshError> {
        let (dial, user) = (self.dial, self.dial.options.target.user());
        let asked = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                bound(dial, self.handle.authenticate_publickey_with(user, key, hash, signer))
                    .await?
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let asking =
                    self.handle.authenticate_certificate_with(user, certificate, hash, signer);
                bound(dial, asking).await?
            }
        };
        match asked {
            Err(AgentAuthError::Key(error)) => {
                Ok(Answer::Agent(printable(error.to_string().as_bytes())))
            }
            Err(AgentAuthError::Send(_)) => {
                answer(dial, async { Err(russh::Error::SendError) }).await
            }
            Ok(result) => answer(dial, async { Ok(result) }).await,
        }
    }

    /// Tells the plan what came of sending `name`. True where we are in.
    fn judge(&mut self, name: String, method: Method, answer: Answer) -> Result<bool, SshError> {
        match answer {
            Answer::Accepted => return Ok(true),
            Answer::Refused(methods) => self.plan.refused(name, method, Some(methods)),
            Answer::AcceptedInPart(methods) => self.plan.accepted_in_part(methods),
            Answer::Agent(detail) => {
                let target = self.dial.options.target.clone();
                self.plan.not_sent(SshError::Agent { target, detail });
            }
            Answer::Lost(End::Goodbye(_)) => return Err(self.plan.hung_up(&name)),
            Answer::Lost(end) => {
                let lost = end.error(&self.dial.options.target, Phase::Authenticate);
                return Err(self.plan.lost(&name, lost));
            }
        }
        Ok(false)
    }

    /// RSA keys sign with SHA-2; which of the two, the server may have said, and a policy may.
    async fn hash_for(
        &mut self,
        key: &PublicKey,
        certified: bool,
    ) -> Result<Option<HashAlg>, SshError> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        if self.rsa_hash.is_none() {
            let dial = self.dial;
            let said = bound(dial, self.handle.best_supported_rsa_hash()).await?;
            // A lost connection shows at the next step.
            self.rsa_hash = Some(said.ok().flatten().flatten().unwrap_or(HashAlg::Sha512));
        }
        let mut allowed = self.plan.rsa_algorithms(certified).map(|name| match name {
            "rsa-sha2-256" => HashAlg::Sha256,
            _ => HashAlg::Sha512,
        });
        let first = allowed.next();
        let is_allowed = first == self.rsa_hash || allowed.any(|hash| Some(hash) == self.rsa_hash);
        Ok(if is_allowed { self.rsa_hash } else { first.or(self.rsa_hash) })
    }

    fn is_new(&mut self, key: &PublicKey, certificate: Option<&Certificate>) -> bool {
        let wire = match certificate {
            Some(certificate) => certificate.to_bytes(),
            None => key.to_bytes(),
        };
        wire.map_or(true, |wire| self.plan.is_new_key(&wire))
    }
}

async fn bound<T>(dial: &Dial<'_>, work: impl Future<Output = T>) -> Result<T, SshError> {
    dial.deadline.bound(&dial.options.target, Phase::Authenticate, work).await
}

/// Waits for what comes of a credential.
async fn answer(
    dial: &Dial<'_>,
    asking: impl Future<Output = Result<AuthResult, russh::Error>>,
) -> Result<Answer, SshError> {
    let answering = async {
        match asking.await {
            Ok(AuthResult::Success) => Answer::Accepted,
            Ok(AuthResult::Failure { remaining_methods, partial_success }) => {
                not_yet(dial, &remaining_methods, partial_success).await
            }
            Err(error) => lost(dial, &error),
        }
    };
    bound(dial, answering).await
}

/// What a server says in keyboard-interactive authentication.
enum Heard {
    Question(Prompt),
    TooMuch,
    Answer(Answer),
}

async fn heard(
    dial: &Dial<'_>,
    asking: impl Future<Output = Result<Response, russh::Error>>,
) -> Result<Heard, SshError> {
    let hearing = async {
        Heard::Answer(match asking.await {
            Ok(Response::InfoRequest { name, instructions, prompts }) => {
                let (name, instructions) = (name.as_bytes(), instructions.as_bytes());
                let questions = prompts.iter().map(|asked| (asked.prompt.as_bytes(), asked.echo));
                let prompt = Prompt::new(&dial.options.target, name, instructions, questions);
                return prompt.map_or(Heard::TooMuch, Heard::Question);
            }
            Ok(Response::Success) => Answer::Accepted,
            Ok(Response::Failure { remaining_methods, partial_success }) => {
                not_yet(dial, &remaining_methods, partial_success).await
            }
            Err(error) => lost(dial, &error),
        })
    };
    bound(dial, hearing).await
}

async fn not_yet(dial: &Dial<'_>, methods: &MethodSet, in_part: bool) -> Answer {
    // russh says so, too, where the session has ended without an answer. It ends either way.
    if methods.is_empty() {
        match dial.line.wait_end().await {
            End::NothingTaken => {}
            end => return Answer::Lost(end),
        }
    }
    let names = methods.iter().map(String::from).collect();
    if in_part { Answer::AcceptedInPart(names) } else { Answer::Refused(names) }
}

fn lost(dial: &Dial<'_>, error: &russh::Error) -> Answer {
    Answer::Lost(dial.line.end().unwrap_or_else(|| End::Lost(describe(error))))
}
