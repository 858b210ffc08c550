//! From lines to one value for each keyword.

use std::path::PathBuf;
use std::time::Duration;

use super::condition::Facts;
use super::destination::Destination;
use super::file::{File, Line};
use super::local::Local;
use super::setting::Setting;
use super::tokens::expand;
use super::value::StrictHostKeyChecking;
use crate::pattern::{self, Case};
use crate::{Algorithms, HostKeyAlgorithms, ProxyCommand, SignatureAlgorithms, SshError};

/// The most identity or certificate files of one host, as in `ssh`.
const MAX_IDENTITIES: usize = 100;

/// Where a value stands, for errors that show only once all values are known.
pub(super) type At = (PathBuf, usize);

/// One host's values so far.
#[derive(Debug)]
pub(super) struct Evaluation<'a> {
    pub(super) local: &'a Local,
    /// As the caller wrote it.
    pub(super) alias: &'a str,
    pub(super) values: Values,
    /// The host's name after the first pass.
    pub(super) host_name: Option<String>,
    wants_final: bool,
    is_final: bool,
}

#[derive(Debug, Default)]
pub(super) struct Values {
    /// With its tokens replaced.
    pub(super) host_name: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) identity_files: Vec<(String, At)>,
    pub(super) identities_only: Option<bool>,
    pub(super) identity_agent: Option<(String, At)>,
    pub(super) certificate_files: Vec<(String, At)>,
    pub(super) user_known_hosts: Option<(Vec<String>, At)>,
    pub(super) global_known_hosts: Option<(Vec<String>, At)>,
    pub(super) strict: Option<StrictHostKeyChecking>,
    pub(super) host_key_alias: Option<String>,
    pub(super) alive_interval: Option<Duration>,
    pub(super) alive_count_max: Option<u32>,
    pub(super) connect_timeout: Option<Duration>,
    /// None for `none`.
    pub(super) jump: Option<(Vec<Destination>, At)>,
    /// `Some(None)` for `none`.
    pub(super) command: Option<Option<ProxyCommand>>,
    pub(super) revoked: Option<(Vec<String>, At)>,
    /// `Some(None)` for `none`.
    pub(super) known_hosts_command: Option<Option<(Vec<String>, At)>>,
    pub(super) hash_known_hosts: Option<bool>,
    pub(super) update_host_keys: Option<bool>,
    pub(super) verify_dns: Option<bool>,
    pub(super) host_key_algorithms: Option<HostKeyAlgorithms>,
    pub(super) ca_algorithms: Option<SignatureAlgorithms>,
    pub(super) rsa_size: Option<u32>,
    /// Lists that change those of the default policy, each once.
    pub(super) algorithms: Vec<(Algorithms, String)>,
    /// `Some(None)` for `default`.
    pub(super) rekey_bytes: Option<Option<u64>>,
    pub(super) rekey_time: Option<Duration>,
    pub(super) password: Option<bool>,
    pub(super) public_key: Option<bool>,
    pub(super) keyboard_interactive: Option<bool>,
    pub(super) preferred: Option<Vec<String>>,
    pub(super) password_prompts: Option<u32>,
    /// Keywords that are not obeyed; where a session cannot be opened with what they say.
    pub(super) unsupported: Vec<(&'static str, Option<At>)>,
    pub(super) refused: Option<(String, At)>,
    tag: Option<String>,
    ignored: Option<String>,
}

impl<'a> Evaluation<'a> {
    pub(super) fn new(
        local: &'a Local,
        asked: &'a Destination,
        jump: Option<&[Destination]>,
    ) -> Self {
        let values = Values {
            user: asked.user.clone(),
            port: asked.port,
            jump: jump.map(|hosts| (hosts.to_vec(), At::default())),
            ..Values::default()
        };
        let alias = &asked.host;
        Self { local, alias, values, host_name: None, wants_final: false, is_final: false }
    }

    pub(super) fn run(&mut self, files: &[File]) -> Result<(), SshError> {
        self.pass(files)?;
        self.settle_host_name();
        if self.wants_final {
            self.is_final = true;
            self.pass(files)?;
        }
        Ok(())
    }

    fn pass(&mut self, files: &[File]) -> Result<(), SshError> {
        files.iter().try_for_each(|file| self.file(file, &mut true, true))
    }

    /// `active` is whether the lines count; `may` is false in a file whose `Include` did not.
    fn file(&mut self, file: &File, active: &mut bool, may: bool) -> Result<(), SshError> {
        for (number, line) in &file.lines {
            let wrong = |problem: String| SshError::config(&file.path, *number, problem);
            match line {
                Line::Condition(condition) => {
                    self.wants_final |= condition.asks_for_final();
                    *active = may && condition.holds(&self.facts()).map_err(wrong)?;
                }
                Line::Include(files) => {
                    for file in files {
                        let mut inside = *active;
                        self.file(file, &mut inside, *active)?;
                    }
                }
                Line::Set(Setting::Unknown(keyword)) => {
                    let ignored = self.values.ignored.as_deref().unwrap_or_default();
                    if !pattern::matches_list(ignored, keyword, Case::Kept) {
                        return Err(wrong(format!(
                            "{:?} is no keyword of ssh_config; `IgnoreUnknown` lets it be",
                            super::shown(keyword)
                        )));
                    }
                }
                Line::Set(setting) if *active => {
                    let at = || (file.path.clone(), *number);
                    self.values.set(setting, self.alias, at).map_err(wrong)?;
                }
                Line::Set(_) => {}
            }
        }
        Ok(())
    }

    fn facts(&self) -> Facts<'_> {
        let values = &self.values;
        Facts {
            alias: self.alias,
            host: self.host_name.as_deref().or(values.host_name.as_deref()).unwrap_or(self.alias),
            user: values.user.as_deref().unwrap_or(&self.local.user),
            local_user: &self.local.user,
            tag: values.tag.as_deref().unwrap_or_default(),
            is_final: self.is_final,
        }
    }

    /// Names are in small letters from here on; addresses stay as they are.
    fn settle_host_name(&mut self) {
        let mut name = self.values.host_name.as_deref().unwrap_or(self.alias).to_owned();
        if !name.contains([':', '%']) {
            name.make_ascii_lowercase();
        }
        self.host_name = Some(name);
    }
}

impl Values {
    fn set(&mut self, setting: &Setting, alias: &str, at: impl Fn() -> At) -> Result<(), String> {
        match setting {
            Setting::HostName(name) if self.host_name.is_none() => {
                let name = expand(name, false, |letter| (letter == 'h').then_some(alias))
                    .map_err(|problem| format!("`HostName` {problem}"))?;
                self.host_name = Some(name);
            }
            Setting::HostName(_) => {}
            Setting::Port(port) => first(&mut self.port, || *port),
            Setting::User(user) => first(&mut self.user, || user.clone()),
            Setting::IdentityFile(path) => add(&mut self.identity_files, path, at)?,
            Setting::IdentitiesOnly(only) => first(&mut self.identities_only, || *only),
            Setting::IdentityAgent(path) => {
                first(&mut self.identity_agent, || (path.clone(), at()));
            }
            Setting::CertificateFile(path) => add(&mut self.certificate_files, path, at)?,
            Setting::UserKnownHostsFile(files) => {
                first(&mut self.user_known_hosts, || (files.clone(), at()));
            }
            Setting::GlobalKnownHostsFile(files) => {
                first(&mut self.global_known_hosts, || (files.clone(), at()));
            }
            Setting::RevokedHostKeys(files) => first(&mut self.revoked, || (files.clone(), at())),
            Setting::KnownHostsCommand(words) => {
                first(&mut self.known_hosts_command, || words.clone().map(|words| (words, at())));
            }
            Setting::HashKnownHosts(hash) => first(&mut self.hash_known_hosts, || *hash),
            Setting::UpdateHostKeys(update) => first(&mut self.update_host_keys, || *update),
            Setting::VerifyHostKeyDns(verify) => first(&mut self.verify_dns, || *verify),
            Setting::HostKeyAlgorithms(algorithms) => {
                first(&mut self.host_key_algorithms, || algorithms.clone());
            }
            Setting::CaSignatureAlgorithms(algorithms) => {
                first(&mut self.ca_algorithms, || algorithms.clone());
            }
            Setting::RequiredRsaSize(bits) => first(&mut self.rsa_size, || *bits),
            Setting::Algorithms(which, list) => {
                if self.algorithms.iter().all(|(known, _)| known != which) {
                    self.algorithms.push((*which, list.clone()));
                }
            }
            Setting::RekeyLimit(bytes, time) => {
                first(&mut self.rekey_bytes, || *bytes);
                self.rekey_time = self.rekey_time.or(*time);
            }
            Setting::PasswordAuthentication(used) => first(&mut self.password, || *used),
            Setting::PubkeyAuthentication(used) => first(&mut self.public_key, || *used),
            Setting::KbdInteractiveAuthentication(used) => {
                first(&mut self.keyboard_interactive, || *used);
            }
            Setting::PreferredAuthentications(methods) => {
                first(&mut self.preferred, || methods.clone());
            }
            Setting::NumberOfPasswordPrompts(count) => {
                first(&mut self.password_prompts, || *count);
            }
            Setting::Refused(refused, harmless) => {
                if !self.unsupported.iter().any(|(name, _)| *name == refused.name) {
                    self.unsupported.push((refused.name, (!harmless).then(at)));
                }
            }
            Setting::StrictHostKeyChecking(strict) => first(&mut self.strict, || *strict),
            Setting::HostKeyAlias(alias) => first(&mut self.host_key_alias, || alias.clone()),
            // `none` is as if nothing were said, so a later value counts.
            Setting::ServerAliveInterval(interval) => {
                self.alive_interval = self.alive_interval.or(*interval);
            }
            Setting::ServerAliveCountMax(count) => first(&mut self.alive_count_max, || *count),
            Setting::ConnectTimeout(timeout) => {
                self.connect_timeout = self.connect_timeout.or(*timeout);
            }
            // Whichever is said first counts, but a `ProxyJump none` leaves the commands be.
            Setting::ProxyJump(hosts) if hosts.is_empty() || self.command.is_none() => {
                first(&mut self.jump, || (hosts.clone(), at()));
            }
            Setting::ProxyJump(_) => {}
            Setting::ProxyCommand(_)
                if self.jump.as_ref().is_some_and(|(hosts, _)| !hosts.is_empty()) => {}
            Setting::ProxyCommand(command) => first(&mut self.command, || command.clone()),
            Setting::RefuseConnection(text) => {
                first(&mut self.refused, || (text.clone(), at()));
            }
            Setting::Tag(tag) => first(&mut self.tag, || tag.clone()),
            Setting::IgnoreUnknown(patterns) => first(&mut self.ignored, || patterns.clone()),
            Setting::Ignored | Setting::Unknown(_) => {}
        }
        Ok(())
    }
}

/// The first value counts.
fn first<T>(value: &mut Option<T>, new: impl FnOnce() -> T) {
    if value.is_none() {
        *value = Some(new());
    }
}

/// All values count, each once.
fn add(values: &mut Vec<(String, At)>, new: &str, at: impl Fn() -> At) -> Result<(), String> {
    if values.iter().all(|(known, _)| known != new) {
        if values.len() == MAX_IDENTITIES {
            return Err(format!("is one file more than {MAX_IDENTITIES}"));
        }
        values.push((new.to_owned(), at()));
    }
    Ok(())
}
