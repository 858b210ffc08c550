//! What can be pooled: anything that can be opened, checked, reset, kept alive and closed.

use std::error::Error as StdError;

use crate::interrupt::{Interrupt, KillSwitch};

/// How a pool treats an error of [`Backend::connect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// May go away by itself (refused, reset, timed out): retried with backoff while somebody
    /// waits.
    Transient,
    /// Nobody is there: the port is refused, the name unknown. Retried like
    /// [`Transient`](Self::Transient) by a pool that had a session before; one that never had any
    /// tells its borrowers at once (`fail_fast`).
    Unreachable,
    /// Will not go away by itself (wrong password, changed host key): every caller waiting now
    /// gets the error, and nothing is dialled before the backoff delay and a new request.
    Permanent,
    /// The peer is there but asks for fewer of us (`MaxStartups`): retried like
    /// [`Transient`](Self::Transient), starting one backoff step later.
    Busy,
}

/// When a pool asks whether a session is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Moment {
    /// It is about to be lent.
    Acquire,
    /// A lease of it has ended.
    Release,
}

/// Opens, checks and closes the sessions of a [`Pool`](crate::Pool).
///
/// Methods that may wait run on the pool's own worker threads or on the thread of the caller that
/// is borrowing, never under the pool's lock. Each is bounded by the matching timeout of the
/// [`Config`](crate::Config): a call that outlives it is [interrupted](Interrupt), where the backend
/// says how, and written off; what it brings later is closed. An implementation should still bound
/// its own waits, so that written-off threads end.
///
/// A method that panics costs its session, never the pool.
pub trait Backend: Send + Sync + 'static {
    /// What is pooled. It is owned by the pool or by one guard, never by both.
    type Session: Send + 'static;
    /// Why an operation failed.
    type Error: StdError + Send + Sync + 'static;

    /// Opens a session, ready for use. May wait, up to `connect_timeout`.
    fn connect(&self) -> Result<Self::Session, Self::Error>;

    /// As [`connect`](Self::connect), for backends that can end a connect that hangs: tell
    /// `interrupt` how, as soon as there is something to end (a socket to shut down). It is used
    /// when the time of the connect is up, and when the pool is closed. By default the same as
    /// `connect`, and a call that hangs keeps its thread until it returns.
    #[allow(unused_variables)]
    fn connect_interruptible(&self, interrupt: &Interrupt) -> Result<Self::Session, Self::Error> {
        self.connect()
    }

    /// What ends a check, a reset or a close of this session that hangs, from another thread: by
    /// shutting down its socket, say. Asked before each of them; never waits. By default nothing
    /// does.
    #[allow(unused_variables)]
    fn kill_switch(&self, session: &mut Self::Session) -> Option<KillSwitch> {
        None
    }

    /// Whether the session is known to be unusable, from what is already here: flags, a peek at
    /// the socket. Never waits; called at every borrow and return.
    fn is_broken(&self, session: &mut Self::Session) -> bool;

    /// As [`is_broken`](Self::is_broken), for backends to which it matters when they are asked;
    /// this is what the pool calls. By default the same. A decorator passes it on.
    #[allow(unused_variables)]
    fn is_broken_at(&self, session: &mut Self::Session, moment: Moment) -> bool {
        self.is_broken(session)
    }

    /// Asks the peer for a sign of life: one round trip. May wait, up to `check_timeout`.
    ///
    /// Called before a session is lent that was idle for longer than `check_after_idle`.
    fn check(&self, session: &mut Self::Session) -> Result<(), Self::Error>;

    /// Keeps an idle session open: traffic both ways, so that no gateway forgets it and a dead
    /// peer is noticed. May wait, up to `check_timeout`. By default the same as
    /// [`check`](Self::check).
    fn keepalive(&self, session: &mut Self::Session) -> Result<(), Self::Error> {
        self.check(session)
    }

    /// Whether a returned session must be [`reset`](Self::reset) before somebody else gets it.
    /// Never waits. By default no.
    #[allow(unused_variables)]
    fn needs_reset(&self, session: &mut Self::Session) -> bool {
        false
    }

    /// Removes what a borrower left behind. May wait, up to `reset_timeout`.
    #[allow(unused_variables)]
    fn reset(&self, session: &mut Self::Session) -> Result<(), Self::Error> {
        Ok(())
    }

    /// Ends a session, politely if that can be done within `close_timeout`. By default drops it.
    #[allow(unused_variables)]
    fn close(&self, session: Self::Session) {}

    /// What a failed [`connect`](Self::connect) means for those who wait. By default
    /// [`ErrorKind::Transient`].
    #[allow(unused_variables)]
    fn classify(&self, error: &Self::Error) -> ErrorKind {
        ErrorKind::Transient
    }
}
