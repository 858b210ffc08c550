//! What came out, as a table or as JSON.

use std::io::{self, Write as _};
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use crate::half::{Half, Work};

/// The library behind the sessions.
const BACKEND: &str = "ssh2";

pub(crate) struct Report {
    pub(crate) server: String,
    /// Whether the handshakes are the server's count; otherwise they are ours.
    pub(crate) server_counted: bool,
    pub(crate) connections: usize,
    pub(crate) work: Work,
    pub(crate) fresh: Half,
    pub(crate) pooled: Half,
}

impl Report {
    pub(crate) fn show(&self, json: bool) -> Result<()> {
        print(&if json { format!("{}\n", self.json()) } else { self.table() })
    }

    /// How much longer a command takes without the pool: both halves run as many commands on as
    /// many threads, so their wall times tell.
    fn saved_factor(&self) -> f64 {
        self.fresh.wall.as_secs_f64() / self.pooled.wall.as_secs_f64().max(f64::EPSILON)
    }

    fn json(&self) -> Value {
        let half = |half: &Half| {
            json!({
                "commands": self.work.commands,
                "handshakes": half.handshakes,
                "p50_ms": rounded(milliseconds(half.p50), 1000.0),
                "p99_ms": rounded(milliseconds(half.p99), 1000.0),
                "wall_s": rounded(half.wall.as_secs_f64(), 1000.0),
            })
        };
        json!({
            "server": self.server,
            "backend": BACKEND,
            "fresh": half(&self.fresh),
            "pooled": half(&self.pooled),
            "saved_factor": rounded(self.saved_factor(), 100.0),
        })
    }

    fn table(&self) -> String {
        let Work { command, commands, threads } = &self.work;
        let row = |name: &str, half: &Half| {
            format!(
                "{name:<26} {commands:>8}  {:>10}  {:>8.1} ms  {:>8.1} ms  {:>7.2} s\n",
                half.handshakes,
                milliseconds(half.p50),
                milliseconds(half.p99),
                half.wall.as_secs_f64(),
            )
        };
        let whose =
            if self.server_counted { "by the server" } else { "on our side: sessions opened" };
        let head = format!("{commands} × {command:?} on {} ({BACKEND})", self.server);
        format!(
            "\n{head}, {threads} at once\n\n\
             {:<26} {:>8}  {:>10}  {:>11}  {:>11}  {:>9}\n{}{}\n\
             Handshakes are counted {whose}.\n\
             Saved: a command takes {:.1} times as long without the pool (wall time, same threads).\n",
            "",
            "commands",
            "handshakes",
            "p50",
            "p99",
            "wall",
            row("a connection each", &self.fresh),
            row(&format!("a pool of {}", self.connections), &self.pooled),
            self.saved_factor(),
        )
    }
}

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| anyhow!("cannot write to standard output: {error}"))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn rounded(number: f64, steps: f64) -> f64 {
    (number * steps).round() / steps
}
