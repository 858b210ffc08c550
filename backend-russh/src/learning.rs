//! Recording other keys that a known server proves to have, behind its login.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PublicKey;
use ssh_session::{HostKey, HostKeyCheck, printable};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::apart::spawn_blocking;
use crate::link::Link;

/// How long the server may take for its proof. Nobody waits for it.
const PROOF_TIMEOUT: Duration = Duration::from_secs(10);

impl Link {
    /// Waits for what the server says of its keys, as long as the session lives, and records those
    /// that are new and that it proves to have. What goes wrong harms nobody but the next change of
    /// the server's key: it is told to the log.
    pub(crate) fn learn_host_keys(
        self: &Arc<Self>,
        check: Arc<HostKeyCheck>,
        own: HostKey,
        announced: oneshot::Receiver<Vec<HostKey>>,
    ) {
        let (link, target) = (Arc::downgrade(self), self.target.clone());
        drop(self.runtime.spawn(async move {
            let Ok(keys) = announced.await else { return };
            // What is not asked for is not proven, so it must not be among those recorded.
            let asked = check.unproven(&keys).into_iter();
            let asked =
                asked.filter_map(|key| PublicKey::from_bytes(key.as_wire()).ok().zip(Some(key)));
            let (asked, keys): (Vec<_>, Vec<_>) = asked.unzip();
            let Some(link) = link.upgrade().filter(|_| !keys.is_empty()) else { return };
            let proven = {
                let _using = link.using();
                timeout(PROOF_TIMEOUT, link.handle.hostkeys_prove(asked)).await
            };
            drop(link);
            let problem = match proven {
                Ok(Ok(())) => {
                    let recording = spawn_blocking(move || check.record_proven(&own, &keys));
                    match recording.await {
                        Ok(Err(error)) => error.to_string(),
                        _ => return,
                    }
                }
                Ok(Err(error)) => printable(error.to_string().as_bytes()),
                Err(_) => "it took too long".to_owned(),
            };
            tracing::warn!(%target, problem, "the server's other host keys were not recorded");
        }));
    }
}
