//! How a builder is come by: the same for connections and pools, of threads and of tasks.

/// The constructors that every type has which a [`Builder`](crate::Builder) makes.
macro_rules! starts {
    () => {
        /// Starts with a host's name or address and the user to log in as.
        pub fn builder(
            host: impl Into<String>,
            username: impl Into<String>,
        ) -> $crate::Builder<Self> {
            $crate::Builder::of(host, username)
        }

        /// Starts with what the user's `ssh_config` says about a host and the way there: the file
        /// in `~/.ssh` and the system's. `alias` is a name in it, or any host's; as for `ssh`,
        /// `user@host` and `ssh://user@host:port` are fine. What is set on the builder takes the
        /// place of what the files say; credentials come behind theirs. Where neither says how
        /// often to ask for a sign of life, a pool does so every 30 s and a connection never.
        ///
        /// Nobody is asked anything: `StrictHostKeyChecking ask` is `yes`, and without that line
        /// new hosts are recorded. What of the files is obeyed, what is an error since it would
        /// have to be, and what changes nothing is told by the documentation of
        /// `ssh_session::ssh_config`.
        ///
        /// # Errors
        ///
        /// Whatever in the files cannot be used, with file and line.
        pub fn from_ssh_config(
            alias: impl AsRef<str>,
        ) -> ::std::result::Result<$crate::Builder<Self>, $crate::Error> {
            Self::from_config(alias, &::ssh_session::SshConfig::user()?)
        }

        /// As [`from_ssh_config`](Self::from_ssh_config), with a configuration of your choice,
        /// which may serve for many hosts.
        ///
        /// # Errors
        ///
        /// Whatever in it cannot be used, with file and line.
        pub fn from_config(
            alias: impl AsRef<str>,
            config: &::ssh_session::SshConfig,
        ) -> ::std::result::Result<$crate::Builder<Self>, $crate::Error> {
            $crate::Builder::configured(alias.as_ref(), config)
        }
    };
}

pub(crate) use starts;
