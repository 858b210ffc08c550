//! What the tests of the sync API share.
#![allow(dead_code, reason = "no test file uses all of it")]

use hussh::Builder;
use hussh::sync::{ConnectionPool, Library};
use test_servers::embedded::EmbeddedServer;
use test_servers::sshd::Sshd;

/// A pool that logs in to sshd with a key.
pub(crate) fn on_sshd<L: Library>(server: &Sshd) -> Builder<ConnectionPool<L>> {
    ConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .private_key(server.identity(), None)
        .known_hosts([server.dir().join("known_hosts_of_test")])
}

/// A pool that logs in to the embedded server with a password.
pub(crate) fn on_embedded<L: Library>(server: &EmbeddedServer) -> Builder<ConnectionPool<L>> {
    ConnectionPool::builder(server.host(), server.user())
        .port(server.port())
        .password(server.password())
        .known_hosts([server.dir().join("known_hosts_of_test")])
}

/// Makes a test of each function, once for each library.
macro_rules! for_each_library {
    ($($name:ident)*) => {
        #[cfg(feature = "ssh2")]
        mod over_libssh2 {
            $(#[test] fn $name() { super::$name::<hussh::sync::Libssh2>(); })*
        }
        #[cfg(feature = "russh")]
        mod over_russh {
            $(#[test] fn $name() { super::$name::<hussh::sync::Russh>(); })*
        }
    };
}
pub(crate) use for_each_library;
