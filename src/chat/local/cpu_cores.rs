//! Counts the CPU cores that are available for inference.

use std::thread::available_parallelism;

/// Physical cores that this process may use, at least 1; hyper-threads count once where the system
/// reports them. llama.cpp's inner loops saturate a core, so a second thread on it only slows it
/// down.
pub(super) fn usable_cores() -> usize {
    let allowed = available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    allowed.div_ceil(threads_per_core())
}

/// Hyper-threads per core, assuming that all cores are alike.
#[cfg(target_os = "linux")]
fn threads_per_core() -> usize {
    std::fs::read_to_string("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
        .ok()
        .map_or(1, |list| count_siblings(&list))
}

/// Only implemented for Linux.
#[cfg(not(target_os = "linux"))]
fn threads_per_core() -> usize {
    1
}

/// Counts the processors in a list such as `0`, `0,64` or `0-1`.
#[cfg(target_os = "linux")]
fn count_siblings(list: &str) -> usize {
    list.trim()
        .split(',')
        .map(|part| match part.split_once('-') {
            Some((first, last)) => match (first.parse::<usize>(), last.parse::<usize>()) {
                (Ok(first), Ok(last)) => last.saturating_sub(first).saturating_add(1),
                _ => 1,
            },
            None => 1,
        })
        .sum::<usize>()
        .clamp(1, 8)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_counted() {
        for (list, expected) in [("0\n", 1), ("0,64\n", 2), ("0-1\n", 2), ("", 1), ("0-x", 1)] {
            assert_eq!(count_siblings(list), expected, "{list:?}");
        }
    }

    #[test]
    fn there_is_a_core() {
        assert!(usable_cores() >= 1);
    }
}
