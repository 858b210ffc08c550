//! What a client sends to one channel, on its way to a process or a socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Bytes that may wait in one channel for a reader.
///
/// russh refills a window as soon as data arrive, so a channel can't be slowed down without
/// freezing its whole connection: the data wait here, and a channel with more than this is closed.
const LIMIT: usize = 256 << 20;

#[derive(Debug)]
pub(super) struct Inbox {
    // None after EOF.
    sender: Option<UnboundedSender<Bytes>>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub(super) struct InboxReader {
    receiver: UnboundedReceiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// More than [`LIMIT`] waits already.
#[derive(Debug)]
pub(super) struct Overflow;

pub(super) fn inbox() -> (Inbox, InboxReader) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (
        Inbox { sender: Some(sender), waiting: Arc::clone(&waiting) },
        InboxReader { receiver, waiting },
    )
}

impl Inbox {
    /// Takes what the client sent. What nobody will read any more is thrown away.
    pub(super) fn push(&self, data: &[u8]) -> Result<(), Overflow> {
        let Some(sender) = self.sender.as_ref().filter(|sender| !sender.is_closed()) else {
            return Ok(());
        };
        if self.waiting.fetch_add(data.len(), Ordering::Relaxed) > LIMIT {
            return Err(Overflow);
        }
        let _ = sender.send(Bytes::copy_from_slice(data));
        Ok(())
    }

    pub(super) fn end(&mut self) {
        self.sender = None;
    }
}

impl InboxReader {
    /// The next piece; `None` at the end.
    pub(super) async fn recv(&mut self) -> Option<Bytes> {
        let data = self.receiver.recv().await?;
        self.waiting.fetch_sub(data.len(), Ordering::Relaxed);
        Some(data)
    }

    /// Writes everything to `sink`, then closes it; ends early when the sink takes no more.
    pub(super) async fn drain_into(mut self, mut sink: impl AsyncWrite + Unpin) {
        while let Some(data) = self.receiver.recv().await {
            if sink.write_all(&data).await.is_err() {
                return;
            }
            self.waiting.fetch_sub(data.len(), Ordering::Relaxed);
        }
        let _ = sink.shutdown().await;
    }
}
