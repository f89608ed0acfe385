//! What people say: the samples.

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

/// A recording's packets of 20 ms.
pub(crate) fn sample_packets(name: &str) -> Outcome<Vec<Bytes>> {
    Ok(opus_packets(&std::fs::read(sample_path(name))?))
}

/// All samples one after the other, as somebody speaks who begins with another one.
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
