//! Memory, CPU time, sockets and threads of a process, from `/proc`.

use std::path::PathBuf;
use std::time::Duration;

/// Ticks per second in `/proc/PID/stat`: 100 on all common Linux architectures.
const TICKS_PER_SECOND: u64 = 100;

/// The load average over 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A process by its id.
#[derive(Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

/// The open files and threads of a process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ResourceCounts {
    pub(crate) sockets: usize,
    pub(crate) files: usize,
    pub(crate) threads: usize,
}

impl std::fmt::Display for ResourceCounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} sockets, {} other files, {} threads",
            self.sockets, self.files, self.threads
        )
    }
}

impl Process {
    fn proc_folder(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0))
    }

    /// A line of `status` in KiB.
    fn status_kib(self, field: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc_folder().join("status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(field));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    }

    /// Resident memory in MiB.
    pub(crate) fn memory_mib(self) -> f64 {
        self.status_kib("VmRSS") as f64 / 1_024.0
    }

    /// CPU time so far, of all its threads.
    pub(crate) fn cpu_time(self) -> Duration {
        let stat = std::fs::read_to_string(self.proc_folder().join("stat")).unwrap_or_default();
        // The name is in parentheses and may contain anything; utime and stime are fields 14 and
        // 15.
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        let fields = rest.split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|it| it.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    pub(crate) fn resource_counts(self) -> ResourceCounts {
        let (mut sockets, mut files) = (0, 0);
        for entry in std::fs::read_dir(self.proc_folder().join("fd"))
            .into_iter()
            .flatten()
            .flatten()
        {
            match std::fs::read_link(entry.path()) {
                Ok(target) if target.to_string_lossy().starts_with("socket:") => sockets += 1,
                Ok(_) => files += 1,
                Err(_) => {}
            }
        }
        let threads = std::fs::read_dir(self.proc_folder().join("task")).map_or(0, Iterator::count);
        ResourceCounts {
            sockets,
            files,
            threads,
        }
    }
}

/// CPU time of the current thread.
pub(crate) fn thread_cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat
        .split_whitespace()
        .next()
        .and_then(|it| it.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The percentile by the nearest-rank method. Sorts the times.
pub(crate) fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}
