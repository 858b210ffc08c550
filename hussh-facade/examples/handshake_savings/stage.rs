//! What must be put in order when the demo ends, by itself or by Ctrl-C.

use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use anyhow::{Result, anyhow};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::login::Login;
use crate::own;
use crate::server::Server;

/// What a shell reports for a program ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

/// Holds the server while it runs.
#[derive(Default)]
pub(crate) struct Stage {
    server: Mutex<Option<Server>>,
    /// The terminal as it was before a secret was asked for.
    terminal: Mutex<Option<Termios>>,
    interrupted: AtomicBool,
}

impl Stage {
    /// From here on Ctrl-C and `SIGTERM` stop the server before they end the process.
    pub(crate) fn watch() -> Result<Arc<Self>> {
        let stage = Arc::new(Self::default());
        let (ready, outcome) = mpsc::channel();
        let watched = Arc::clone(&stage);
        let cannot = |error: io::Error| anyhow!("cannot watch for Ctrl-C: {error}");
        let watcher = thread::Builder::new().name("ctrl-c".into());
        watcher
            .spawn(move || match wait_for_signal(&ready) {
                Ok(()) => watched.interrupt(),
                // There is no watch then, and nobody goes on.
                Err(error) => drop(ready.send(Err(error))),
            })
            .map_err(cannot)?;
        outcome.recv().map_err(io::Error::other).flatten().map_err(cannot)?;
        Ok(stage)
    }

    /// Starts the server, or asks the user's own to let us in.
    pub(crate) fn open(&self, arguments: &Arguments) -> Result<Login> {
        let mut place = lock(&self.server);
        // Under the lock: whoever stops it waits until it can be stopped.
        let server = place.insert(Server::start(arguments)?);
        if let Some(login) = server.login() {
            return Ok(login);
        }
        drop(place);
        match &arguments.host {
            Some(target) => own::login(target, arguments, self),
            None => Err(anyhow!("there is no server to log in to")),
        }
    }

    /// What the server counted once it saw so many commands; `None` for a server not of ours.
    pub(crate) fn counted(&self, commands: usize) -> Result<Option<usize>> {
        self.server(|server| Ok(server.counted(commands)?))?
    }

    pub(crate) fn server_name(&self) -> Result<String> {
        self.server(Server::name)
    }

    /// Asks for a secret that is not shown.
    pub(crate) fn ask(&self, prompt: &str) -> Result<String> {
        *lock(&self.terminal) = tcgetattr(io::stdin()).ok();
        let answer = rpassword::prompt_password(prompt);
        *lock(&self.terminal) = None;
        answer.map_err(|error| anyhow!("cannot read from the terminal: {error}"))
    }

    /// Stops the server. Does not come back if somebody pressed Ctrl-C.
    pub(crate) fn clear(&self) {
        let server = lock(&self.server).take();
        drop(server);
        while self.interrupted.load(Ordering::SeqCst) {
            // The other thread ends the process.
            thread::park();
        }
    }

    fn server<T>(&self, read: impl FnOnce(&Server) -> T) -> Result<T> {
        lock(&self.server).as_ref().map(read).ok_or_else(|| anyhow!("the server is gone"))
    }

    fn interrupt(&self) {
        self.interrupted.store(true, Ordering::SeqCst);
        let server = lock(&self.server).take();
        drop(server);
        if let Some(terminal) = &*lock(&self.terminal) {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, terminal);
        }
        let _ = writeln!(io::stderr(), "\nhandshake_savings: interrupted");
        process::exit(INTERRUPTED);
    }
}

/// Says when it is listening, and returns at the first signal.
fn wait_for_signal(ready: &mpsc::Sender<io::Result<()>>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let _ = ready.send(Ok(()));
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
