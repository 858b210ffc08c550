//! How far a half is: a bar on a terminal, plain lines otherwise, always on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) struct Progress {
    name: &'static str,
    total: usize,
    done: AtomicUsize,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn start(name: &'static str, total: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let template = "{prefix:6} [{bar:40}] {pos}/{len} in {elapsed}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let length = u64::try_from(total).unwrap_or(u64::MAX);
            ProgressBar::new(length).with_prefix(name).with_style(style.progress_chars("=> "))
        });
        Self { name, total, done: AtomicUsize::new(0), bar }
    }

    /// One more command is done.
    pub(crate) fn step(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(bar) = &self.bar {
            bar.inc(1);
        } else if done < self.total && done * 4 / self.total > (done - 1) * 4 / self.total {
            line(&format!("{}: {done} of {} commands", self.name, self.total));
        }
    }

    pub(crate) fn finish(&self, wall: Duration) {
        self.give_up();
        line(&format!("{}: {} commands in {:.2} s", self.name, self.total, wall.as_secs_f64()));
    }

    pub(crate) fn give_up(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn line(text: &str) {
    // Nobody reads it: the measuring goes on.
    let _ = writeln!(io::stderr(), "{text}");
}
