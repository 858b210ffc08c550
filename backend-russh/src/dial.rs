//! From a host's name to a logged-in session, by way of all jump hosts, under one deadline.

use std::io;
use std::sync::{Arc, PoisonError};

use russh::client::connect_stream;
use ssh_session::{Options, Phase, Preferences, Route, SshError, Verdict, net, printable};
use tokio::runtime;
use tokio::task::spawn_blocking;

use crate::client::{Believed, Client, FirstKey, FirstKeys, Problem, describe};
use crate::config::{config, offer};
use crate::deadline::Deadline;
use crate::line::{End, Line};
use crate::link::Link;
use crate::login;
use crate::random;
use crate::relay::Hop;
use crate::way::Way;

/// A session that is being opened. It is ended when dropped, unless it got so far as to be used.
pub(crate) struct Dial<'a> {
    pub(crate) options: &'a Options,
    pub(crate) deadline: Deadline,
    pub(crate) line: Arc<Line>,
    done: bool,
}

/// Opens a session, after one on each jump host, through which the next is opened. All share one
/// deadline. A session that goes through another ends that other with itself.
pub(crate) async fn dial(options: &Options, first_keys: &FirstKeys) -> Result<Arc<Link>, SshError> {
    options.validate()?;
    let Ok(runtime) = runtime::Handle::try_current() else {
        return Err(SshError::invalid("runtime", "must be tokio's: connect from one of its tasks"));
    };
    let deadline = Deadline::after(Some(options.connect_timeout));
    let hops = match &options.route {
        Route::Jump(hops) => hops.as_slice(),
        _ => &[],
    };
    let mut hop = None;
    for (next, first_key) in hops.iter().zip(&first_keys.hops) {
        let deadline = deadline.within(next.connect_timeout);
        hop = Some(Hop(establish(next, hop, deadline, first_key, &runtime).await?));
    }
    let link = establish(options, hop, deadline, &first_keys.target, &runtime).await?;
    link.park();
    Ok(link)
}

/// Opens one session. Host keys are checked before any credential is sent, and a new one is
/// recorded only after login.
async fn establish(
    options: &Options,
    hop: Option<Hop>,
    deadline: Deadline,
    first_key: &FirstKey,
    runtime: &runtime::Handle,
) -> Result<Arc<Link>, SshError> {
    let target = &options.target;
    let preferences = deadline.bound(target, Phase::Connect, preferences(options)).await??;
    let way = match (hop, &options.route) {
        (Some(hop), _) => Way::through(hop, target, &deadline).await?,
        (None, Route::Command(command)) => Way::command(command, target, &deadline).await?,
        (None, _) => Way::direct(options, &deadline).await?,
    };
    let no_socket = |error| net::connect_error(target, error);
    random::renew().map_err(no_socket)?;
    let (line, watched, mut process) = way.begin().map_err(no_socket)?;
    let mut dial = Dial { options, deadline, line, done: false };

    let believed = Believed::default();
    let offer = Arc::new(offer(&options.crypto, &preferences));
    dial.line.expect(Arc::clone(&offer));
    let client = Client {
        target: target.clone(),
        crypto: options.crypto.clone(),
        host_keys: options.host_keys.clone(),
        first_key: Arc::clone(first_key),
        believed: Arc::clone(&believed),
        line: Arc::clone(&dial.line),
        shown: None,
    };
    let connecting = connect_stream(Arc::new(config(&offer)), watched, client);
    let connected = deadline.bound(target, Phase::Handshake, connecting).await?;
    let mut handle = connected.map_err(|problem| {
        let error = dial.handshake_error(problem);
        process.iter_mut().fold(error, |error, process| process.explain(error))
    })?;
    login::login(&dial, &mut handle).await?;
    dial.record(&believed, first_key).await;
    dial.done = true;
    Ok(Link::new(options, handle, Arc::clone(&dial.line), process, runtime.clone()))
}

/// Which host keys to ask for.
async fn preferences(options: &Options) -> Result<Preferences, SshError> {
    let (host_keys, target) = (options.host_keys.clone(), options.target.clone());
    let reading = spawn_blocking(move || host_keys.preferences(&target));
    // Only a panic, or the end of the runtime, gives nothing.
    reading.await.unwrap_or_else(|_| Ok(Preferences::default()))
}

impl Dial<'_> {
    /// Remembers the key of a server that let us in.
    async fn record(&self, believed: &Believed, first_key: &FirstKey) {
        let believed = believed.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((fingerprint, verdict)) = believed else { return };
        let _ = first_key.set(fingerprint);
        if let Verdict::New(pending) = verdict {
            // As OpenSSH does: a folder that cannot be written keeps nobody from working.
            match spawn_blocking(move || pending.record()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "new host key not recorded"),
                Err(error) => tracing::warn!(%error, "new host key not recorded"),
            }
        }
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
