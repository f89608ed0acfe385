//! One decoding pass over a recording: its exact duration, where it contains speech, and whether
//! the file is truncated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::pcm::{duration_to_samples, samples_to_duration};
use super::speech_run::SpeechRun;
use super::speech_times::SpeechTimes;
use super::wav_copy::copy_as_wav;
use super::{
    AudioError, AudioInfo, AudioLimits, Clip, Decoder, EarshotVad, FRAME_SAMPLES, MIN_DURATION,
    Pcm, Recording, speech_track,
};

/// Samples between two progress reports: one second of audio.
const PROGRESS_INTERVAL: u64 = 16_000;

/// The result of [`analyze`].
#[derive(Clone, Debug)]
pub struct AudioAnalysis {
    /// The recording, ready for a recognizer.
    pub clip: Clip,
    /// Total duration of the speech in it.
    pub speech_duration: Duration,
    /// The time ranges that contain speech.
    pub speech_times: SpeechTimes,
    /// Container, codec and declared duration.
    pub info: AudioInfo,
    /// Whether the file ends in the middle of a packet or element.
    pub is_truncated: bool,
}

/// Receives samples and progress while a recording is analyzed.
pub trait AnalysisObserver: Send {
    /// The next samples, mono at [`SAMPLE_RATE`](super::SAMPLE_RATE).
    fn on_samples(&mut self, _samples: &[f32]) {}

    /// Speech was found. Called once, after the [`on_samples`](Self::on_samples) call with the
    /// block that contains it.
    fn on_speech_started(&mut self) {}

    /// The duration decoded so far; called about once per second of audio.
    fn on_progress(&mut self, _done: Duration) {}

    /// Discard everything received so far: decoding starts over from the beginning.
    fn on_restart(&mut self) {}
}

impl<F: FnMut(Duration) + Send> AnalysisObserver for F {
    fn on_progress(&mut self, done: Duration) {
        self(done);
    }
}

/// Decodes `recording` from start to end on a blocking thread. A recording that is still being
/// written is decoded as it grows. Dropping the future stops the thread within one block.
///
/// # Errors
///
/// Every [`AudioError`], among them [`AudioError::TooShort`] and [`AudioError::NoSpeech`]:
/// recordings without speech are rejected here, before any paid call.
pub async fn analyze(
    recording: Recording,
    limits: AudioLimits,
    listener: impl AnalysisObserver + 'static,
) -> Result<AudioAnalysis, AudioError> {
    let (survey, _) = analyze_with(recording, limits, listener).await?;
    Ok(survey)
}

/// Like [`analyze`], but also returns the observer.
///
/// # Errors
///
/// Those of [`analyze`].
pub async fn analyze_with<L: AnalysisObserver + 'static>(
    recording: Recording,
    limits: AudioLimits,
    mut listener: L,
) -> Result<(AudioAnalysis, L), AudioError> {
    let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&cancelled.0);
    let work = move || {
        let survey = analyze_blocking(&recording, &limits, &mut listener, &flag)?;
        Ok((survey, listener))
    };
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

fn analyze_blocking(
    recording: &Recording,
    limits: &AudioLimits,
    listener: &mut dyn AnalysisObserver,
    cancelled: &AtomicBool,
) -> Result<AudioAnalysis, AudioError> {
    let Some(growth) = recording.growth().cloned() else {
        return analyze_once(recording, limits, listener, cancelled);
    };
    let survey = analyze_once(recording, limits, listener, cancelled);
    let is_final = match &survey {
        Ok(survey) => !survey.is_truncated,
        Err(AudioError::NoSpeech | AudioError::TooLong { .. } | AudioError::Cancelled) => true,
        Err(AudioError::Unreadable(_)) => true,
        // Some containers describe their content only at the end, so try again with the complete
        // file.
        Err(_) => false,
    };
    if is_final && survey.is_err() {
        return survey;
    }
    // Some containers mark their own end, but the recording is complete only when its writer says
    // so.
    growth
        .wait_until_complete()
        .map_err(AudioError::Unreadable)?;
    if is_final {
        return survey;
    }
    listener.on_restart();
    analyze_once(recording, limits, listener, cancelled)
}

fn analyze_once(
    recording: &Recording,
    limits: &AudioLimits,
    listener: &mut dyn AnalysisObserver,
    cancelled: &AtomicBool,
) -> Result<AudioAnalysis, AudioError> {
    let mut is_first = true;
    speech_track::select_speech_track(recording, limits, |recording| {
        if !std::mem::take(&mut is_first) {
            listener.on_restart();
        }
        analyze_track(recording, limits, listener, cancelled)
    })
}

fn analyze_track(
    recording: &Recording,
    limits: &AudioLimits,
    listener: &mut dyn AnalysisObserver,
    cancelled: &AtomicBool,
) -> Result<AudioAnalysis, AudioError> {
    let mut decoder = Decoder::open(recording, limits)?;
    let most_kept = duration_to_samples(limits.max_in_memory);
    let mut kept = Some(Vec::new());
    let mut speech = SpeechTracker::new();
    let mut samples = 0;
    let mut told = 0;
    let mut has_begun = false;
    while let Some(block) = decoder.next_block()? {
        if cancelled.load(Ordering::Relaxed) {
            return Err(AudioError::Cancelled);
        }
        samples += block.len() as u64;
        speech.push_samples(block);
        listener.on_samples(block);
        if !has_begun && speech.has_speech() {
            has_begun = true;
            listener.on_speech_started();
        }
        if samples > most_kept {
            kept = None;
        }
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(block);
        }
        if samples - told >= PROGRESS_INTERVAL {
            told = samples;
            listener.on_progress(samples_to_duration(samples));
        }
    }
    let duration = samples_to_duration(samples);
    if duration < MIN_DURATION {
        return Err(AudioError::TooShort { duration });
    }
    let spoken = speech.finish();
    let speech = spoken.total_speech();
    if speech.is_zero() {
        return Err(AudioError::NoSpeech);
    }
    let info = decoder.info().clone();
    let truncated = decoder.is_truncated();
    let pcm = kept.map(Pcm::from);
    // The file may be uploaded as it is, so it must contain exactly the audio that was analyzed.
    let original = match decoder.differs_from_file() {
        true => copy_as_wav(recording, limits, samples, pcm.as_ref())?,
        false => recording.clone(),
    };
    Ok(AudioAnalysis {
        clip: Clip::from_recording(original, duration, pcm),
        speech_duration: speech,
        speech_times: spoken,
        info,
        is_truncated: truncated,
    })
}

/// Collects the time ranges that contain speech. Runs too short to be a word are left out.
struct SpeechTracker {
    vad: EarshotVad,
    frame: [f32; FRAME_SAMPLES],
    filled: usize,
    speech_run: SpeechRun,
    /// Number of frames rated so far.
    scored_frames: u64,
    speech_times: SpeechTimes,
}

impl SpeechTracker {
    fn new() -> Self {
        let vad = EarshotVad::new();
        Self {
            speech_run: SpeechRun::for_vad(&vad),
            vad,
            frame: [0.0; FRAME_SAMPLES],
            filled: 0,
            scored_frames: 0,
            speech_times: SpeechTimes::default(),
        }
    }

    fn push_samples(&mut self, mut samples: &[f32]) {
        while !samples.is_empty() {
            let take = (FRAME_SAMPLES - self.filled).min(samples.len());
            let (now, later) = samples.split_at(take);
            self.frame[self.filled..self.filled + take].copy_from_slice(now);
            self.filled += take;
            samples = later;
            if self.filled == FRAME_SAMPLES {
                self.filled = 0;
                self.score_frame();
            }
        }
    }

    /// Whether any speech was found so far.
    fn has_speech(&self) -> bool {
        !self.speech_times.is_empty() || self.speech_run.is_speech()
    }

    fn score_frame(&mut self) {
        let probability = self.vad.speech_probability(&self.frame);
        if let Some(frames) = self.speech_run.push_frame(probability, &self.frame) {
            self.speech_times.add(self.scored_frames - frames, frames);
        }
        self.scored_frames += 1;
    }

    fn finish(mut self) -> SpeechTimes {
        // Pad and rate the last partial frame: a word cut off at the end counts too.
        self.frame[self.filled..].fill(0.0);
        self.score_frame();
        let frames = self.speech_run.end_run();
        self.speech_times.add(self.scored_frames - frames, frames);
        self.speech_times
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spool;
    use super::*;

    #[derive(Default)]
    struct CountingObserver {
        samples: u64,
        restarts: u32,
    }

    impl AnalysisObserver for CountingObserver {
        fn on_samples(&mut self, samples: &[f32]) {
            self.samples += samples.len() as u64;
        }

        fn on_restart(&mut self) {
            self.samples = 0;
            self.restarts += 1;
        }
    }

    /// An AIFF file whose format chunk comes last can't be decoded before that chunk has arrived.
    #[test]
    fn format_found_at_the_end_restarts_analysis() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/audio/s16.aiff"
        );
        let bytes = std::fs::read(file).expect("a fixture");
        let (head, rest) = bytes.split_at(12);
        let (format, sound) = rest.split_at(26);
        assert!(format.starts_with(b"COMM") && sound.starts_with(b"SSND"));
        let bytes = [head, sound, format].concat();
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        let mut spool = Spool::new(u64::MAX).expect("a file");
        spool.write(first).expect("written");
        let recording = spool.recording("It");
        let growth = Arc::clone(recording.growth().expect("it grows"));

        let listening = std::thread::spawn(move || {
            let mut heard = CountingObserver::default();
            let cancelled = AtomicBool::new(false);
            let survey =
                analyze_blocking(&recording, &AudioLimits::default(), &mut heard, &cancelled);
            (survey, heard)
        });
        // The first pass has failed; wait until the analysis blocks for the complete file.
        while !growth.is_waited_for() {
            std::thread::yield_now();
        }
        spool.write(rest).expect("written");
        spool.finish("It").expect("finished");

        let (survey, heard) = listening.join().expect("no panic");
        let survey = survey.expect("a recording");
        assert_eq!(heard.restarts, 1);
        assert_eq!(survey.clip.duration(), samples_to_duration(heard.samples));
    }
}
