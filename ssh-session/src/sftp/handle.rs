//! An open file or directory of the server's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::conversation::Conversation;

/// An open file or directory, closed when dropped.
pub(super) struct Handle {
    bytes: Bytes,
    conversation: Arc<Conversation>,
    closed: AtomicBool,
}

impl Handle {
    pub(super) fn new(conversation: &Arc<Conversation>, bytes: Bytes) -> Self {
        Self { bytes, conversation: Arc::clone(conversation), closed: AtomicBool::new(false) }
    }

    pub(super) fn conversation(&self) -> &Arc<Conversation> {
        &self.conversation
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Somebody has asked for it to be closed.
    pub(super) fn was_closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !*self.closed.get_mut() {
            self.conversation.close(&self.bytes);
        }
    }
}
