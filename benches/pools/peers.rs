//! The peers, configured as ours is.

use std::convert::Infallible;
use std::time::Duration;

use super::{Bb8, Deadpool, Mobc, Numbers, R2d2, TaskPool, ThreadPool};

const TIMEOUT: Duration = Duration::from_secs(30);

impl r2d2::ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(Self::connect(self))
    }

    fn is_valid(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _session: &mut u64) -> bool {
        false
    }
}

impl ThreadPool for R2d2 {
    const NAME: &'static str = "r2d2";
    type Lent = r2d2::PooledConnection<Numbers>;
    type Error = r2d2::Error;

    fn open(numbers: Numbers, size: usize, min_idle: Option<usize>) -> Self {
        Self::builder()
            .max_size(size as u32)
            .min_idle(min_idle.map(|idle| idle as u32))
            .test_on_check_out(false)
            .connection_timeout(TIMEOUT)
            .build_unchecked(numbers)
    }

    fn take(&self) -> Result<Self::Lent, Self::Error> {
        self.get()
    }
}

impl deadpool::managed::Manager for Numbers {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(self.connect_async().await)
    }

    async fn recycle(
        &self,
        _session: &mut u64,
        _metrics: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

impl TaskPool for Deadpool {
    const NAME: &'static str = "deadpool";
    type Lent<'a> = deadpool::managed::Object<Numbers>;
    type Error = deadpool::managed::PoolError<Infallible>;

    fn open(numbers: Numbers, size: usize, _min_idle: Option<usize>) -> Self {
        Self::builder(numbers)
            .max_size(size)
            .wait_timeout(Some(TIMEOUT))
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .unwrap_or_else(|error| panic!("deadpool refuses a plain configuration: {error}"))
    }

    fn take(&self) -> impl Future<Output = Result<Self::Lent<'_>, Self::Error>> + Send {
        self.get()
    }
}

impl bb8::ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.connect_async().await)
    }

    async fn is_valid(&self, _session: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _session: &mut u64) -> bool {
        false
    }
}

impl TaskPool for Bb8 {
    const NAME: &'static str = "bb8";
    type Lent<'a> = bb8::PooledConnection<'a, Numbers>;
    type Error = bb8::RunError<Infallible>;

    fn open(numbers: Numbers, size: usize, min_idle: Option<usize>) -> Self {
        Self::builder()
            .max_size(size as u32)
            .min_idle(min_idle.map(|idle| idle as u32))
            .test_on_check_out(false)
            .connection_timeout(TIMEOUT)
            .build_unchecked(numbers)
    }

    fn take(&self) -> impl Future<Output = Result<Self::Lent<'_>, Self::Error>> + Send {
        self.get()
    }
}

#[mobc::async_trait]
impl mobc::Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(self.connect_async().await)
    }

    async fn check(&self, session: u64) -> Result<u64, Infallible> {
        Ok(session)
    }
}

impl TaskPool for Mobc {
    const NAME: &'static str = "mobc";
    type Lent<'a> = mobc::Connection<Numbers>;
    type Error = mobc::Error<Infallible>;

    fn open(numbers: Numbers, size: usize, _min_idle: Option<usize>) -> Self {
        Self::builder()
            .max_open(size as u64)
            .max_idle(size as u64)
            .get_timeout(Some(TIMEOUT))
            .test_on_check_out(false)
            .build(numbers)
    }

    fn take(&self) -> impl Future<Output = Result<Self::Lent<'_>, Self::Error>> + Send {
        self.get()
    }
}
