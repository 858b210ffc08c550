//! What a server is to be like.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use super::Sshd;
use crate::authority::Authority;
use crate::daemon;
use crate::keys::KeyKind;

/// The file with the key of the authority for users.
pub(super) const USER_AUTHORITY: &str = "user_authority";

/// Options of a server that is not started yet; [`Sshd::builder`] makes one.
#[derive(Clone, Debug)]
#[must_use = "does nothing until started"]
pub struct SshdBuilder {
    pub(super) host_keys: Vec<KeyKind>,
    pub(super) options: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) address: IpAddr,
    pub(super) pam: bool,
    pub(super) user_authority: Option<String>,
}

impl SshdBuilder {
    pub(super) fn new() -> Self {
        Self {
            host_keys: vec![KeyKind::Ed25519],
            options: Vec::new(),
            env: Vec::new(),
            address: Ipv4Addr::LOCALHOST.into(),
            pam: false,
            user_authority: None,
        }
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

    /// `AuthenticationMethods`: what has to succeed, in this order, such as
    /// `"publickey,password"`. By default any one method will do.
    pub fn authentication_methods(self, methods: &str) -> Self {
        self.option(format!("AuthenticationMethods {methods}"))
    }

    /// Asks for passwords by keyboard-interactive, as PAM does, and takes them in no other way.
    /// Needs root: PAM's service is a file that this makes.
    pub fn pam(mut self) -> Self {
        self.pam = true;
        self
    }

    /// `TrustedUserCAKeys`: takes certificates that this authority signed, for the users they name.
    pub fn user_authority(mut self, authority: &Authority) -> Self {
        self.user_authority = Some(authority.public_line().to_owned());
        self
    }

    /// Where to listen. Default: 127.0.0.1.
    pub fn address(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
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

    /// `service` is the name of PAM's service, where there is one.
    pub(super) fn config(
        &self,
        folder: &Path,
        port: u16,
        sshd: &Path,
        marker: &str,
        service: Option<&str>,
    ) -> String {
        let mut config = String::new();
        for option in &self.options {
            let _ = writeln!(config, "{option}");
        }
        if self.pam {
            config.push_str(
                "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\n",
            );
        }
        if self.user_authority.is_some() {
            let file = folder.join(USER_AUTHORITY);
            let _ = writeln!(config, "TrustedUserCAKeys \"{}\"", file.display());
        }
        for name in host_key_names(&self.host_keys) {
            let _ = writeln!(config, "HostKey \"{}\"", folder.join(name).display());
        }
        let keys = folder.join("authorized_keys");
        let _ = writeln!(
            config,
            "Port {port}\n\
             ListenAddress {}\n\
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
            self.address,
            keys.display()
        );
        if knows_penalties(sshd) {
            config.push_str("PerSourcePenalties no\n");
            if let Some(service) = service {
                let _ = writeln!(config, "PAMServiceName {service}");
            }
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

/// `PerSourcePenalties` and `PAMServiceName` came with OpenSSH 9.8; older servers refuse to start
/// with them.
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
