//! How much of the machine this process uses.

use std::time::{Duration, Instant};

/// The clock tick of `/proc`, which is 100 Hz on every Linux that people run.
const TICK: Duration = Duration::from_millis(10);

/// Where `utime` and `stime` stand in `/proc/self/stat`, counted after the command's name.
const UTIME: usize = 11;

/// Processor time used up to a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CpuTime {
    used: Duration,
    at: Instant,
}

impl CpuTime {
    /// What this process has used so far; none where there is no `/proc`.
    pub(crate) fn now() -> Option<CpuTime> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The command's name may hold spaces and brackets; its last bracket ends it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut times = fields.split_ascii_whitespace().skip(UTIME);
        let ticks = times.next()?.parse::<u32>().ok()? + times.next()?.parse::<u32>().ok()?;
        Some(CpuTime { used: TICK * ticks, at: Instant::now() })
    }

    /// The part of all cores' time since then.
    pub(crate) fn share_since(self) -> Option<f64> {
        let now = CpuTime::now()?;
        let cores = std::thread::available_parallelism().ok()?.get() as f64;
        let passed = now.at.duration_since(self.at).as_secs_f64();
        Some(now.used.saturating_sub(self.used).as_secs_f64() / passed.max(f64::MIN_POSITIVE) / cores)
    }
}
