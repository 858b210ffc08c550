//! A command as another user of the server, by `sudo`, `doas` or `su`.
//!
//! The program runs a shell, which says a marker on standard error, waits for an empty line, and then
//! becomes the command. So three things are certain: what is written before the marker is the
//! program's and not the command's; where the marker never comes, the command never started; and the
//! command's input begins behind that line, as shells read lines byte by byte (POSIX, `read`).
//! A password goes over standard input when `sudo` asks for it, by a prompt of ours (`-p`) that nobody
//! can guess, and once.

mod refused;
mod talk;

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::{AskPassword, Command, Request, SshError, Target};

pub use refused::{BecomeProblem, BecomeRefused};
pub use talk::{Step, Talk, settle};

/// As whom a command runs, and by which program: [`Command::become_user`].
///
/// ```
/// use ssh_session::{Become, Command};
///
/// let restart = Command::new("systemctl restart nginx").become_user(Become::sudo());
/// let dump = Command::new("pg_dump app").become_user(Become::sudo().user("postgres").password("..."));
/// assert!(!format!("{dump:?}").contains("..."));
/// ```
#[derive(Clone)]
pub struct Become {
    program: Program,
    user: String,
    password: Option<Password>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Sudo,
    Doas,
}

#[derive(Clone)]
enum Password {
    Given(SecretString),
    Asked(AskPassword),
}

impl Become {
    /// By `sudo(8)`, as root. Without a password, `sudo -n`: where it wants one, that is an error.
    pub fn sudo() -> Self {
        Self::by(Program::Sudo)
    }

    /// By `doas(1)`, as root, without a password (`doas -n`, `permit nopass`): it takes one from a
    /// terminal alone.
    pub fn doas() -> Self {
        Self::by(Program::Doas)
    }

    fn by(program: Program) -> Self {
        Self { program, user: "root".into(), password: None }
    }

    /// Another user than root.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = user.into();
        self
    }

    /// The password that `sudo` asks for: that of the user who is logged in, as a rule. It is sent
    /// when it is asked for, once, and stands in no command line, error or log.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Password::Given(password.into().into()));
        self
    }

    /// A function that gives the password when `sudo` asks for it, or `None` to give up. It may wait
    /// for a human, while the command's time goes on.
    #[must_use]
    pub fn ask_password(
        mut self,
        ask: impl Fn(&Target) -> Option<SecretString> + Send + Sync + 'static,
    ) -> Self {
        self.password = Some(Password::Asked(AskPassword::new(ask)));
        self
    }

    /// The program's name.
    pub fn program(&self) -> &'static str {
        match self.program {
            Program::Sudo => "sudo",
            Program::Doas => "doas",
        }
    }

    /// As whom.
    pub fn as_user(&self) -> &str {
        &self.user
    }

    /// The line that answers a prompt. It may wait for a human.
    ///
    /// # Errors
    ///
    /// [`SshError::Become`] where there is no password, [`SshError::InvalidInput`] where it is none
    /// that fits in a line.
    pub fn answer(&self, target: &Target) -> Result<Zeroizing<Vec<u8>>, SshError> {
        let secret = match &self.password {
            Some(Password::Given(secret)) => Some(secret.clone()),
            Some(Password::Asked(ask)) => ask.ask(target),
            None => None,
        };
        let secret = secret
            .ok_or_else(|| BecomeRefused::error(self, target, BecomeProblem::NoPassword, &[]))?;
        let secret = secret.expose_secret();
        check_password(secret)?;
        let mut line = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
        line.extend_from_slice(secret.as_bytes());
        line.push(b'\n');
        Ok(line)
    }

    pub(crate) fn validate(&self, command: &Command) -> Result<(), SshError> {
        let invalid = |problem| Err(SshError::invalid("become_user", problem));
        if self.user.is_empty()
            || self.user.starts_with('-')
            || self.user.contains(char::is_control)
        {
            return invalid("has no user's name");
        }
        if command.request_type() != Request::Exec {
            return invalid("is for commands, not for shells or subsystems");
        }
        if command.terminal().is_some() {
            return invalid("and a terminal do not go together: leave `pty` away");
        }
        match &self.password {
            Some(_) if self.program == Program::Doas => {
                invalid("has a password, which doas takes from terminals alone: permit nopass")
            }
            Some(Password::Given(secret)) => check_password(secret.expose_secret()),
            _ => Ok(()),
        }
    }

    /// What runs the command, with these markers.
    fn line(&self, prompt: &str, ready: &str, command: &[u8]) -> Vec<u8> {
        let user = quoted(self.user.as_bytes());
        let mut line = Vec::with_capacity(command.len() + 200);
        match (self.program, &self.password) {
            (Program::Sudo, Some(_)) => {
                line.extend_from_slice(format!("sudo -S -p {prompt} -u ").as_bytes());
            }
            (Program::Sudo, None) => line.extend_from_slice(b"sudo -n -u "),
            (Program::Doas, _) => line.extend_from_slice(b"doas -n -u "),
        }
        line.extend_from_slice(&user);
        line.extend_from_slice(if self.program == Program::Sudo { b" -- " } else { b" " });
        let shell = r#"printf %s "$0" >&2; IFS= read -r _ && exec /bin/sh -c "$1""#;
        line.extend_from_slice(format!("/bin/sh -c '{shell}' {ready} ").as_bytes());
        line.extend_from_slice(&quoted(command));
        line
    }
}

fn check_password(password: &str) -> Result<(), SshError> {
    if password.contains(['\n', '\r', '\0']) {
        return Err(SshError::invalid("become_user", "has a password of more than one line"));
    }
    Ok(())
}

/// A word of a shell's, whichever shell.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

impl fmt::Debug for Become {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = self.password.as_ref().map(|password| match password {
            Password::Given(_) => "given",
            Password::Asked(_) => "asked for",
        });
        f.debug_struct("Become")
            .field("program", &self.program())
            .field("user", &self.user)
            .field("password", &password)
            .finish()
    }
}
