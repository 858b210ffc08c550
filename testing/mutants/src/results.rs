//! What became of each mutant, kept in a file that grows as the work goes on.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What became of a mutant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A test failed.
    Caught,
    /// Tests hung.
    Timeout,
    /// All passed.
    Missed,
    /// It does not compile.
    Unviable,
    /// It can only be built alone.
    Unswitched,
}

/// One line of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Line {
    /// [`Mutant::key`](crate::list::Mutant::key).
    pub key: String,
    /// The mutant, as people read it.
    pub name: String,
    /// What became of it.
    pub verdict: Verdict,
    /// The test that failed, or what the compiler said.
    pub by: String,
    /// How long it took.
    pub seconds: f64,
}

/// The file. Where a mutant has several lines, the last one counts.
#[derive(Debug)]
pub struct Results {
    file: File,
    lines: HashMap<String, Line>,
}

impl Results {
    /// Reads what is there.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut lines = HashMap::new();
        for line in text.lines() {
            let line: Line = serde_json::from_str(line)
                .with_context(|| format!("{}: a line that is no result", path.display()))?;
            lines.insert(line.key.clone(), line);
        }
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self { file: file.with_context(|| path.display().to_string())?, lines })
    }

    /// What is known of a mutant.
    pub fn of(&self, key: &str) -> Option<&Line> {
        self.lines.get(key)
    }

    /// Adds one.
    pub fn add(&mut self, line: Line) -> Result<()> {
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.lines.insert(line.key.clone(), line);
        Ok(())
    }
}
