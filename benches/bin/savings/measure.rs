//! Rounds over all ways to one server.

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use benches::load::two_threads;
use benches::ssh::{ASIDE, Kind, Peers, Place, Way, ways};
use serde::Serialize;

/// A server and how far away it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    kind: Kind,
    milliseconds: u64,
}

/// What was found there.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) server: &'static str,
    pub(crate) round_trip_ms: u64,
    pub(crate) rows: Vec<Row>,
}

/// One way's figures.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) library: &'static str,
    pub(crate) way: &'static str,
    /// Milliseconds for a command.
    pub(crate) median_ms: f64,
    /// Of each round, for ratios.
    #[serde(skip)]
    pub(crate) rounds: Vec<f64>,
}

impl Scene {
    pub(crate) fn all() -> Vec<Self> {
        let kinds = [Kind::Embedded, Kind::Sshd];
        let scenes =
            kinds.iter().flat_map(|&kind| [0, 50].map(|milliseconds| Self { kind, milliseconds }));
        scenes.collect()
    }

    pub(crate) fn name(self) -> String {
        format!("{}, {} ms", self.server(), self.milliseconds)
    }

    fn server(self) -> &'static str {
        match self.kind {
            Kind::Embedded => "embedded",
            Kind::Sshd => "sshd",
        }
    }

    pub(crate) fn measure(self, rounds: u32, peers: Option<&Path>) -> Result<Measured> {
        let place = Rc::new(Place::start(self.kind, Duration::from_millis(self.milliseconds))?);
        let runtime = Arc::new(two_threads());
        let mut all = ways(&place, &runtime);
        // They refuse the embedded server's only kind of key exchange with some of its options, so
        // they are measured where all clients are at home.
        if let Some(folder) = peers.filter(|_| self.kind == Kind::Sshd) {
            all.extend(Peers::install(folder)?.ways(&place)?);
        }
        for way in &mut all {
            way.run(ASIDE); // not counted
        }
        let mut found = vec![Vec::new(); all.len()];
        let mut order: Vec<_> = (0..all.len()).collect();
        for _ in 0..rounds {
            fastrand::shuffle(&mut order);
            for &index in &order {
                if all[index].name != "fresh" {
                    // A pool asks a session that was idle for a second for a sign of life, which
                    // costs a round trip; commands that follow each other don't.
                    all[index].run(ASIDE);
                }
                let commands = self.commands(&all[index]);
                let took = all[index].run(commands);
                found[index].push(took.as_secs_f64() * 1000.0 / f64::from(commands));
            }
        }
        let rows = all.iter().zip(found).map(|(way, rounds)| Row {
            library: way.library,
            way: way.name,
            median_ms: median(rounds.clone()),
            rounds,
        });
        let rows = rows.collect();
        Ok(Measured { server: self.server(), round_trip_ms: self.milliseconds, rows })
    }

    fn commands(self, way: &Way) -> u32 {
        match (way.name, self.milliseconds) {
            ("fresh", 0) => 4,
            ("fresh", _) => 1,
            (_, 0) => 8 * ASIDE,
            _ => ASIDE,
        }
    }
}

impl Measured {
    pub(crate) fn row(&self, library: &str, way: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.library == library && row.way == way)
    }

    /// How many times as long the one takes as the other.
    pub(crate) fn ratio(&self, (library, way): (&str, &str), to: (&str, &str)) -> Option<f64> {
        let (one, other) = (self.row(library, way)?, self.row(to.0, to.1)?);
        let ratios = one.rounds.iter().zip(&other.rounds).map(|(one, other)| one / other);
        Some(median(ratios.collect()))
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() % 2 {
        _ if values.is_empty() => f64::NAN,
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}
