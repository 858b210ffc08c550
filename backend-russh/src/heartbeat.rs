//! Heartbeats, as OpenSSH defines them.
//!
//! russh has a keepalive of its own, but looks at its timer only between packets: not while a
//! write is stuck, which is when a peer that went away matters most. Ours watches the socket and,
//! when the peer is dead, shuts it down.

use std::sync::Arc;
use std::time::Duration;

use pool_core::{Keepalive, KeepaliveStep};
use tokio::time::{Instant, sleep_until};

use crate::link::Link;
use crate::liveness::End;

impl Link {
    /// Sends heartbeats until the session is over.
    pub(crate) fn keep_alive(self: &Arc<Self>, interval: Duration, count_max: u32) {
        let link = Arc::clone(self);
        drop(self.runtime.spawn(async move {
            tokio::select! {
                _ = link.line.wait_end() => {}
                () = link.beat(interval, count_max) => {
                    link.line.cut(End::Lost("no answer to heartbeats".into()));
                }
            }
        }));
    }

    /// Ends when the peer is dead.
    async fn beat(self: &Arc<Self>, interval: Duration, count_max: u32) {
        let mut keepalive = Keepalive::new(interval, count_max, Instant::now().into_std());
        let mut last_life = self.line.last_life();
        loop {
            let life = self.line.last_life();
            if life != last_life {
                last_life = life;
                keepalive.received(life.into_std());
            }
            let now = Instant::now().into_std();
            if self.is_held() && self.line.has_news() {
                // A request's answer would stand behind what is held back; that there is more is
                // life enough.
                keepalive.received(now);
            }
            match keepalive.step(now) {
                KeepaliveStep::WaitUntil(due) => sleep_until(due.into()).await,
                KeepaliveStep::Send => {
                    keepalive.sent(now);
                    // What comes back is seen on the socket; a stuck session takes no requests.
                    let link = Arc::clone(self);
                    drop(self.runtime.spawn(async move {
                        tokio::select! {
                            _ = link.heartbeat() => {}
                            _ = link.line.wait_end() => {}
                        }
                    }));
                }
                // What has come and russh has not looked at is life, if it looks at it soon. A stuck
                // session never looks.
                KeepaliveStep::Dead => {
                    let put_off = self.line.has_news().then(|| keepalive.doubt(now));
                    let Some(until) = put_off.flatten() else { return };
                    sleep_until(until.into()).await;
                }
            }
        }
    }
}
