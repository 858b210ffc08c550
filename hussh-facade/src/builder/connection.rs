//! What every builder can be told: whom to log in as, which keys to believe, how to get there.

use std::path::PathBuf;
use std::time::Duration;

use ssh_session::{
    Auth, Crypto, ExposeSecret as _, HostKeyPolicy, KnownHosts, KnownHostsCommand, Methods, Prompt,
    ProxyCommand, Route, SecretString, Target, Transport,
};

use super::{Builder, JumpHost};

impl<T> Builder<T> {
    /// The TCP port, 1 to 65535; default 22.
    pub fn port(self, port: u16) -> Self {
        self.try_set(|options| {
            options.target = Target::new(options.target.host(), port, options.target.user())?;
            Ok(())
        })
    }

    /// Logs in with a password. Ways to log in are tried in the order they are given, each
    /// once; a refused one is not tried again.
    pub fn password(self, password: impl Into<String>) -> Self {
        self.auth(Auth::password(password))
    }

    /// Logs in with a private key file, in OpenSSH's or PEM format; `passphrase` is what it is
    /// encrypted with, `None` if it is not.
    pub fn private_key(self, path: impl Into<PathBuf>, passphrase: Option<&str>) -> Self {
        self.auth(Auth::KeyFile { path: path.into(), passphrase: passphrase.map(Into::into) })
    }

    /// Logs in with a private key file, and where that is not encrypted with `secret` as a
    /// password: for callers who know one secret and not what it is for. Once the key turned
    /// out to be encrypted, `secret` is its passphrase and never sent to a server.
    pub fn private_key_or_password(self, path: impl Into<PathBuf>, secret: &str) -> Self {
        self.auth(Auth::key_file_or_password(path, secret))
    }

    /// Whether a private key file of one's own that others may read or write is refused, as by
    /// OpenSSH; default true. Those who must use such a file, say one that a container mounts,
    /// set it to false.
    pub fn strict_key_modes(self, strict: bool) -> Self {
        self.set(|options| options.key_rules.strict_modes = strict)
    }

    /// The fewest bits that an RSA key may have, a server's, its authority's and one's own:
    /// OpenSSH's `RequiredRSASize`, 1,024 and up, default 1,024.
    pub fn required_rsa_size(self, bits: u32) -> Self {
        self.set(|options| options.key_rules.required_rsa_size = bits)
    }

    /// Logs in with a private key from memory: the text of a key file.
    pub fn private_key_data(self, key: impl Into<String>, passphrase: Option<&str>) -> Self {
        self.auth(Auth::KeyData { key: key.into().into(), passphrase: passphrase.map(Into::into) })
    }

    /// Logs in with the keys of the agent at `SSH_AUTH_SOCK`, one after another.
    pub fn agent(self) -> Self {
        self.auth(Auth::Agent)
    }

    /// Logs in with a password that `ask` gives for each login, or `None` to give up; nothing
    /// keeps it in between. It may wait for a human, on a thread where that is allowed, while
    /// `connect_timeout` goes on.
    pub fn ask_password(
        self,
        ask: impl Fn(&Target) -> Option<SecretString> + Send + Sync + 'static,
    ) -> Self {
        self.auth(Auth::ask_password(ask))
    }

    /// Logs in with answers to whatever the server asks (keyboard-interactive, RFC 4256), such
    /// as codes of a second factor: one for each question, or `None` to give up. It may wait
    /// for a human, as [`ask_password`](Self::ask_password).
    ///
    /// A server that asks for a password and nothing else is answered by
    /// [`password`](Self::password), too.
    pub fn keyboard_interactive(
        self,
        answer: impl Fn(&Prompt) -> Option<Vec<SecretString>> + Send + Sync + 'static,
    ) -> Self {
        self.auth(Auth::keyboard_interactive(answer))
    }

    /// Adds a way to log in that has no setter of its own, such as a
    /// [certificate](crate::Auth::with_certificate).
    ///
    /// Where none is added at all, the agent's keys and OpenSSH's default key files are tried
    /// ([`Auth::Auto`](crate::Auth::Auto)).
    pub fn auth(self, auth: Auth) -> Self {
        self.set(|options| options.auth.push(auth))
    }

    /// Goes through another host: a session of its own, from which the connection is opened
    /// (`direct-tcpip`). Called again, it adds a host behind the one before.
    /// Takes the place of [`proxy_command`](Self::proxy_command).
    pub fn jump(mut self, host: JumpHost) -> Self {
        let is_first = !std::mem::replace(&mut self.has_route, true);
        self.try_set(|options| {
            let mut chain = match std::mem::replace(&mut options.route, Route::Direct) {
                Route::Jump(hops) if !is_first => hops,
                _ => Vec::new(),
            };
            host.append_to(&mut chain)?;
            options.route = Route::Jump(chain);
            Ok(())
        })
    }

    /// Goes over the standard input and output of a command, as OpenSSH's `ProxyCommand`, run
    /// by `exec` in the user's `SHELL`: `%h`, `%p`, `%r` and `%n` stand for host, port, user
    /// and the host as it was given, `%%` for `%`. A host or user with characters that a shell
    /// would obey is refused. Takes the place of [`jump`](Self::jump).
    pub fn proxy_command(mut self, template: impl Into<String>) -> Self {
        let template = SecretString::from(template.into());
        self.has_route = true;
        self.try_set(|options| {
            let command = ProxyCommand::parse(template.expose_secret())?;
            options.route = Route::Command(command.original(options.target.host()));
            Ok(())
        })
    }

    /// Goes over connections that the caller makes: a [`Transport`], whose function is called for
    /// each dial. Host and port are not connected to then, but host keys are still looked up by
    /// them. Takes the place of [`jump`](Self::jump); of the hosts on a way, the first may have one.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.has_route = true;
        self.set(|options| options.route = Route::Transport(transport))
    }

    /// Which host keys to believe; default [`HostKeyPolicy::AcceptNew`](crate::HostKeyPolicy).
    pub fn host_keys(self, policy: HostKeyPolicy) -> Self {
        self.set(|options| options.host_keys.policy = policy)
    }

    /// What may be agreed on with the server: key exchanges, ciphers, MACs, host key algorithms.
    /// Default [`Crypto::default`](crate::Crypto), as strict as OpenSSH's; for one old device
    /// take [`Crypto::compatible`](crate::Crypto::compatible), or add to one list.
    pub fn crypto(self, crypto: Crypto) -> Self {
        self.set(|options| options.crypto = crypto)
    }

    /// The name to look host keys up by, instead of host and port, as OpenSSH's
    /// `HostKeyAlias`.
    pub fn host_key_alias(self, alias: impl Into<String>) -> Self {
        self.set(|options| options.host_keys.alias = Some(alias.into()))
    }

    /// Files of keys that are refused whatever else is said, one public key a line: OpenSSH's
    /// `RevokedHostKeys`. One that cannot be read refuses all. Default: none.
    pub fn revoked_host_keys(self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        let files = files.into_iter().map(Into::into).collect();
        self.set(|options| options.host_keys.revoked = files)
    }

    /// A command that says what else is known of the host: OpenSSH's `KnownHostsCommand`. One that
    /// fails refuses all. Default: none.
    pub fn known_hosts_command(self, command: KnownHostsCommand) -> Self {
        self.set(|options| options.host_keys.command = Some(command))
    }

    /// Whether other host keys that a known server proves to have are recorded: OpenSSH's
    /// `UpdateHostKeys`. Default: where [`known_hosts`](Self::known_hosts) is not said. Sessions
    /// over libssh2 record none.
    pub fn update_host_keys(self, update: bool) -> Self {
        self.set(|options| options.host_keys.update = Some(update))
    }

    /// Which methods credentials may be sent by, and in which order: OpenSSH's
    /// `PasswordAuthentication` and its like, and `PreferredAuthentications`. Default: all, in the
    /// order in which credentials are given.
    pub fn methods(self, methods: Methods) -> Self {
        self.set(|options| options.methods = methods)
    }

    /// Whether connecting fails where a new host's key cannot be recorded; default false, with
    /// which that is a warning (`tracing`), and a pool is bound to the key.
    pub fn must_record_host_keys(self, must: bool) -> Self {
        self.set(|options| options.host_keys.must_record = must)
    }

    /// Whether names of new hosts are recorded as hashes, as with OpenSSH's `HashKnownHosts`;
    /// default false.
    pub fn hash_known_hosts(self, hash: bool) -> Self {
        self.set(|options| options.host_keys.hash_names = hash)
    }

    /// The known_hosts files to read; new hosts are added to the first. Default: OpenSSH's, of
    /// the user and of the system.
    pub fn known_hosts(self, files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.set(|options| options.host_keys.files = KnownHosts::files(files))
    }

    /// How long name lookup, TCP connect, key exchange and login may take together, those of
    /// jump hosts included: above zero, default 10 s.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set(|options| options.connect_timeout = timeout)
    }

    /// How many connections to the host and port may be under way at once in this process and not
    /// logged in yet, whichever pools and connections they are for: 1 and up, default 8. The others
    /// wait their turn, within `connect_timeout`. sshd drops some at random from the tenth on
    /// (`MaxStartups`); a connection that it dropped is tried again.
    pub fn max_startups(self, count: usize) -> Self {
        self.set(|options| options.max_startups = count)
    }

    /// After this long without anything received, a heartbeat that asks for a reply is sent,
    /// as with OpenSSH's `ServerAliveInterval`; `None` sends none. Above zero, fractions of a
    /// second are fine; default 30 s for pools, and `None` for what a caller holds.
    pub fn keepalive_interval(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.has_keepalive = true;
        self.set(|options| options.keepalive.interval = interval.into())
    }

    /// After this many heartbeats without an answer the connection is dead, which is
    /// `keepalive_interval × (keepalive_count_max + 1)` after its last sign of life: 1 and up,
    /// default 3.
    pub fn keepalive_count_max(self, count: u32) -> Self {
        self.set(|options| options.keepalive.count_max = count)
    }

    /// How much of each stream of a command is collected at most, in bytes, unless
    /// [`Command::max_output`](crate::Command::max_output) says otherwise: a command that writes
    /// more is stopped, and the error holds what came. `None` is no limit; default 64 MiB.
    pub fn max_output(self, bytes: impl Into<Option<usize>>) -> Self {
        self.set(|options| options.max_output = bytes.into())
    }
}
