//! The line with its delays, and slopes.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use test_servers::proxy::FaultProxy;
use test_servers::sshd::Sshd;

use crate::clients::Client;

/// What the proxy adds to a round trip, in milliseconds. All above 40: on a shorter line sshd's
/// answer to the first open waits so long for an acknowledgement (Nagle's algorithm), and that
/// would not fall out of the slope.
const ADDED: [u32; 3] = [50, 100, 150];

/// TCP's own handshake. The proxy is a relay on loopback and takes clients on at once, so this
/// round trip is not measured but added.
const TCP: f64 = 1.0;

/// A server and the proxy before it.
pub(crate) struct Line {
    pub(crate) server: Sshd,
    pub(crate) proxy: FaultProxy,
}

/// How commands follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Pace {
    #[serde(rename = "back to back")]
    BackToBack,
    #[serde(rename = "paced")]
    Paced,
}

/// One result.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) client: &'static str,
    pub(crate) what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pace: Option<Pace>,
    pub(crate) round_trips: f64,
}

impl Line {
    pub(crate) fn start() -> Result<Self> {
        let server = Sshd::builder().max_startups("100").start()?;
        let proxy = FaultProxy::start(server.addr())?;
        Ok(Self { server, proxy })
    }

    /// Adds so much to each round trip.
    fn add(&self, millis: u32) {
        self.proxy.delay(Duration::from_millis(millis.into()) / 2);
    }
}

/// Round trips of a command on a connection that has run one before.
pub(crate) fn warm(line: &Line, client: &dyn Client, pace: Pace, samples: usize) -> Result<f64> {
    line.add(0);
    let mut held = client.dial()?;
    let mut medians = Vec::new();
    for millis in ADDED {
        line.add(millis);
        // Two commands to get into step with the new delay.
        let mut times = Vec::new();
        for _ in 0..samples + 2 {
            if pace == Pace::Paced {
                sleep(Duration::from_millis((millis + millis / 2 + 20).into()));
            }
            let start = Instant::now();
            held.run()?;
            times.push(start.elapsed());
        }
        medians.push(median(times.split_off(2)));
    }
    Ok(rounded(slope(&medians)))
}

/// Round trips of a dial, and of a dial with its first command.
pub(crate) fn dial(line: &Line, client: &dyn Client, samples: usize) -> Result<(f64, f64)> {
    let (mut dials, mut firsts) = (Vec::new(), Vec::new());
    for millis in ADDED {
        line.add(millis);
        let (mut dial, mut first) = (Vec::new(), Vec::new());
        for _ in 0..samples {
            let start = Instant::now();
            let mut held = client.dial()?;
            dial.push(start.elapsed());
            held.run()?;
            first.push(start.elapsed());
        }
        dials.push(median(dial));
        firsts.push(median(first));
    }
    line.add(0);
    Ok((rounded(slope(&dials) + TCP), rounded(slope(&firsts) + TCP)))
}

pub(crate) fn print(rows: &[Row]) {
    let width = rows.iter().map(|row| row.client.len()).max().unwrap_or_default();
    let columns = ["warm, back to back", "warm, paced", "dial", "dial + first exec"];
    print!("{:width$}", "round trips");
    columns.iter().for_each(|column| print!("  {column:>18}"));
    println!();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let count = rest.iter().take_while(|row| row.client == first.client).count();
        let (own, others) = rest.split_at(count);
        print!("{:width$}", first.client);
        own.iter().for_each(|row| print!("  {:>18.2}", row.round_trips));
        println!();
        rest = others;
    }
    println!("\nSlope of time over added round trip ({ADDED:?} ms), medians, sshd on loopback.");
    println!("Dials include TCP's own round trip, which the proxy can't delay: {TCP} was added.");
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Least squares over [`ADDED`].
fn slope(millis: &[f64]) -> f64 {
    let added = ADDED.map(f64::from);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (x, y) = (mean(&added), mean(millis));
    let points = added.iter().zip(millis);
    let up: f64 = points.map(|(a, b)| (a - x) * (b - y)).sum();
    up / added.iter().map(|a| (a - x).powi(2)).sum::<f64>()
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
