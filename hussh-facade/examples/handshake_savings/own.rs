//! Logging in to a server of the user's own.

use std::env::{self, VarError};
use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use hussh::{Error, SshError, Target};
use ssh_session::KeyProblem;

use crate::arguments::Arguments;
use crate::login::Login;
use crate::stage::Stage;

const PASSWORD: &str = "HUSSH_PASSWORD";
const PASSPHRASE: &str = "HUSSH_PASSPHRASE";

/// Finds out how to log in and tries it once, so that a wrong password is not sent by many threads.
pub(crate) fn login(target: &Target, arguments: &Arguments, stage: &Stage) -> Result<Login> {
    let mut login = Login::to_target(target);
    if let Some(file) = &arguments.known_hosts {
        login = login.known_hosts(file);
    }
    match &arguments.identity {
        Some(identity) => with_key(login, identity, stage),
        None => {
            let password = match from_environment(PASSWORD)? {
                Some(password) => password,
                None if can_ask() => stage.ask(&format!("Password for {target}: "))?,
                None => bail!("no password: set {PASSWORD}, or give a private key by --identity"),
            };
            let login = login.password(&password);
            login.connect()?;
            Ok(login)
        }
    }
}

fn with_key(login: Login, identity: &Path, stage: &Stage) -> Result<Login> {
    let passphrase = from_environment(PASSPHRASE)?;
    let first = login.clone().private_key(identity, passphrase.as_deref());
    match first.connect() {
        Ok(_) => Ok(first),
        Err(error) if needs_passphrase(&error) && can_ask() => {
            let passphrase = stage.ask(&format!("Passphrase for {}: ", identity.display()))?;
            let login = login.private_key(identity, Some(&passphrase));
            login.connect()?;
            Ok(login)
        }
        Err(error) if needs_passphrase(&error) => bail!("{error} in {PASSPHRASE}"),
        Err(error) => Err(error.into()),
    }
}

fn needs_passphrase(error: &Error) -> bool {
    matches!(error.ssh(), Some(SshError::KeyFile { problem: KeyProblem::PassphraseNeeded, .. }))
}

/// An empty variable is as good as none.
fn from_environment(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(secret) => Ok(Some(secret).filter(|secret| !secret.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(anyhow!("{name} is not UTF-8")),
    }
}

fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}
