//! Everything that is written down of a run, and what may be shown of it.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// All that `tracing` and `log` were told in this process, at every level, and what panics said.
#[derive(Clone, Default)]
pub(crate) struct Capture(Arc<Mutex<Vec<Entry>>>);

/// One of them, as it was: escaping is up to whoever says it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The module that said it.
    pub(crate) by: String,
    pub(crate) text: String,
}

impl Capture {
    /// Listens from now on. Once in a process.
    pub(crate) fn start() -> Self {
        let capture = Self::default();
        tracing::subscriber::set_global_default(capture.clone()).expect("the only one");
        log::set_boxed_logger(Box::new(capture.clone())).expect("the only one");
        log::set_max_level(log::LevelFilter::Trace);
        let (own, before) = (capture.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            own.add("panic", panic.to_string());
            before(panic);
        }));
        capture
    }

    pub(crate) fn add(&self, by: &str, text: String) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(Entry { by: by.to_owned(), text });
    }

    /// What was heard so far, and no more from now on.
    pub(crate) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }
}

impl Subscriber for Capture {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = Text(span.metadata().name().to_owned());
        span.record(&mut text);
        self.add(span.metadata().target(), text.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut text = Text::default();
        values.record(&mut text);
        self.add("span", text.0);
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.add(event.metadata().target(), text.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.add(record.target(), record.args().to_string());
    }

    fn flush(&self) {}
}

/// All ways in which an error can be shown, those of its sources included.
pub(crate) fn shown(error: &(dyn Error + 'static)) -> Vec<String> {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        texts.extend([error.to_string(), format!("{error:?}"), format!("{error:#?}")]);
        next = error.source();
    }
    texts
}
