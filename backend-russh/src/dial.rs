//! From a host's name to a logged-in session, by way of all jump hosts, under one deadline.

use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use russh::client::connect_stream;
use ssh_session::gate::{Dialling, WhenBusy};
use ssh_session::{
    FirstKey, FirstKeys, HostKey, HostKeyCheck, Kind, Options, Phase, Route, SshError, net,
    printable,
};
use tokio::runtime;
use tokio::sync::oneshot;

use crate::apart::spawn_blocking;
use crate::client::{Believed, Client, Problem, describe};
use crate::config::{config, offer};
use crate::deadline::Deadline;
use crate::link::Link;
use crate::liveness::{End, Liveness};
use crate::login;
use crate::random;
use crate::relay::Hop;
use crate::tcp;
use crate::way::Way;

/// A session that is being opened. It is ended when dropped, unless it got so far as to be used.
pub(crate) struct Dial<'a> {
    pub(crate) options: &'a Options,
    pub(crate) deadline: Deadline,
    pub(crate) line: Arc<Liveness>,
    done: bool,
}

/// Opens a session, after one on each jump host, through which the next is opened. All share one
/// deadline, also with the dials that follow where a server is busy. A session that goes through
/// another ends that other with itself.
pub(crate) async fn dial(
    options: &Options,
    first_keys: &FirstKeys,
    when_busy: WhenBusy,
) -> Result<Arc<Link>, SshError> {
    options.validate()?;
    let Ok(runtime) = runtime::Handle::try_current() else {
        return Err(SshError::invalid("runtime", "must be tokio's: connect from one of its tasks"));
    };
    let deadline = Deadline::after(Some(options.connect_timeout));
    let dials = Dialling::for_route(options);
    let mut attempts = 0;
    let mut turned_away = None;
    loop {
        let error = match attempt(options, &dials, first_keys, deadline, &runtime).await {
            Err(error) if error.kind() == Kind::Busy && when_busy == WhenBusy::ComeAgain => error,
            // Why it took so long says more than that it did.
            Err(error) if error.kind() == Kind::Timeout => return Err(turned_away.unwrap_or(error)),
            other => return other,
        };
        let pause = dials.last().map_or(Duration::MAX, |dialling| dialling.pause(attempts));
        if deadline.remaining().is_some_and(|left| left <= pause) {
            return Err(error);
        }
        tracing::debug!(%error, ?pause, "again in a moment");
        tokio::time::sleep(pause).await;
        attempts += 1;
        turned_away = Some(error);
    }
}

async fn attempt(
    options: &Options,
    dials: &[Dialling],
    first_keys: &FirstKeys,
    deadline: Deadline,
    runtime: &runtime::Handle,
) -> Result<Arc<Link>, SshError> {
    let hops = match &options.route {
        Route::Jump(hops) => hops.as_slice(),
        _ => &[],
    };
    let keys = first_keys.hops.iter().take(hops.len()).chain([&first_keys.target]);
    let mut opened = None;
    for ((next, first_key), dialling) in hops.iter().chain([options]).zip(keys).zip(dials) {
        let part = deadline.within(next.connect_timeout);
        let hop = opened.take().map(Hop);
        opened = Some(establish(next, hop, dialling, part, first_key, runtime).await?);
    }
    let link = opened.ok_or_else(|| SshError::invalid("jump", "names no host"))?;
    link.park();
    Ok(link)
}

/// Gets to a host, once no more dial it than may, and opens a session.
async fn establish(
    options: &Options,
    hop: Option<Hop>,
    dialling: &Dialling,
    deadline: Deadline,
    first_key: &FirstKey,
    runtime: &runtime::Handle,
) -> Result<Arc<Link>, SshError> {
    let target = &options.target;
    let reading = deadline.bound(target, Phase::Connect, read(options, first_key));
    let check = Arc::new(reading.await??);
    let addresses = match (&hop, &options.route) {
        (None, Route::Direct) => tcp::lookup(target, &deadline).await?,
        _ => Vec::new(),
    };
    let admission = deadline.bound(target, Phase::Connect, dialling.enter()).await?;
    let opening = async {
        let way = match (hop, &options.route) {
            (Some(hop), _) => Way::through(hop, target, &deadline).await?,
            (None, Route::Command(command)) => Way::command(command, target, &deadline).await?,
            (None, Route::Transport(transport)) => Way::own(transport, options, &deadline).await?,
            (None, _) => Way::direct(options, addresses, &deadline).await?,
        };
        open(options, way, deadline, check, runtime).await
    };
    let opened = opening.await;
    admission.leave(&opened);
    opened
}

/// Opens one session. Host keys are checked before any credential is sent, and a new one is
/// recorded only after login.
async fn open(
    options: &Options,
    way: Way,
    deadline: Deadline,
    check: Arc<HostKeyCheck>,
    runtime: &runtime::Handle,
) -> Result<Arc<Link>, SshError> {
    let target = &options.target;
    let no_socket = |error| net::connect_error(target, error);
    random::renew().map_err(no_socket)?;
    let (line, watched, mut process) = way.begin().map_err(no_socket)?;
    let mut dial = Dial { options, deadline, line, done: false };

    let believed = Believed::default();
    let offer = Arc::new(offer(&options.crypto, &check.algorithms()));
    dial.line.expect(Arc::clone(&offer));
    let (announcer, announced) = oneshot::channel();
    let client = Client {
        target: target.clone(),
        crypto: options.crypto.clone(),
        offer: Arc::clone(&offer),
        check: Arc::clone(&check),
        believed: Arc::clone(&believed),
        line: Arc::clone(&dial.line),
        announced: Some(announcer),
        shown: None,
    };
    let config = config(&offer, options.crypto.rekey_limit());
    let connecting = connect_stream(Arc::new(config), watched, client);
    let connected = deadline.bound(target, Phase::Handshake, connecting).await?;
    let mut handle = connected.map_err(|problem| {
        let error = dial.handshake_error(problem);
        process.iter_mut().fold(error, |error, process| process.explain(error))
    })?;
    login::login(&dial, &mut handle).await?;
    let learns = dial.accept(&believed).await?;
    dial.done = true;
    let link = Link::new(options, handle, Arc::clone(&dial.line), process, runtime.clone());
    if let Some(own) = learns {
        link.learn_host_keys(check, own, announced);
    }
    Ok(link)
}

/// What is known of the host.
async fn read(options: &Options, first_key: &FirstKey) -> Result<HostKeyCheck, SshError> {
    let (options, first_key) = (options.clone(), first_key.clone());
    let reading = spawn_blocking(move || HostKeyCheck::read(&options, &first_key));
    reading.await.unwrap_or_else(|_| Err(unread()))
}

/// Only a panic, or the end of the runtime, leads here.
fn unread() -> SshError {
    SshError::invalid("known_hosts", "was not read to its end")
}

impl Dial<'_> {
    /// Remembers the key of a server that let us in; that key, where others may be recorded beside
    /// it.
    async fn accept(&self, believed: &Believed) -> Result<Option<HostKey>, SshError> {
        let believed = believed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((verdict, learns)) = believed else { return Ok(None) };
        let accepting = spawn_blocking(move || verdict.accept());
        let target = &self.options.target;
        let accepted = self.deadline.bound(target, Phase::Authenticate, accepting).await?;
        accepted.unwrap_or_else(|_| Err(unread())).map(|()| learns)
    }

    fn handshake_error(&self, problem: Problem) -> SshError {
        let error = match problem {
            Problem::Ssh(error) => return error,
            Problem::Russh(error) => error,
        };
        let target = self.options.target.clone();
        if let Some(problem) = self.line.disagreement() {
            return SshError::Handshake { target, detail: problem };
        }
        if let Some(end @ End::WayLost(_)) = self.line.end() {
            return end.error(&target, Phase::Handshake);
        }
        let greeting = self.line.greeting();
        if net::is_ssh_banner(&greeting) {
            return if is_connections_fault(&error) {
                End::Lost(describe(&error)).error(&target, Phase::Handshake)
            } else {
                SshError::Handshake { target, detail: describe(&error) }
            };
        }
        // What it means that the connection ended in the handshake, by what the server said.
        let said = printable(&greeting);
        let lower = said.to_ascii_lowercase();
        if said.is_empty() || lower.contains("not allowed") || lower.contains("exceeded") {
            SshError::Busy { target, said }
        } else {
            let detail = format!("it answered \"{said}\", which is not SSH");
            SshError::Handshake { target, detail: printable(detail.as_bytes()) }
        }
    }
}

impl Drop for Dial<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.line.cut(End::Closed);
        }
    }
}

fn is_connections_fault(error: &russh::Error) -> bool {
    use russh::Error::{ConnectionTimeout, Disconnect, HUP, IO, RecvError, SendError};
    match error {
        // A packet that is no SSH is one, too, to russh.
        IO(error) => error.kind() != io::ErrorKind::InvalidData,
        Disconnect | HUP | ConnectionTimeout | SendError | RecvError => true,
        _ => false,
    }
}
