//! Reads the samples of a clip, from memory or from its file.

use super::{AudioError, AudioLimits, Clip, Decoder, Pcm};

/// Samples per block for clips in memory: one second.
const BLOCK_SAMPLES: usize = 16_000;

/// Reads a clip block by block: from memory, or by decoding its file again.
///
/// Blocking: run it on a thread of its own.
#[derive(Debug)]
pub struct ClipReader(ClipSource);

#[derive(Debug)]
enum ClipSource {
    Memory { pcm: Pcm, next: usize },
    File(Box<Decoder>),
    Empty,
}

impl ClipReader {
    /// Opens the clip. If it has to be decoded from its file, `limits` apply as they did during
    /// analysis.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::open`], if the file was changed or removed after its analysis.
    pub fn open(clip: &Clip, limits: &AudioLimits) -> Result<Self, AudioError> {
        Ok(Self(match (clip.pcm(), clip.recording()) {
            (Some(pcm), _) => ClipSource::Memory {
                pcm: pcm.clone(),
                next: 0,
            },
            (None, Some(original)) => ClipSource::File(Box::new(Decoder::open(original, limits)?)),
            (None, None) => ClipSource::Empty,
        }))
    }

    /// The next block of samples, mono at 16 kHz, never empty; `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of [`Decoder::next_block`].
    pub fn next_block(&mut self) -> Result<Option<&[f32]>, AudioError> {
        match &mut self.0 {
            ClipSource::Memory { pcm, next } => {
                let start = *next;
                *next = (start + BLOCK_SAMPLES).min(pcm.samples().len());
                Ok(pcm
                    .samples()
                    .get(start..*next)
                    .filter(|block| !block.is_empty()))
            }
            ClipSource::File(decoder) => decoder.next_block(),
            ClipSource::Empty => Ok(None),
        }
    }
}
