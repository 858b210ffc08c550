//! Puts the tables into their pages, and draws the chart.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::measure::Measured;
use crate::{chart, report};

const BEGIN: &str =
    "<!-- savings: drawn by `cargo run --release -p benches --bin savings -- --draw` -->";
const END: &str = "<!-- /savings -->";

/// What the README shows of it.
const SHOWN: (&str, u64) = ("sshd", 50);

pub(crate) fn draw(root: &Path, found: &[Measured]) -> Result<()> {
    let picture = root.join("benches/savings.svg");
    fs::write(&picture, chart::svg(found)).with_context(|| picture.display().to_string())?;
    replace(&root.join("benches/README.md"), &report::short(found.iter()))?;
    let mut shown = found.iter().filter(|one| (one.server, one.round_trip_ms) == SHOWN).peekable();
    // With `--only` it may not have been measured.
    if shown.peek().is_some() {
        replace(&root.join("README.md"), &report::short(shown))?;
    }
    Ok(())
}

/// Puts a table where a page has its place for it.
fn replace(page: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
    let (before, after) =
        parts.ok_or_else(|| anyhow!("{} has no place for the table", page.display()))?;
    fs::write(page, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}
