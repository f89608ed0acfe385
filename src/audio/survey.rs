//! A recording listened to once: how long it is, whether anybody speaks, whether it is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::pcm::{duration_to_samples, samples_to_duration};
use super::vad::SpeechRun;
use super::{
    AudioError, Clip, Decoder, FRAME_SAMPLES, Info, Limits, Pcm, Recording, SHORTEST, VoiceActivity,
};

/// How often progress is told, in samples: once a second of audio.
const PROGRESS: u64 = 16_000;

/// What a recording turned out to be.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The recording, ready for a transcriber.
    pub clip: Clip,
    /// How much of it is speech.
    pub speech: Duration,
    /// What kind of file it is.
    pub info: Info,
    /// Whether it ends in the middle of something.
    pub truncated: bool,
}

/// Decodes `recording` from beginning to end on a blocking thread. Dropping the future stops the
/// thread within a block. `on_progress` is told how much has been decoded, about once a second
/// of audio.
///
/// # Errors
///
/// Every [`AudioError`]: among them [`AudioError::TooShort`] and [`AudioError::NoSpeech`], so that
/// nobody is paid to listen to nothing.
pub async fn survey(
    recording: Recording,
    limits: Limits,
    on_progress: impl Fn(Duration) + Send + 'static,
) -> Result<Survey, AudioError> {
    let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&cancelled.0);
    let work = move || listen(recording, &limits, &on_progress, &flag);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(AudioError::Cancelled))
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn listen(
    recording: Recording,
    limits: &Limits,
    on_progress: &dyn Fn(Duration),
    cancelled: &AtomicBool,
) -> Result<Survey, AudioError> {
    let mut decoder = Decoder::open(&recording, limits)?;
    let most_kept = duration_to_samples(limits.kept);
    let mut kept = Some(Vec::new());
    let mut speech = SpeechMeter::new();
    let mut samples = 0;
    let mut told = 0;
    while let Some(block) = decoder.next_block()? {
        if cancelled.load(Ordering::Relaxed) {
            return Err(AudioError::Cancelled);
        }
        samples += block.len() as u64;
        speech.hear(block);
        if samples > most_kept {
            kept = None;
        }
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(block);
        }
        if samples - told >= PROGRESS {
            told = samples;
            on_progress(samples_to_duration(samples));
        }
    }
    let duration = samples_to_duration(samples);
    if duration < SHORTEST {
        return Err(AudioError::TooShort { duration });
    }
    let speech = speech.finish();
    if speech.is_zero() {
        return Err(AudioError::NoSpeech);
    }
    let info = decoder.info().clone();
    let truncated = decoder.truncated();
    Ok(Survey {
        clip: Clip::from_recording(recording, duration, kept.map(Pcm::from)),
        speech,
        info,
        truncated,
    })
}

/// Adds up the frames with speech in them, runs too short to be a word left out.
struct SpeechMeter {
    judge: VoiceActivity,
    frame: [f32; FRAME_SAMPLES],
    filled: usize,
    run: SpeechRun,
    frames: u64,
}

impl SpeechMeter {
    fn new() -> Self {
        Self {
            judge: VoiceActivity::new(),
            frame: [0.0; FRAME_SAMPLES],
            filled: 0,
            run: SpeechRun::default(),
            frames: 0,
        }
    }

    fn hear(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let take = (FRAME_SAMPLES - self.filled).min(samples.len());
            let (now, later) = samples.split_at(take);
            self.frame[self.filled..self.filled + take].copy_from_slice(now);
            self.filled += take;
            samples = later;
            if self.filled == FRAME_SAMPLES {
                self.filled = 0;
                self.judge_frame();
            }
        }
    }

    fn judge_frame(&mut self) {
        let probability = self.judge.speech_probability(&self.frame);
        if let Some(frames) = self.run.hear(probability) {
            self.frames += frames;
        }
    }

    fn finish(mut self) -> Duration {
        // A word that is cut off counts too.
        self.frame[self.filled..].fill(0.0);
        self.judge_frame();
        self.frames += self.run.end();
        samples_to_duration(self.frames * FRAME_SAMPLES as u64)
    }
}
