//! The peers' managers over the same numbers.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use super::Opened;

/// Opens numbers for each of the peers, after a delay if one is given.
#[derive(Debug, Clone, Default)]
pub struct Manager {
    /// How many were opened.
    pub opened: Arc<Opened>,
    /// How long each takes.
    pub delay: Duration,
}

impl Manager {
    async fn open(&self) -> u64 {
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.opened.next()
    }
}

impl r2d2::ManageConnection for Manager {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        if !self.delay.is_zero() {
            std::thread::sleep(self.delay);
        }
        Ok(self.opened.next())
    }

    fn is_valid(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _session: &mut u64) -> bool {
        false
    }
}

impl bb8::ManageConnection for Manager {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.open().await)
    }

    async fn is_valid(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _session: &mut u64) -> bool {
        false
    }
}

impl deadpool::managed::Manager for Manager {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(self.open().await)
    }

    async fn recycle(
        &self,
        _session: &mut u64,
        _metrics: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

#[mobc::async_trait]
impl mobc::Manager for Manager {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.open().await)
    }

    async fn check(&self, session: u64) -> Result<u64, Infallible> {
        Ok(session)
    }
}

/// r2d2 in the same mode as ours: nothing is checked at a borrow, a deadline is.
pub fn r2d2(size: u32, manager: Manager) -> r2d2::Pool<Manager> {
    r2d2::Pool::builder().max_size(size).test_on_check_out(false).build_unchecked(manager)
}

/// bb8 in the same mode as ours.
pub fn bb8(size: u32, manager: Manager) -> bb8::Pool<Manager> {
    bb8::Pool::builder().max_size(size).test_on_check_out(false).build_unchecked(manager)
}

/// deadpool in the same mode as ours, with a deadline.
pub fn deadpool(size: usize, manager: Manager) -> deadpool::managed::Pool<Manager> {
    deadpool::managed::Pool::builder(manager)
        .max_size(size)
        .wait_timeout(Some(Duration::from_secs(30)))
        .runtime(deadpool::Runtime::Tokio1)
        .build()
        .unwrap_or_else(|error| panic!("deadpool refused a plain configuration: {error}"))
}

/// mobc in the same mode as ours.
pub fn mobc(size: u64, manager: Manager) -> mobc::Pool<Manager> {
    mobc::Pool::builder().max_open(size).max_idle(size).test_on_check_out(false).build(manager)
}
