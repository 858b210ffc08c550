//! A simulated server: russh's, with commands that are only pretended, so that they take no time but
//! virtual time. It writes down what was really done.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Session};
use russh::{
    Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, MethodKind, MethodSet, Pty, Sig,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::client;
use crate::habits::{Habits, Mood, USUAL_KEY};
use crate::job::{self, Job, Output};
use crate::net::{self, End};
use crate::trace::note;
use crate::world::World;

/// How long a site tries to connect to another for a client.
const FORWARD: Duration = Duration::from_secs(10);

/// How long what was sent before may still arrive, on a good day.
const CROSSING: Duration = Duration::from_millis(50);

/// The only user.
pub(crate) const USER: &str = "deploy";

/// One simulated server.
#[derive(Debug)]
pub(crate) struct Site {
    number: usize,
    habits: Mutex<Habits>,
    /// Connections that have not logged in.
    startups: Arc<()>,
}

impl Site {
    pub(crate) fn new(number: usize, habits: Habits) -> Self {
        Self { number, habits: Mutex::new(habits), startups: Arc::default() }
    }

    pub(crate) fn habits(&self) -> MutexGuard<'_, Habits> {
        self.habits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_off(&self) -> bool {
        self.habits().mood == Mood::Off
    }

    pub(crate) fn listens(&self) -> bool {
        !matches!(self.habits().mood, Mood::Down | Mood::Off)
    }

    /// The password that opens it.
    pub(crate) fn password(number: usize) -> String {
        format!("secret of site {number}")
    }

    /// Serves a connection in a task of its own.
    pub(crate) fn accept(&self, end: End, link: u64) {
        let world = end.world().clone();
        let (site, habits) = (self.number, self.habits().clone());
        let startup = Arc::clone(&self.startups);
        world.books().served(link);
        tokio::spawn(async move {
            let waiting = Arc::strong_count(&startup) - 1;
            serve(&world, site, habits, waiting, startup, end, link).await;
            note!(world, "site {site} is done with link {link}");
            world.books().unserved(link);
        });
    }
}

async fn serve(
    world: &World,
    site: usize,
    habits: Habits,
    startups: usize,
    startup: Arc<()>,
    mut end: End,
    link: u64,
) {
    match habits.mood {
        Mood::Balancer => return,
        Mood::Silent => {
            while end.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {}
            return;
        }
        _ => {}
    }
    if startups > habits.max_startups {
        note!(world, "site {site} has too many startups for link {link}");
        let _ = end.write_all(b"Exceeded MaxStartups\r\n").await;
        return;
    }
    let visit = Visit {
        world: world.clone(),
        site,
        link,
        host_key: habits.host_key,
        sessions: Arc::default(),
        channels: BTreeMap::new(),
        deaf: Vec::new(),
        forwards: JoinSet::new(),
        startup: Some(startup),
    };
    // How it ended is the client's story.
    if let Ok(session) = russh::server::run_stream(habits.config(), end, visit).await {
        let _ = session.await;
    }
}

/// One client's connection.
struct Visit {
    world: World,
    site: usize,
    link: u64,
    host_key: u8,
    sessions: Arc<()>,
    channels: BTreeMap<ChannelId, Open>,
    /// What runs on though its channel is closed.
    deaf: Vec<Open>,
    /// Connections to other sites, which end with this one.
    forwards: JoinSet<()>,
    startup: Option<Arc<()>>,
}

/// A channel. What runs in it is killed when this is dropped.
struct Open {
    kill: Option<oneshot::Sender<()>>,
    /// What runs in it and has not read all it is to read, and how much it has.
    feed: Option<(Job, usize, oneshot::Sender<()>)>,
    has_pty: bool,
    /// Until a command has it.
    slot: Option<(Arc<()>, oneshot::Sender<Infallible>, ChannelWriteHalf<Msg>)>,
    /// Dropped when the client closes it.
    reader: Option<oneshot::Sender<Infallible>>,
    /// It was closed from here, which nobody else says.
    closed: Arc<AtomicBool>,
}

impl Handler for Visit {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let asks = self.world.books().tries(self.link);
        let habits = self.world.site(self.site).habits().clone();
        if !habits.login_delay.is_zero() {
            sleep(habits.login_delay).await;
        }
        let right = user == USER && password == Site::password(self.site);
        let refused = habits.refuses_logins || !right;
        note!(self.world, "site {} logs link {} in: {}", self.site, self.link, !refused);
        self.world.books().tried(self.link, asks, refused, self.host_key == USUAL_KEY);
        // As sshd, it takes passwords still.
        let again = Some(MethodSet::from(&[MethodKind::Password][..]));
        let refusal = Auth::Reject { proceed_with_methods: again, partial_success: false };
        Ok(if refused { refusal } else { Auth::Accept })
    }

    async fn auth_succeeded(&mut self, _: &mut Session) -> Result<(), Self::Error> {
        self.startup = None;
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.retain(|_, open| {
            let waits = open.slot.is_some() && !open.closed.load(Ordering::Relaxed);
            waits || open.runs()
        });
        let (most, timeout_of) = {
            let habits = self.world.site(self.site).habits();
            (habits.max_sessions, habits.channel_timeout)
        };
        if Arc::strong_count(&self.sessions) > most {
            note!(self.world, "site {} refuses link {} a channel", self.site, self.link);
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        }
        let (used, unused) = oneshot::channel::<Infallible>();
        let closed = Arc::new(AtomicBool::new(false));
        if let Some(age) = timeout_of {
            let (handle, id) = (session.handle(), channel.id());
            let (world, site, closed) = (self.world.clone(), self.site, Arc::clone(&closed));
            tokio::spawn(async move {
                // A command took it, or it is gone.
                if timeout(age, unused).await.is_err() {
                    // A command may be on its way to it just now.
                    world.books().trouble(site, Instant::now() + CROSSING);
                    let _ = handle.close(id).await;
                    closed.store(true, Ordering::Relaxed);
                }
            });
        }
        let id = channel.id();
        // What comes in is taken by the callbacks.
        let (_, write) = channel.split();
        let slot = Some((Arc::clone(&self.sessions), used, write));
        let open = Open { kill: None, feed: None, has_pty: false, slot, reader: None, closed };
        self.channels.insert(id, open);
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let onward = client::site_of(host).filter(|site| *site < self.world.sites().len());
        let Some(onward) = onward else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        note!(self.world, "site {} leads link {} on to {onward}", self.site, self.link);
        let world = self.world.clone();
        self.forwards.spawn(async move {
            let connecting = net::connect(&world, onward, net::NO_CLIENT);
            let Ok(Ok(mut end)) = timeout(FORWARD, connecting).await else {
                reply.reject(ChannelOpenFailure::ConnectFailed).await;
                return;
            };
            reply.accept().await;
            let mut stream = channel.into_stream();
            let _ = copy_bidirectional(&mut stream, &mut end).await;
        });
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let open = self.channels.get_mut(&id);
        let taken = open.and_then(|open| Some((Job::parse(command)?, open.slot.take()?, open)));
        let Some((job, (slot, _, write), open)) = taken else { return session.channel_failure(id) };
        note!(self.world, "site {} starts job {} on link {}", self.site, job.number, self.link);
        self.world.books().started(job.number, self.site, self.link);
        if job.pty != open.has_pty {
            let text = format!("job {} has a terminal: {}", job.number, open.has_pty);
            self.world.books().breach("right input", text);
        }
        let ((kill, killed), (feed, fed)) = (oneshot::channel(), oneshot::channel());
        let (reader, unread) = oneshot::channel();
        (open.kill, open.feed) = (Some(kill), Some((job, 0, feed)));
        open.reader = Some(reader);
        let channel = Output { session: session.handle(), id, write, unread };
        tokio::spawn(job::run(self.world.clone(), job, channel, killed, fed, slot));
        session.channel_success(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(open) = self.channels.get_mut(&id) {
            open.has_pty = true;
        }
        session.channel_success(id)
    }

    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let open = self.channels.get_mut(&id);
        let Some((job, read, _)) = open.and_then(|open| open.feed.as_mut()) else { return Ok(()) };
        if data.iter().zip(*read..).any(|(byte, at)| *byte != job.read_at(at)) {
            let text = format!("job {} reads another's behind {read} bytes", job.number);
            self.world.books().breach("right input", text);
        }
        *read += data.len();
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        let open = self.channels.get_mut(&id);
        let Some((job, read, feed)) = open.and_then(|open| open.feed.take()) else { return Ok(()) };
        if read != job.input {
            let text = format!("job {} reads {read} bytes of {}", job.number, job.input);
            self.world.books().breach("right input", text);
        }
        let _ = feed.send(());
        Ok(())
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if matches!(signal, Sig::KILL)
            && self.world.site(self.site).habits().kills
            && let Some(kill) = self.channels.get_mut(&id).and_then(|open| open.kill.take())
        {
            let _ = kill.send(());
        }
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.deaf.retain(Open::runs);
        if let Some(mut open) = self.channels.remove(&id)
            && !self.world.site(self.site).habits().kills
        {
            // What it reads is at its end, and nobody reads what it writes.
            open.reader = None;
            if let Some((_, _, feed)) = open.feed.take() {
                let _ = feed.send(());
            }
            self.deaf.push(open);
        }
        Ok(())
    }
}

impl Open {
    fn runs(&self) -> bool {
        self.kill.as_ref().is_some_and(|kill| !kill.is_closed())
    }
}
