//! One decoding pass over a recording: its exact duration, where it contains speech, and whether
//! the file is truncated.

mod result;
pub(crate) mod speech_times;
mod speech_track;
mod speech_tracker;
mod wav_copy;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::pcm::{duration_to_samples, samples_to_duration};
use crate::{AudioError, AudioLimits, Clip, Decoder, MIN_DURATION, Pcm, Recording};
use speech_tracker::SpeechTracker;
use wav_copy::copy_as_wav;

pub use result::AudioAnalysis;

/// Samples between two progress reports: one second of audio.
const PROGRESS_INTERVAL: u64 = 16_000;

/// Receives samples and progress while a recording is analyzed.
pub trait AnalysisObserver: Send {
    /// The next samples, mono at [`SAMPLE_RATE`](crate::SAMPLE_RATE).
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
    observer: impl AnalysisObserver + 'static,
) -> Result<AudioAnalysis, AudioError> {
    let (analysis, _) = analyze_with(recording, limits, observer).await?;
    Ok(analysis)
}

/// Like [`analyze`], but also returns the observer.
///
/// # Errors
///
/// Those of [`analyze`].
pub async fn analyze_with<O: AnalysisObserver + 'static>(
    recording: Recording,
    limits: AudioLimits,
    mut observer: O,
) -> Result<(AudioAnalysis, O), AudioError> {
    let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&cancelled.0);
    let work = move || {
        let analysis = analyze_blocking(&recording, &limits, &mut observer, &flag)?;
        Ok((analysis, observer))
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
    observer: &mut dyn AnalysisObserver,
    cancelled: &AtomicBool,
) -> Result<AudioAnalysis, AudioError> {
    let Some(growth) = recording.growth().cloned() else {
        return analyze_once(recording, limits, observer, cancelled);
    };
    let analysis = analyze_once(recording, limits, observer, cancelled);
    let is_final = match &analysis {
        Ok(analysis) => !analysis.is_truncated,
        Err(AudioError::NoSpeech | AudioError::TooLong { .. } | AudioError::Cancelled) => true,
        Err(AudioError::Unreadable(_)) => true,
        // Some containers describe their content only at the end, so try again with the complete
        // file.
        Err(_) => false,
    };
    if is_final && analysis.is_err() {
        return analysis;
    }
    // Some containers mark their own end, but the recording is complete only when its writer says
    // so.
    growth
        .wait_until_complete()
        .map_err(AudioError::Unreadable)?;
    if is_final {
        return analysis;
    }
    observer.on_restart();
    analyze_once(recording, limits, observer, cancelled)
}

fn analyze_once(
    recording: &Recording,
    limits: &AudioLimits,
    observer: &mut dyn AnalysisObserver,
    cancelled: &AtomicBool,
) -> Result<AudioAnalysis, AudioError> {
    let mut is_first = true;
    speech_track::select_speech_track(recording, limits, |recording| {
        if !std::mem::take(&mut is_first) {
            observer.on_restart();
        }
        analyze_track(recording, limits, observer, cancelled)
    })
}

fn analyze_track(
    recording: &Recording,
    limits: &AudioLimits,
    observer: &mut dyn AnalysisObserver,
    cancelled: &AtomicBool,
) -> Result<AudioAnalysis, AudioError> {
    let mut decoder = Decoder::open(recording, limits)?;
    let max_kept = duration_to_samples(limits.max_in_memory);
    let mut kept = Some(Vec::new());
    let mut speech = SpeechTracker::new();
    let mut samples = 0;
    let mut reported = 0;
    let mut speech_started = false;
    while let Some(block) = decoder.next_block()? {
        if cancelled.load(Ordering::Relaxed) {
            return Err(AudioError::Cancelled);
        }
        samples += block.len() as u64;
        speech.push_samples(block);
        observer.on_samples(block);
        if !speech_started && speech.has_speech() {
            speech_started = true;
            observer.on_speech_started();
        }
        if samples > max_kept {
            kept = None;
        }
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(block);
        }
        if samples - reported >= PROGRESS_INTERVAL {
            reported = samples;
            observer.on_progress(samples_to_duration(samples));
        }
    }
    let duration = samples_to_duration(samples);
    if duration < MIN_DURATION {
        return Err(AudioError::TooShort { duration });
    }
    let speech_times = speech.finish();
    let speech_duration = speech_times.total_speech();
    if speech_duration.is_zero() {
        return Err(AudioError::NoSpeech);
    }
    let info = decoder.info().clone();
    let is_truncated = decoder.is_truncated();
    let pcm = kept.map(Pcm::from);
    // The file may be uploaded as it is, so it must contain exactly the audio that was analyzed.
    let original = match decoder.differs_from_file() {
        true => copy_as_wav(recording, limits, samples, pcm.as_ref())?,
        false => recording.clone(),
    };
    Ok(AudioAnalysis {
        clip: Clip::from_recording(original, duration, pcm),
        speech_duration,
        speech_times,
        info,
        is_truncated,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Spool;

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

        let worker = std::thread::spawn(move || {
            let mut result = CountingObserver::default();
            let cancelled = AtomicBool::new(false);
            let analysis =
                analyze_blocking(&recording, &AudioLimits::default(), &mut result, &cancelled);
            (analysis, result)
        });
        // The first pass has failed; wait until the analysis blocks for the complete file.
        while !growth.is_waited_for() {
            std::thread::yield_now();
        }
        spool.write(rest).expect("written");
        spool.finish("It").expect("finished");

        let (analysis, result) = worker.join().expect("no panic");
        let analysis = analysis.expect("a recording");
        assert_eq!(result.restarts, 1);
        assert_eq!(
            analysis.clip.duration(),
            samples_to_duration(result.samples)
        );
    }
}
