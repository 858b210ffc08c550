//! What a server is to be like.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::Sshd;
use crate::daemon;
use crate::keys::KeyKind;

/// Options of a server that is not started yet; [`Sshd::builder`] makes one.
#[derive(Clone, Debug)]
#[must_use = "does nothing until started"]
pub struct SshdBuilder {
    pub(super) host_keys: Vec<KeyKind>,
    pub(super) options: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

impl SshdBuilder {
    pub(super) fn new() -> Self {
        Self { host_keys: vec![KeyKind::Ed25519], options: Vec::new(), env: Vec::new() }
    }

    /// `MaxSessions`: session channels open at once in one connection. sshd's default is 10.
    pub fn max_sessions(self, sessions: usize) -> Self {
        self.option(format!("MaxSessions {sessions}"))
    }

    /// `MaxStartups`: `"start:percent:full"` or one number, connections not yet authenticated.
    /// sshd's default is `10:30:100`.
    pub fn max_startups(self, startups: impl AsRef<str>) -> Self {
        self.option(format!("MaxStartups {}", startups.as_ref()))
    }

    /// `MaxAuthTries`: attempts in one connection. sshd's default is 6.
    pub fn max_auth_tries(self, tries: usize) -> Self {
        self.option(format!("MaxAuthTries {tries}"))
    }

    /// Any line of `sshd_config(5)`, such as `"ClientAliveInterval 1"`.
    ///
    /// The first of several lines with one name counts; ours come after all of these.
    /// `SetEnv` is ours (see [`env`](Self::env)).
    pub fn option(mut self, line: impl Into<String>) -> Self {
        self.options.push(line.into());
        self
    }

    /// A variable in the environment of every command.
    ///
    /// `SHLVL=1` is set by default: it keeps bash from reading its start-up files, which
    /// it otherwise does for each command run by an sshd.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The host keys to have, in order of preference. Default: one of ed25519.
    pub fn host_keys(mut self, kinds: impl IntoIterator<Item = KeyKind>) -> Self {
        self.host_keys = kinds.into_iter().collect();
        self
    }

    /// Starts the server; returns when it listens.
    ///
    /// Without an sshd on this machine the error says `sshd not found: install openssh-server`.
    pub fn start(self) -> io::Result<Sshd> {
        Sshd::start_with(&self)
    }

    pub(super) fn config(&self, folder: &Path, port: u16, sshd: &Path, marker: &str) -> String {
        let mut config = String::new();
        for option in &self.options {
            let _ = writeln!(config, "{option}");
        }
        for name in host_key_names(&self.host_keys) {
            let _ = writeln!(config, "HostKey \"{}\"", folder.join(name).display());
        }
        let keys = folder.join("authorized_keys");
        let _ = writeln!(
            config,
            "Port {port}\n\
             ListenAddress 127.0.0.1\n\
             AuthorizedKeysFile \"{}\"\n\
             StrictModes no\n\
             UsePAM no\n\
             UseDNS no\n\
             PidFile none\n\
             LogLevel VERBOSE\n\
             PermitRootLogin yes\n\
             PermitUserRC no\n\
             PrintMotd no\n\
             PrintLastLog no\n\
             Subsystem sftp internal-sftp",
            keys.display()
        );
        if knows_penalties(sshd) {
            config.push_str("PerSourcePenalties no\n");
        }
        let _ = write!(config, "SetEnv SHLVL=1 {marker}");
        for (name, value) in &self.env {
            let _ = write!(config, " \"{name}={value}\"");
        }
        config.push('\n');
        config
    }
}

/// File names of the host keys, one for each kind.
pub(super) fn host_key_names(kinds: &[KeyKind]) -> impl Iterator<Item = String> {
    kinds.iter().enumerate().map(|(number, _)| format!("host_key_{number}"))
}

/// Finds sshd, or says how to get it.
pub(super) fn find_sshd() -> io::Result<std::path::PathBuf> {
    daemon::find("sshd").ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "sshd not found: install openssh-server")
    })
}

/// `PerSourcePenalties` came with OpenSSH 9.8; older servers refuse to start with it.
fn knows_penalties(sshd: &Path) -> bool {
    Command::new(sshd)
        .arg("-V")
        .stdin(Stdio::null())
        .output()
        .ok()
        .and_then(|output| version(&String::from_utf8_lossy(&output.stderr)))
        .is_some_and(|version| version >= (9, 8))
}

fn version(text: &str) -> Option<(u32, u32)> {
    let text = text.split("OpenSSH_").nth(1)?;
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_is_read_from_what_sshd_prints() {
        assert_eq!(version("OpenSSH_9.2, OpenSSL 3.0.19"), Some((9, 2)));
        assert_eq!(version("OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1"), Some((10, 0)));
        assert_eq!(version("unknown option"), None);
    }
}
