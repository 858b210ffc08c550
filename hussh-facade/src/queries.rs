//! What pools tell without waiting, and how they are resized: the same for threads and for tasks.

/// Of a pool of one host.
macro_rules! pool_queries {
    () => {
        /// How many leases are out, ready, being opened, and so on, all of one moment. With
        /// `channels_per_connection` above 1 several leases are one connection.
        pub fn stats(&self) -> ::pool_core::Stats {
            self.pool.here().stats()
        }

        /// How the pool is doing: why connections cannot be opened, who waits for what.
        pub fn health(&self) -> ::pool_core::Health<::std::sync::Arc<::ssh_session::SshError>> {
            self.pool.here().health()
        }

        /// How many connections are open.
        pub fn connections(&self) -> usize {
            self.stats().sessions()
        }

        /// Sets the most connections open at once. Those that are too many are closed: idle ones
        /// now, lent ones when they come back. Zero lets all borrowers wait.
        pub fn resize(&self, max_connections: usize) {
            self.pool.here().resize(max_connections);
        }

        /// How many commands a connection carries at once: `channels_per_connection`, or less once
        /// the server refused one more (`MaxSessions`).
        pub fn channels_per_connection(&self) -> usize {
            self.pool.here().leases_per_session()
        }

        /// Whom it talks to.
        pub fn target(&self) -> &::ssh_session::Target {
            &self.target
        }
    };
}

/// Of a pool of many hosts.
macro_rules! host_pool_queries {
    () => {
        /// How many hosts are known, connections open, and hosts short of a place.
        pub fn stats(&self) -> ::pool_core::KeyedStats {
            self.pool.here().stats()
        }

        /// The counts of one host's pool; `None` where it is not known now.
        pub fn stats_of(&self, target: &::ssh_session::Target) -> Option<::pool_core::Stats> {
            self.pool.here().stats_of(&self.hosts.endpoint(target).ok()?)
        }

        /// Sets the most connections open at once over all hosts. Zero lets all borrowers wait.
        pub fn resize_total(&self, max_total: usize) {
            self.pool.here().resize_total(max_total);
        }
    };
}

pub(crate) use {host_pool_queries, pool_queries};
