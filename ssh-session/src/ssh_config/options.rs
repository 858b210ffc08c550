//! From a configuration to everything a backend needs.

use std::env;
use std::path::{Path, PathBuf};

use ssh_key::{Certificate, PublicKey};

use super::{HostConfig, IdentityAgent, Proxy, SshConfig, StrictHostKeyChecking};
use crate::login::Method;
use crate::{
    Auth, HostKeyPolicy, HostKeys, KeepaliveOptions, KeyRules, KnownHosts, Methods, Options, Route,
    SshError, Target, small_text,
};

impl Options {
    /// Everything that a configuration says about a host and how to get there; `alias` as
    /// [`SshConfig::host`] takes it.
    ///
    /// * Keys: those of `IdentityFile`, each with its certificate first, then those of the agent.
    ///   With `IdentitiesOnly` the agent is asked for these keys only, which is how an encrypted
    ///   one is used without its passphrase. Where no key is named, [`Auth::Auto`].
    /// * Host keys: `StrictHostKeyChecking` `yes` and `ask` are [`HostKeyPolicy::Strict`], since
    ///   nobody can be asked; `accept-new`, `no` and nothing at all are
    ///   [`HostKeyPolicy::AcceptNew`]. A changed key is always refused.
    /// * `ProxyJump`: each host is looked up in the same configuration, as `ssh` does; a host that
    ///   is to be reached through itself is an error.
    ///
    /// # Errors
    ///
    /// [`SshError::Config`] as [`SshConfig::host`], and for the keywords that are not obeyed and
    /// without which the session would be another one (see [`ssh_config`](crate::ssh_config));
    /// [`SshError::InvalidInput`] for a target that makes no sense, and for a loop of jump hosts.
    pub fn from_ssh_config(alias: &str, config: &SshConfig) -> Result<Self, SshError> {
        resolve(&config.host(alias)?, config, &mut Vec::new())
    }

    fn without_route(host: &HostConfig) -> Result<Self, SshError> {
        if let Some((keyword, (path, line))) = &host.unsupported {
            return Err(SshError::config(path, *line, format!("`{keyword}` is not supported")));
        }
        let target = Target::new(host.host_name.as_str(), host.port, host.user.as_str())?;
        let mut options = Self::new(target);
        options.auth = auth(host);
        let policy = match host.strict_host_key_checking {
            Some(StrictHostKeyChecking::Yes | StrictHostKeyChecking::Ask) => HostKeyPolicy::Strict,
            Some(StrictHostKeyChecking::AcceptNew | StrictHostKeyChecking::No) | None => {
                HostKeyPolicy::AcceptNew
            }
        };
        options.host_keys = HostKeys::new(policy);
        options.host_keys.files = KnownHosts::user_and_system(
            &host.user_known_hosts_files,
            &host.global_known_hosts_files,
        );
        options.host_keys.alias = host.host_key_alias.clone();
        options.host_keys.algorithms = host.host_key_algorithms.clone();
        options.host_keys.ca_algorithms = host.ca_signature_algorithms.clone();
        options.host_keys.revoked = host.revoked_host_keys.clone();
        options.host_keys.command = host.known_hosts_command.clone();
        options.host_keys.hash_names = host.hash_known_hosts;
        options.host_keys.update = Some(host.update_host_keys);
        options.crypto = host.crypto.clone();
        options.key_rules.required_rsa_size =
            host.required_rsa_size.max(KeyRules::REQUIRED_RSA_SIZE);
        options.methods = methods(host);
        if let Some(timeout) = host.connect_timeout {
            options.connect_timeout = timeout;
        }
        options.keepalive = KeepaliveOptions {
            interval: host.server_alive_interval,
            count_max: host.server_alive_count_max.max(1),
        };
        Ok(options)
    }
}

/// `behind` are the targets that are reached through this one.
fn resolve(
    host: &HostConfig,
    config: &SshConfig,
    behind: &mut Vec<Target>,
) -> Result<Options, SshError> {
    let mut options = Options::without_route(host)?;
    let target = &options.target;
    if behind.contains(target) {
        return Err(SshError::invalid(
            "jump",
            format!("is a loop: {target} is reached through itself"),
        ));
    }
    if behind.len() > Route::MAX_HOPS {
        let problem = format!("has more than {} hosts", Route::MAX_HOPS);
        return Err(SshError::invalid("jump", problem));
    }
    options.route = match &host.proxy {
        Proxy::Direct => Route::Direct,
        Proxy::Command(command) => Route::Command(command.clone()),
        Proxy::Jump(hosts) => match hosts.split_last() {
            None => Route::Direct,
            // The last one is reached through those before it, whatever its own configuration
            // says; alone, by its own configuration.
            Some((last, before)) => {
                let before = (!before.is_empty()).then_some(before);
                behind.push(target.clone());
                let mut last = resolve(&config.destination(last, before)?, config, behind)?;
                let mut hops = match std::mem::take(&mut last.route) {
                    Route::Jump(hops) => hops,
                    other => {
                        last.route = other;
                        Vec::new()
                    }
                };
                hops.push(last);
                Route::Jump(hops)
            }
        },
    };
    Ok(options)
}

fn methods(host: &HostConfig) -> Methods {
    let asks = host.number_of_password_prompts > 0;
    let mut methods = Methods {
        password: host.password_authentication && asks,
        public_key: host.pubkey_authentication,
        keyboard_interactive: host.kbd_interactive_authentication && asks,
        preferred: None,
    };
    if let Some(names) = &host.preferred_authentications {
        let all = [Method::PublicKey, Method::KeyboardInteractive, Method::Password];
        let known = |name: &String| all.into_iter().find(|method| method.name() == name);
        methods.preferred = Some(names.iter().filter_map(known).collect());
    }
    methods
}

fn auth(host: &HostConfig) -> Vec<Auth> {
    let agent = |only| match &host.identity_agent {
        IdentityAgent::Environment => env::var_os("SSH_AUTH_SOCK")
            .filter(|socket| !socket.is_empty())
            .map(|_| Auth::AgentWith { socket: None, only }),
        IdentityAgent::Socket(socket) => {
            Some(Auth::AgentWith { socket: Some(socket.clone()), only })
        }
        IdentityAgent::None => None,
    };
    let existing =
        host.identity_files.iter().filter(|file| host.names_identity_files || file.exists());
    let mut keys = Vec::new();
    for file in existing.clone() {
        for certificate in certificates(file, host) {
            keys.push(Auth::key_file(file).with_certificate(certificate));
        }
        keys.push(Auth::key_file(file));
    }
    if host.identities_only {
        return agent(host.identity_files.clone()).into_iter().chain(keys).collect();
    }
    if host.names_identity_files {
        keys.extend(agent(Vec::new()));
        return keys;
    }
    let has_certificates = keys.iter().any(|key| matches!(key, Auth::Certificate { .. }));
    match (&host.identity_agent, has_certificates) {
        (IdentityAgent::Environment, false) => vec![Auth::Auto],
        _ => agent(Vec::new()).into_iter().chain(keys).collect(),
    }
}

/// The certificates for a key: the one that lies beside it, and those of `CertificateFile` that
/// are for it, or may be.
fn certificates(key: &Path, host: &HostConfig) -> Vec<PathBuf> {
    let beside = |end: &str| {
        let mut name = key.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let public =
        small_text(&beside(".pub")).ok().and_then(|text| PublicKey::from_openssh(&text).ok());
    let is_for = |certificate: &&PathBuf| {
        let read =
            small_text(certificate).ok().and_then(|text| Certificate::from_openssh(&text).ok());
        match (read, &public) {
            (Some(read), Some(public)) => read.public_key() == public.key_data(),
            (Some(_), None) => host.identity_files.len() == 1,
            (None, _) => false,
        }
    };
    let mut found: Vec<_> = host.certificate_files.iter().filter(is_for).cloned().collect();
    let own = beside("-cert.pub");
    if own.is_file() && !found.contains(&own) {
        found.push(own);
    }
    found
}
