//! Our backends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use pool_core::{AsyncBackend, AsyncPool, Backend, Config, Pool};

use super::Opened;

/// Opens numbers, after a delay if one is given.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// How many were opened.
    pub opened: Arc<Opened>,
    /// How long each takes.
    pub delay: Duration,
}

impl Backend for Numbers {
    type Session = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        Ok(self.opened.next())
    }

    fn is_broken(&self, _session: &mut u64) -> bool {
        false
    }

    fn check(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The same for tasks.
#[derive(Debug, Clone, Default)]
pub struct AsyncNumbers(pub Numbers);

impl AsyncBackend for AsyncNumbers {
    type Session = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        if !self.0.delay.is_zero() {
            tokio::time::sleep(self.0.delay).await;
        }
        Ok(self.0.opened.next())
    }

    fn is_broken(&self, _session: &mut u64) -> bool {
        false
    }

    async fn check(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }
}

/// A pool as its users get it: deadline, statistics and expiry on.
pub fn sync_pool(size: usize, numbers: Numbers) -> Pool<Numbers> {
    Pool::new(numbers, config(size))
}

/// The same for tasks; to be called within the runtime.
pub fn async_pool(size: usize, numbers: Numbers) -> AsyncPool<AsyncNumbers> {
    AsyncPool::new(AsyncNumbers(numbers), config(size))
}

fn config(size: usize) -> Config {
    Config::builder()
        .max_size(size)
        .keepalive_interval(Some(Duration::from_secs(30)))
        .build()
        .unwrap_or_default()
}
