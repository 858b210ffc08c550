//! A tokio runtime on threads of its own, for servers that are used from sync and async tests.

use std::future::Future;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// How long the runtime may take to end before it is left to itself.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The runtime; ends when dropped, which may happen inside another runtime.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    // A receiver is for one thread; servers and proxies are shared by several.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Background {
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name(name).enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (end, ended) = mpsc::channel();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(END_PATIENCE);
            let _ = end.send(());
        })?;
        Ok(Self { handle, stop: Some(stop), ended: Mutex::new(ended) })
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.handle.spawn(task).abort_handle()
    }

    /// Runs something that needs the runtime's context and doesn't wait.
    pub(crate) fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        let _context = self.handle.enter();
        work()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
            let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
            let _ = ended.recv_timeout(2 * END_PATIENCE);
        }
    }
}
