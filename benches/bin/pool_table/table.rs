//! Rounds, what they found, and how it is printed.

use std::fmt;

use serde::Serialize;

/// One pool in one measurement.
pub(crate) struct Subject<'a> {
    name: &'static str,
    round: Box<dyn FnMut() -> Vec<f64> + 'a>,
}

/// A figure that every round finds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    pub(crate) title: &'static str,
    /// Digits after the point.
    pub(crate) digits: usize,
    /// Whether its ratio to ours says something.
    pub(crate) ratio: bool,
}

/// What one measurement found.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) title: String,
    columns: Vec<&'static str>,
    rows: Vec<Row>,
    #[serde(skip)]
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    medians: Vec<f64>,
    /// To the first row of the same group.
    ratios: Vec<f64>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(name: &'static str, round: impl FnMut() -> Vec<f64> + 'a) -> Self {
        Self { name, round: Box::new(round) }
    }
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, figures: &[Figure]) -> Self {
        let columns = figures.iter().map(|figure| figure.title).collect();
        Self { title: title.into(), columns, rows: Vec::new(), figures: figures.to_vec() }
    }

    /// Adds a row as it is.
    pub(crate) fn row(mut self, name: impl Into<String>, values: Vec<f64>) -> Self {
        self.rows.push(Row { name: name.into(), medians: values, ratios: Vec::new() });
        self
    }

    /// Adds a row for each subject, the first of which is ours.
    pub(crate) fn group(
        mut self,
        scene: &str,
        rounds: u32,
        mut subjects: Vec<Subject<'_>>,
    ) -> Self {
        for subject in &mut subjects {
            (subject.round)(); // not counted
        }
        let mut found = vec![Vec::new(); subjects.len()];
        let mut order: Vec<_> = (0..subjects.len()).collect();
        for _ in 0..rounds {
            fastrand::shuffle(&mut order);
            for &index in &order {
                found[index].push((subjects[index].round)());
            }
        }
        for (subject, rounds) in subjects.iter().zip(&found) {
            let across = |value: &dyn Fn(usize, usize) -> f64| {
                let figures = 0..self.figures.len();
                let medians = figures.map(|figure| {
                    median((0..rounds.len()).map(|round| value(round, figure)).collect())
                });
                medians.collect::<Vec<_>>()
            };
            let medians = across(&|round, figure| rounds[round][figure]);
            let ratios = across(&|round, figure| rounds[round][figure] / found[0][round][figure]);
            let name = if scene.is_empty() {
                subject.name.to_owned()
            } else {
                format!("{scene}: {}", subject.name)
            };
            self.rows.push(Row { name, medians, ratios });
        }
        self
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        write!(f, "| |")?;
        for figure in &self.figures {
            write!(f, " {} |", figure.title)?;
            if figure.ratio {
                write!(f, " × ours |")?;
            }
        }
        write!(f, "\n|---|")?;
        for figure in &self.figures {
            write!(f, "{}", if figure.ratio { "---:|---:|" } else { "---:|" })?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "| {} |", row.name)?;
            for (index, figure) in self.figures.iter().enumerate() {
                write!(f, " {:.*} |", figure.digits, row.medians[index])?;
                if figure.ratio {
                    match row.ratios.get(index) {
                        Some(ratio) if ratio.is_finite() => write!(f, " {ratio:.2} |")?,
                        _ => write!(f, " |")?,
                    }
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
