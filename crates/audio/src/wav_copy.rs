//! A recording as it was heard, where its own file would be heard otherwise by others: another of
//! its sound tracks, or without the pause before a track that begins late.

use super::pcm::wav_header;
use super::{AudioError, AudioLimits, Decoder, Pcm, Recording, Spool, to_s16};

/// The samples of `recording` as a WAV file of its own, without a name on the disk. `pcm` has them
/// if they are few enough to be kept, else they are decoded again.
pub(super) fn copy_as_wav(
    recording: &Recording,
    limits: &AudioLimits,
    samples: u64,
    pcm: Option<&Pcm>,
) -> Result<Recording, AudioError> {
    let mut spool = Spool::new(u64::MAX)?;
    match pcm {
        Some(pcm) => spool.write(&pcm.to_wav())?,
        None => {
            spool.write(&wav_header(usize::try_from(samples).unwrap_or(usize::MAX)))?;
            let mut decoder = Decoder::open(recording, limits)?;
            let mut bytes = Vec::new();
            while let Some(block) = decoder.next_block()? {
                bytes.clear();
                bytes.extend(
                    block
                        .iter()
                        .flat_map(|sample| to_s16(*sample).to_le_bytes()),
                );
                spool.write(&bytes)?;
            }
        }
    }
    spool.finish(recording.name())
}
