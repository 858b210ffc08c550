//! A session pool that keeps its promises: sync and async, generic, proven.
//!
//! A *session* is anything that is costly to open and can be used again: a connection with its
//! handshake and login, above all. A pool opens sessions when they are wanted, lends each to one
//! borrower at a time, makes sure that what it lends is alive, and closes what is old, broken or
//! too many. This crate knows no protocol; you say how to open, check and close
//! ([`Backend`], [`AsyncBackend`]).
//!
//! ```
//! use std::io;
//! use std::net::{SocketAddr, TcpListener, TcpStream};
//!
//! use pool_core::{Backend, Config, Pool};
//!
//! struct Connections(SocketAddr);
//!
//! impl Backend for Connections {
//!     type Session = TcpStream;
//!     type Error = io::Error;
//!
//!     fn connect(&self) -> io::Result<TcpStream> {
//!         TcpStream::connect(self.0)
//!     }
//!
//!     fn is_broken(&self, session: &mut TcpStream) -> bool {
//!         // Never waits, and asks nobody. Between two uses nothing may come from this peer, so
//!         // whatever is not "nothing yet" is its end, or an answer that somebody left unread.
//!         let peeked = session.set_nonblocking(true).and_then(|()| session.peek(&mut [0]));
//!         let restored = session.set_nonblocking(false);
//!         let quiet = matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
//!         restored.is_err() || !quiet
//!     }
//!
//!     fn check(&self, _: &mut TcpStream) -> io::Result<()> {
//!         // One round trip would go here; this protocol has none to offer.
//!         Ok(())
//!     }
//! }
//!
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let pool = Pool::new(Connections(server.local_addr()?), Config::builder().max_size(4).build()?);
//! {
//!     let session = pool.get()?;
//!     session.set_nodelay(true)?;
//! } // goes back here
//! assert_eq!(pool.stats().idle, 1);
//!
//! // A peer that hangs up is noticed before anybody gets its session.
//! drop(server.accept()?);
//! let session = pool.get()?;
//! assert_eq!(pool.stats().counters.replaced, 1);
//! drop(session);
//! pool.close()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For tasks there is the same, awaited (feature `tokio`):
//!
//! ```
//! use std::io;
//! use std::net::SocketAddr;
//!
//! use pool_core::{AsyncBackend, AsyncPool, Config};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! struct Connections(SocketAddr);
//!
//! impl AsyncBackend for Connections {
//!     type Session = TcpStream;
//!     type Error = io::Error;
//!
//!     async fn connect(&self) -> io::Result<TcpStream> {
//!         TcpStream::connect(self.0).await
//!     }
//!
//!     fn is_broken(&self, session: &mut TcpStream) -> bool {
//!         let read = session.try_read(&mut [0]);
//!         !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
//!     }
//!
//!     async fn check(&self, _: &mut TcpStream) -> io::Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! # #[cfg(feature = "tokio")]
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = TcpListener::bind("127.0.0.1:0").await?;
//!     let pool = AsyncPool::new(Connections(server.local_addr()?), Config::default());
//!     {
//!         let session = pool.get().await?;
//!         session.set_nodelay(true)?;
//!     } // goes back here
//!     assert_eq!(pool.stats().idle, 1);
//!     pool.close().await?;
//!     Ok(())
//! }
//! # #[cfg(not(feature = "tokio"))]
//! # fn main() {}
//! ```
//!
//! The examples `line_protocol` and `async_line_protocol` have more to them: a login, errors that
//! will not go away, keepalives.
//!
//! # What it promises
//!
//! * **Never more than `max_size`**, sessions being opened and closed included; also while it is
//!   resized. A session has one owner, by type.
//! * **First come, first served.** A newcomer never overtakes, a woken borrower never queues again,
//!   one deadline covers the whole borrow. A session that comes back is handed to whoever waits
//!   longest.
//! * **What is lent is alive**, as far as can be known: `is_broken` is asked at every borrow,
//!   `check` where a session was silent for longer than `check_after_idle`. A session that fails is
//!   replaced within the same borrow; the borrower keeps its place and sees nothing of it. After
//!   one failed check, its idle siblings are suspects and are checked in the background.
//! * **The server is treated kindly.** Borrowers wait on the pool, never on a connect of their own:
//!   at most `max_connecting` run, none that nobody wants any more, with exponential backoff and
//!   jitter. A permanent error (a wrong password) reaches all who wait after *one* attempt, and
//!   nobody dials again before `breaker_delay`.
//! * **Cancelling is clean.** A borrow may be dropped at any point and leaves nothing behind. A
//!   session whose check, keepalive or reset was interrupted is closed, never lent.
//! * **Giving back never waits**, never spawns, never panics, wherever the guard is dropped.
//! * **Nobody's code runs under the lock**, so a panic in a backend or an observer costs one
//!   session and no more.
//! * **Idle sessions are looked after:** keepalives, expiry with jitter, `min_idle` kept, the
//!   successor opened before the last one retires.
//! * **It ends.** [`Pool::close`] resolves when nothing is open or at its deadline.
//! * **It explains itself:** a timeout says what was waited for, for how long, what the last connect
//!   failed with and which line of code holds the oldest lease; [`Stats`] are one consistent
//!   snapshot; an [`Observer`] is told everything.
//!
//! Each of these is a property that is tested after every step of random scripts over the state
//! machine in `src/core`, which has no clock, no thread and no lock; `tests/README.md` lists them.
//!
//! # What is in it
//!
//! | | |
//! |---|---|
//! | [`Pool`] | for threads; a few worker threads, started when needed |
//! | [`AsyncPool`] | for tasks; one driver task, tokio (feature `tokio`) or any [`Runtime`] |
//! | [`KeyedPool`], [`AsyncKeyedPool`] | a pool per key under one total |
//! | [`PoolBuilder::shared`] | several leases of one session |
//! | [`DynAsyncBackend`], `Arc<dyn Backend>` | backends chosen at run time |
//! | [`Hooked`] | code of your own after a connect, before an acquire, after a release, before a close |
//! | [`Keepalive`] | when to ask a silent peer, when to give it up |
//! | [`MetricsObserver`](Observer) | figures for the `metrics` crate (feature `metrics`) |
//!
//! What is promised, line by line: [`contract`]. Coming from r2d2, bb8 or deadpool: [`coming_from`].
#![forbid(unsafe_code)]

// Public for the models, tests and fuzz targets that drive it by hand; a user needs none of it.
#[doc(hidden)]
pub mod core;

mod kinds;
mod panics;
mod config;
mod backend;
mod interrupt;
mod event;
mod error;
mod stats;
mod clock;
mod domain;
mod runtime;
mod shared;
mod locate;
mod acquire;
mod guard;
mod owner;
mod sync;
mod tasks;
mod keyed;
mod keepalive;
mod erased;
mod hooks;
#[cfg(feature = "metrics")]
mod metrics;

pub use crate::core::{Health, OldestLease, TimeoutReport};
pub use backend::{Backend, ErrorKind, Moment};
pub use clock::{Clock, SystemClock};
pub use config::{Config, ConfigBuilder, ConfigError, Order};
// Bounds and parts of the pools that signatures name; nobody implements or calls them.
#[doc(hidden)]
pub use domain::{Domain, LocalChecks, Machine, Said, Single};
pub use erased::DynAsyncBackend;
pub use error::{AcquireError, Closed, DrainTimeout, WarmError};
pub use event::{Event, EventError, NotAcquired, Observer};
pub use guard::{Guard, Scope};
pub use hooks::{AsyncHooks, Hooked, Hooks};
pub use interrupt::{Interrupt, KillSwitch};
pub use keepalive::{Keepalive, KeepaliveStep};
#[doc(hidden)]
pub use keyed::core as keyed_core;
pub use keyed::{
    AsyncKeyedPool, AsyncKeyedPoolBuilder, AsyncKeyedPooled, KeyedAcquire, KeyedConfig,
    KeyedHandle, KeyedObserver, KeyedPool, KeyedPoolBuilder, KeyedPooled, KeyedStats,
};
#[doc(hidden)]
pub use keyed::{ByKey, Keyed};
pub use kinds::{CloseReason, ConnectFailure, Operation, WaitPhase};
#[doc(hidden)]
pub use locate::Locate;
#[cfg(feature = "metrics")]
pub use metrics::MetricsObserver;
#[cfg(feature = "tokio")]
pub use runtime::TokioRuntime;
pub use runtime::{BoxFuture, Runtime};
pub use stats::{Counters, Stats};
#[doc(hidden)]
pub use sync::Blocking;
pub use sync::{Pool, PoolBuilder, Pooled};
#[doc(hidden)]
pub use tasks::AsyncAdapter;
pub use tasks::{Acquire, AsyncBackend, AsyncPool, AsyncPoolBuilder, AsyncPooled};

#[doc = include_str!("../docs/contract.md")]
pub mod contract {}

#[doc = include_str!("../docs/coming-from.md")]
pub mod coming_from {}
