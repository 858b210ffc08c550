//! Pairs of sockets in memory: what the system's are to processes, these are to tasks of one.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, BytesMut};
use ssh_session::net::Pending;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much waits in one direction until its reader takes it, in bytes.
const ROOM: usize = 64 * 1024;

/// One of two ends. What is written to the one is read from the other; dropped, it is shut down.
#[derive(Debug)]
pub(crate) struct End(Switch);

/// Either end's means to end it, and to look at it without reading.
#[derive(Debug, Clone)]
pub(crate) struct Switch {
    incoming: Arc<Flow>,
    outgoing: Arc<Flow>,
}

/// Bytes in one direction.
#[derive(Debug, Default)]
struct Flow(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// No more is written; what is there can still be read.
    is_over: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Two ends of one connection.
pub(crate) fn pair() -> (End, End) {
    let (there, back) = (Arc::new(Flow::default()), Arc::new(Flow::default()));
    let ours = Switch { incoming: Arc::clone(&back), outgoing: Arc::clone(&there) };
    (End(ours), End(Switch { incoming: there, outgoing: back }))
}

impl End {
    pub(crate) fn switch(&self) -> Switch {
        self.0.clone()
    }
}

impl Switch {
    /// Ends the connection in both directions, whoever is in the middle of using it. What was
    /// written before can still be read.
    pub(crate) fn shutdown(&self) {
        self.incoming.end();
        self.outgoing.end();
    }

    /// What is there to be read, without taking it.
    pub(crate) fn pending(&self) -> Pending {
        let state = self.incoming.state();
        match (state.bytes.is_empty(), state.is_over) {
            (false, _) => Pending::Bytes,
            (true, true) => Pending::End,
            (true, false) => Pending::Nothing,
        }
    }
}

impl Flow {
    fn end(&self) {
        let mut state = self.state();
        state.is_over = true;
        let (reader, writer) = (state.reader.take(), state.writer.take());
        drop(state);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    fn poll_read(&self, context: &Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.bytes.is_empty() && !state.is_over {
            let replaced = state.reader.replace(context.waker().clone());
            drop((state, replaced));
            return Poll::Pending;
        }
        let count = state.bytes.len().min(buffer.remaining());
        buffer.put_slice(&state.bytes[..count]);
        state.bytes.advance(count);
        let writer = state.writer.take();
        drop(state);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(())
    }

    fn poll_write(&self, context: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        if state.is_over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(ROOM.saturating_sub(state.bytes.len()));
        if count == 0 && !bytes.is_empty() {
            let replaced = state.writer.replace(context.waker().clone());
            drop((state, replaced));
            return Poll::Pending;
        }
        state.bytes.extend_from_slice(&bytes[..count]);
        let reader = state.reader.take();
        drop(state);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.incoming.poll_read(context, buffer).map(Ok)
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.outgoing.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::{Pending, ROOM, pair};

    #[tokio::test]
    async fn what_was_written_is_read_also_after_the_end_and_nothing_is_written_then() {
        let (mut one, mut other) = pair();
        let switch = other.switch();
        assert_eq!(switch.pending(), Pending::Nothing);
        one.write_all(b"last words").await.expect("room");
        assert_eq!(switch.pending(), Pending::Bytes);
        one.switch().shutdown();
        let mut read = Vec::new();
        other.read_to_end(&mut read).await.expect("its end");
        assert_eq!(read, b"last words");
        assert_eq!(switch.pending(), Pending::End);
        assert!(other.write_all(b"x").await.is_err() && one.write_all(b"x").await.is_err());
    }

    #[tokio::test]
    async fn a_writer_waits_for_room_and_for_no_reader_that_is_gone() {
        let (mut one, mut other) = pair();
        let writing = tokio::spawn(async move { one.write_all(&vec![7; 3 * ROOM]).await });
        let mut read = vec![0; 2 * ROOM];
        other.read_exact(&mut read).await.expect("bytes");
        assert!(read.iter().all(|byte| *byte == 7) && !writing.is_finished());
        drop(other);
        assert!(writing.await.expect("no panic").is_err());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_a_shutdown() {
        let (mut one, _other) = pair();
        let switch = one.switch();
        let reading = tokio::spawn(async move { one.read(&mut [0]).await });
        tokio::task::yield_now().await;
        switch.shutdown();
        assert_eq!(reading.await.expect("no panic").expect("the end"), 0);
    }
}
