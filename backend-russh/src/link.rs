//! One connection, shared by any number of tasks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use russh::Disconnect;
use russh::client::Handle;
use ssh_session::{KeepaliveOptions, Options, Phase, ProxyProcess, SshError, Target};
use tokio::runtime;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::{Client, describe};
use crate::deadline::Deadline;
use crate::line::{End, Line};
use crate::parking::Parking;

/// How long a goodbye may take.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) struct Link {
    pub(crate) target: Target,
    pub(crate) handle: Handle<Client>,
    pub(crate) line: Arc<Line>,
    /// Where the session lives, whoever uses it.
    pub(crate) runtime: runtime::Handle,
    /// Channels of commands given up, until the server has closed them too.
    pub(crate) leftovers: watch::Sender<usize>,
    pub(crate) parking: Parking,
    /// The proxy command that it goes through, if it does: ended with the last of the session.
    _process: Option<ProxyProcess>,
}

impl Link {
    pub(crate) fn new(
        options: &Options,
        handle: Handle<Client>,
        line: Arc<Line>,
        process: Option<ProxyProcess>,
        runtime: runtime::Handle,
    ) -> Arc<Self> {
        let link = Arc::new(Self {
            target: options.target.clone(),
            handle,
            line,
            runtime,
            leftovers: watch::Sender::new(0),
            parking: Parking::default(),
            _process: process,
        });
        if let Some(KeepaliveOptions { interval, count_max }) = options.keepalive {
            link.keep_alive(interval, count_max);
        }
        link
    }

    /// Asks for a sign of life; a session that gives none in time is over.
    pub(crate) async fn ping(&self, patience: Duration) -> Result<(), SshError> {
        if let Some(end) = self.line.end_by_now() {
            return Err(end.error(&self.target, Phase::Ping));
        }
        let deadline = Deadline::after(Some(patience));
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
        if !self.line.home.is_here() {
            return;
        }
        if self.line.end().is_some() {
            // Ended already; but a connection that broke may still be open on our side.
            self.line.shutdown();
            return;
        }
        self.line.ended(End::Closed);
        let farewell = Farewell(Arc::clone(self));
        // A runtime that is no more drops this at once, and the connection ends without.
        drop(self.runtime.spawn(async move {
            let Farewell(link) = &farewell;
            let said = link.handle.disconnect(Disconnect::ByApplication, "done", "");
            if timeout(FAREWELL, said).await.is_ok() {
                link.gone().await;
            }
        }));
    }

    /// Waits until nothing of the session is left, or not much longer.
    pub(crate) async fn gone(&self) {
        let gone = async {
            while !self.handle.is_closed() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let _ = timeout(FAREWELL, gone).await;
    }
}

struct Farewell(Arc<Link>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.line.shutdown();
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("target", &self.target).finish_non_exhaustive()
    }
}
