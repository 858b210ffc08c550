//! One connection, shared by any number of tasks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use russh::Disconnect;
use russh::client::Handle;
use ssh_session::{KeepaliveOptions, Options, Phase, ProxyProcess, SshError, Target};
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::{Client, describe};
use crate::deadline::Deadline;
use crate::liveness::{End, FAREWELL, Liveness};
use crate::prefetch::Parking;

/// How long the way to a server may take to end after the session: as long as a jump host may have
/// its goodbye passed on, and its own said, and a little more.
const WAY_GONE: Duration = Duration::from_millis(3_500);

pub(crate) struct Link {
    pub(crate) target: Target,
    /// Of commands that say nothing of it.
    pub(crate) max_output: Option<usize>,
    pub(crate) handle: Handle<Client>,
    pub(crate) line: Arc<Liveness>,
    /// Where the session lives, whoever uses it.
    pub(crate) runtime: runtime::Handle,
    /// Channels of commands given up, until the server has closed them too.
    pub(crate) abandoned: watch::Sender<usize>,
    /// Tunnels, until they are closed.
    pub(crate) tunnels: watch::Sender<usize>,
    pub(crate) parking: Parking,
    /// Who needs what the server sends to be taken in.
    users: watch::Sender<usize>,
    /// A command's output is held back, and with it all that the server sends.
    held: AtomicUsize,
    /// The proxy command that it goes through, if it does: ended with the last of the session.
    _process: Option<ProxyProcess>,
}

impl Link {
    pub(crate) fn new(
        options: &Options,
        handle: Handle<Client>,
        line: Arc<Liveness>,
        process: Option<ProxyProcess>,
        runtime: runtime::Handle,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            target: options.target.clone(),
            max_output: options.max_output,
            handle,
            line,
            runtime,
            abandoned: watch::Sender::new(0),
            tunnels: watch::Sender::new(0),
            parking: Parking::default(),
            users: watch::Sender::new(0),
            held: AtomicUsize::new(0),
            _process: process,
        });
        let KeepaliveOptions { interval, count_max } = options.keepalive;
        if let Some(interval) = interval {
            link.keep_alive(interval, count_max);
        }
        link
    }

    /// Has everything that comes taken in until the result is dropped, but by those who alone use
    /// the session.
    pub(crate) fn using(self: &Arc<Self>) -> Using {
        self.users.send_modify(|count| *count += 1);
        Using(Arc::clone(self))
    }

    /// Whether somebody beside a command uses the session.
    pub(crate) fn is_used_by_others(&self) -> bool {
        *self.users.borrow() > 1
    }

    /// Waits until somebody beside a command uses the session.
    pub(crate) async fn used_by_others(&self) {
        // The sender lives as long as we do.
        let _ = self.users.subscribe().wait_for(|count| *count > 1).await;
    }

    /// Says until the result is dropped that nothing is taken in.
    pub(crate) fn hold(self: &Arc<Self>) -> Held {
        self.held.fetch_add(1, Ordering::Relaxed);
        Held(Arc::clone(self))
    }

    /// Whether nothing is taken in, so that silence says nothing of the server.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Asks for a sign of life; a session that gives none in time is over.
    pub(crate) async fn ping(self: &Arc<Self>, patience: Duration) -> Result<(), SshError> {
        if let Some(end) = self.line.end_by_now() {
            return Err(end.error(&self.target, Phase::Ping));
        }
        let deadline = Deadline::after(Some(patience));
        let _using = self.using();
        tokio::select! {
            biased;
            answer = self.heartbeat() => answer.map_err(|error| {
                let end = self.line.end().unwrap_or_else(|| End::Lost(describe(&error)));
                end.error(&self.target, Phase::Ping)
            }),
            end = self.line.wait_end() => Err(end.error(&self.target, Phase::Ping)),
            () = deadline.passed() => {
                self.line.cut(End::Lost("no sign of life".into()));
                Err(deadline.error(&self.target, Phase::Ping))
            }
        }
    }

    /// One round trip. A refusal is a sign of life, too.
    pub(crate) async fn heartbeat(&self) -> Result<(), russh::Error> {
        match self.handle.send_global_request("keepalive@openssh.com", &[], true).await {
            Ok(_) | Err(russh::Error::RequestDenied) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Ends the session: whoever waits on it hears of it at once. The server gets a goodbye if it
    /// takes one.
    pub(crate) fn close(self: &Arc<Self>) {
        if !self.line.home.is_current() {
            return;
        }
        if self.line.end().is_some() {
            // Ended already; but a connection that broke may still be open on our side.
            self.line.shutdown();
            return;
        }
        self.line.ended(End::Closed);
        let farewell = SayGoodbye(Arc::clone(self));
        // A runtime that is no more drops this at once, and the connection ends without.
        drop(self.runtime.spawn(async move {
            let SayGoodbye(link) = &farewell;
            let said = link.handle.disconnect(Disconnect::ByApplication, "done", "");
            if timeout(FAREWELL, said).await.is_ok() {
                let _ = timeout(FAREWELL, until(|| link.handle.is_closed())).await;
            }
        }));
    }

    /// Waits until nothing of the session is left, neither here nor on its way, or not much longer.
    pub(crate) async fn gone(&self) {
        let gone = until(|| self.handle.is_closed() && !self.line.is_carried());
        let _ = timeout(if self.line.is_carried() { WAY_GONE } else { FAREWELL }, gone).await;
    }
}

async fn until(so: impl Fn() -> bool) {
    while !so() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Somebody who uses a session.
pub(crate) struct Using(Arc<Link>);

impl Drop for Using {
    fn drop(&mut self) {
        self.0.users.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// A command that holds its session back.
pub(crate) struct Held(Arc<Link>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::Relaxed);
    }
}

struct SayGoodbye(Arc<Link>);

impl Drop for SayGoodbye {
    fn drop(&mut self) {
        self.0.line.shutdown();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}
