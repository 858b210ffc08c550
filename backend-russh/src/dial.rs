//! From a host's name to a logged-in session, under one deadline.

use std::borrow::Cow;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use russh::client::{Config, connect_stream};
use russh::keys::Algorithm;
use russh::{Preferred, SshId, cipher};
use ssh_session::{Options, Phase, SshError, Verdict, printable};
use tokio::runtime;

use crate::client::{Believed, Client, FirstKey, Problem, describe};
use crate::deadline::Deadline;
use crate::line::{End, Line};
use crate::link::Link;
use crate::{login, tcp};

/// Room for what came for a channel and was not taken in yet; commands take it in at once.
const CHANNEL_MESSAGES: usize = 100;

/// A session that is being opened. It is ended when dropped, unless it got so far as to be used.
pub(crate) struct Dial<'a> {
    pub(crate) options: &'a Options,
    pub(crate) deadline: Deadline,
    pub(crate) line: Arc<Line>,
    done: bool,
}

/// Opens a session. Host keys are checked before any credential is sent, and a new one is recorded
/// only after login.
pub(crate) async fn dial(options: &Options, first_key: &FirstKey) -> Result<Arc<Link>, SshError> {
    options.validate()?;
    options.route.must_be_direct()?;
    let Ok(runtime) = runtime::Handle::try_current() else {
        return Err(SshError::invalid("runtime", "must be tokio's: connect from one of its tasks"));
    };
    let deadline = Deadline::after(Some(options.connect_timeout));
    let known = options.host_keys.known_algorithms(&options.target)?;
    let stream = tcp::connect(options, &deadline).await?;
    let no_socket = |error| ssh_session::net::connect_error(&options.target, error);
    let (line, watched) = Line::new(stream).map_err(no_socket)?;
    let mut dial = Dial { options, deadline, line, done: false };

    let believed = Believed::default();
    let client = Client {
        target: options.target.clone(),
        host_keys: options.host_keys.clone(),
        first_key: Arc::clone(first_key),
        believed: Arc::clone(&believed),
        line: Arc::clone(&dial.line),
        shown: None,
    };
    let config = Arc::new(config(&known));
    let connecting = connect_stream(config, watched, client);
    let mut handle = deadline
        .bound(&options.target, Phase::Handshake, connecting)
        .await?
        .map_err(|problem| dial.handshake_error(problem))?;
    login::login(&dial, &mut handle).await?;
    dial.record(&believed, first_key).await;
    dial.done = true;
    Ok(Link::new(options, handle, Arc::clone(&dial.line), runtime))
}

impl Dial<'_> {
    /// Remembers the key of a server that let us in.
    async fn record(&self, believed: &Believed, first_key: &FirstKey) {
        let believed = believed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((fingerprint, verdict)) = believed else { return };
        let _ = first_key.set(fingerprint);
        if let Verdict::New(pending) = verdict {
            // As OpenSSH does: a folder that cannot be written keeps nobody from working.
            match tokio::task::spawn_blocking(move || pending.record()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "new host key not recorded"),
                Err(error) => tracing::warn!(%error, "new host key not recorded"),
            }
        }
    }

    fn handshake_error(&self, problem: Problem) -> SshError {
        let error = match problem {
            Problem::Ssh(error) => return error,
            Problem::Russh(error) => error,
        };
        let target = self.options.target.clone();
        let greeting = self.line.greeting();
        if ssh_session::net::is_ssh_banner(&greeting) {
            return if is_connections_fault(&error) {
                End::Lost(describe(&error)).error(&target, Phase::Handshake)
            } else {
                SshError::Handshake { target, detail: describe(&error) }
            };
        }
        // What it means that the connection ended in the handshake, by what the server said.
        let said = printable(&greeting);
        let lower = said.to_ascii_lowercase();
        if said.is_empty() || lower.contains("not allowed") || lower.contains("exceeded") {
            SshError::Busy { target, said }
        } else {
            let detail = format!("it answered {said:?}, which is not SSH");
            SshError::Handshake { target, detail: printable(detail.as_bytes()) }
        }
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.line.cut(End::Closed);
        }
    }
}

fn is_connections_fault(error: &russh::Error) -> bool {
    use russh::Error::{ConnectionTimeout, Disconnect, HUP, IO, RecvError, SendError};
    match error {
        // A packet that is no SSH is one, too, to russh.
        IO(error) => error.kind() != io::ErrorKind::InvalidData,
        Disconnect | HUP | ConnectionTimeout | SendError | RecvError => true,
        _ => false,
    }
}

fn config(known: &[String]) -> Config {
    let mut preferred = Preferred::DEFAULT;
    preferred.key = Cow::Owned(host_key_algorithms(known));
    // ring does AES-GCM half as fast again as ChaCha20 where the processor helps.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    {
        preferred.cipher = Cow::Borrowed(&[
            cipher::AES_256_GCM,
            cipher::CHACHA20_POLY1305,
            cipher::AES_256_CTR,
            cipher::AES_192_CTR,
            cipher::AES_128_CTR,
        ]);
    }
    Config {
        client_id: SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-hussh_",
            env!("CARGO_PKG_VERSION")
        ))),
        channel_buffer_size: CHANNEL_MESSAGES,
        preferred,
        // Heartbeats are ours, see `heartbeat.rs`: russh's pause while it writes, and its
        // inactivity timer would end slow logins.
        inactivity_timeout: None::<Duration>,
        keepalive_interval: None,
        ..Config::default()
    }
}

/// Host key algorithms to offer: those of known keys first, since a server that is asked for
/// another type presents a key that looks changed, and no certificates, which we could not check,
/// nor SHA-1.
fn host_key_algorithms(known: &[String]) -> Vec<Algorithm> {
    let mut algorithms: Vec<_> = Preferred::DEFAULT
        .key
        .iter()
        .filter(|algorithm| !matches!(algorithm, Algorithm::Rsa { hash: None }))
        .cloned()
        .collect();
    let key_type = |algorithm: &Algorithm| match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.as_str().to_owned(),
    };
    algorithms.sort_by_key(|algorithm| !known.contains(&key_type(algorithm)));
    algorithms
}

#[cfg(test)]
mod tests {
    use super::host_key_algorithms;

    #[test]
    fn known_types_are_asked_for_first_and_certificates_never() {
        let names = |known: &str| {
            host_key_algorithms(&[known.to_owned()])
                .iter()
                .map(|algorithm| algorithm.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        let rsa = names("ssh-rsa");
        assert_eq!(rsa[..3], ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
        assert_eq!(names("ecdsa-sha2-nistp384")[0], "ecdsa-sha2-nistp384");
        assert!(rsa.iter().all(|name| !name.contains("cert") && name != "ssh-rsa"));
    }
}
