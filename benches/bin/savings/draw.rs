//! Puts the table into the README and the chart beside it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::measure::Measured;
use crate::{chart, report};

const BEGIN: &str =
    "<!-- savings: drawn by `cargo run --release -p benches --bin savings -- --draw` -->";
const END: &str = "<!-- /savings -->";

pub(crate) fn draw(root: &Path, found: &[Measured]) -> Result<()> {
    let picture = root.join("benches/savings.svg");
    fs::write(&picture, chart::svg(found)).with_context(|| picture.display().to_string())?;
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme)?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
    let (before, after) = parts.ok_or_else(|| anyhow!("README.md has no place for the table"))?;
    let table = report::short(found);
    fs::write(&readme, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}
