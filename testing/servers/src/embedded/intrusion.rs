//! Channels that a server opens at its client: none of them was asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use russh::server::Handle;

use super::shared::{Shared, TaskGuard};

/// Tries each kind of channel, and counts what the client says to them.
pub(super) async fn run(session: Handle, shared: Arc<Shared>) {
    let _task = TaskGuard::new(&shared);
    let count = |accepted: bool| {
        let counters = &shared.counters;
        let counter = if accepted { &counters.intrusions } else { &counters.repelled };
        counter.fetch_add(1, Ordering::SeqCst);
    };
    // Each by itself: a client may leave one without an answer.
    tokio::join!(
        async { count(session.channel_open_agent().await.is_ok()) },
        async { count(session.channel_open_x11("127.0.0.1", 6000).await.is_ok()) },
        async {
            let opened = session.channel_open_forwarded_tcpip("127.0.0.1", 80, "127.0.0.1", 4000);
            count(opened.await.is_ok());
        },
        async { count(session.channel_open_session().await.is_ok()) },
    );
}
