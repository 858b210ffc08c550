//! A tunnel for callers that wait.

use std::time::Duration;

use bytes::Bytes;
use ssh_session::SshError;
use ssh_session::tunnel::{AsyncTunnel as _, Close, Tunnel};

use super::runtime::{Runtime, wait};
use crate::tunnel::RusshTunnel;

/// A connection that the server of a [`BlockingSession`](super::BlockingSession) has opened: a
/// [`RusshTunnel`] for callers that wait.
#[derive(Debug)]
pub struct BlockingTunnel {
    pub(super) inner: RusshTunnel,
    pub(super) runtime: Runtime,
}

impl Tunnel for BlockingTunnel {
    fn read(&self, patience: Option<Duration>) -> Result<Option<Bytes>, SshError> {
        wait(&self.runtime, self.inner.within(patience, self.inner.read()))
    }

    fn write(&self, bytes: &[u8], patience: Option<Duration>) -> Result<(), SshError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let wrote = wait(&self.runtime, self.inner.within(patience, self.inner.write(bytes)));
        if matches!(wrote, Err(SshError::Timeout { .. })) {
            self.inner.close();
        }
        wrote
    }

    fn close_write(&self) -> Result<(), SshError> {
        wait(&self.runtime, self.inner.close_write())
    }
}

impl Close for BlockingTunnel {
    fn close(&self) {
        self.inner.close();
    }
}
