//! Events of ours, kept until Python fetches them for its `logging`.
//!
//! They arise on threads that never touch Python, so they wait in a bounded queue.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;

use hussh::UNRECORDED;
use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The most events kept; later ones are dropped.
const MOST: usize = 1000;

/// How often a busy queue is asked for. A child may be forked while a thread of its parent's holds
/// the queue, so nobody waits for it for ever.
const TRIES: usize = 1000;

static QUEUE: Mutex<VecDeque<Entry>> = Mutex::new(VecDeque::new());
/// Hosts whose keys were trusted on first use and could not be recorded, whatever the level.
static NOT_RECORDED: Mutex<VecDeque<(String, String)>> = Mutex::new(VecDeque::new());
static WAITING: AtomicBool = AtomicBool::new(false);
/// Python's level: what is below is not kept. Nothing at first.
static LEVEL: AtomicU8 = AtomicU8::new(u8::MAX);

/// Python's level, the crate it is from, and its text.
type Entry = (u8, &'static str, String);

struct Queue;

/// From now on events are kept.
pub(crate) fn install() {
    // Another interpreter of this process did it already: all share one queue.
    let _ = tracing::subscriber::set_global_default(Queue);
}

/// Sets the level below which events are not kept, as Python's `logging` numbers them.
#[pyfunction]
pub(crate) fn log_level(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Whether there are events to fetch.
#[pyfunction]
pub(crate) fn log_waiting() -> bool {
    WAITING.load(Ordering::Relaxed)
}

/// Fetches the events kept so far.
#[pyfunction]
pub(crate) fn log_take() -> Vec<Entry> {
    WAITING.store(false, Ordering::Relaxed);
    patiently(&QUEUE).map(|mut queue| queue.drain(..).collect()).unwrap_or_default()
}

/// Fetches the hosts whose new keys could not be recorded, each with what to say of it.
#[pyfunction]
pub(crate) fn not_recorded_take() -> Vec<(String, String)> {
    patiently(&NOT_RECORDED).map(|mut hosts| hosts.drain(..).collect()).unwrap_or_default()
}

fn patiently<T>(queue: &'static Mutex<T>) -> Option<MutexGuard<'static, T>> {
    for _ in 0..TRIES {
        match queue.try_lock() {
            Ok(queue) => return Some(queue),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => thread::yield_now(),
        }
    }
    None
}

fn python_level(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

impl Subscriber for Queue {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = python_level(metadata.level());
        let ours = ["pool_core", "backend_russh", "ssh_session", "hussh"];
        metadata.is_event()
            && (level >= LEVEL.load(Ordering::Relaxed) || metadata.target() == UNRECORDED)
            && ours.iter().any(|name| metadata.target().starts_with(name))
    }

    fn register_callsite(&self, _: &'static Metadata<'static>) -> tracing::subscriber::Interest {
        // The level changes while we run.
        tracing::subscriber::Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        None
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let module = metadata.target().split("::").next().unwrap_or_default();
        let level = python_level(metadata.level());
        if metadata.target() == UNRECORDED
            && let Some(mut hosts) = patiently(&NOT_RECORDED)
            && hosts.len() < MOST
        {
            hosts.push_back((text.1, text.0.clone()));
            WAITING.store(true, Ordering::Relaxed);
        }
        if level < LEVEL.load(Ordering::Relaxed) {
            return;
        }
        let Some(mut queue) = patiently(&QUEUE) else { return };
        if queue.len() < MOST {
            queue.push_back((level, module, text.0));
            WAITING.store(true, Ordering::Relaxed);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// An event in words: its message, then its fields; and the host that it names, if it does.
#[derive(Default)]
struct Text(String, String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "host" {
            self.1 = value.to_owned();
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => {
                self.0.insert_str(0, &format!("{value:?}"));
                Ok(())
            }
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
