//! What all builders can be told, said once.

/// The setters that all builders have.
macro_rules! shared_setters {
    ($default_keepalive:literal) => {
        /// The TCP port, 1 to 65535; default 22.
        pub fn port(mut self, port: u16) -> Self {
            self.settings.port = port;
            self
        }

        /// Logs in with a password. Ways to log in are tried in the order they are given, each
        /// once; a refused one is not tried again.
        pub fn password(mut self, password: impl Into<String>) -> Self {
            self.settings.auth.push(ssh_session::Auth::password(password));
            self
        }

        /// Logs in with a private key file, in OpenSSH's or PEM format; `passphrase` is what it is
        /// encrypted with, `None` if it is not.
        pub fn private_key(
            mut self,
            path: impl Into<std::path::PathBuf>,
            passphrase: Option<&str>,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::KeyFile {
                path: path.into(),
                passphrase: passphrase.map(Into::into),
            });
            self
        }

        /// Logs in with a private key file, and where that is not encrypted with `secret` as a
        /// password: for callers who know one secret and not what it is for. Once the key turned
        /// out to be encrypted, `secret` is its passphrase and never sent to a server.
        pub fn private_key_or_password(
            mut self,
            path: impl Into<std::path::PathBuf>,
            secret: &str,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::key_file_or_password(path, secret));
            self
        }

        /// Whether a private key file of one's own that others may read or write is refused, as by
        /// OpenSSH; default true. Those who must use such a file, say one that a container mounts,
        /// set it to false.
        pub fn strict_key_modes(mut self, strict: bool) -> Self {
            self.settings.key_rules.strict_modes = strict;
            self
        }

        /// The fewest bits that an RSA key may have, a server's, its authority's and one's own:
        /// OpenSSH's `RequiredRSASize`, 1,024 and up, default 1,024.
        pub fn required_rsa_size(mut self, bits: u32) -> Self {
            self.settings.key_rules.required_rsa_size = bits;
            self
        }

        /// Logs in with a private key from memory: the text of a key file.
        pub fn private_key_data(
            mut self,
            key: impl Into<String>,
            passphrase: Option<&str>,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::KeyData {
                key: key.into().into(),
                passphrase: passphrase.map(Into::into),
            });
            self
        }

        /// Logs in with the keys of the agent at `SSH_AUTH_SOCK`, one after another.
        pub fn agent(mut self) -> Self {
            self.settings.auth.push(ssh_session::Auth::Agent);
            self
        }

        /// Logs in with a password that `ask` gives for each login, or `None` to give up; nothing
        /// keeps it in between. It may wait for a human, on a thread where that is allowed, while
        /// `connect_timeout` goes on.
        pub fn ask_password(
            mut self,
            ask: impl Fn(&ssh_session::Target) -> Option<ssh_session::SecretString>
            + Send
            + Sync
            + 'static,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::ask_password(ask));
            self
        }

        /// Logs in with answers to whatever the server asks (keyboard-interactive, RFC 4256), such
        /// as codes of a second factor: one for each question, or `None` to give up. It may wait
        /// for a human, as [`ask_password`](Self::ask_password).
        ///
        /// A server that asks for a password and nothing else is answered by
        /// [`password`](Self::password), too.
        pub fn keyboard_interactive(
            mut self,
            answer: impl Fn(&ssh_session::Prompt) -> Option<Vec<ssh_session::SecretString>>
            + Send
            + Sync
            + 'static,
        ) -> Self {
            self.settings.auth.push(ssh_session::Auth::keyboard_interactive(answer));
            self
        }

        /// Adds a way to log in that has no setter of its own, such as a
        /// [certificate](crate::Auth::with_certificate).
        ///
        /// Where none is added at all, the agent's keys and OpenSSH's default key files are tried
        /// ([`Auth::Auto`](crate::Auth::Auto)).
        pub fn auth(mut self, auth: ssh_session::Auth) -> Self {
            self.settings.auth.push(auth);
            self
        }

        /// Goes through another host: a session of its own, from which the connection is opened
        /// (`direct-tcpip`). Called again, it adds a host behind the one before.
        /// Takes the place of [`proxy_command`](Self::proxy_command).
        pub fn jump(mut self, host: crate::JumpHost) -> Self {
            self.settings.jump(host);
            self
        }

        /// Goes over the standard input and output of a command, as OpenSSH's `ProxyCommand`, run
        /// by `exec` in the user's `SHELL`: `%h`, `%p`, `%r` and `%n` stand for host, port, user
        /// and the host as it was given, `%%` for `%`. A host or user with characters that a shell
        /// would obey is refused. Takes the place of [`jump`](Self::jump).
        pub fn proxy_command(mut self, template: impl Into<String>) -> Self {
            self.settings.way = crate::settings::Way::Command(template.into().into());
            self
        }

        /// Which host keys to believe; default [`HostKeyPolicy::AcceptNew`](crate::HostKeyPolicy).
        pub fn host_keys(mut self, policy: ssh_session::HostKeyPolicy) -> Self {
            self.settings.host_keys.policy = policy;
            self
        }

        /// What may be agreed on with the server: key exchanges, ciphers, MACs, host key algorithms.
        /// Default [`Crypto::default`](crate::Crypto), as strict as OpenSSH's; for one old device
        /// take [`Crypto::compatible`](crate::Crypto::compatible), or add to one list.
        pub fn crypto(mut self, crypto: ssh_session::Crypto) -> Self {
            self.settings.crypto = crypto;
            self
        }

        /// The name to look host keys up by, instead of host and port, as OpenSSH's
        /// `HostKeyAlias`.
        pub fn host_key_alias(mut self, alias: impl Into<String>) -> Self {
            self.settings.host_keys.alias = Some(alias.into());
            self
        }

        /// Files of keys that are refused whatever else is said, one public key a line: OpenSSH's
        /// `RevokedHostKeys`. One that cannot be read refuses all. Default: none.
        pub fn revoked_host_keys(
            mut self,
            files: impl IntoIterator<Item = impl Into<std::path::PathBuf>>,
        ) -> Self {
            self.settings.host_keys.revoked = files.into_iter().map(Into::into).collect();
            self
        }

        /// Whether connecting fails where a new host's key cannot be recorded; default false, with
        /// which that is a warning (`tracing`), and a pool is bound to the key.
        pub fn must_record_host_keys(mut self, must: bool) -> Self {
            self.settings.host_keys.must_record = must;
            self
        }

        /// Whether names of new hosts are recorded as hashes, as with OpenSSH's `HashKnownHosts`;
        /// default false.
        pub fn hash_known_hosts(mut self, hash: bool) -> Self {
            self.settings.host_keys.hash_names = hash;
            self
        }

        /// The known_hosts files to read; new hosts are added to the first. Default: OpenSSH's, of
        /// the user and of the system.
        pub fn known_hosts(
            mut self,
            files: impl IntoIterator<Item = impl Into<std::path::PathBuf>>,
        ) -> Self {
            let files = files.into_iter().map(Into::into);
            self.settings.host_keys = self.settings.host_keys.files(files);
            self
        }

        /// How long name lookup, TCP connect, key exchange and login may take together, those of
        /// jump hosts included: above zero, default 10 s.
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.settings.connect_timeout = timeout;
            self
        }

        /// After this long without anything received, a heartbeat that asks for a reply is sent,
        /// as with OpenSSH's `ServerAliveInterval`; `None` sends none. Above zero, fractions of a
        /// second are fine;
        #[doc = concat!("default ", $default_keepalive, ".")]
        pub fn keepalive_interval(
            mut self,
            interval: impl Into<Option<std::time::Duration>>,
        ) -> Self {
            self.settings.keepalive_interval = interval.into();
            self
        }

        /// After this many heartbeats without an answer the connection is dead, which is
        /// `keepalive_interval × (keepalive_count_max + 1)` after its last sign of life: 1 and up,
        /// default 3.
        pub fn keepalive_count_max(mut self, count: u32) -> Self {
            self.settings.keepalive_count_max = count;
            self
        }

        /// How much of each stream of a command is collected at most, in bytes, unless
        /// [`Command::max_output`](crate::Command::max_output) says otherwise: a command that writes
        /// more is stopped, and the error holds what came. `None` is no limit; default 64 MiB.
        pub fn max_output(mut self, bytes: impl Into<Option<usize>>) -> Self {
            self.settings.max_output = bytes.into();
            self
        }
    };
}
pub(crate) use shared_setters;

/// The setters that both builders of pools have.
macro_rules! pool_setters {
    () => {
        /// The most connections open at once: 1 and up, default 10. sshd's `MaxStartups` and the
        /// server's memory bound what is sensible.
        pub fn max_connections(mut self, count: usize) -> Self {
            self.pool.config = self.pool.config.max_size(count);
            self
        }

        /// How many borrowers share a connection at most, each with a channel of its own: 1 and
        /// up, default 1. sshd opens 10 (`MaxSessions`) and frees them late, so that 5 is the
        /// sensible most. A server that opens fewer is found out and not asked again; what it
        /// refused is run elsewhere or waits.
        pub fn channels_per_connection(mut self, count: usize) -> Self {
            self.pool.config = self.pool.config.leases_per_session(count);
            self
        }

        /// How many connections are kept ready though nobody uses them: up to `max_connections`,
        /// default 0.
        pub fn min_idle(mut self, count: usize) -> Self {
            self.pool.config = self.pool.config.min_idle(count);
            self
        }

        /// How long a borrower waits for a connection; `None` waits for ever. Default 30 s.
        pub fn acquire_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.pool.config = self.pool.config.acquire_timeout(timeout.into());
            self
        }

        /// How long a connection that was idle may take to answer before it is lent; then another
        /// one is. Above zero, default 5 s.
        pub fn check_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.pool.config = self.pool.config.check_timeout(timeout);
            self
        }

        /// Connections that nobody used for this long are closed, down to `min_idle`; `None` keeps
        /// them. Above zero, default 10 min.
        pub fn idle_timeout(mut self, timeout: impl Into<Option<std::time::Duration>>) -> Self {
            self.pool.config = self.pool.config.idle_timeout(timeout.into());
            self
        }

        /// Connections older than this are replaced once nobody uses them; `None` keeps them.
        /// Above zero, default 30 min.
        pub fn max_lifetime(mut self, lifetime: impl Into<Option<std::time::Duration>>) -> Self {
            self.pool.config = self.pool.config.max_lifetime(lifetime.into());
            self
        }
    };
}
pub(crate) use pool_setters;
