//! Arbitrary bytes, decoded as a recording: decoding ends, within the limits, without a panic of
//! ours.
//!
//! The decoder contains panics of the libraries below it and reports the file as damaged, so they
//! are no findings here. Their locations are printed once, for reports to these libraries.

#![no_main]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use audio::{AudioError, AudioLimits, Decoder, Recording, duration_to_samples};
use libfuzzer_sys::fuzz_target;

/// The longest block, in samples: no packet and no gap is longer than 70 s.
const MAX_BLOCK_SAMPLES: usize = 16_000 * 70;

/// The panics that were printed.
static PANIC_LOCATIONS: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fuzz_target!(
    init: {
        std::panic::set_hook(Box::new(|panic| {
            let location = panic.location().map(ToString::to_string).unwrap_or_default();
            let mut known = PANIC_LOCATIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if known.insert(location.clone()) {
                eprintln!("panic at {location}: {panic}");
            }
        }));
    },
    |data: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(data).expect("written");
        let recording = Recording::from_path(file.path());
        let limits = AudioLimits {
            max_duration: Duration::from_secs(120),
            ..AudioLimits::default()
        };
        let Ok(mut decoder) = Decoder::open(&recording, &limits) else {
            return;
        };
        let mut samples = 0;
        loop {
            match decoder.next_block() {
                Ok(Some(block)) => {
                    assert!(!block.is_empty() && block.len() <= MAX_BLOCK_SAMPLES);
                    assert!(block.iter().all(|sample| sample.is_finite()));
                    samples += block.len() as u64;
                }
                Ok(None) => break,
                Err(AudioError::TooLong { .. }) => break,
                Err(_) => return,
            }
        }
        assert!(samples > 0 && samples <= duration_to_samples(limits.max_duration));
    }
);
