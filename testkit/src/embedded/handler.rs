//! Answers one client.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use russh::keys::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session,
    VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Disconnect, Pty, Sig};
use tokio::sync::oneshot;

use super::builder::Settings;
use super::forward;
use super::inbox::{Inbox, InboxReader, inbox};
use super::intrusion;
use super::login::Login;
use super::process::{self, Job, Remote};
use super::shared::{Shared, Slot};

/// Where Debian and others keep the program behind the `sftp` subsystem.
const SFTP_SERVERS: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

/// Environment variables a client may set for one command.
const ENV_LIMIT: usize = 1000;

pub(super) struct Connection {
    settings: Arc<Settings>,
    shared: Arc<Shared>,
    login: Login,
    /// Of this connection's session, once it runs.
    handle: Arc<OnceLock<Handle>>,
    peer: SocketAddr,
    local: SocketAddr,
    slots: Arc<AtomicUsize>,
    channels: HashMap<ChannelId, ChannelState>,
}

/// Everything a channel holds; dropping it ends what runs in the channel.
struct ChannelState {
    inbox: Inbox,
    kind: Kind,
}

enum Kind {
    /// A session without a command yet.
    Session(Box<Pending>),
    Running(Remote),
    Forward(oneshot::Sender<()>),
}

struct Pending {
    slot: Slot,
    stdin: InboxReader,
    writer: ChannelWriteHalf<Msg>,
    env: Vec<(String, String)>,
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
    fn start(
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
        let Pending { slot, stdin, writer, env } = *pending;
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
    fn forget_ended(&mut self) {
        self.channels.retain(|_, state| match &state.kind {
            Kind::Session(_) => true,
            Kind::Running(remote) => !remote.has_ended(),
            Kind::Forward(alive) => !alive.is_closed(),
        });
    }

    async fn wait_as_told(&self) {
        let delay = self.shared.switches().auth_delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }

    /// Passes a verdict on; with it goes the farewell, if it is a refusal.
    async fn told(&self, verdict: Auth) -> Result<Auth, russh::Error> {
        let refused = matches!(verdict, Auth::Reject { partial_success: false, .. });
        if let (true, Some(text), Some(handle)) =
            (refused, &self.settings.farewell, self.handle.get())
        {
            let _ = handle.disconnect(Disconnect::ByApplication, text.clone(), "".into()).await;
        }
        Ok(verdict)
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        Ok(self.settings.banner.clone())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.wait_as_told().await;
        let verdict = self.login.password(user, password);
        self.told(verdict).await
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if response.is_some() {
            self.wait_as_told().await;
        }
        let verdict = self.login.answers(user, response);
        self.told(verdict).await
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let verdict = self.login.offered_key(user, offer.public_key);
        self.told(verdict).await
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.wait_as_told().await;
        let verdict = self.login.key(user, key.public_key);
        self.told(verdict).await
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        self.wait_as_told().await;
        let verdict = self.login.certificate(user, certificate);
        self.told(verdict).await
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Self::Error> {
        self.shared.counters.handshakes.fetch_add(1, Ordering::SeqCst);
        if self.settings.intrudes {
            tokio::spawn(intrusion::run(session.handle(), Arc::clone(&self.shared)));
        }
        match &self.settings.farewell {
            Some(text) => session.disconnect(Disconnect::ByApplication, text, ""),
            None => Ok(()),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.forget_ended();
        let (refused, delay, age) = {
            let mut switches = self.shared.switches();
            switches.opens_seen += 1;
            let number = switches.opens_seen;
            let refused = switches.refused_opens.contains(&number);
            (refused, switches.open_delay, switches.channel_age)
        };
        let limit = self.settings.max_sessions;
        let slot = (!refused).then(|| Slot::take(&self.shared, &self.slots, limit)).flatten();
        let Some(slot) = slot else {
            // What OpenSSH says at MaxSessions.
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        let id = channel.id();
        let (inbox, stdin) = inbox();
        // What comes in is taken by the callbacks below; an unread channel would block them all.
        let (_, writer) = channel.split();
        let kind = Kind::Session(Box::new(Pending { slot, stdin, writer, env: Vec::new() }));
        self.channels.insert(id, ChannelState { inbox, kind });
        if let Some(age) = age {
            let handle = session.handle();
            tokio::spawn(async move {
                tokio::time::sleep(age).await;
                // Fails where the client closed it first.
                let _ = handle.close(id).await;
            });
        }
        if delay.is_zero() {
            reply.accept().await;
        } else {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                reply.accept().await;
            });
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host_to_connect: &str,
        port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.forget_ended();
        let Ok(port) = u16::try_from(port_to_connect) else {
            reply.reject(ChannelOpenFailure::ConnectFailed).await;
            return Ok(());
        };
        let id = channel.id();
        let (inbox, data) = inbox();
        let (alive, gone) = oneshot::channel();
        let (_, writer) = channel.split();
        self.channels.insert(id, ChannelState { inbox, kind: Kind::Forward(alive) });
        let target = (host_to_connect.to_owned(), port);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(forward::run(target, reply, data, writer, session.handle(), gone, shared));
        Ok(())
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // A process can't be given these; std would panic or fail the command.
        let impossible = name.is_empty() || name.contains(['=', '\0']) || value.contains('\0');
        match self.channels.get_mut(&id) {
            Some(ChannelState { kind: Kind::Session(pending), .. })
                if !impossible && pending.env.len() < ENV_LIMIT =>
            {
                pending.env.push((name.to_owned(), value.to_owned()));
                session.channel_success(id)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let arguments = vec![OsString::from("-c"), OsStr::from_bytes(data).to_owned()];
        self.start(id, "sh", arguments, session)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(id, "sh", Vec::new(), session)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match SFTP_SERVERS.iter().find(|path| name == "sftp" && Path::new(path).is_file()) {
            Some(program) => self.start(id, *program, Vec::new(), session),
            None => session.channel_failure(id),
        }
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        _rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // There is no terminal here, and we don't pretend.
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single_connection: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.shared.counters.forwardings.fetch_add(1, Ordering::SeqCst);
        session.channel_failure(id)
    }

    async fn agent_request(
        &mut self,
        _id: ChannelId,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.shared.counters.forwardings.fetch_add(1, Ordering::SeqCst);
        Ok(false)
    }

    async fn tcpip_forward(
        &mut self,
        _address: &str,
        _port: &mut u32,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.shared.counters.forwardings.fetch_add(1, Ordering::SeqCst);
        Ok(false)
    }

    async fn streamlocal_forward(
        &mut self,
        _path: &str,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.shared.counters.forwardings.fetch_add(1, Ordering::SeqCst);
        Ok(false)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(ChannelState { kind: Kind::Running(remote), .. }) = self.channels.get(&id) {
            remote.signal(signal);
        }
        Ok(())
    }

    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let overflow = self.channels.get(&id).is_some_and(|state| state.inbox.push(data).is_err());
        if overflow {
            self.channels.remove(&id);
            session.close(id)?;
        }
        Ok(())
    }

    async fn channel_eof(
        &mut self,
        id: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(state) = self.channels.get_mut(&id) {
            state.inbox.end();
        }
        Ok(())
    }

    async fn channel_close(
        &mut self,
        id: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }
}
