//! The network between clients and sites: connections whose every byte takes its time, or does not
//! come.
//!
//! Built on tokio's paused clock and not on turmoil: turmoil steps all hosts tick by tick (of a
//! millisecond), so that an idle hour costs 3.6 million steps, where here time goes on to whatever
//! is due next; and what is to be broken here (a byte in the middle of a handshake, one direction,
//! one end that vanishes) it has no names for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::flow::{Arrival, Flow, Quality, ROOM};
use crate::trace::note;
use crate::world::World;

/// The direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Direction {
    /// From a client.
    ToServer,
    /// To a client.
    ToClient,
}

/// The network to one site.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) quality: Quality,
    /// Which directions are blocked.
    pub(crate) blocked: [bool; 2],
    links: Vec<Weak<Link>>,
    changed: Arc<Notify>,
    rng: fastrand::Rng,
    /// The next connection is cut after so many bytes in this direction.
    pub(crate) cut_next: Option<(Direction, u64)>,
}

/// Who is no client: a site that connects to another for one.
pub(crate) const NO_CLIENT: usize = usize::MAX;

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) number: u64,
    pub(crate) site: usize,
    /// Which client's it is.
    pub(crate) owner: usize,
    pub(crate) world: World,
    state: Mutex<LinkState>,
}

#[derive(Debug)]
struct LinkState {
    flows: [Flow; 2],
    rng: fastrand::Rng,
    /// When the client last received something.
    heard: Instant,
    /// When it did, or its own bytes were taken after a stall.
    life: Instant,
    /// When so many of its bytes were taken that they may have stood in the way of others.
    taken: Instant,
    /// The server's end knows nothing of it any more.
    server_gone: bool,
}

/// A client's or a server's end of a connection.
#[derive(Debug)]
pub(crate) struct End {
    link: Arc<Link>,
    is_client: bool,
    timer: Option<Pin<Box<Sleep>>>,
    shut: bool,
}

/// What is carried on at once from the pipe of a session that has more to say than the pipe holds.
const PIPED: usize = 8 * 1024;

/// How long a cut may be felt.
const AFTERMATH: Duration = Duration::from_secs(120);

/// Whose connection it is, in words.
struct Who(usize);

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == NO_CLIENT { f.write_str("a hop") } else { write!(f, "client {}", self.0) }
    }
}

impl Path {
    pub(crate) fn new(quality: Quality, rng: fastrand::Rng) -> Self {
        let changed = Arc::default();
        Self { quality, blocked: [false; 2], links: Vec::new(), changed, rng, cut_next: None }
    }

    /// Blocks directions, or opens them again.
    pub(crate) fn block(&mut self, blocked: [bool; 2]) {
        let was = std::mem::replace(&mut self.blocked, blocked);
        // A sender repeats what was lost, later and later.
        let delay = Duration::from_millis(self.rng.u64(..1500));
        for link in self.links() {
            let mut state = link.state();
            for (flow, (was, blocked)) in state.flows.iter_mut().zip(was.into_iter().zip(blocked)) {
                if was != blocked {
                    flow.block(blocked, delay);
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// Connections of which an end is there.
    pub(crate) fn links(&mut self) -> Vec<Arc<Link>> {
        self.links.retain(|link| link.strong_count() > 0);
        self.links.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Connects a client to a site, as TCP would: a round trip, for ever where nothing comes through.
pub(crate) async fn connect(world: &World, site: usize, owner: usize) -> io::Result<End> {
    let who = Who(owner);
    note!(world, "{who} dials site {site}");
    loop {
        let (latency, changed, blocked) = {
            let mut net = world.net();
            let path = &mut net[site];
            let jitter = path.quality.jitter.as_millis() as u64;
            let jitter = Duration::from_millis(path.rng.u64(..=jitter));
            let latency = path.quality.latency * 2 + jitter;
            (latency, Arc::clone(&path.changed), path.blocked != [false; 2])
        };
        let mut changed = std::pin::pin!(changed.notified());
        changed.as_mut().enable();
        if !blocked && !world.site(site).is_off() {
            sleep(latency).await;
            if world.net()[site].blocked == [false; 2] {
                break;
            }
        }
        // Sent again, until somebody gives it up.
        tokio::select! {
            biased;
            () = &mut changed => {}
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
    if !world.site(site).listens() {
        note!(world, "{who} is refused by site {site}");
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let link = {
        let mut net = world.net();
        let path = &mut net[site];
        let mut flows = [Flow::default(), Flow::default()];
        if let Some((direction, bytes)) = path.cut_next.take() {
            flows[direction as usize].cut_after = Some(bytes);
            note!(world, "the next link is cut after {bytes} {direction:?}");
        }
        let number = world.next_link();
        let rng = fastrand::Rng::with_seed(path.rng.u64(..));
        let now = Instant::now();
        let state = Mutex::new(LinkState {
            flows,
            rng,
            heard: now,
            life: now,
            taken: now,
            server_gone: false,
        });
        let link = Arc::new(Link { number, site, owner, world: world.clone(), state });
        path.links.push(Arc::downgrade(&link));
        link
    };
    note!(world, "{who} has link {} to site {site}", link.number);
    let end = |is_client| End { link: Arc::clone(&link), is_client, timer: None, shut: false };
    world.books().link_opened(&link);
    let whole = world.clone();
    let number = link.number;
    if let Some(grace) = world.books().grace(owner) {
        tokio::spawn(async move {
            // What ends at this moment has ended then.
            sleep(grace).await;
            whole.books().check_owner(owner, site, number);
        });
    }
    world.site(site).accept(end(false), link.number);
    Ok(end(true))
}

impl Link {
    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resets the connection: both sides learn at once.
    pub(crate) fn reset(&self) {
        note!(self.world, "link {} is reset", self.number);
        self.state().flows.iter_mut().for_each(Flow::reset);
    }

    /// The server's side is gone, and nobody tells the client.
    pub(crate) fn vanish(&self) {
        note!(self.world, "link {} is half open", self.number);
        let mut state = self.state();
        state.server_gone = true;
        state.flows.iter_mut().for_each(Flow::vanish);
    }

    /// Resets the connection once so many more bytes have come through.
    pub(crate) fn cut_after(&self, direction: Direction, bytes: u64) {
        self.state().flows[direction as usize].cut_after = Some(bytes);
    }

    /// When its client last received something, and when something may have been a sign of life.
    pub(crate) fn life(&self) -> (Instant, Instant) {
        let state = self.state();
        (state.heard, state.life.max(state.taken))
    }
}

impl End {
    pub(crate) fn world(&self) -> &World {
        &self.link.world
    }

    fn incoming(&self) -> usize {
        if self.is_client { Direction::ToClient as usize } else { Direction::ToServer as usize }
    }

    fn quality(&self) -> Quality {
        self.link.world.net()[self.link.site].quality
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.shut, true) {
            return;
        }
        if self.is_client {
            note!(self.link.world, "link {} is closed by its client", self.link.number);
            self.link.world.books().link_closed(&self.link);
        }
        let (quality, outgoing) = (self.quality(), 1 - self.incoming());
        let mut state = self.link.state();
        let LinkState { flows, rng, .. } = &mut *state;
        flows[outgoing].send_end(quality, rng);
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let incoming = this.incoming();
        loop {
            let mut state = this.link.state();
            if state.server_gone && !this.is_client {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            match state.flows[incoming].receive(context, buffer.remaining()) {
                Arrival::Bytes(bytes) => {
                    let silence = state.life.max(state.taken).elapsed();
                    if this.is_client {
                        state.heard = Instant::now();
                        state.life = state.heard;
                    }
                    let cut = state.flows[incoming].cut_after == Some(0);
                    drop(state);
                    let (number, count) = (this.link.number, bytes.len());
                    let whom = if this.is_client { "client" } else { "server" };
                    note!(this.link.world, "link {number}: {count} to the {whom}");
                    if this.is_client {
                        this.link.world.books().heard(&this.link, silence, cut);
                    }
                    buffer.put_slice(&bytes);
                    return Poll::Ready(Ok(()));
                }
                Arrival::End => {
                    drop(state);
                    return Poll::Ready(Ok(()));
                }
                Arrival::Reset => {
                    state.flows.iter_mut().for_each(Flow::reset);
                    drop(state);
                    // Whoever learns of it, or is cut off while it dials anew, has a bad day.
                    let until = Instant::now() + AFTERMATH;
                    this.link.world.books().trouble(this.link.site, until);
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                Arrival::Later(None) => return Poll::Pending,
                Arrival::Later(Some(due)) => {
                    drop(state);
                    let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
                    if timer.deadline() != due {
                        timer.as_mut().reset(due);
                    }
                    std::task::ready!(timer.as_mut().poll(context));
                    this.timer = None;
                }
            }
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let (quality, outgoing) = (this.quality(), 1 - this.incoming());
        let mut state = this.link.state();
        if state.server_gone && !this.is_client {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let LinkState { flows, rng, life, taken, .. } = &mut *state;
        // sshd reads while what it writes waits; russh's server does only where that need not wait.
        let room = if this.is_client { ROOM } else { usize::MAX };
        let sent = std::task::ready!(flows[outgoing].poll_send(context, bytes, room, quality, rng));
        Poll::Ready(sent.map(|(count, stalled)| {
            // So much at once has waited for room in the pipe that leads here.
            let waited = bytes.len() >= PIPED;
            if stalled && this.is_client {
                *life = Instant::now();
            }
            if waited && this.is_client {
                *taken = Instant::now();
            }
            count
        }))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.end();
        let incoming = self.incoming();
        self.link.state().flows[incoming].forget();
    }
}
