//! Logging in: each way once, in order, until the server is satisfied.

use std::collections::HashSet;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey};
use ssh_session::{Auth, ExposeSecret as _, Phase, SecretString, SshError, printable};

use crate::client::{Client, describe};
use crate::dial::Dial;
use crate::keys::{self, Source};
use crate::line::End;

/// Logs in with the first way that the server accepts.
pub(crate) async fn login(dial: &Dial<'_>, handle: &mut Handle<Client>) -> Result<(), SshError> {
    let mut login = Login {
        dial,
        handle,
        tried: Vec::new(),
        passwords: Vec::new(),
        refused_keys: HashSet::new(),
        rsa_hash: None,
        local: None,
    };
    for auth in &dial.options.auth {
        let accepted = match auth {
            Auth::Password(password) => login.password(password).await?,
            Auth::KeyFile { path, passphrase } => {
                login
                    .key(Source::File(path.clone()), passphrase.clone(), Some(path.clone()))
                    .await?
            }
            Auth::KeyData { key, passphrase } => {
                login.key(Source::Text(key.clone()), passphrase.clone(), None).await?
            }
            Auth::Agent => login.agent().await?,
            other => {
                login.local.get_or_insert(SshError::invalid(
                    "auth",
                    format!("names {}, which this backend cannot do", other.name()),
                ));
                false
            }
        };
        if accepted {
            return Ok(());
        }
    }
    Err(login.failure())
}

struct Login<'a> {
    dial: &'a Dial<'a>,
    handle: &'a mut Handle<Client>,
    /// What the server refused, for the error's text.
    tried: Vec<String>,
    passwords: Vec<SecretString>,
    refused_keys: HashSet<Vec<u8>>,
    /// How to sign with RSA keys on this server, once it is known.
    rsa_hash: Option<HashAlg>,
    /// The first thing that kept us from asking the server.
    local: Option<SshError>,
}

/// How an attempt ended.
enum Attempt {
    Accepted,
    Refused,
    /// The agent failed us; the server was not asked, or not to the end.
    NotSent(String),
}

impl Login<'_> {
    async fn password(&mut self, password: &SecretString) -> Result<bool, SshError> {
        let secret = password.expose_secret();
        if secret.contains('\0') {
            return Err(SshError::invalid("password", "has a NUL character in it"));
        }
        if self.passwords.iter().any(|refused| refused.expose_secret() == secret) {
            return Ok(false);
        }
        self.passwords.push(password.clone());
        let dial = self.dial;
        let asking = self.handle.authenticate_password(dial.options.target.user(), secret);
        let result = answer(dial, asking).await?;
        Ok(matches!(self.judge("password".into(), result)?, Attempt::Accepted))
    }

    async fn key(
        &mut self,
        source: Source,
        passphrase: Option<SecretString>,
        path: Option<PathBuf>,
    ) -> Result<bool, SshError> {
        let target = &self.dial.options.target;
        let reading = keys::read(source, passphrase);
        let key = match self.dial.deadline.bound(target, Phase::Authenticate, reading).await? {
            Ok(key) => key,
            Err(problem) => {
                self.note(SshError::KeyFile { target: target.clone(), path, problem });
                return Ok(false);
            }
        };
        if !self.is_new(key.public_key()) {
            return Ok(false);
        }
        let name = match &path {
            Some(path) => format!("private key {}", path.display()),
            None => "private key from memory".to_owned(),
        };
        let hash = self.hash_for(key.public_key()).await?;
        let dial = self.dial;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let asking = self.handle.authenticate_publickey(dial.options.target.user(), key);
        let result = answer(dial, asking).await?;
        Ok(matches!(self.judge(name, result)?, Attempt::Accepted))
    }

    #[cfg(unix)]
    async fn agent(&mut self) -> Result<bool, SshError> {
        let target = self.dial.options.target.clone();
        let finding = async {
            let mut agent = AgentClient::connect_env().await?;
            let identities = agent.request_identities().await?;
            Ok::<_, russh::keys::Error>((agent, identities))
        };
        let found = self.dial.deadline.bound(&target, Phase::Authenticate, finding).await?;
        let (mut agent, identities) = match found {
            Ok(found) => found,
            Err(error) => {
                let detail = format!(
                    "{}; is one running, and SSH_AUTH_SOCK set?",
                    printable(error.to_string().as_bytes())
                );
                self.note(SshError::Agent { target, detail });
                return Ok(false);
            }
        };
        let keys = identities.into_iter().filter_map(|identity| match identity {
            AgentIdentity::PublicKey { key, comment } => Some((key, comment)),
            AgentIdentity::Certificate { .. } => None,
        });
        let keys: Vec<_> = keys.collect();
        if keys.is_empty() {
            let detail = "it holds no keys; add one with ssh-add".to_owned();
            self.note(SshError::Agent { target: target.clone(), detail });
        }
        for (key, comment) in keys {
            if !self.is_new(&key) {
                continue;
            }
            let name = format!("agent key {}", printable(comment.as_bytes()));
            let hash = self.hash_for(&key).await?;
            let dial = self.dial;
            let user = target.user();
            let asking = async {
                let asked = self.handle.authenticate_publickey_with(user, key, hash, &mut agent);
                asked.await.map_or_else(
                    |error| match error {
                        russh::AgentAuthError::Send(_) => Err(russh::Error::SendError),
                        russh::AgentAuthError::Key(error) => Ok(Err(error.to_string())),
                    },
                    |result| Ok(Ok(result)),
                )
            };
            let asked = dial.deadline.bound(&target, Phase::Authenticate, asking).await?;
            let result = match asked {
                Ok(Ok(result)) => Answer::Said(result),
                Ok(Err(detail)) => Answer::Agent(printable(detail.as_bytes())),
                Err(error) => Answer::Lost(describe(&error)),
            };
            match self.judge(name, result)? {
                Attempt::Accepted => return Ok(true),
                Attempt::Refused => {}
                Attempt::NotSent(detail) => {
                    self.note(SshError::Agent { target: target.clone(), detail });
                }
            }
        }
        Ok(false)
    }

    /// What the answer means. A connection that ended is no refusal, unless the server had refused
    /// something before: then it has hung up on us (`MaxAuthTries`).
    fn judge(&mut self, name: String, answer: Answer) -> Result<Attempt, SshError> {
        let lost = match answer {
            Answer::Said(AuthResult::Success) => return Ok(Attempt::Accepted),
            Answer::Agent(detail) => return Ok(Attempt::NotSent(detail)),
            // russh says so, too, when the session has ended without an answer.
            Answer::Said(AuthResult::Failure { remaining_methods, .. })
                if remaining_methods.is_empty() && self.handle.is_closed() =>
            {
                "the server closed it".to_owned()
            }
            Answer::Said(AuthResult::Failure { .. }) => {
                self.tried.push(name);
                return Ok(Attempt::Refused);
            }
            Answer::Lost(detail) => detail,
        };
        if self.tried.is_empty() {
            let end = self.dial.line.end().unwrap_or(End::Lost(lost));
            return Err(end.error(&self.dial.options.target, Phase::Authenticate));
        }
        self.tried.push(format!("{name}, at which it hung up"));
        Err(self.failure())
    }

    /// RSA keys sign with SHA-2; which of the two, the server may have said.
    async fn hash_for(&mut self, key: &PublicKey) -> Result<Option<HashAlg>, SshError> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        if self.rsa_hash.is_none() {
            let target = &self.dial.options.target;
            let asking = self.handle.best_supported_rsa_hash();
            let said = self.dial.deadline.bound(target, Phase::Authenticate, asking).await?;
            // A lost connection shows at the next step.
            self.rsa_hash = Some(said.ok().flatten().flatten().unwrap_or(HashAlg::Sha512));
        }
        Ok(self.rsa_hash)
    }

    /// Whether a key was not tried before, whatever it is called.
    fn is_new(&mut self, key: &PublicKey) -> bool {
        key.to_bytes().map_or(true, |blob| self.refused_keys.insert(blob))
    }

    fn note(&mut self, error: SshError) {
        tracing::debug!(%error, "credential not tried");
        self.local.get_or_insert(error);
    }

    /// What to tell when nothing was accepted.
    fn failure(&mut self) -> SshError {
        match self.local.take() {
            Some(local) if self.tried.is_empty() => local,
            local => {
                self.tried.extend(local.map(|error| format!("not sent: {error}")));
                SshError::AuthenticationFailed {
                    target: self.dial.options.target.clone(),
                    tried: std::mem::take(&mut self.tried),
                    offered: Vec::new(),
                }
            }
        }
    }
}

/// What came of asking the server.
enum Answer {
    Said(AuthResult),
    Agent(String),
    Lost(String),
}

async fn answer(
    dial: &Dial<'_>,
    asking: impl Future<Output = Result<AuthResult, russh::Error>>,
) -> Result<Answer, SshError> {
    let answered = dial.deadline.bound(&dial.options.target, Phase::Authenticate, asking).await?;
    Ok(match answered {
        Ok(result) => Answer::Said(result),
        Err(error) => Answer::Lost(describe(&error)),
    })
}
