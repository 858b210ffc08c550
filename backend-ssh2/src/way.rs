//! The way to a server: a connected socket, wherever it leads through.

use std::sync::{Arc, OnceLock};

use ssh_session::ProxyProcess;

use crate::socket::Socket;

/// What became of a jump host: why it did not hold out, once it has not.
pub(crate) type Fate = Arc<OnceLock<String>>;

/// A connected socket, and what has to live as long as it is used.
pub(crate) struct Way {
    pub(crate) socket: Socket,
    pub(crate) process: Option<ProxyProcess>,
    pub(crate) fate: Fate,
}

impl Way {
    /// One that leads over nothing else.
    pub(crate) fn over(socket: Socket) -> Self {
        Self { socket, process: None, fate: Fate::default() }
    }
}
