//! Where files are, and how long it takes to move them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use benches::ssh::Place;
use tempfile::TempDir;

use crate::Row;
use crate::ways::Way;

/// A server and a directory with files.
pub(crate) struct Scene<'p> {
    pub place: &'p Place,
    folder: TempDir,
}

/// The size of the large file, in bytes.
const LARGE: usize = 100_000_000;

impl<'p> Scene<'p> {
    pub(crate) fn new(place: &'p Place) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let large: Vec<u8> =
            (0..LARGE as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 16) as u8).collect();
        fs::write(folder.path().join("large"), large)?;
        fs::create_dir(folder.path().join("small"))?;
        for number in 0..1_000 {
            fs::write(folder.path().join(format!("small/{number}")), vec![b'x'; 1_000])?;
        }
        Ok(Self { place, folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Seconds of a way for a row, and CPU seconds of this process; `None` where it has no such.
    pub(crate) fn time(&self, way: &dyn Way, row: Row) -> Result<Option<(f64, f64)>> {
        let to = self.path("to");
        let _ = fs::remove_dir_all(&to);
        let _ = fs::remove_file(&to);
        let (start, cpu) = (Instant::now(), cpu_time());
        if !way.run(self, row)? {
            return Ok(None);
        }
        let (taken, cpu) = (start.elapsed().saturating_sub(way.nothing()), cpu_time() - cpu);
        match row {
            Row::LargeUp | Row::LargeDown => {
                ensure!(fs::metadata(&to)?.len() == LARGE as u64, "not all of it");
            }
            Row::SmallUp | Row::SmallDown => {
                ensure!(fs::read_dir(&to)?.count() == 1_000, "not all of them");
            }
            Row::Stat => {}
        }
        Ok(Some((taken.as_secs_f64(), cpu.as_secs_f64())))
    }
}

/// What all threads of this process have burnt, from `/proc/self/schedstat` of each, in nanoseconds.
fn cpu_time() -> Duration {
    let mut total = 0;
    if let Ok(tasks) = fs::read_dir("/proc/self/task") {
        for task in tasks.flatten() {
            let stat = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            total += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    Duration::from_nanos(total)
}

/// `VmHWM` of this process.
pub(crate) fn peak_memory() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".into(), |line| line.trim().to_owned())
}
