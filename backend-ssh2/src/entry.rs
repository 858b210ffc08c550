//! Waiting for one's turn to dial a host, and for a busy one.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use pool_core::Interrupt;
use ssh_session::gate::{Admission, Dialling};
use ssh_session::{Options, Phase, SshError, Target};

use crate::deadline::Deadline;

/// Waits until no more dial the host than may.
pub(crate) fn enter<'d>(
    dialling: &'d Dialling,
    options: &Options,
    deadline: &Deadline,
    interrupt: &Interrupt,
) -> Result<Admission<'d>, SshError> {
    let entered = wait(dialling.enter(), &options.target, deadline, interrupt)?;
    entered.ok_or_else(|| deadline.late(&options.target, Phase::Connect))
}

/// Lets some time go by.
pub(crate) fn pause(
    time: Duration,
    target: &Target,
    interrupt: &Interrupt,
) -> Result<(), SshError> {
    wait(pending::<()>(), target, &Deadline::after(Some(time)), interrupt).map(drop)
}

/// Waits for something that needs no runtime; `None` at the deadline.
fn wait<T>(
    work: impl Future<Output = T>,
    target: &Target,
    deadline: &Deadline,
    interrupt: &Interrupt,
) -> Result<Option<T>, SshError> {
    let waker = Waker::from(Arc::new(Sleeper(thread::current())));
    let mut work = pin!(work);
    let mut context = Context::from_waker(&waker);
    let mut told = false;
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut context) {
            return Ok(Some(done));
        }
        if !std::mem::replace(&mut told, true) {
            let waker = waker.clone();
            interrupt.on_interrupt(move || waker.wake());
        }
        if interrupt.is_interrupted() {
            return Err(SshError::Closed { target: target.clone(), maybe_started: false });
        }
        match deadline.remaining() {
            Some(Duration::ZERO) => return Ok(None),
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

/// Others may unpark a thread for reasons of their own.
struct Sleeper(Thread);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
