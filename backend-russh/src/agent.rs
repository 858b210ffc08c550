//! Keys that an agent holds.

use std::path::{Path, PathBuf};

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Certificate, PrivateKey, PublicKey};
use ssh_session::login::Agent;
use ssh_session::printable;
use tokio::net::UnixStream;

use crate::apart::spawn_blocking;

/// Asks an agent for its keys; those to be sent, in this order. The error says why there are none.
///
/// It is told first which server this is about (`session-bind@openssh.com`, PROTOCOL.agent of
/// OpenSSH), so that it names and uses only keys that are meant for it (`ssh-add -h`). One that
/// does not know how is asked all the same.
pub(crate) async fn open(
    agent: &Agent,
    binding: Option<&AgentSessionBinding>,
) -> Result<(AgentClient<UnixStream>, Vec<AgentIdentity>), String> {
    let asking = async {
        let mut client = match &agent.socket {
            Some(socket) => AgentClient::connect_uds(socket).await?,
            None => AgentClient::connect_env().await?,
        };
        if let Some(binding) = binding {
            match client.bind_session(binding, false).await {
                Err(russh::keys::Error::AgentFailure) => {}
                bound => bound?,
            }
        }
        let identities = client.request_identities().await?;
        Ok::<_, russh::keys::Error>((client, identities))
    };
    let (client, held) = asking.await.map_err(|error| {
        let which = match &agent.socket {
            Some(socket) => format!("at {}", socket.display()),
            None => "running, and SSH_AUTH_SOCK set".to_owned(),
        };
        format!("{}; is one {which}?", printable(error.to_string().as_bytes()))
    })?;
    if held.is_empty() {
        return Err("it holds no keys; add one with ssh-add".into());
    }
    if agent.only.is_empty() {
        return Ok((client, held));
    }
    let files = agent.only.clone();
    let reading = spawn_blocking(move || files.iter().filter_map(|file| named_by(file)).collect());
    let named: Vec<Named> = reading.await.unwrap_or_default();
    let chosen: Vec<_> = named
        .iter()
        .flat_map(|named| held.iter().filter(|identity| named.is(identity)).cloned())
        .collect();
    if chosen.is_empty() {
        return Err("it holds none of the keys named".into());
    }
    Ok((client, chosen))
}

/// What a file names.
enum Named {
    /// A key, and every certificate for it.
    Key(KeyData),
    /// In wire format: without its comment.
    Certificate(Vec<u8>),
}

impl Named {
    fn is(&self, identity: &AgentIdentity) -> bool {
        match (self, identity) {
            (Self::Key(named), AgentIdentity::PublicKey { key, .. }) => named == key.key_data(),
            (Self::Key(named), AgentIdentity::Certificate { certificate, .. }) => {
                named == certificate.public_key()
            }
            (Self::Certificate(named), AgentIdentity::Certificate { certificate, .. }) => {
                certificate.to_bytes().is_ok_and(|own| own == *named)
            }
            (Self::Certificate(_), AgentIdentity::PublicKey { .. }) => false,
        }
    }
}

/// The public key or certificate in a file, or in the one that lies beside it. A private key in
/// OpenSSH's format has its public half unencrypted.
fn named_by(file: &Path) -> Option<Named> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    [file.to_owned(), PathBuf::from(beside)].iter().find_map(|path| {
        let text = ssh_session::small_text(path).ok()?;
        let text = text.trim();
        let key = || PublicKey::from_openssh(text).ok().map(|key| key.key_data().clone());
        let half = || Some(PrivateKey::from_openssh(text).ok()?.public_key().key_data().clone());
        match Certificate::from_openssh(text) {
            Ok(certificate) => certificate.to_bytes().ok().map(Named::Certificate),
            Err(_) => key().or_else(half).map(Named::Key),
        }
    })
}
