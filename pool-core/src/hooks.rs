//! Hooks around a backend: code of the program's own at the turns of a session's life.

use std::future::{Future, ready};
use std::ops::ControlFlow;

use crate::backend::{Backend, ErrorKind, Moment};
use crate::interrupt::{Interrupt, KillSwitch};
use crate::tasks::AsyncBackend;

/// What is done at the turns of a session's life in a [`Pool`](crate::Pool): see [`Hooked`]. Each
/// hook does nothing by default. One that panics costs its session.
pub trait Hooks<B: Backend>: Send + Sync + 'static {
    /// A session was opened, and nobody has it yet: a place to select a database, say. May wait,
    /// within `connect_timeout`.
    ///
    /// # Errors
    ///
    /// Why the session is of no use. It is closed, and the connect has failed with this error, which
    /// the backend classifies.
    #[allow(unused_variables)]
    fn after_connect(&self, backend: &B, session: &mut B::Session) -> Result<(), B::Error> {
        Ok(())
    }

    /// A session that is not broken is about to be lent. Never waits. [`ControlFlow::Break`] has it
    /// closed and another one lent, as if [`Backend::is_broken`] had said so.
    #[allow(unused_variables)]
    fn before_acquire(&self, backend: &B, session: &mut B::Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// A lease has ended with its session not broken; where the session needs a reset, that comes
    /// later. Never waits. [`ControlFlow::Break`] has the session closed.
    #[allow(unused_variables)]
    fn after_release(&self, backend: &B, session: &mut B::Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// A session is about to be closed, for whatever reason. May wait, within `close_timeout`.
    #[allow(unused_variables)]
    fn before_close(&self, backend: &B, session: &mut B::Session) {}
}

/// [`Hooks`] for an [`AsyncPool`](crate::AsyncPool): those that may wait are futures.
pub trait AsyncHooks<B: AsyncBackend>: Send + Sync + 'static {
    /// See [`Hooks::after_connect`].
    ///
    /// # Errors
    ///
    /// As there.
    #[allow(unused_variables)]
    fn after_connect(
        &self,
        backend: &B,
        session: &mut B::Session,
    ) -> impl Future<Output = Result<(), B::Error>> + Send {
        ready(Ok(()))
    }

    /// See [`Hooks::before_acquire`].
    #[allow(unused_variables)]
    fn before_acquire(&self, backend: &B, session: &mut B::Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// See [`Hooks::after_release`].
    #[allow(unused_variables)]
    fn after_release(&self, backend: &B, session: &mut B::Session) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// See [`Hooks::before_close`].
    #[allow(unused_variables)]
    fn before_close(
        &self,
        backend: &B,
        session: &mut B::Session,
    ) -> impl Future<Output = ()> + Send {
        ready(())
    }
}

/// A backend with hooks. It is a backend itself, and all that has no hook is the inner backend's.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use pool_core::{Backend, Config, Guard, Hooked, Hooks, Pool};
/// # use std::convert::Infallible;
/// # struct Counters;
/// # impl Backend for Counters {
/// #     type Session = u32;
/// #     type Error = Infallible;
/// #     fn connect(&self) -> Result<u32, Infallible> { Ok(0) }
/// #     fn is_broken(&self, _: &mut u32) -> bool { false }
/// #     fn check(&self, _: &mut u32) -> Result<(), Infallible> { Ok(()) }
/// # }
///
/// struct AtMostThreeUses;
///
/// impl Hooks<Counters> for AtMostThreeUses {
///     fn after_release(&self, _: &Counters, uses: &mut u32) -> ControlFlow<()> {
///         *uses += 1;
///         if *uses < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
///     }
/// }
///
/// let pool = Pool::new(Hooked::new(Counters, AtMostThreeUses), Config::default());
/// let numbers: Vec<u64> = (0..4).map(|_| Guard::id(&pool.get().unwrap())).collect();
/// assert!(numbers[0] == numbers[2] && numbers[2] != numbers[3]);
/// ```
#[derive(Debug, Clone)]
pub struct Hooked<B, H> {
    backend: B,
    hooks: H,
}

impl<B, H> Hooked<B, H> {
    /// Puts hooks around a backend.
    pub fn new(backend: B, hooks: H) -> Self {
        Self { backend, hooks }
    }

    /// The backend inside.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// The hooks.
    pub fn hooks(&self) -> &H {
        &self.hooks
    }
}

impl<B: Backend, H: Hooks<B>> Hooked<B, H> {
    fn welcome(&self, mut session: B::Session) -> Result<B::Session, B::Error> {
        match self.hooks.after_connect(&self.backend, &mut session) {
            Ok(()) => Ok(session),
            Err(error) => {
                self.backend.close(session);
                Err(error)
            }
        }
    }
}

impl<B: Backend, H: Hooks<B>> Backend for Hooked<B, H> {
    type Session = B::Session;
    type Error = B::Error;

    fn connect(&self) -> Result<B::Session, B::Error> {
        self.backend.connect().and_then(|session| self.welcome(session))
    }

    fn connect_interruptible(&self, interrupt: &Interrupt) -> Result<B::Session, B::Error> {
        let mut session = self.backend.connect_interruptible(interrupt)?;
        if let Some(kill) = self.backend.kill_switch(&mut session) {
            interrupt.on_interrupt(kill);
        }
        self.welcome(session)
    }

    fn kill_switch(&self, session: &mut B::Session) -> Option<KillSwitch> {
        self.backend.kill_switch(session)
    }

    fn is_broken(&self, session: &mut B::Session) -> bool {
        self.backend.is_broken(session)
    }

    fn is_broken_at(&self, session: &mut B::Session, moment: Moment) -> bool {
        self.backend.is_broken_at(session, moment)
            || match moment {
                Moment::Acquire => self.hooks.before_acquire(&self.backend, session),
                Moment::Release => self.hooks.after_release(&self.backend, session),
            }
            .is_break()
    }

    fn check(&self, session: &mut B::Session) -> Result<(), B::Error> {
        self.backend.check(session)
    }

    fn keepalive(&self, session: &mut B::Session) -> Result<(), B::Error> {
        self.backend.keepalive(session)
    }

    fn needs_reset(&self, session: &mut B::Session) -> bool {
        self.backend.needs_reset(session)
    }

    fn reset(&self, session: &mut B::Session) -> Result<(), B::Error> {
        self.backend.reset(session)
    }

    fn close(&self, mut session: B::Session) {
        self.hooks.before_close(&self.backend, &mut session);
        self.backend.close(session);
    }

    fn classify(&self, error: &B::Error) -> ErrorKind {
        self.backend.classify(error)
    }
}

impl<B: AsyncBackend, H: AsyncHooks<B>> AsyncBackend for Hooked<B, H> {
    type Session = B::Session;
    type Error = B::Error;

    async fn connect(&self) -> Result<B::Session, B::Error> {
        let mut session = self.backend.connect().await?;
        match self.hooks.after_connect(&self.backend, &mut session).await {
            Ok(()) => Ok(session),
            Err(error) => {
                self.backend.close(session).await;
                Err(error)
            }
        }
    }

    fn is_broken(&self, session: &mut B::Session) -> bool {
        self.backend.is_broken(session)
    }

    fn is_broken_at(&self, session: &mut B::Session, moment: Moment) -> bool {
        self.backend.is_broken_at(session, moment)
            || match moment {
                Moment::Acquire => self.hooks.before_acquire(&self.backend, session),
                Moment::Release => self.hooks.after_release(&self.backend, session),
            }
            .is_break()
    }

    async fn check(&self, session: &mut B::Session) -> Result<(), B::Error> {
        self.backend.check(session).await
    }

    async fn keepalive(&self, session: &mut B::Session) -> Result<(), B::Error> {
        self.backend.keepalive(session).await
    }

    fn needs_reset(&self, session: &mut B::Session) -> bool {
        self.backend.needs_reset(session)
    }

    async fn reset(&self, session: &mut B::Session) -> Result<(), B::Error> {
        self.backend.reset(session).await
    }

    async fn close(&self, mut session: B::Session) {
        self.hooks.before_close(&self.backend, &mut session).await;
        self.backend.close(session).await;
    }

    fn classify(&self, error: &B::Error) -> ErrorKind {
        self.backend.classify(error)
    }
}
