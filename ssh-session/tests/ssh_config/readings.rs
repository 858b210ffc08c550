//! What `ssh` and we make of a configuration, said in the same way.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ssh_session::Algorithms;
use ssh_session::ssh_config::{HostConfig, IdentityAgent, Proxy, StrictHostKeyChecking};

/// What both say about a host: a value, or several, for each keyword.
pub(crate) type Values = BTreeMap<&'static str, Vec<String>>;

/// The keywords that are compared.
pub(crate) const KEYWORDS: [&str; 33] = [
    "casignaturealgorithms",
    "certificatefile",
    "ciphers",
    "connecttimeout",
    "globalknownhostsfile",
    "hashknownhosts",
    "hostkeyalgorithms",
    "hostkeyalias",
    "hostname",
    "identitiesonly",
    "identityagent",
    "identityfile",
    "kbdinteractiveauthentication",
    "kexalgorithms",
    "knownhostscommand",
    "macs",
    "numberofpasswordprompts",
    "passwordauthentication",
    "port",
    "preferredauthentications",
    "proxycommand",
    "proxyjump",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "rekeylimit",
    "requiredrsasize",
    "revokedhostkeys",
    "serveralivecountmax",
    "serveraliveinterval",
    "stricthostkeychecking",
    "updatehostkeys",
    "user",
    "userknownhostsfile",
];

pub(crate) fn home() -> String {
    std::env::home_dir().expect("a home").to_str().expect("text").to_owned()
}

/// What `ssh -G` says; `None` if it refuses.
pub(crate) fn theirs(file: &Path, alias: &str) -> Option<Values> {
    let output = Command::new("ssh")
        .arg("-G")
        .arg("-F")
        .arg(file)
        .arg("--")
        .arg(alias)
        .output()
        .expect("ssh runs (Debian package openssh-client)");
    if !output.status.success() {
        return None;
    }
    let mut values = Values::new();
    let text = String::from_utf8(output.stdout).expect("text");
    for line in text.lines() {
        let (keyword, value) = line.split_once(' ').unwrap_or((line, ""));
        let Some(keyword) = KEYWORDS.iter().find(|known| **known == keyword) else { continue };
        let entry = values.entry(keyword).or_default();
        match *keyword {
            "userknownhostsfile" | "globalknownhostsfile" | "revokedhostkeys" => {
                entry.extend(value.split(' ').map(str::to_owned));
            }
            _ => entry.push(value.to_owned()),
        }
    }
    let one = |values: &Values, keyword| values.get(keyword).map(|all| all[0].clone());
    let (host, port, user) =
        (one(&values, "hostname")?, one(&values, "port")?, one(&values, "user")?);
    // `-G` shows these as written; `ssh` replaces them when it reads the files.
    for keyword in ["identityfile", "certificatefile"] {
        for value in values.get_mut(keyword).into_iter().flatten() {
            let tokens = [
                ("%%", "\u{1}"),
                ("%d", &home()),
                ("%u", &local_user()),
                ("%h", &host),
                ("%n", alias.rsplit('@').next().expect("a name")),
                ("%p", &port),
                ("%r", &user),
                ("${HOME}", &home()),
                ("\u{1}", "%"),
            ];
            for (token, means) in tokens {
                *value = value.replace(token, means);
            }
            if let Some(rest) = value.strip_prefix("~/") {
                *value = format!("{}/{rest}", home());
            }
        }
    }
    // Keys in devices and of retired kinds are none of ours.
    let ours = ["id_rsa", "id_ecdsa", "id_ed25519"];
    if let Some(files) = values.get_mut("identityfile") {
        files.retain(|file| {
            let default = file.strip_prefix(&format!("{}/.ssh/", home())).unwrap_or("x");
            file != "none" && (!default.starts_with("id_") || ours.contains(&default))
        });
    }
    for keyword in KEYWORDS {
        let value = values.entry(keyword).or_default();
        // Here `none` is another one than nothing.
        let means_something = keyword == "identityagent";
        value.retain(|value| match value.as_str() {
            "none" => means_something,
            "" | "0" | "SSH_AUTH_SOCK" => false,
            _ => true,
        });
        // Nobody can be asked here.
        if keyword == "updatehostkeys" && value == &["ask"] {
            *value = vec!["false".to_owned()];
        }
    }
    Some(values)
}

fn local_user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

pub(crate) fn ours(host: &HostConfig) -> Values {
    let paths = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.to_str().expect("text").to_owned()).collect()
    };
    let seconds =
        |time: Option<Duration>| Vec::from_iter(time.map(|time| time.as_secs().to_string()));
    let strict = match host.strict_host_key_checking {
        Some(StrictHostKeyChecking::Yes) => "true",
        Some(StrictHostKeyChecking::No) => "false",
        Some(StrictHostKeyChecking::AcceptNew) => "accept-new",
        Some(StrictHostKeyChecking::Ask) | None => "ask",
    };
    let (mut command, mut jump) = (Vec::new(), Vec::new());
    match &host.proxy {
        Proxy::Direct => {}
        Proxy::Command(template) => command.push(template.template().to_owned()),
        Proxy::Jump(hosts) => {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            jump.push(hosts.join(","));
        }
    }
    let count = host.server_alive_count_max.to_string();
    let yes = |yes: bool| vec![if yes { "yes" } else { "no" }.to_owned()];
    let list = |which| host.crypto.names(which).join(",");
    let limit = host.crypto.rekey_limit();
    let rekey =
        format!("{} {}", limit.bytes.unwrap_or(0), limit.time.map_or(0, |time| time.as_secs()));
    let truth = |yes: bool| vec![yes.to_string()];
    let mut values = Values::from([
        ("casignaturealgorithms", vec![host.ca_signature_algorithms.names().join(",")]),
        ("certificatefile", paths(&host.certificate_files)),
        ("ciphers", vec![list(Algorithms::Ciphers)]),
        ("connecttimeout", seconds(host.connect_timeout)),
        ("globalknownhostsfile", paths(&host.global_known_hosts_files)),
        ("hashknownhosts", yes(host.hash_known_hosts)),
        ("hostkeyalgorithms", vec![host.host_key_algorithms.names().join(",")]),
        ("hostkeyalias", Vec::from_iter(host.host_key_alias.clone())),
        ("hostname", vec![host.host_name.clone()]),
        ("identitiesonly", vec![if host.identities_only { "yes" } else { "no" }.into()]),
        (
            "identityagent",
            match &host.identity_agent {
                IdentityAgent::Environment => Vec::new(),
                IdentityAgent::None => vec!["none".to_owned()],
                IdentityAgent::Socket(path) => paths(std::slice::from_ref(path)),
            },
        ),
        ("identityfile", paths(&host.identity_files)),
        ("kbdinteractiveauthentication", yes(host.kbd_interactive_authentication)),
        ("kexalgorithms", vec![list(Algorithms::KeyExchange)]),
        (
            "knownhostscommand",
            Vec::from_iter(
                host.known_hosts_command.as_ref().map(|command| command.arguments().join(" ")),
            ),
        ),
        ("macs", vec![list(Algorithms::Macs)]),
        ("numberofpasswordprompts", vec![host.number_of_password_prompts.to_string()]),
        ("passwordauthentication", yes(host.password_authentication)),
        ("port", vec![host.port.to_string()]),
        (
            "preferredauthentications",
            Vec::from_iter(host.preferred_authentications.as_ref().map(|names| names.join(","))),
        ),
        ("proxycommand", command),
        ("proxyjump", jump),
        ("pubkeyacceptedalgorithms", vec![list(Algorithms::UserKeys)]),
        ("pubkeyauthentication", truth(host.pubkey_authentication)),
        ("rekeylimit", vec![rekey]),
        ("requiredrsasize", vec![host.required_rsa_size.to_string()]),
        ("revokedhostkeys", paths(&host.revoked_host_keys)),
        ("serveralivecountmax", vec![count]),
        ("serveraliveinterval", seconds(host.server_alive_interval)),
        ("stricthostkeychecking", vec![strict.into()]),
        ("updatehostkeys", truth(host.update_host_keys)),
        ("user", vec![host.user.clone()]),
        ("userknownhostsfile", paths(&host.user_known_hosts_files)),
    ]);
    for value in values.values_mut() {
        value.retain(|value| value != "0");
    }
    values
}
