//! One client's connection: its login, its channels and what runs in them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use russh::server::{Auth, Handle, Msg, Session};
use russh::{ChannelId, ChannelWriteHalf, Disconnect};
use tokio::sync::oneshot;

use super::builder::Settings;
use super::device::{self, DeviceShell};
use super::inbox::{Inbox, InboxReader};
use super::login::Login;
use super::process::{self, Job, Remote};
use super::shared::{Shared, Slot};

pub(super) struct Connection {
    pub(super) settings: Arc<Settings>,
    pub(super) shared: Arc<Shared>,
    pub(super) login: Login,
    /// Of this connection's session, once it runs.
    handle: Arc<OnceLock<Handle>>,
    peer: SocketAddr,
    local: SocketAddr,
    pub(super) slots: Arc<AtomicUsize>,
    pub(super) channels: HashMap<ChannelId, ChannelState>,
}

/// Everything a channel holds; dropping it ends what runs in the channel.
pub(super) struct ChannelState {
    pub(super) inbox: Inbox,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// A session without a command yet.
    Session(Box<Pending>),
    Running(Remote),
    Device(DeviceShell),
    Forward(oneshot::Sender<()>),
}

pub(super) struct Pending {
    pub(super) slot: Slot,
    pub(super) stdin: InboxReader,
    pub(super) writer: ChannelWriteHalf<Msg>,
    pub(super) env: Vec<(String, String)>,
    /// Of its terminal.
    pub(super) rows: u32,
}

impl Connection {
    pub(super) fn new(
        settings: Arc<Settings>,
        shared: Arc<Shared>,
        handle: Arc<OnceLock<Handle>>,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Self {
        let login = Login::new(Arc::clone(&settings), Arc::clone(&shared));
        let (slots, channels) = (Arc::default(), HashMap::new());
        Self { settings, shared, login, handle, peer, local, slots, channels }
    }

    /// Starts a program in a session that has none yet, and answers the request.
    pub(super) fn start(
        &mut self,
        id: ChannelId,
        program: impl Into<OsString>,
        arguments: Vec<OsString>,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(ChannelState { inbox, kind: Kind::Session(pending) }) = self.channels.remove(&id)
        else {
            return session.channel_failure(id);
        };
        let Pending { slot, stdin, writer, env, .. } = *pending;
        let job = Job {
            program: program.into(),
            arguments,
            env: self.base_env().into_iter().chain(env).collect(),
            stdin,
            channel: writer,
            session: session.handle(),
            slot,
            shared: Arc::clone(&self.shared),
        };
        match process::start(job) {
            Ok(remote) => {
                self.shared.counters.commands.fetch_add(1, Ordering::SeqCst);
                self.channels.insert(id, ChannelState { inbox, kind: Kind::Running(remote) });
                session.channel_success(id)
            }
            Err(_) => {
                session.channel_failure(id)?;
                session.close(id)
            }
        }
    }

    /// Starts a shell: a program, or a device's own.
    pub(super) fn start_shell(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(device) = self.settings.device.clone() else {
            return self.start(id, "sh", Vec::new(), session);
        };
        let Some(ChannelState { inbox, kind: Kind::Session(pending) }) = self.channels.remove(&id)
        else {
            return session.channel_failure(id);
        };
        let Pending { slot, stdin, writer, rows, .. } = *pending;
        let (shared, streams) = (Arc::clone(&self.shared), (stdin, writer));
        self.shared.counters.commands.fetch_add(1, Ordering::SeqCst);
        session.channel_success(id)?;
        let shell = device::start(device, rows, streams, session.handle(), slot, shared);
        self.channels.insert(id, ChannelState { inbox, kind: Kind::Device(shell) });
        Ok(())
    }

    fn base_env(&self) -> Vec<(String, String)> {
        let own = |name: &str| std::env::var(name).ok().map(|value| (name.to_owned(), value));
        let (peer, local) = (self.peer, self.local);
        let connection = format!("{} {} {} {}", peer.ip(), peer.port(), local.ip(), local.port());
        ["HOME", "PATH", "LANG", "TMPDIR"]
            .into_iter()
            .filter_map(own)
            .chain([
                ("SHELL".to_owned(), "/bin/sh".to_owned()),
                ("USER".to_owned(), self.settings.user.clone()),
                ("LOGNAME".to_owned(), self.settings.user.clone()),
                ("SSH_CONNECTION".to_owned(), connection),
            ])
            .collect()
    }

    /// Forgets channels that we closed: russh doesn't tell when the client confirms that.
    pub(super) fn forget_ended(&mut self) {
        self.channels.retain(|_, state| match &state.kind {
            Kind::Session(_) => true,
            Kind::Running(remote) => !remote.has_ended(),
            Kind::Device(shell) => !shell.has_ended(),
            Kind::Forward(alive) => !alive.is_closed(),
        });
    }

    pub(super) async fn wait_as_told(&self) {
        let delay = self.shared.switches().auth_delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Passes a verdict on; with it goes the farewell, if it is a refusal.
    pub(super) async fn told(&self, verdict: Auth) -> Result<Auth, russh::Error> {
        let refused = matches!(verdict, Auth::Reject { partial_success: false, .. });
        if let (true, Some(text), Some(handle)) =
            (refused, &self.settings.farewell, self.handle.get())
        {
            let _ = handle.disconnect(Disconnect::ByApplication, text.clone(), "".into()).await;
        }
        Ok(verdict)
    }
}
