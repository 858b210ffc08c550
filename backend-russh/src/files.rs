//! The SFTP channel of a session, for tasks.
//!
//! A task reads from it and writes to it for all; an operation is the caller's own future.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ssh_session::sftp::{Bounds, Client, Conversation, Offload, Work};
use ssh_session::{
    AsyncProcess as _, AsyncSession as _, Chunk, Command, Phase, ProcessId, SshError,
};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::deadline::Deadline;
use crate::process::RusshProcess;
use crate::session::RusshSession;

/// How often it is looked whether a silent server owes an answer, within the time it may be silent.
const LOOKS: u32 = 8;

/// The SFTP channel of a [`RusshSession`]; closed when dropped.
pub struct FileChannel {
    conversation: Arc<Conversation>,
    local: Arc<BlockingThreads>,
    pump: AbortHandle,
    home: ProcessId,
}

/// Local files are read and written on the threads that the runtime has for what blocks.
struct BlockingThreads(Handle);

impl Offload for BlockingThreads {
    fn run(&self, work: Work) {
        drop(self.0.spawn_blocking(work));
    }
}

impl RusshSession {
    /// The SFTP channel that is kept with this session, or a new one.
    ///
    /// # Errors
    ///
    /// [`SshError::RequestRefused`] where the server has no SFTP, and whatever keeps a command from
    /// being started.
    pub async fn files(&self, bounds: &Bounds) -> Result<Arc<FileChannel>, SshError> {
        let deadline = Deadline::after(Some(bounds.idle));
        let opening = async {
            // Whoever waits here waits for the one who opens it; a future that is dropped lets go.
            let mut kept = self.kept_files().lock().await;
            if let Some(good) = kept.as_ref().filter(|kept| kept.is_good()) {
                return Ok(Arc::clone(good));
            }
            *kept = None;
            let command = Command::subsystem("sftp").timeout(bounds.idle);
            let channel = Arc::new(FileChannel::start(self.spawn_kept(&command).await?, self));
            channel.client(*bounds).greet().await?;
            *kept = Some(Arc::clone(&channel));
            Ok(channel)
        };
        deadline.bound(self.target(), Phase::OpenChannel, opening).await?
    }
}

impl RusshSession {
    /// Where work on local files is done that blocks: on the runtime's threads for that.
    pub fn offload(&self) -> impl Offload + use<> {
        BlockingThreads(self.runtime().clone())
    }

    /// Lets go of a channel, if it is the one that is kept and no good any more.
    pub fn drop_bad_files(&self, channel: &Arc<FileChannel>) {
        // Where somebody opens another one, that takes its place anyway.
        if !channel.is_good()
            && let Ok(mut kept) = self.kept_files().try_lock()
        {
            drop(kept.take_if(|kept| Arc::ptr_eq(kept, channel)));
        }
    }
}

impl FileChannel {
    fn start(process: RusshProcess<'static>, session: &RusshSession) -> Self {
        let conversation = Arc::new(Conversation::new(session.target().clone()));
        let runtime = process.runtime().clone();
        let pump = runtime.spawn(pump(process, Arc::clone(&conversation))).abort_handle();
        Self {
            conversation,
            local: Arc::new(BlockingThreads(runtime)),
            pump,
            home: ProcessId::current(),
        }
    }

    /// Whether it can be used for more.
    fn is_good(&self) -> bool {
        !self.conversation.is_over() && !self.conversation.is_in_doubt()
    }

    /// The operations over this channel, to be [run](Self::run) here.
    pub fn client(&self, bounds: Bounds) -> Client {
        Client::new(&self.conversation, Arc::<BlockingThreads>::clone(&self.local), bounds)
    }

    /// Runs an operation to its end. Dropping the future ends it: what it had opened is closed.
    ///
    /// # Errors
    ///
    /// The operation's own; [`SshError::Timeout`] at the deadline, and where the server owes an
    /// answer and is silent for too long. The channel is no good after that.
    pub async fn run<T>(
        &self,
        bounds: &Bounds,
        operation: impl Future<Output = Result<T, SshError>>,
    ) -> Result<T, SshError> {
        let deadline = Deadline::after(bounds.deadline);
        let target = self.conversation.target();
        let mut operation = pin!(operation);
        let (mut silent, mut seen) = (0, self.conversation.pulse().0);
        let look = (bounds.idle / LOOKS).max(Duration::from_millis(1));
        loop {
            tokio::select! {
                biased;
                result = &mut operation => return result,
                () = deadline.passed() => return Err(deadline.error(target, Phase::Run)),
                () = tokio::time::sleep(look) => {}
            }
            let (received, owes) = self.conversation.pulse();
            silent = if owes && received == seen { silent + 1 } else { 0 };
            seen = received;
            if silent >= LOOKS {
                self.conversation.fail(deadline.error(target, Phase::Run));
            }
        }
    }
}

impl Drop for FileChannel {
    fn drop(&mut self) {
        // The runtime of a process that we were forked from is not ours.
        if self.home.is_current() {
            self.pump.abort();
        }
    }
}

/// Reads and writes until the channel ends.
async fn pump(process: RusshProcess<'static>, conversation: Arc<Conversation>) {
    // Also where the runtime ends.
    let _end = End(Arc::clone(&conversation));
    let reading = async {
        loop {
            match process.read().await {
                Ok(Some(Chunk::Stdout(bytes))) => conversation.receive(&bytes),
                Ok(Some(Chunk::Stderr(_))) => {}
                Ok(None) => return conversation.lost("the server has ended SFTP"),
                Err(error) => return error,
            }
            if conversation.is_over() {
                return conversation.lost("it is over");
            }
        }
    };
    let writing = async {
        loop {
            let output = conversation.output().await;
            if let Err(error) = process.write(&output).await {
                return error;
            }
        }
    };
    let error = tokio::select! {
        error = reading => error,
        error = writing => error,
    };
    conversation.fail(error);
}

struct End(Arc<Conversation>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.fail(self.0.lost("the channel is closed"));
    }
}

impl fmt::Debug for FileChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileChannel")
            .field("target", self.conversation.target())
            .finish_non_exhaustive()
    }
}
