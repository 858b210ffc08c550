//! What russh asks us about: the server's key, and what to do when it is all over.

use std::sync::{Arc, Mutex, PoisonError};

use russh::Names;
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelOpenFailure};
use ssh_session::{
    Crypto, Fingerprint, HostKey, HostKeyCheck, HostKeyProblem, HostKeyRefused, Offer,
    PresentedKey, SshError, Target, Verdict, printable,
};
use tokio::sync::oneshot;

use crate::config;
use crate::liveness::{End, Liveness};

/// A host key we believe, to be recorded once login succeeded, and itself where others may be
/// recorded beside it.
pub(crate) type Believed = Arc<Mutex<Option<(Verdict, Option<HostKey>)>>>;

/// As many of the keys that a server says it has are looked at.
const MAX_KEYS: usize = 64;

/// Our side of russh's session task. When it is dropped, the task is at its end.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) target: Target,
    pub(crate) crypto: Crypto,
    pub(crate) offer: Arc<Offer>,
    pub(crate) check: Arc<HostKeyCheck>,
    pub(crate) believed: Believed,
    pub(crate) line: Arc<Liveness>,
    /// Who is told of the keys that the server says it has, once.
    pub(crate) announced: Option<oneshot::Sender<Vec<HostKey>>>,
    /// The key of this session. russh asks about that of the first key exchange only; those after it
    /// go through the connection that it secured. Were it to ask again, the key must be the same.
    pub(crate) shown: Option<Fingerprint>,
}

/// Why russh's session task, or our part in it, failed.
#[derive(Debug)]
pub(crate) enum Problem {
    Russh(russh::Error),
    Ssh(SshError),
}

impl From<russh::Error> for Problem {
    fn from(error: russh::Error) -> Self {
        Self::Russh(error)
    }
}

impl Client {
    fn failed(&self, detail: String) -> Problem {
        Problem::Ssh(SshError::Handshake { target: self.target.clone(), detail })
    }

    fn refused(&self, key: &HostKey, problem: HostKeyProblem) -> Problem {
        Problem::Ssh(SshError::HostKey(Box::new(HostKeyRefused {
            target: self.target.clone(),
            problem,
            algorithm: key.algorithm().to_owned(),
            presented: key.fingerprint(),
        })))
    }
}

/// Channels that a server may ask for, each with what it says of them: refused by dropping the
/// handle that would accept it.
macro_rules! refuses {
    ($($kind:ident($($said:ty),*);)*) => {$(
        async fn $kind(
            &mut self,
            _: Channel<Msg>,
            $(_: $said,)*
            _: ChannelOpenHandle,
            _: &mut Session,
        ) -> Result<(), Problem> {
            Ok(())
        }
    )*};
}

impl Handler for Client {
    type Error = Problem;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Problem> {
        // Whoever presents it has signed the key exchange with it, which russh has checked.
        let blob = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.to_bytes(),
            PublicKeyOrCertificate::Certificate(certificate) => certificate.to_bytes(),
        };
        if let Ok(blob) = &blob {
            self.crypto.check_host_key(blob).map_err(|detail| self.failed(detail))?;
        }
        let presented = blob.ok().and_then(|blob| PresentedKey::from_wire(&blob));
        let presented = presented.ok_or_else(|| {
            Problem::Ssh(SshError::Handshake {
                target: self.target.clone(),
                detail: "the server's host key is of a kind we don't know".into(),
            })
        })?;
        // russh has checked the signature, but not that it is by what was agreed on.
        self.line.check_signature().map_err(|detail| self.failed(detail))?;
        let key = presented.key().clone();
        if let Some(first) = self.shown {
            return if first == key.fingerprint() {
                Ok(true)
            } else {
                Err(self.refused(&key, HostKeyProblem::NotTheFirst { first }))
            };
        }
        let learns = self.check.learns_beside(&presented);
        let verdict = match self.check.may_wait() {
            false => self.check.verify(&presented),
            true => {
                let check = Arc::clone(&self.check);
                let asking = crate::apart::spawn_blocking(move || check.verify(&presented));
                asking.await.map_err(|_| russh::Error::Inconsistent)?
            }
        };
        let verdict = verdict.map_err(Problem::Ssh)?;
        self.shown = Some(key.fingerprint());
        *self.believed.lock().unwrap_or_else(PoisonError::into_inner) = Some((verdict, learns));
        Ok(true)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut Session,
    ) -> Result<(), Problem> {
        config::check(&self.crypto, &self.offer, names).map_err(|detail| self.failed(detail))
    }

    /// A later announcement is nothing new: OpenSSH takes one only.
    async fn openssh_ext_host_keys_announced(
        &mut self,
        keys: Vec<PublicKey>,
        _: &mut Session,
    ) -> Result<(), Problem> {
        if let Some(announced) = self.announced.take() {
            let keys = keys.iter().take(MAX_KEYS).filter_map(|key| key.to_bytes().ok());
            // Nobody listens where nothing may be recorded.
            let _ = announced.send(keys.filter_map(|key| HostKey::from_wire(&key)).collect());
        }
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Problem>) -> Result<(), Problem> {
        self.line.ended(match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                End::Goodbye(printable(info.message.as_bytes()))
            }
            DisconnectReason::Error(Problem::Russh(russh::Error::NoAuthMethod)) => {
                End::NothingTaken
            }
            DisconnectReason::Error(Problem::Russh(error)) => End::Lost(describe(&error)),
            DisconnectReason::Error(Problem::Ssh(error)) => End::Lost(error.to_string()),
        });
        Ok(())
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        _: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Problem> {
        self.line.refused(printable(description.as_bytes()));
        Ok(())
    }

    // We asked for no forwarding, so whatever a server wants to open is refused.
    refuses! {
        server_channel_open_forwarded_tcpip(&str, u32, &str, u32);
        server_channel_open_forwarded_streamlocal(&str);
        server_channel_open_agent_forward();
        server_channel_open_session();
        server_channel_open_direct_tcpip(&str, u32, &str, u32);
        server_channel_open_direct_streamlocal(&str);
        server_channel_open_x11(&str, u32);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // russh tells `disconnected` of most ends, not of all.
        self.line.ended(End::Lost("the server closed it".into()));
        // russh has let go of its descriptor only; what leads to the server waits for ours.
        self.line.shutdown();
    }
}

/// Why a connection ended, as far as russh knows.
pub(crate) fn describe(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP => "the server closed it".into(),
        russh::Error::IO(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed it".into()
        }
        other => printable(other.to_string().as_bytes()),
    }
}
