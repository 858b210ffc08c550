//! What is known of a connection's line, whoever holds the session on it: signs of life, how it
//! ended, and the switch that ends it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ssh_session::net::Pending;
use ssh_session::{Offer, Opening, Phase, ProcessId, SshError, Target};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::random;
use crate::socket::{Socket, Switch};

/// How much of a server's first words is kept, to tell what it is if it is no SSH server.
const GREETING_SIZE: usize = 512;

/// How long a goodbye may take.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

/// How often the server opened no channel, and why the last time.
pub(crate) type Refusals = watch::Receiver<(u64, Option<String>)>;

/// Why a session is over.
#[derive(Debug, Clone)]
pub(crate) enum End {
    /// We closed it.
    Closed,
    /// It broke.
    Lost(String),
    /// What leads to the server did.
    WayLost(String),
    /// The server ended it, and says why.
    Goodbye(String),
    /// The server takes no credential any more, not of any kind.
    NothingTaken,
}

impl End {
    /// Why, in the words of the user.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Closed => "it was closed".into(),
            Self::Lost(why) | Self::WayLost(why) => why.clone(),
            Self::Goodbye(words) => format!("the server says: {words}"),
            Self::NothingTaken => "the server takes no credential any more".into(),
        }
    }

    /// The end in the words of the user, where no command had been sent.
    pub(crate) fn error(self, target: &Target, phase: Phase) -> SshError {
        let target = target.clone();
        match self {
            Self::Closed => SshError::Closed { target, maybe_started: false },
            other => SshError::ConnectionLost {
                target,
                phase,
                detail: other.why(),
                partial: None,
                maybe_started: false,
            },
        }
    }
}

/// A connection's line. russh's session task cannot be aborted: shutting the socket down is the one
/// way to end it when it is stuck.
#[derive(Debug)]
pub(crate) struct Liveness {
    pub(crate) home: ProcessId,
    switch: Switch,
    end: watch::Sender<Option<End>>,
    born: Instant,
    /// When the peer last gave a sign of life, in nanoseconds after `born`.
    life: AtomicU64,
    greeting: Mutex<Vec<u8>>,
    /// What the server says in clear, and what it was offered.
    opening: Mutex<Option<(Opening, Arc<Offer>)>>,
    /// How many want what comes to be acknowledged at once.
    quick_acks: AtomicUsize,
    /// How many carry its bytes on, to a stream or a jump host.
    carriers: AtomicUsize,
    /// How often the server opened no channel, and why, in its words, the last time.
    refusal: watch::Sender<(u64, Option<String>)>,
}

/// Somebody who wants what comes to be acknowledged at once.
pub(crate) struct QuickAck<'a>(&'a Liveness);

impl Drop for QuickAck<'_> {
    fn drop(&mut self) {
        self.0.quick_acks.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever carries a session's bytes on, which has something of it left for as long as this lives.
pub(crate) struct Carrier(pub(crate) Arc<Liveness>);

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.carriers.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Liveness {
    /// Takes a second descriptor of the socket, which stays with russh.
    pub(crate) fn new(socket: Socket) -> io::Result<(Arc<Self>, Watched)> {
        let line = Arc::new(Self {
            home: ProcessId::current(),
            switch: socket.switch()?,
            end: watch::Sender::new(None),
            born: Instant::now(),
            life: AtomicU64::new(0),
            greeting: Mutex::new(Vec::new()),
            opening: Mutex::new(None),
            quick_acks: AtomicUsize::new(0),
            carriers: AtomicUsize::new(0),
            refusal: watch::Sender::new((0, None)),
        });
        Ok((Arc::clone(&line), Watched { socket, line, stalled: false }))
    }

    /// Says that the session is over. Only the first reason counts.
    pub(crate) fn ended(&self, end: End) {
        self.end.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                tracing::debug!(?end, "session over");
                *known = Some(end);
            }
            first
        });
    }

    /// Ends the session at once, whatever it is in the middle of.
    pub(crate) fn cut(&self, end: End) {
        self.ended(end);
        self.shutdown();
    }

    pub(crate) fn shutdown(&self) {
        if !self.home.is_current() {
            return;
        }
        self.switch.shutdown();
    }

    pub(crate) fn carrier(self: &Arc<Self>) -> Carrier {
        self.carriers.fetch_add(1, Ordering::Relaxed);
        Carrier(Arc::clone(self))
    }

    /// Whether its bytes are carried on by somebody, who may not be done when it is.
    pub(crate) fn is_carried(&self) -> bool {
        self.carriers.load(Ordering::Relaxed) > 0
    }

    /// Why the session is over, if it is.
    pub(crate) fn end(&self) -> Option<End> {
        self.end.borrow().clone()
    }

    /// Whether bytes have come that russh has not taken in yet.
    pub(crate) fn has_news(&self) -> bool {
        self.switch.pending() == Pending::Bytes
    }

    /// Waits until the session is over.
    pub(crate) async fn wait_end(&self) -> End {
        let mut end = self.end.subscribe();
        let ended = end.wait_for(Option::is_some).await.ok().and_then(|end| end.clone());
        // The sender lives as long as we do.
        ended.unwrap_or(End::Closed)
    }

    /// Waits until nobody waits any more for what its bytes are carried to: a goodbye takes a while,
    /// and a session that was lost says none.
    pub(crate) async fn is_not_waited_for(&self) {
        if matches!(self.wait_end().await, End::Closed) {
            sleep(FAREWELL).await;
        }
    }

    /// Whether the session is over, from what is already here. Never waits.
    pub(crate) fn is_over(&self) -> bool {
        // russh may not have passed on what came before the end, so it is left to it to say so.
        !self.home.is_current()
            || self.end.borrow().is_some()
            || self.switch.pending() == Pending::End
    }

    /// Why nothing can be begun any more, also where only the socket tells it as yet: a command
    /// that is sent into a connection known to be over must not count as perhaps run.
    pub(crate) fn end_by_now(&self) -> Option<End> {
        let lost = || End::Lost("the server closed it".into());
        self.is_over().then(|| self.end().unwrap_or_else(lost))
    }

    /// Has the kernel acknowledge at once until the result is dropped. Sending ends that, so it is
    /// asked anew behind each packet.
    pub(crate) fn acknowledge_quickly(&self) -> QuickAck<'_> {
        self.quick_acks.fetch_add(1, Ordering::Relaxed);
        self.switch.acknowledge_quickly();
        QuickAck(self)
    }

    /// The server has opened no channel and says why.
    pub(crate) fn refused(&self, why: String) {
        self.refusal.send_modify(|(count, said)| {
            *count += 1;
            *said = Some(why);
        });
    }

    /// What to tell refusals from now on by.
    pub(crate) fn refusals(&self) -> (Refusals, u64) {
        let mut refusals = self.refusal.subscribe();
        let count = refusals.borrow_and_update().0;
        (refusals, count)
    }

    /// What the server says of a refusal that has come, where it is the only one since `before`:
    /// nothing tells whose one of several is.
    pub(crate) async fn said_of_refusal(
        &self,
        mut refusals: Refusals,
        before: u64,
    ) -> Option<String> {
        tokio::select! {
            biased;
            said = refusals.wait_for(|(count, _)| *count > before) => {
                let (count, said) = said.ok()?.clone();
                said.filter(|_| count == before + 1)
            }
            _ = self.wait_end() => None,
        }
    }

    /// When the peer last gave a sign of life.
    pub(crate) fn last_life(&self) -> Instant {
        self.born + Duration::from_nanos(self.life.load(Ordering::Relaxed))
    }

    /// The first words of the server.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        self.greeting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at what the server says in clear from now on, which is an answer to this offer.
    pub(crate) fn expect(&self, offer: Arc<Offer>) {
        *self.opening() = Some((Opening::default(), offer));
    }

    /// Whether the server has signed by what was agreed on; in words where it has not.
    pub(crate) fn check_signature(&self) -> Result<(), String> {
        let opening = self.opening();
        opening.as_ref().map_or(Ok(()), |(opening, offer)| offer.check_signature(opening))
    }

    /// Why there is nothing in common with the server, in words, where that is so.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let opening = self.opening();
        let (opening, offer) = opening.as_ref()?;
        offer.compare(opening.lists()?).err()
    }

    fn opening(&self) -> MutexGuard<'_, Option<(Opening, Arc<Offer>)>> {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lives(&self) {
        let age = u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.life.store(age, Ordering::Relaxed);
    }

    fn received(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some((opening, _)) = &mut *self.opening() {
            let violated = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why);
            opening.read(bytes).map_err(violated)?;
        }
        let mut greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = GREETING_SIZE.saturating_sub(greeting.len());
        greeting.extend_from_slice(&bytes[..bytes.len().min(room)]);
        drop(greeting);
        self.lives();
        Ok(())
    }
}

/// The stream that russh reads and writes, with somebody watching.
pub(crate) struct Watched {
    socket: Socket,
    line: Arc<Liveness>,
    /// The kernel took nothing more.
    stalled: bool,
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        random::renew()?;
        let before = buffer.filled().len();
        let result = Pin::new(&mut this.socket).poll_read(context, buffer);
        if let Some(bytes) = buffer.filled().get(before..) {
            this.line.received(bytes)?;
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.socket).poll_write(context, bytes);
        if result.is_ready() && this.line.quick_acks.load(Ordering::Relaxed) > 0 {
            this.line.switch.acknowledge_quickly();
        }
        match &result {
            Poll::Pending => this.stalled = true,
            // russh reads nothing while it cannot write; that the peer takes bytes again is the
            // only sign of life there is then.
            Poll::Ready(Ok(_)) if std::mem::take(&mut this.stalled) => this.line.lives(),
            Poll::Ready(_) => {}
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn bytes_that_the_peer_takes_after_a_stall_are_a_sign_of_life_and_others_are_none() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let (line, mut watched) = Liveness::new(Socket::Pair(ours)).expect("watched");
        let before = line.last_life();
        let piece = vec![0; 65_536];
        loop {
            let written = |context: &mut Context<'_>| {
                Poll::Ready(Pin::new(&mut watched).poll_write(context, &piece).is_pending())
            };
            if poll_fn(written).await {
                break;
            }
        }
        assert_eq!(line.last_life(), before, "the kernel takes bytes for a dead peer, too");
        let taking =
            tokio::spawn(async move { while theirs.read(&mut [0; 4096]).await.is_ok() {} });
        let written = timeout(Duration::from_secs(10), watched.write_all(&[0])).await;
        written.expect("in time").expect("room again");
        taking.abort();
        assert!(line.last_life() > before);
    }
}
