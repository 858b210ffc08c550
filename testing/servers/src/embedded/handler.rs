//! Answers one client's requests.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use russh::keys::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Handle, Handler, Msg, PublicKeyOffer, Response, Session,
    VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty, Sig};
use tokio::sync::oneshot;

use super::connection::{ChannelState, Connection, Kind, Pending};
use super::inbox::inbox;
use super::shared::Slot;
use super::{forward, intrusion};

/// Where Debian and others keep the program behind the `sftp` subsystem.
pub const SFTP_SERVERS: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

/// Environment variables a client may set for one command.
const ENV_LIMIT: usize = 1000;

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
            late(delay, reply.reject(ChannelOpenFailure::ConnectFailed)).await;
            return Ok(());
        };
        let id = channel.id();
        let (inbox, stdin) = inbox();
        // What comes in is taken by the callbacks below; an unread channel would block them all.
        let (_, writer) = channel.split();
        let kind =
            Kind::Session(Box::new(Pending { slot, stdin, writer, env: Vec::new(), rows: 24 }));
        self.channels.insert(id, ChannelState { inbox, kind });
        if let Some(age) = age {
            let handle = session.handle();
            tokio::spawn(async move {
                tokio::time::sleep(age).await;
                // Fails where the client closed it first.
                let _ = handle.close(id).await;
            });
        }
        late(delay, reply.accept()).await;
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
        match u16::try_from(port_to_connect) {
            Ok(port) => {
                let target = forward::Target::Tcp(host_to_connect.to_owned(), port);
                self.forward(target, channel, reply, session.handle()).await;
            }
            Err(_) => reply.reject(ChannelOpenFailure::ConnectFailed).await,
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        socket_path: &str,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let target = forward::Target::Unix(socket_path.into());
        self.forward(target, channel, reply, session.handle()).await;
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
        if self.settings.device.is_some() {
            return session.channel_failure(id);
        }
        let arguments = vec![OsString::from("-c"), OsStr::from_bytes(data).to_owned()];
        self.start(id, "sh", arguments, session)
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start_shell(id, session)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match SFTP_SERVERS.iter().find(|path| name == "sftp" && Path::new(path).is_file()) {
            Some(program) if self.settings.device.is_none() => {
                self.start(id, *program, Vec::new(), session)
            }
            _ => session.channel_failure(id),
        }
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _term: &str,
        _columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.channels.get_mut(&id) {
            Some(ChannelState { kind: Kind::Session(pending), .. })
                if self.settings.device.is_some() =>
            {
                // A size of none is no size (RFC 4254, 6.2).
                pending.rows = if rows == 0 { 24 } else { rows };
                session.channel_success(id)
            }
            // There is no terminal here, and we don't pretend.
            _ => session.channel_failure(id),
        }
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        _columns: u32,
        rows: u32,
        _width: u32,
        _height: u32,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(ChannelState { kind: Kind::Device(shell), .. }) = self.channels.get(&id) {
            shell.rows.store(rows, Ordering::Relaxed);
        }
        Ok(())
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

/// Gives an answer at once, or so much later without keeping the connection waiting.
async fn late(delay: Duration, answer: impl Future<Output = ()> + Send + 'static) {
    if delay.is_zero() {
        return answer.await;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        answer.await;
    });
}

impl Connection {
    /// Connects a channel to somewhere, or refuses to, as it was told.
    async fn forward(
        &mut self,
        target: forward::Target,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: Handle,
    ) {
        self.forget_ended();
        if self.shared.switches().forbids_tunnels {
            return reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        }
        let id = channel.id();
        let (inbox, data) = inbox();
        let (alive, gone) = oneshot::channel();
        let (_, writer) = channel.split();
        self.channels.insert(id, ChannelState { inbox, kind: Kind::Forward(alive) });
        let shared = Arc::clone(&self.shared);
        tokio::spawn(forward::run(target, reply, data, writer, session, gone, shared));
    }
}
