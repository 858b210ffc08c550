//! One direction of one connection: reads, holds back, spoils, writes.

use std::future::{pending, ready};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::faults::{Direction, Faults};

/// Chunks on their way at most: with [`CHUNK`] bytes each, what a slow long line holds.
const IN_FLIGHT: usize = 1024;

const CHUNK: usize = 16 << 10;

/// How a direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The sender closed its side, and the receiver was told.
    Closed,
    /// As many bytes as the test wanted have passed.
    Cut,
    /// A socket failed.
    Broken,
    /// A gateway has forgotten this connection.
    Forgotten,
}

/// When the connection was last used, in either direction.
#[derive(Debug)]
pub(super) struct Activity(Mutex<Instant>);

impl Activity {
    pub(super) fn now() -> Self {
        Self(Mutex::new(Instant::now()))
    }

    /// Notes a use; says how long the connection had been idle before.
    fn touch(&self) -> Duration {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = last.elapsed();
        *last = Instant::now();
        idle
    }
}

enum Item {
    Data(Bytes),
    End(End),
}

pub(super) struct Pump<'a> {
    pub(super) direction: Direction,
    /// What is there when the pump starts came at this moment.
    pub(super) opened: Instant,
    pub(super) faults: watch::Receiver<Faults>,
    pub(super) activity: &'a Activity,
    pub(super) bytes: &'a AtomicU64,
}

impl Pump<'_> {
    /// Carries data until one end says stop. Latency is kept by stamping each chunk when it comes
    /// in, so it costs no throughput.
    pub(super) async fn run(
        &self,
        source: impl AsyncRead + Unpin,
        sink: impl AsyncWrite + Unpin,
    ) -> End {
        let (queue, delivery) = mpsc::channel(IN_FLIGHT);
        let read = async {
            self.read(source, queue).await;
            pending().await
        };
        tokio::select! {
            end = self.write(delivery, sink) => end,
            never = read => never,
        }
    }

    async fn read(&self, mut source: impl AsyncRead + Unpin, queue: mpsc::Sender<(Instant, Item)>) {
        let mut faults = self.faults.clone();
        let mut passed = 0;
        let mut latest = Instant::now();
        let mut early = true;
        let mut buffer = vec![0; CHUNK];
        loop {
            // Silence is not acknowledged: what comes now waits in the sender's kernel.
            let room = match faults
                .wait_for(|faults| faults.way(self.direction).room(passed) != Some(0))
                .await
            {
                Ok(faults) => faults.way(self.direction).room(passed),
                Err(_) => return,
            };
            let room = room.and_then(|room| usize::try_from(room).ok()).unwrap_or(CHUNK);
            let buffer = buffer.get_mut(..room.min(CHUNK)).unwrap_or_default();
            let read = tokio::select! {
                biased;
                read = source.read(buffer) => read,
                () = ready(()), if early => {
                    early = false;
                    continue;
                }
                changed = faults.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            let (way, forget_after) = {
                let faults = faults.borrow();
                (*faults.way(self.direction), faults.forget_idle_after)
            };
            let mut end = None;
            let data = match read {
                Ok(0) => {
                    end = Some(End::Closed);
                    Bytes::new()
                }
                Err(_) => {
                    end = Some(End::Broken);
                    Bytes::new()
                }
                Ok(n) => {
                    let chunk = buffer.get_mut(..n).unwrap_or_default();
                    spoil(chunk, passed, way.corrupt_at);
                    let mut data = Bytes::copy_from_slice(chunk);
                    if let Some(limit) = way.cut_after {
                        let rest = limit.saturating_sub(passed);
                        if data.len() as u64 >= rest {
                            data.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
                            end = Some(End::Cut);
                        }
                    }
                    data
                }
            };
            let idle = self.activity.touch();
            if forget_after.is_some_and(|limit| idle >= limit) {
                let _ = queue.send((latest, Item::End(End::Forgotten))).await;
                return;
            }
            passed += data.len() as u64;
            // Never before what came earlier, however the delay changes.
            let came = if early { self.opened } else { Instant::now() };
            early = false;
            latest = latest.max(came + way.delay + random_part(way.jitter));
            if !data.is_empty() && queue.send((latest, Item::Data(data))).await.is_err() {
                return;
            }
            if let Some(end) = end {
                let _ = queue.send((latest, Item::End(end))).await;
                return;
            }
        }
    }

    async fn write(
        &self,
        mut delivery: mpsc::Receiver<(Instant, Item)>,
        mut sink: impl AsyncWrite + Unpin,
    ) -> End {
        let mut faults = self.faults.clone();
        let mut in_banner = self.direction == Direction::ToClient;
        while let Some((when, item)) = delivery.recv().await {
            sleep_until(when).await;
            let _ = faults.wait_for(|faults| !faults.way(self.direction).held).await;
            let data = match item {
                Item::Data(data) => data,
                Item::End(End::Closed) => {
                    return match sink.shutdown().await {
                        Ok(()) => End::Closed,
                        Err(_) => End::Broken,
                    };
                }
                Item::End(end) => return end,
            };
            let slow_banner = faults.borrow().slow_banner.filter(|_| in_banner);
            let written = match slow_banner {
                Some(pause) => write_slowly(&mut sink, &data, pause).await,
                None => self.write_at_speed(&mut sink, &data).await,
            };
            if written.is_err() {
                return End::Broken;
            }
            in_banner &= !data.contains(&b'\n');
        }
        End::Broken
    }

    async fn write_at_speed(
        &self,
        sink: &mut (impl AsyncWrite + Unpin),
        data: &[u8],
    ) -> std::io::Result<()> {
        let mut rest = data;
        while !rest.is_empty() {
            let speed = self.faults.borrow().way(self.direction).bytes_per_second;
            let part = match speed {
                None => rest.len(),
                // Twenty slices a second.
                Some(speed) => {
                    usize::try_from(speed / 20).unwrap_or(usize::MAX).clamp(1, rest.len())
                }
            };
            let (now, later) = rest.split_at(part);
            sink.write_all(now).await?;
            self.bytes.fetch_add(now.len() as u64, Ordering::Relaxed);
            if let Some(speed) = speed {
                sleep(Duration::from_secs_f64(now.len() as f64 / speed.max(1) as f64)).await;
            }
            rest = later;
        }
        Ok(())
    }
}

/// Byte by byte up to the first line end, with a pause before each; the rest at once.
async fn write_slowly(
    sink: &mut (impl AsyncWrite + Unpin),
    data: &[u8],
    pause: Duration,
) -> std::io::Result<()> {
    let line = data.iter().position(|byte| *byte == b'\n').map_or(data.len(), |end| end + 1);
    let (line, rest) = data.split_at(line);
    for byte in line {
        sleep(pause).await;
        sink.write_all(&[*byte]).await?;
    }
    sink.write_all(rest).await
}

/// Flips one bit of the byte at `offset` of the stream, if it is in this chunk.
fn spoil(chunk: &mut [u8], passed: u64, offset: Option<u64>) {
    let in_chunk = offset
        .and_then(|offset| offset.checked_sub(passed))
        .and_then(|offset| usize::try_from(offset).ok());
    if let Some(byte) = in_chunk.and_then(|offset| chunk.get_mut(offset)) {
        *byte ^= 1;
    }
}

fn random_part(most: Duration) -> Duration {
    if most.is_zero() { most } else { most.mul_f64(crate::keys::random_fraction()) }
}
