//! Keys that were trusted on first use.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::known_hosts::{KnownHosts, Names, Recorded};
use super::{Fingerprint, HostKey, HostKeyProblem, refusal};
use crate::{Options, Route, SshError, Target};

/// The key that a pool's first session trusted on first use, as long as no file knows it. Cheap to
/// clone; clones are one.
///
/// It is what keeps a pool from trusting another key with each session where nothing can be
/// recorded. What a file, an authority or a pin says is asked anew for each session, and not bound
/// by this.
#[derive(Debug, Clone, Default)]
pub struct FirstKey(Arc<Mutex<Option<Fingerprint>>>);

/// Those of a pool's target, and of each host on the way there.
#[derive(Debug, Clone)]
pub struct FirstKeys {
    /// The target's.
    pub target: FirstKey,
    /// Those of the jump hosts, in their order.
    pub hops: Vec<FirstKey>,
}

impl FirstKeys {
    /// None were trusted yet.
    pub fn new(options: &Options) -> Self {
        let hops = match &options.route {
            Route::Jump(hops) => hops.iter().map(|_| FirstKey::default()).collect(),
            _ => Vec::new(),
        };
        Self { target: FirstKey::default(), hops }
    }
}

impl FirstKey {
    pub(super) fn known(&self) -> Option<Fingerprint> {
        *self.key()
    }

    /// A file knows the host from now on.
    pub(super) fn release(&self) {
        *self.key() = None;
    }

    /// Binds those that come later to this key; the one that it was bound to before, if that is
    /// another one.
    fn bind(&self, key: Fingerprint) -> Result<(), Fingerprint> {
        match *self.key().get_or_insert(key) {
            first if first == key => Ok(()),
            first => Err(first),
        }
    }

    fn key(&self) -> MutexGuard<'_, Option<Fingerprint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A new host's key, trusted by nobody before and not recorded yet.
#[derive(Debug)]
pub struct NewKey(pub(super) Box<New>);

#[derive(Debug)]
pub(super) struct New {
    pub(super) target: Target,
    pub(super) files: KnownHosts,
    pub(super) names: Names,
    pub(super) key: HostKey,
    pub(super) first: FirstKey,
    pub(super) hash_names: bool,
    pub(super) must_record: bool,
}

impl NewKey {
    /// Records the key, unless the files know the host by now. Where it cannot be recorded the pool
    /// is bound to it. To be called once login succeeded, where that may wait.
    ///
    /// # Errors
    ///
    /// [`SshError::HostKey`] if the host was met with another key meanwhile, by another session of
    /// the pool or by another process; [`SshError::KnownHosts`] if it must be recorded
    /// ([`HostKeys::must_record`](crate::HostKeys::must_record)) and cannot be.
    pub fn accept(&self) -> Result<(), SshError> {
        let New { target, files, names, key, first, hash_names, must_record } = &*self.0;
        let refused = |problem| Err(refusal(target, key, problem));
        if let Err(first) = first.bind(key.fingerprint()) {
            return refused(HostKeyProblem::NotTheFirst { first });
        }
        let error = match files.record(names, key, *hash_names) {
            // A new session asks the file, which may have been mended by then.
            Ok(Recorded::Known) => {
                first.release();
                return Ok(());
            }
            Ok(Recorded::Other { key: known, path, line }) => {
                first.release();
                return refused(HostKeyProblem::Changed {
                    known: known.fingerprint(),
                    known_algorithm: known.algorithm().to_owned(),
                    path,
                    line,
                });
            }
            // Whoever names no file wants it so.
            Ok(Recorded::Nowhere(_)) if !must_record => return Ok(()),
            Ok(Recorded::Nowhere(path)) => {
                let text = "new keys must be recorded, and it keeps none";
                let source = Arc::new(io::Error::new(io::ErrorKind::InvalidInput, text));
                SshError::KnownHosts { path: path.unwrap_or_default(), source }
            }
            Err(error) => error,
        };
        if *must_record {
            return Err(error);
        }
        // As OpenSSH does: a folder that cannot be written keeps nobody from working.
        tracing::warn!(
            target: UNRECORDED,
            host = names.own(),
            key = %format_args!("{} {}", key.algorithm(), key.fingerprint()),
            %error,
            "host key trusted on first use and not recorded: it will be trusted again, whatever it \
             is by then"
        );
        Ok(())
    }
}

/// The target of the event that tells of a key that was trusted and could not be recorded.
pub const UNRECORDED: &str = "ssh_session::unrecorded_host_key";
