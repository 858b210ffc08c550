//! Logging in: each way once, in order, until the server is satisfied.

use std::collections::HashSet;
use std::path::PathBuf;

use ssh_session::{Auth, ExposeSecret, KeyProblem, Phase, SecretString, SshError, printable};

use crate::dial::{Dial, StepError};
use crate::ffi;
use crate::keys::{self, Key};

/// Logs in with the first way that the server accepts.
pub(crate) fn login(dial: &Dial<'_>) -> Result<(), SshError> {
    let mut login = Login {
        dial,
        tried: Vec::new(),
        passwords: Vec::new(),
        refused_keys: HashSet::new(),
        local: None,
    };
    for auth in &dial.options.auth {
        let accepted = match auth {
            Auth::Password(password) => login.password(password)?,
            Auth::KeyFile { path, passphrase } => {
                let key = keys::from_file(path, passphrase.as_ref());
                login.key(key, Some(path.clone()))?
            }
            Auth::KeyData { key, passphrase } => {
                login.key(keys::from_text(key.clone(), passphrase.as_ref()), None)?
            }
            Auth::Agent => login.agent()?,
            other => {
                login.local.get_or_insert(SshError::invalid(
                    "auth",
                    format!("names {}, which this backend cannot do", other.name()),
                ));
                false
            }
        };
        if accepted || dial.session.authenticated() {
            return Ok(());
        }
    }
    Err(login.failure())
}

struct Login<'a> {
    dial: &'a Dial<'a>,
    /// What the server refused, for the error's text.
    tried: Vec<String>,
    passwords: Vec<SecretString>,
    refused_keys: HashSet<Vec<u8>>,
    /// The first thing that kept us from asking the server.
    local: Option<SshError>,
}

impl Login<'_> {
    fn password(&mut self, password: &SecretString) -> Result<bool, SshError> {
        let secret = password.expose_secret();
        if secret.contains('\0') {
            return Err(SshError::invalid("password", "has a NUL character in it"));
        }
        if self.passwords.iter().any(|refused| refused.expose_secret() == secret) {
            return Ok(false);
        }
        self.passwords.push(password.clone());
        let user = self.dial.options.target.user();
        self.ask("password".into(), || self.dial.session.userauth_password(user, secret))
    }

    fn key(
        &mut self,
        key: Result<Key, KeyProblem>,
        path: Option<PathBuf>,
    ) -> Result<bool, SshError> {
        let target = self.dial.options.target.clone();
        let key = match key {
            Ok(key) => key,
            Err(problem) => {
                self.note(SshError::KeyFile { target, path, problem });
                return Ok(false);
            }
        };
        if key.public.as_ref().is_some_and(|public| !self.refused_keys.insert(public.clone())) {
            return Ok(false);
        }
        let name = match &path {
            Some(path) => format!("private key {}", path.display()),
            None => "private key from memory".to_owned(),
        };
        let passphrase = key.passphrase.as_ref().map(ExposeSecret::expose_secret);
        let mut bad = None;
        let accepted = self.ask(name, || {
            let session = &self.dial.session;
            let text = key.text.expose_secret();
            let result = session.userauth_pubkey_memory(target.user(), None, text, passphrase);
            if let Err(error) = &result
                && ffi::is_bad_key(error)
            {
                bad = Some(printable(error.message().as_bytes()));
            }
            result
        })?;
        if let Some(detail) = bad {
            self.tried.pop();
            let problem = match passphrase {
                Some(_) => KeyProblem::WrongPassphrase,
                None => KeyProblem::Malformed(detail),
            };
            self.note(SshError::KeyFile { target, path, problem });
        }
        Ok(accepted)
    }

    fn agent(&mut self) -> Result<bool, SshError> {
        let session = &self.dial.session;
        let identities = session.agent().and_then(|mut agent| {
            agent.connect()?;
            agent.list_identities()?;
            let identities = agent.identities()?;
            Ok((agent, identities))
        });
        let target = self.dial.options.target.clone();
        let (agent, identities) = match identities {
            Ok(found) => found,
            Err(error) => {
                let detail = format!(
                    "{}; is one running, and SSH_AUTH_SOCK set?",
                    printable(error.message().as_bytes())
                );
                self.note(SshError::Agent { target, detail });
                return Ok(false);
            }
        };
        if identities.is_empty() {
            let detail = "it holds no keys; add one with ssh-add".to_owned();
            self.note(SshError::Agent { target: target.clone(), detail });
        }
        for identity in identities {
            if !self.refused_keys.insert(identity.blob().to_vec()) {
                continue;
            }
            let name = format!("agent key {}", printable(identity.comment().as_bytes()));
            if self.ask(name, || agent.userauth(target.user(), &identity))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks the server once. A connection that ends here is no refusal, unless the server said
    /// goodbye or had refused something before: then it has hung up on us (`MaxAuthTries`), and
    /// the same credentials must not be tried again.
    fn ask(
        &mut self,
        name: String,
        call: impl FnMut() -> Result<(), ssh2::Error>,
    ) -> Result<bool, SshError> {
        let result = self.dial.step(Phase::Authenticate, call);
        match result {
            Ok(()) => Ok(true),
            Err(StepError::Refused(_)) => {
                self.tried.push(name);
                Ok(false)
            }
            Err(StepError::Disconnected(_)) => Err(self.hung_up(&name)),
            Err(StepError::Fatal(SshError::ConnectionLost { .. })) if !self.tried.is_empty() => {
                Err(self.hung_up(&name))
            }
            Err(StepError::Fatal(error)) => Err(error),
        }
    }

    fn hung_up(&mut self, name: &str) -> SshError {
        self.tried.push(format!("{name}, at which it hung up"));
        self.failure()
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
