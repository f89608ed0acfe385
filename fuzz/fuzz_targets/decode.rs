//! Any bytes at all, decoded as a recording: they end, within the limits, and nothing falls over.
//!
//! A panic in a library below is contained by the decoder and told as damage, so it is no find;
//! its place is printed once, for whoever wants to mend the library.

#![no_main]

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use audio::{AudioError, Decoder, Limits, Recording, duration_to_samples};

/// No packet and no hole makes a block longer than this, in samples.
const MAX_BLOCK: usize = 16_000 * 70;

static PLACES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fuzz_target!(
    init: {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let mut places = PLACES.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if places.insert(place.clone()) {
                eprintln!("panic at {place}: {panic}");
            }
        }));
    },
    |data: &[u8]| {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(data).expect("written");
        let recording = Recording::from_path(file.path());
        let limits = Limits {
            duration: Duration::from_secs(120),
            ..Limits::default()
        };
        let Ok(mut decoder) = Decoder::open(&recording, &limits) else {
            return;
        };
        let mut samples = 0;
        loop {
            match decoder.next_block() {
                Ok(Some(block)) => {
                    assert!(!block.is_empty() && block.len() <= MAX_BLOCK);
                    assert!(block.iter().all(|sample| sample.is_finite()));
                    samples += block.len() as u64;
                }
                Ok(None) => break,
                Err(AudioError::TooLong { .. }) => break,
                Err(_) => return,
            }
        }
        assert!(samples > 0 && samples <= duration_to_samples(limits.duration));
    }
);
