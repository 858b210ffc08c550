//! What a line sets.

use std::time::Duration;

use super::destination::Destination;
use super::keywords::{Refused, is_ignored};
use super::value::{self, StrictHostKeyChecking};
use super::words::Words;
use crate::{Algorithms, Crypto, HostKeyAlgorithms, ProxyCommand, SignatureAlgorithms, SshError};

/// One keyword with a value that makes sense.
#[derive(Debug, Clone)]
pub(super) enum Setting {
    HostName(String),
    Port(u16),
    User(String),
    IdentityFile(String),
    IdentitiesOnly(bool),
    IdentityAgent(String),
    CertificateFile(String),
    UserKnownHostsFile(Vec<String>),
    GlobalKnownHostsFile(Vec<String>),
    RevokedHostKeys(Vec<String>),
    /// None for `none`.
    KnownHostsCommand(Option<Vec<String>>),
    HashKnownHosts(bool),
    /// `ask` is no: nobody can be asked.
    UpdateHostKeys(bool),
    VerifyHostKeyDns(bool),
    HostKeyAlgorithms(HostKeyAlgorithms),
    CaSignatureAlgorithms(SignatureAlgorithms),
    RequiredRsaSize(u32),
    /// A list that changes one of the default policy's.
    Algorithms(Algorithms, String),
    /// Bytes, none for `default`, and a time, none for `none` or none at all.
    RekeyLimit(Option<u64>, Option<Duration>),
    PasswordAuthentication(bool),
    PubkeyAuthentication(bool),
    KbdInteractiveAuthentication(bool),
    PreferredAuthentications(Vec<String>),
    NumberOfPasswordPrompts(u32),
    StrictHostKeyChecking(StrictHostKeyChecking),
    HostKeyAlias(String),
    ServerAliveInterval(Option<Duration>),
    ServerAliveCountMax(u32),
    ConnectTimeout(Option<Duration>),
    /// In the order in which they are visited; none for `none`.
    ProxyJump(Vec<Destination>),
    /// None for `none`.
    ProxyCommand(Option<ProxyCommand>),
    RefuseConnection(String),
    Tag(String),
    IgnoreUnknown(String),
    /// A keyword that is not obeyed, and whether its value asks for no more than what is done.
    Refused(&'static Refused, bool),
    /// A keyword of `ssh` that changes nothing here.
    Ignored,
    /// Not a keyword of `ssh`: an error, unless `IgnoreUnknown` names it.
    Unknown(String),
}

/// The most known_hosts files in one list, as in `ssh`.
const MAX_FILES: usize = 32;

impl Setting {
    pub(super) fn parse(words: Words<'_>) -> Result<Self, String> {
        let Words { keyword, arguments, rest } = words;
        // Their values are the rest of the line as it stands.
        match keyword.as_str() {
            "proxycommand" => return command(rest),
            "proxyjump" => return jump(rest),
            "knownhostscommand" => return known_hosts_command(rest),
            _ => {}
        }
        let one = || match arguments.as_slice() {
            [] => Err(format!("`{keyword}` has no argument")),
            [argument] if argument.is_empty() => Err(format!("`{keyword}` has no argument")),
            [argument] => Ok(argument.as_str()),
            [_, more, ..] => {
                Err(format!("`{keyword}` has {:?} behind its argument", super::shown(more)))
            }
        };
        Ok(match keyword.as_str() {
            "hostname" => Self::HostName(one()?.into()),
            "port" => Self::Port(value::port(one()?)?),
            "user" => Self::User(one()?.into()),
            "identityfile" | "identityfile2" => Self::IdentityFile(one()?.into()),
            "identitiesonly" => Self::IdentitiesOnly(value::flag(one()?)?),
            "identityagent" => Self::IdentityAgent(one()?.into()),
            "certificatefile" => Self::CertificateFile(one()?.into()),
            "userknownhostsfile" => Self::UserKnownHostsFile(files(&keyword, arguments)?),
            "globalknownhostsfile" => Self::GlobalKnownHostsFile(files(&keyword, arguments)?),
            "revokedhostkeys" => Self::RevokedHostKeys(files(&keyword, arguments)?),
            "hashknownhosts" => Self::HashKnownHosts(value::flag(one()?)?),
            "updatehostkeys" => Self::UpdateHostKeys(value::flag_or_ask(one()?)?.unwrap_or(false)),
            "verifyhostkeydns" => {
                Self::VerifyHostKeyDns(value::flag_or_ask(one()?)?.unwrap_or(true))
            }
            "hostkeyalgorithms" => {
                let algorithms = HostKeyAlgorithms::parse(one()?);
                Self::HostKeyAlgorithms(algorithms.map_err(|error| problem(&keyword, &error))?)
            }
            "casignaturealgorithms" => {
                let algorithms = SignatureAlgorithms::parse(one()?);
                Self::CaSignatureAlgorithms(algorithms.map_err(|error| problem(&keyword, &error))?)
            }
            "ciphers" => algorithms(Algorithms::Ciphers, &keyword, one()?)?,
            "kexalgorithms" => algorithms(Algorithms::KeyExchange, &keyword, one()?)?,
            "macs" => algorithms(Algorithms::Macs, &keyword, one()?)?,
            "pubkeyacceptedalgorithms" | "pubkeyacceptedkeytypes" => {
                algorithms(Algorithms::UserKeys, &keyword, one()?)?
            }
            "rekeylimit" => match arguments.as_slice() {
                [bytes] => Self::RekeyLimit(value::rekey_bytes(bytes)?, None),
                [bytes, time] => Self::RekeyLimit(value::rekey_bytes(bytes)?, value::time(time)?),
                _ => return Err(format!("`{keyword}` has no argument, or more than two")),
            },
            "requiredrsasize" => Self::RequiredRsaSize(value::count(one()?)?),
            "passwordauthentication" => Self::PasswordAuthentication(value::flag(one()?)?),
            "pubkeyauthentication" | "dsaauthentication" => {
                Self::PubkeyAuthentication(value::pubkey(one()?)?)
            }
            "kbdinteractiveauthentication"
            | "challengeresponseauthentication"
            | "skeyauthentication"
            | "tisauthentication" => Self::KbdInteractiveAuthentication(value::flag(one()?)?),
            "preferredauthentications" => {
                let methods = one()?.split(',').map(str::to_owned);
                Self::PreferredAuthentications(methods.collect())
            }
            "numberofpasswordprompts" => Self::NumberOfPasswordPrompts(value::count(one()?)?),
            "stricthostkeychecking" => Self::StrictHostKeyChecking(value::strict(one()?)?),
            "hostkeyalias" => Self::HostKeyAlias(one()?.into()),
            "serveraliveinterval" => Self::ServerAliveInterval(value::time(one()?)?),
            "serveralivecountmax" => Self::ServerAliveCountMax(value::count(one()?)?),
            "connecttimeout" => Self::ConnectTimeout(value::time(one()?)?),
            "refuseconnection" => Self::RefuseConnection(arguments.join(" ")),
            "tag" => Self::Tag(one()?.into()),
            "ignoreunknown" => Self::IgnoreUnknown(one()?.to_ascii_lowercase()),
            known if is_ignored(known) => Self::Ignored,
            other => match Refused::find(other) {
                Some(refused) => Self::Refused(refused, refused.is_harmless(&arguments)),
                None => Self::Unknown(keyword),
            },
        })
    }
}

/// A list of algorithms, looked at once, so that an error has its line.
fn algorithms(which: Algorithms, keyword: &str, list: &str) -> Result<Setting, String> {
    match Crypto::default().with_configured(which, list) {
        Ok(_) => Ok(Setting::Algorithms(which, list.to_owned())),
        Err(error) => Err(problem(keyword, &error)),
    }
}

/// What is wrong with a keyword's value.
fn problem(keyword: &str, error: &SshError) -> String {
    match error {
        SshError::InvalidInput { problem, .. } => format!("`{keyword}` {problem}"),
        other => other.to_string(),
    }
}

/// Files of which `none` names none.
fn files(keyword: &str, files: Vec<String>) -> Result<Vec<String>, String> {
    let is_none = |file: &String| file.eq_ignore_ascii_case("none");
    if files.iter().any(String::is_empty) || files.is_empty() {
        return Err(format!("`{keyword}` has an empty argument"));
    }
    if files.len() > MAX_FILES {
        return Err(format!("`{keyword}` names more than {MAX_FILES} files"));
    }
    match files.iter().any(is_none) {
        true if files.len() > 1 => Err(format!("`{keyword}` has more than `none`")),
        true => Ok(Vec::new()),
        false => Ok(files),
    }
}

fn command(rest: &str) -> Result<Setting, String> {
    if rest.eq_ignore_ascii_case("none") {
        return Ok(Setting::ProxyCommand(None));
    }
    Ok(Setting::ProxyCommand(Some(ProxyCommand::read(rest)?)))
}

/// A program and its arguments, as `ssh` splits them: what is behind a `#` belongs to it.
fn known_hosts_command(rest: &str) -> Result<Setting, String> {
    if rest.eq_ignore_ascii_case("none") {
        return Ok(Setting::KnownHostsCommand(None));
    }
    let words = super::words::split_command(rest)?;
    if !words.first().is_some_and(|program| program.starts_with('/')) {
        return Err("`KnownHostsCommand` must begin with the absolute path of a program".into());
    }
    Ok(Setting::KnownHostsCommand(Some(words)))
}

fn jump(rest: &str) -> Result<Setting, String> {
    let list = rest.split('#').next().unwrap_or_default().trim_end();
    if list.eq_ignore_ascii_case("none") {
        return Ok(Setting::ProxyJump(Vec::new()));
    }
    let hosts = list.split(',').map(Destination::parse).collect::<Result<Vec<_>, _>>()?;
    Ok(Setting::ProxyJump(hosts))
}
