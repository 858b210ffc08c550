//! Ours.

use std::convert::Infallible;
use std::time::Duration;

use pool_core::{AcquireError, AsyncBackend, AsyncPool, AsyncPooled, Backend, Config};
use pool_core::{Pool, Pooled};

use super::{Numbers, TaskPool, ThreadPool};

impl Backend for Numbers {
    type Session = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(Self::connect(self))
    }

    fn is_broken(&self, _session: &mut u64) -> bool {
        false
    }

    fn check(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

impl AsyncBackend for Numbers {
    type Session = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.connect_async().await)
    }

    fn is_broken(&self, _session: &mut u64) -> bool {
        false
    }

    async fn check(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

impl ThreadPool for Pool<Numbers> {
    const NAME: &'static str = "ours";
    type Lent = Pooled<Numbers>;
    type Error = AcquireError<Infallible>;

    fn open(numbers: Numbers, size: usize, min_idle: Option<usize>) -> Self {
        Self::new(numbers, config(size, min_idle))
    }

    fn take(&self) -> Result<Self::Lent, Self::Error> {
        self.get()
    }
}

impl TaskPool for AsyncPool<Numbers> {
    const NAME: &'static str = "ours";
    type Lent<'a> = AsyncPooled<Numbers>;
    type Error = AcquireError<Infallible>;

    fn open(numbers: Numbers, size: usize, min_idle: Option<usize>) -> Self {
        Self::new(numbers, config(size, min_idle))
    }

    fn take(&self) -> impl Future<Output = Result<Self::Lent<'_>, Self::Error>> + Send {
        self.get()
    }
}

/// The defaults, and keepalives: a deadline of 30 s, jittered expiry, no check of a session that
/// was used within a second.
fn config(size: usize, min_idle: Option<usize>) -> Config {
    Config::builder()
        .max_size(size)
        .min_idle(min_idle.unwrap_or(0))
        .keepalive_interval(Some(Duration::from_secs(30)))
        .build()
        .unwrap_or_else(|error| panic!("a plain configuration is refused: {error}"))
}
