//! From a host's name to a logged-in session, through jump hosts or a proxy command, under one
//! deadline.

use std::ffi::CString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pool_core::Interrupt;
use ssh_session::gate::{Admission, Dialling, WhenBusy};
use ssh_session::{
    FirstKeys, Kind, Options, Phase, ProxyProcess, Route, SshError, Target, Transport, net,
};

use crate::deadline::Deadline;
use crate::dial::{Dial, Dialled, StepError};
use crate::ffi::Channel;
use crate::jump_session::JumpSession;
use crate::socket::Socket;
use crate::way::Way;
use crate::{entry, relay, resolve, tcp};

/// Opens a session, and those on the way there; again and again where a server is busy, as long as
/// there is time.
pub(crate) fn dial(
    options: &Options,
    first_keys: &FirstKeys,
    when_busy: WhenBusy,
    interrupt: &Interrupt,
) -> Result<Dialled, SshError> {
    options.validate()?;
    let deadline = Deadline::after(Some(options.connect_timeout));
    let dials = Dialling::for_route(options);
    let mut turned_away = None;
    for attempts in 0.. {
        match attempt(options, &dials, first_keys, deadline, interrupt) {
            Err(error) if error.kind() == Kind::Busy && when_busy == WhenBusy::ComeAgain => {
                let pause = dials.last().map_or(Duration::MAX, |dialling| dialling.pause(attempts));
                if deadline.remaining().is_some_and(|left| left <= pause) {
                    return Err(error);
                }
                tracing::debug!(%error, ?pause, "again in a moment");
                entry::pause(pause, &options.target, interrupt)?;
                turned_away = Some(error);
            }
            // Why it took so long says more than that it did.
            Err(error) if error.kind() == Kind::Timeout => return Err(turned_away.unwrap_or(error)),
            other => return other,
        }
    }
    Err(deadline.late(&options.target, Phase::Connect))
}

/// Logs in to each hop in turn, which opens the connection to the next, and to the target. Each is
/// waited for at its gate.
fn attempt(
    options: &Options,
    dials: &[Dialling],
    first_keys: &FirstKeys,
    deadline: Deadline,
    interrupt: &Interrupt,
) -> Result<Dialled, SshError> {
    let hops = match &options.route {
        Route::Jump(hops) => hops.as_slice(),
        _ => &[],
    };
    let keys = first_keys.hops.iter().take(hops.len()).chain([&first_keys.target]);
    let mut hop: Option<Dial<'_>> = None;
    for ((next, first_key), dialling) in hops.iter().chain([options]).zip(keys).zip(dials) {
        let part = deadline.within(next.connect_timeout);
        let (way, admission) = match hop.take() {
            None => straight(next, dialling, &part, interrupt)?,
            Some(hop) => {
                let admission = match entry::enter(dialling, next, &part, interrupt) {
                    Ok(admission) => admission,
                    Err(error) => return Err(hop.give_up(error)),
                };
                (jump(hop, &next.target, part)?, admission)
            }
        };
        let socket = way.socket.clone();
        interrupt.on_interrupt(move || socket.shutdown());
        let dial = Dial::log_in(next, way, first_key, part);
        admission.leave(&dial);
        hop = Some(dial?);
    }
    hop.map(Dialled::from).ok_or_else(|| SshError::invalid("jump", "names no host"))
}

/// Gets to a host that no other leads to.
fn straight<'d>(
    options: &Options,
    dialling: &'d Dialling,
    deadline: &Deadline,
    interrupt: &Interrupt,
) -> Result<(Way, Admission<'d>), SshError> {
    let target = &options.target;
    let enter = || entry::enter(dialling, options, deadline, interrupt);
    Ok(match &options.route {
        Route::Direct => {
            let addresses = resolve::lookup(target, deadline)?;
            let admission = enter()?;
            (Way::over(tcp::connect(options, &addresses, deadline, interrupt)?), admission)
        }
        Route::Command(command) => {
            let admission = enter()?;
            let (process, stream) = ProxyProcess::start(command, target)?;
            let socket = Socket::pair(stream).map_err(|error| net::connect_error(target, error))?;
            (Way { process: Some(process), ..Way::over(socket) }, admission)
        }
        Route::Transport(transport) => {
            let admission = enter()?;
            (own(transport, options, deadline, interrupt)?, admission)
        }
        _ => return Err(SshError::invalid("route", "is not one that this backend can take")),
    })
}

/// A socket that the caller connects, on a thread of its own: nobody waits for it past the deadline,
/// or once the dial is given up.
fn own(
    transport: &Transport,
    options: &Options,
    deadline: &Deadline,
    interrupt: &Interrupt,
) -> Result<Way, SshError> {
    let target = &options.target;
    if !transport.makes_sockets() {
        let problem = "makes streams for tasks, and libssh2 needs sockets (Transport::sockets)";
        return Err(SshError::invalid("transport", problem));
    }
    let (answer, answered) = mpsc::channel();
    let given_up = answer.clone();
    interrupt.on_interrupt(move || drop(given_up.send(None)));
    let (transport, whom) = (transport.clone(), target.clone());
    let dialling = thread::Builder::new().name("hussh-dial".into()).spawn(move || {
        let made = catch_unwind(AssertUnwindSafe(|| transport.socket(&whom)));
        let panicked = |_| Err(io::Error::other("the transport's function panicked"));
        // Nobody waits any more if this fails.
        let _ = answer.send(Some(made.unwrap_or_else(panicked)));
    });
    let failed = |error| net::connect_error(target, error);
    dialling.map_err(failed)?;
    match answered.recv_timeout(deadline.remaining().unwrap_or(Duration::MAX)) {
        Ok(Some(made)) => {
            let socket = Socket::owned(made.map_err(failed)?, options.keepalive);
            Ok(Way::over(socket.map_err(failed)?))
        }
        Ok(None) => Err(SshError::Closed { target: target.clone(), maybe_started: false }),
        Err(_) => Err(deadline.late(target, Phase::Connect)),
    }
}

/// The way to the next host through a hop that is logged in to.
fn jump(hop: Dial<'_>, next: &Target, deadline: Deadline) -> Result<Way, SshError> {
    let Options { target, keepalive, .. } = hop.options;
    let hop = hop.until(deadline);
    let opened = open(&hop, next);
    let channel = match opened {
        Ok(channel) => channel,
        Err(error) => return Err(hop.give_up(error)),
    };
    let hop = JumpSession::new(hop.into(), channel, *keepalive);
    relay::start(hop, target.clone()).map_err(|error| net::connect_error(next, error))
}

fn open(hop: &Dial<'_>, next: &Target) -> Result<Channel, SshError> {
    let host = CString::new(next.host())
        .map_err(|_| SshError::invalid("host", "has a NUL character in it"))?;
    let opened = hop.step(Phase::Connect, || Channel::open_to(&hop.session, &host, next.port()));
    opened.map_err(|error| match error {
        StepError::Refused(error) => {
            // Such as "Channel open failure (connect failed)".
            let text = error.message();
            let reason = text.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
            net::jump_error(next, &hop.options.target, reason.unwrap_or(text))
        }
        StepError::Fatal(SshError::Timeout { phase, elapsed, partial, maybe_started, .. }) => {
            SshError::Timeout { target: next.clone(), phase, elapsed, partial, maybe_started }
        }
        StepError::Fatal(error) | StepError::Disconnected(error) => error,
    })
}
