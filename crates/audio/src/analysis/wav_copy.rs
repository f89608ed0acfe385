//! A WAV copy of the analyzed audio, for when other decoders would get different audio from the
//! original file: another track, or no silence before a track that starts late.

use crate::pcm::wav_header;
use crate::{AudioError, AudioLimits, Decoder, Pcm, Recording, Spool, to_s16};

/// Writes the samples of `recording` to an unnamed WAV file. Takes them from `pcm` if they are in
/// memory, otherwise decodes them again.
pub(crate) fn copy_as_wav(
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
