//! What the files say about one host.

use std::path::PathBuf;
use std::time::Duration;

use super::destination::Destination;
use super::evaluate::{At, Evaluation};
use super::paths;
use super::tokens;
use super::value::StrictHostKeyChecking;
use crate::{
    Auth, Crypto, HostKeyAlgorithms, KeyRules, KnownHostsCommand, ProxyCommand, RekeyLimit,
    SignatureAlgorithms, SshError, known_hosts,
};

/// What the files say about one host, with every token replaced and every default filled in.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostConfig {
    /// The host as it was asked for.
    pub alias: String,
    /// `HostName`: the name or address to connect to.
    pub host_name: String,
    /// `Port`.
    pub port: u16,
    /// `User`; the local user's name if there is none.
    pub user: String,
    /// `IdentityFile`: private keys in order, those of OpenSSH's default names if none is named.
    pub identity_files: Vec<PathBuf>,
    /// Whether any `IdentityFile` line counts, so that the default names do not.
    pub names_identity_files: bool,
    /// `IdentitiesOnly`: of the agent's keys only those of `identity_files` count.
    pub identities_only: bool,
    /// `IdentityAgent`.
    pub identity_agent: IdentityAgent,
    /// `CertificateFile`.
    pub certificate_files: Vec<PathBuf>,
    /// `UserKnownHostsFile`; new keys go to the first.
    pub user_known_hosts_files: Vec<PathBuf>,
    /// `GlobalKnownHostsFile`.
    pub global_known_hosts_files: Vec<PathBuf>,
    /// `StrictHostKeyChecking`; `None` if nothing is said about it.
    pub strict_host_key_checking: Option<StrictHostKeyChecking>,
    /// `HostKeyAlias`: the name in known_hosts files and host certificates.
    pub host_key_alias: Option<String>,
    /// `ServerAliveInterval`; `None` for 0.
    pub server_alive_interval: Option<Duration>,
    /// `ServerAliveCountMax`.
    pub server_alive_count_max: u32,
    /// `ConnectTimeout`; `None` for 0 and `none`.
    pub connect_timeout: Option<Duration>,
    /// `ProxyJump` or `ProxyCommand`, whichever is said first.
    pub proxy: Proxy,
    /// `RevokedHostKeys`.
    pub revoked_host_keys: Vec<PathBuf>,
    /// `KnownHostsCommand`, with the tokens replaced that are the host's.
    pub known_hosts_command: Option<KnownHostsCommand>,
    /// `HashKnownHosts`.
    pub hash_known_hosts: bool,
    /// `UpdateHostKeys`; without it, whether `UserKnownHostsFile` is not said and
    /// `VerifyHostKeyDNS` not asked for. `ask` is no, since nobody can be asked.
    pub update_host_keys: bool,
    /// `HostKeyAlgorithms`, with its default filled in.
    pub host_key_algorithms: HostKeyAlgorithms,
    /// `CASignatureAlgorithms`, with its default filled in.
    pub ca_signature_algorithms: SignatureAlgorithms,
    /// The default policy, as `KexAlgorithms`, `Ciphers`, `MACs`, `PubkeyAcceptedAlgorithms` and
    /// `RekeyLimit` change it. `+`, `-` and `^` refer to our defaults, which are no longer than
    /// `ssh`'s; names that only `ssh` has are passed over.
    pub crypto: Crypto,
    /// `RequiredRSASize`. Less than 1,024 is as good as that.
    pub required_rsa_size: u32,
    /// `PasswordAuthentication`.
    pub password_authentication: bool,
    /// `PubkeyAuthentication`.
    pub pubkey_authentication: bool,
    /// `KbdInteractiveAuthentication`.
    pub kbd_interactive_authentication: bool,
    /// `PreferredAuthentications`, as it is said; `None` if it is not.
    pub preferred_authentications: Option<Vec<String>>,
    /// `NumberOfPasswordPrompts`. A password is asked for once at most, and with 0 not at all.
    pub number_of_password_prompts: u32,
    /// What a session cannot be opened with, and where it is said.
    pub(crate) unsupported: Option<(&'static str, At)>,
}

/// How to get to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proxy {
    /// Over TCP.
    Direct,
    /// `ProxyJump`: through these hosts, in this order.
    Jump(Vec<Destination>),
    /// `ProxyCommand`: over the standard input and output of a command.
    Command(ProxyCommand),
}

/// Which agent is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityAgent {
    /// The one at `SSH_AUTH_SOCK`, if it is set.
    Environment,
    /// `none`.
    None,
    /// The one at this socket.
    Socket(PathBuf),
}

impl Evaluation<'_> {
    pub(super) fn into_host(self) -> Result<HostConfig, SshError> {
        let Self { local, alias, values, host_name, .. } = self;
        let host_name = host_name.unwrap_or_else(|| alias.to_owned());
        let wrong = |(path, line): &At, problem: String| SshError::config(path, *line, problem);
        if let Some((text, at)) = &values.refused {
            return Err(wrong(at, format!("refuses this host: {}", super::shown(text))));
        }
        let user = values.user.unwrap_or_else(|| local.user.clone());
        let port = values.port.unwrap_or(known_hosts::DEFAULT_PORT);
        // Small letters, as in known_hosts files.
        let host_key_alias = values.host_key_alias.map(|alias| alias.to_ascii_lowercase());
        let port_text = port.to_string();
        let home = local.home.to_str();
        let token = |letter| match letter {
            'd' => home,
            'h' => Some(host_name.as_str()),
            'i' => Some(local.uid.as_str()),
            'k' => Some(host_key_alias.as_deref().unwrap_or(alias)),
            'L' => local.host_name.split('.').next(),
            'l' => Some(local.host_name.as_str()),
            'n' => Some(alias),
            'p' => Some(port_text.as_str()),
            'r' => Some(user.as_str()),
            'u' => Some(local.user.as_str()),
            _ => None,
        };
        let path = |path: &str, at: &At| {
            paths::expanded(path, local, token).map_err(|problem| wrong(at, problem))
        };
        // The rest is known when it is run, so a `%` in a value must stay one until then.
        let known_hosts_command = values.known_hosts_command.flatten().map(|(words, at)| {
            let whole = |value: &str| value.replace('%', "%%");
            let values: Vec<(char, String)> = ('A'..='z')
                .filter_map(|letter| Some((letter, whole(token(letter)?))))
                .chain("HItfK".chars().map(|letter| (letter, format!("%{letter}"))))
                .collect();
            let value = |letter: char| {
                let found = values.iter().find(|(known, _)| *known == letter);
                found.map(|(_, value)| value.as_str())
            };
            let expand = |word: &String| tokens::expand(&whole_percent(word), true, value);
            let words = words.iter().map(expand).collect::<Result<Vec<_>, _>>();
            let command = words
                .and_then(|words| KnownHostsCommand::new(words).map_err(|error| error.to_string()));
            command.map_err(|problem| wrong(&at, format!("`KnownHostsCommand`: {problem}")))
        });
        let each = |files: &[(String, At)]| -> Result<Vec<PathBuf>, SshError> {
            let named = files.iter().filter(|(file, _)| !file.eq_ignore_ascii_case("none"));
            named.map(|(file, at)| path(file, at)).collect()
        };
        let list = |files: Option<(Vec<String>, At)>, default: Vec<PathBuf>| match files {
            Some((files, at)) => files.iter().map(|file| path(file, &at)).collect(),
            None => Ok(default),
        };
        let limit =
            RekeyLimit { bytes: values.rekey_bytes.flatten(), time: nonzero(values.rekey_time) };
        let mut crypto = Crypto::default().with_rekey_limit(limit);
        for (which, list) in &values.algorithms {
            crypto = crypto.with_configured(*which, list)?;
        }
        let updates = values.user_known_hosts.is_none() && !values.verify_dns.unwrap_or(false);
        let names_identity_files = !values.identity_files.is_empty();
        let (user_files, global_files) = known_hosts::default_files();
        let proxy = match (values.jump, values.command.flatten()) {
            (Some((hosts, at)), _) if !hosts.is_empty() => {
                let hosts = hosts.into_iter().map(|hop| {
                    let names = [host_name.as_str(), alias, &port_text, &user];
                    hop.expanded(names).map_err(|problem| wrong(&at, problem))
                });
                Proxy::Jump(hosts.collect::<Result<_, _>>()?)
            }
            (_, Some(command)) => Proxy::Command(command.original(alias)),
            (_, None) => Proxy::Direct,
        };
        Ok(HostConfig {
            alias: alias.to_owned(),
            identity_files: match names_identity_files {
                true => each(&values.identity_files)?,
                false => Auth::default_key_files(),
            },
            names_identity_files,
            identities_only: values.identities_only.unwrap_or(false),
            identity_agent: match values.identity_agent {
                None => IdentityAgent::Environment,
                Some((name, _)) if name == "SSH_AUTH_SOCK" => IdentityAgent::Environment,
                Some((name, _)) if name.eq_ignore_ascii_case("none") => IdentityAgent::None,
                Some((name, at)) => IdentityAgent::Socket(match name.strip_prefix('$') {
                    Some(variable) if !variable.starts_with('{') => {
                        path(&format!("${{{variable}}}"), &at)?
                    }
                    _ => path(&name, &at)?,
                }),
            },
            certificate_files: each(&values.certificate_files)?,
            user_known_hosts_files: list(values.user_known_hosts, user_files)?,
            global_known_hosts_files: list(values.global_known_hosts, global_files)?,
            strict_host_key_checking: values.strict,
            server_alive_interval: nonzero(values.alive_interval),
            server_alive_count_max: values.alive_count_max.unwrap_or(3),
            connect_timeout: nonzero(values.connect_timeout),
            proxy,
            revoked_host_keys: list(values.revoked, Vec::new())?,
            known_hosts_command: known_hosts_command.transpose()?,
            hash_known_hosts: values.hash_known_hosts.unwrap_or(false),
            update_host_keys: values.update_host_keys.unwrap_or(updates),
            host_key_algorithms: values.host_key_algorithms.unwrap_or_default(),
            ca_signature_algorithms: values.ca_algorithms.unwrap_or_default(),
            crypto,
            required_rsa_size: values.rsa_size.unwrap_or(KeyRules::REQUIRED_RSA_SIZE),
            password_authentication: values.password.unwrap_or(true),
            pubkey_authentication: values.public_key.unwrap_or(true),
            kbd_interactive_authentication: values.keyboard_interactive.unwrap_or(true),
            preferred_authentications: values.preferred,
            number_of_password_prompts: values.password_prompts.unwrap_or(3),
            unsupported: values
                .unsupported
                .into_iter()
                .find_map(|(name, at)| at.map(|at| (name, at))),
            host_name,
            port,
            user,
            host_key_alias,
        })
    }
}

/// A text in which `%%` is left for a second replacement.
fn whole_percent(text: &str) -> String {
    text.replace("%%", "%%%%")
}

fn nonzero(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}
