//! Any bytes as what users and peers write: the bodies of the fuzz targets over `ssh-session`.
#![forbid(unsafe_code)]

mod scp;
mod sftp;

use std::fs;
use std::path::Path;
use std::process::Command;

pub use scp::run_scp;
pub use sftp::run_sftp;
use ssh_session::known_hosts::{KnownHosts, Lookup};
use ssh_session::ssh_config::Proxy;
use ssh_session::{HostKey, Options, ProxyCommand, SshConfig, Target};

/// The longest text of an error, whatever it is about.
const LONGEST_ERROR: usize = 4_096;

/// The key asked for, and one that is in no file.
const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIE7x9ln6uZLLkfXM8iatrnAAuytVHeCznU8VlEgx7TvL";

/// Hosts asked for.
const HOSTS: [(&str, u16); 4] = [("h", 22), ("h.x", 22), ("h", 2222), ("::1", 22)];

/// A known_hosts file of any bytes: what the files say does not change by asking twice, what is
/// added is known, and, with `oracle`, the lines that are about a host are those that
/// `ssh-keygen -F` finds. `K` in the bytes stands for a key, so that lines make sense more often.
///
/// # Errors
///
/// What did not hold.
pub fn run_known_hosts(bytes: &[u8], oracle: bool) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let path = folder.path().join("known_hosts");
    let content = with_keys(bytes);
    fs::write(&path, &content).map_err(|error| error.to_string())?;
    let files = KnownHosts::files([&path]);
    let other = other_key()?;
    for (host, port) in HOSTS {
        let ask = || files.lookup(host, port, &other).map_err(|error| error.to_string());
        let answer = ask()?;
        if answer != ask()? {
            return Err(format!("{host}: asking twice gives two answers"));
        }
        if oracle && is_plain(&content) {
            compare(&path, host, port, &answer)?;
        }
    }
    let before = files.lookup("h", 22, &other).map_err(|error| error.to_string())?;
    files.add("h", 22, &other).map_err(|error| error.to_string())?;
    let after = files.lookup("h", 22, &other).map_err(|error| error.to_string())?;
    let written = fs::read(&path).map_err(|error| error.to_string())?;
    if !written.starts_with(&content) {
        return Err("what was there is not there any more".into());
    }
    match (before, after) {
        (Lookup::Unknown, Lookup::Known) => Ok(()),
        (before, after) if before == after => Ok(()),
        (before, after) => Err(format!("{before:?} became {after:?} by adding the key")),
    }
}

/// A configuration of any bytes, read and asked about some hosts: no panic, no endless work, and no
/// error that is long or has control characters in it.
///
/// # Errors
///
/// What did not hold.
pub fn run_ssh_config(bytes: &[u8]) -> Result<(), String> {
    let config = match SshConfig::parse(bytes, "/fuzz/config") {
        Ok(config) => config,
        Err(error) => return fit_to_show(&error.to_string()),
    };
    for alias in ["h", "u@h.x", "ssh://u@h:2222", "::1"] {
        match config.host(alias) {
            Err(error) => fit_to_show(&error.to_string())?,
            Ok(host) => {
                if host.port == 0 || host.alias.is_empty() {
                    return Err(format!("{host:?}"));
                }
                if let Proxy::Command(command) = &host.proxy {
                    templates(command)?;
                }
            }
        }
        match Options::from_ssh_config(alias, &config) {
            Err(error) => fit_to_show(&error.to_string())?,
            Ok(options) if options.identity() != options.clone().identity() => {
                return Err("a copy has another identity".into());
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

/// The first line is a host, the second a user, the rest a proxy command: what comes out holds no
/// host and no user that a shell would obey.
///
/// # Errors
///
/// What did not hold.
pub fn run_proxy_template(bytes: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Ok(()) };
    let mut parts = text.splitn(3, '\n');
    let (host, user) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let template = parts.next().unwrap_or_default();
    let command = match ProxyCommand::parse(template) {
        Ok(command) => command,
        Err(error) => return fit_to_show(&error.to_string()),
    };
    templates(&command)?;
    let target = match Target::new(host, 22, user) {
        Ok(target) => target,
        Err(error) => return fit_to_show(&error.to_string()),
    };
    // What is put in, alone: nothing in it may be obeyed.
    let bare = ProxyCommand::parse("%h%r").map_err(|error| error.to_string())?;
    match (command.for_target(&target), bare.for_target(&target)) {
        (Ok(line), Ok(names)) => {
            if names != format!("{}{}", target.host(), target.user()) {
                return Err(format!("{names:?} is not what was put in"));
            }
            let obeyed = |c: char| "'`\";&<>|(){}\n\r\0".contains(c);
            if names.contains(obeyed) || target.host().contains('$') {
                return Err(format!("{names:?} has characters in it that a shell obeys"));
            }
            let pieces = template.matches('%').count();
            if pieces == 0 && line != command.template() {
                return Err(format!("{template:?} became {line:?}"));
            }
            Ok(())
        }
        (Err(error), Err(_)) => fit_to_show(&error.to_string()),
        // Too long with its tokens replaced.
        (Err(error), Ok(_)) => fit_to_show(&error.to_string()),
        (Ok(line), Err(error)) => Err(format!("{line:?} in spite of {error}")),
    }
}

fn templates(command: &ProxyCommand) -> Result<(), String> {
    let again = ProxyCommand::parse(command.template()).map_err(|error| error.to_string())?;
    if again.template() == command.template() { Ok(()) } else { Err("another template".into()) }
}

fn fit_to_show(text: &str) -> Result<(), String> {
    if text.len() > LONGEST_ERROR || text.chars().any(char::is_control) {
        return Err(format!("an error that is not fit to be shown: {text:.200?}"));
    }
    Ok(())
}

fn with_keys(bytes: &[u8]) -> Vec<u8> {
    let key = format!("ssh-ed25519 {KEY}");
    let mut content = Vec::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'K' => content.extend(key.as_bytes()),
            byte => content.push(*byte),
        }
    }
    content
}

fn other_key() -> Result<HostKey, String> {
    let line = format!("ssh-ed25519 {}", KEY.replace("E7x9", "E7x8"));
    let key = ssh_key::PublicKey::from_openssh(&line).map_err(|error| error.to_string())?;
    let blob = key.to_bytes().map_err(|error| error.to_string())?;
    HostKey::from_wire(&blob).ok_or_else(|| "the key is none".to_owned())
}

/// Where `ssh-keygen` and `ssh` read a line alike: it knows no carriage returns, prints what is no
/// text in its own way, and takes lines whose keys it does not read.
fn is_plain(content: &[u8]) -> bool {
    let text = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').filter(|field| !field.is_empty());
        let names = fields.next().unwrap_or_default();
        let key = [fields.next(), fields.next()];
        line.is_empty()
            || (key == [Some(&b"ssh-ed25519"[..]), Some(KEY.as_bytes())]
                && !names.starts_with(b"@")
                && !names.starts_with(b"#"))
    };
    content.iter().all(|byte| (b' '..=b'~').contains(byte) || *byte == b'\n')
        && content.split(|byte| *byte == b'\n').all(text)
}

/// The first line about a host is the one that `ssh-keygen` finds, where it is installed.
fn compare(path: &Path, host: &str, port: u16, answer: &Lookup) -> Result<(), String> {
    let name = if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") };
    let Ok(output) = Command::new("ssh-keygen").args(["-F", &name, "-f"]).arg(path).output() else {
        return Ok(());
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let theirs: Option<usize> = said
        .lines()
        .find_map(|line| line.split_once("found: line ")?.1.split(' ').next()?.parse().ok());
    let ours = match answer {
        Lookup::Changed { line, .. } => Some(*line),
        _ => None,
    };
    if ours == theirs { Ok(()) } else { Err(format!("{name}: line {ours:?}, not {theirs:?}")) }
}
