//! The samples as packets.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use sandbox::opus_packets;

use super::Outcome;

pub(crate) fn sample_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("samples")
        .join(name)
        .with_extension("ogg")
}

/// The packets of a sample, 20 ms each.
pub(crate) fn sample_packets(name: &str) -> Outcome<Vec<Bytes>> {
    Ok(opus_packets(&std::fs::read(sample_path(name))?))
}

/// All samples one after the other, starting at another place for each `beginning`.
pub(crate) fn continuous_speech(beginning: usize, packets_wanted: usize) -> Outcome<Vec<Bytes>> {
    let names = [
        "meeting_a",
        "meeting_b",
        "meeting_c",
        "numbers",
        "rust",
        "wake",
    ];
    let mut all = Vec::new();
    for name in names {
        all.extend(sample_packets(name)?);
    }
    let all = all.iter().cycle().skip(beginning * 37 % all.len().max(1));
    Ok(all.take(packets_wanted).cloned().collect())
}
