//! What this process uses, as the kernel counts it.

use std::fs;
use std::time::Duration;

/// One sample.
#[derive(Debug, Default, Clone, Copy)]
pub struct Figures {
    /// Resident memory, in KiB.
    pub memory: u64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// Processor time spent so far.
    pub cpu: Duration,
}

impl Figures {
    /// What it is now.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
        };
        let descriptors = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
        let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Self {
            memory: number("VmRSS:"),
            descriptors,
            threads: number("Threads:"),
            cpu: Duration::new(cpu.tv_sec.unsigned_abs(), u32::try_from(cpu.tv_nsec).unwrap_or(0)),
        }
    }
}
