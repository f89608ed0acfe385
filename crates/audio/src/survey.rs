//! A recording listened to once: how long it is, whether anybody speaks, whether it is whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::as_heard::as_heard;
use super::pcm::{duration_to_samples, samples_to_duration};
use super::speech_run::SpeechRun;
use super::speech_times::SpeechTimes;
use super::{
    AudioError, Clip, Decoder, FRAME_SAMPLES, Info, Limits, Pcm, Recording, SHORTEST,
    VoiceActivity, sound_tracks,
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
    /// Where that is.
    pub spoken: SpeechTimes,
    /// What kind of file it is.
    pub info: Info,
    /// Whether it ends in the middle of something.
    pub truncated: bool,
}

/// Hears a recording while it is surveyed.
pub trait Listener: Send {
    /// The next samples, mono at [`SAMPLE_RATE`](super::SAMPLE_RATE).
    fn samples(&mut self, _samples: &[f32]) {}

    /// There is speech in what was heard so far; told once, after the samples that it is in.
    fn speech_begins(&mut self) {}

    /// So much has been decoded; told about once a second of audio.
    fn progressed(&mut self, _done: Duration) {}

    /// What was heard so far is void: decoding begins anew.
    fn anew(&mut self) {}
}

impl<F: FnMut(Duration) + Send> Listener for F {
    fn progressed(&mut self, done: Duration) {
        self(done);
    }
}

/// Decodes `recording` from beginning to end on a blocking thread, as it comes if it is still being
/// made. Dropping the future stops the thread within a block.
///
/// # Errors
///
/// Every [`AudioError`]: among them [`AudioError::TooShort`] and [`AudioError::NoSpeech`], so that
/// nobody is paid to listen to nothing.
pub async fn survey(
    recording: Recording,
    limits: Limits,
    listener: impl Listener + 'static,
) -> Result<Survey, AudioError> {
    let (survey, _) = survey_with(recording, limits, listener).await?;
    Ok(survey)
}

/// Like [`survey`], and gives the listener back.
///
/// # Errors
///
/// Those of [`survey`].
pub async fn survey_with<L: Listener + 'static>(
    recording: Recording,
    limits: Limits,
    mut listener: L,
) -> Result<(Survey, L), AudioError> {
    let cancelled = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let flag = Arc::clone(&cancelled.0);
    let work = move || {
        let survey = listen(&recording, &limits, &mut listener, &flag)?;
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

fn listen(
    recording: &Recording,
    limits: &Limits,
    listener: &mut dyn Listener,
    cancelled: &AtomicBool,
) -> Result<Survey, AudioError> {
    let Some(growth) = recording.growth().cloned() else {
        return listen_once(recording, limits, listener, cancelled);
    };
    let survey = listen_once(recording, limits, listener, cancelled);
    let is_final = match &survey {
        Ok(survey) => !survey.truncated,
        Err(AudioError::NoSpeech | AudioError::TooLong { .. } | AudioError::Cancelled) => true,
        Err(AudioError::Unreadable(_)) => true,
        // Some containers tell only at their end what is in them.
        Err(_) => false,
    };
    if is_final && survey.is_err() {
        return survey;
    }
    // Some containers say themselves that they are over; whoever makes them has the last word.
    growth.wait_until_whole().map_err(AudioError::Unreadable)?;
    if is_final {
        return survey;
    }
    listener.anew();
    listen_once(recording, limits, listener, cancelled)
}

fn listen_once(
    recording: &Recording,
    limits: &Limits,
    listener: &mut dyn Listener,
    cancelled: &AtomicBool,
) -> Result<Survey, AudioError> {
    let mut is_first = true;
    sound_tracks::with_the_speech(recording, limits, |recording| {
        if !std::mem::take(&mut is_first) {
            listener.anew();
        }
        listen_to_track(recording, limits, listener, cancelled)
    })
}

fn listen_to_track(
    recording: &Recording,
    limits: &Limits,
    listener: &mut dyn Listener,
    cancelled: &AtomicBool,
) -> Result<Survey, AudioError> {
    let mut decoder = Decoder::open(recording, limits)?;
    let most_kept = duration_to_samples(limits.kept);
    let mut kept = Some(Vec::new());
    let mut speech = SpeechMeter::new();
    let mut samples = 0;
    let mut told = 0;
    let mut has_begun = false;
    while let Some(block) = decoder.next_block()? {
        if cancelled.load(Ordering::Relaxed) {
            return Err(AudioError::Cancelled);
        }
        samples += block.len() as u64;
        speech.hear(block);
        listener.samples(block);
        if !has_begun && speech.has_begun() {
            has_begun = true;
            listener.speech_begins();
        }
        if samples > most_kept {
            kept = None;
        }
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(block);
        }
        if samples - told >= PROGRESS {
            told = samples;
            listener.progressed(samples_to_duration(samples));
        }
    }
    let duration = samples_to_duration(samples);
    if duration < SHORTEST {
        return Err(AudioError::TooShort { duration });
    }
    let spoken = speech.finish();
    let speech = spoken.total();
    if speech.is_zero() {
        return Err(AudioError::NoSpeech);
    }
    let info = decoder.info().clone();
    let truncated = decoder.truncated();
    let pcm = kept.map(Pcm::from);
    // Others get the file too, and must hear the same.
    let original = match decoder.is_rearranged() {
        true => as_heard(recording, limits, samples, pcm.as_ref())?,
        false => recording.clone(),
    };
    Ok(Survey {
        clip: Clip::from_recording(original, duration, pcm),
        speech,
        spoken,
        info,
        truncated,
    })
}

/// Notes the frames with speech in them, runs too short to be a word left out.
struct SpeechMeter {
    judge: VoiceActivity,
    frame: [f32; FRAME_SAMPLES],
    filled: usize,
    run: SpeechRun,
    /// Frames that have been judged.
    judged: u64,
    spoken: SpeechTimes,
}

impl SpeechMeter {
    fn new() -> Self {
        let judge = VoiceActivity::new();
        Self {
            run: SpeechRun::judged_by(&judge),
            judge,
            frame: [0.0; FRAME_SAMPLES],
            filled: 0,
            judged: 0,
            spoken: SpeechTimes::default(),
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

    /// Whether there was speech so far.
    fn has_begun(&self) -> bool {
        !self.spoken.is_empty() || self.run.is_speech()
    }

    fn judge_frame(&mut self) {
        let probability = self.judge.speech_probability(&self.frame);
        if let Some(frames) = self.run.hear(probability, &self.frame) {
            self.spoken.add(self.judged - frames, frames);
        }
        self.judged += 1;
    }

    fn finish(mut self) -> SpeechTimes {
        // A word that is cut off counts too.
        self.frame[self.filled..].fill(0.0);
        self.judge_frame();
        let frames = self.run.end();
        self.spoken.add(self.judged - frames, frames);
        self.spoken
    }
}

#[cfg(test)]
mod tests {
    use super::super::Spool;
    use super::*;

    #[derive(Default)]
    struct Heard {
        samples: u64,
        begun_anew: u32,
    }

    impl Listener for Heard {
        fn samples(&mut self, samples: &[f32]) {
            self.samples += samples.len() as u64;
        }

        fn anew(&mut self) {
            self.samples = 0;
            self.begun_anew += 1;
        }
    }

    /// An AIFF file that tells its format at its end can't be heard before that has come.
    #[test]
    fn what_tells_at_its_end_what_it_is_is_heard_anew() {
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
            let mut heard = Heard::default();
            let cancelled = AtomicBool::new(false);
            let survey = listen(&recording, &Limits::default(), &mut heard, &cancelled);
            (survey, heard)
        });
        // It has given up on what there is, and waits for all of it.
        while !growth.is_awaited_whole() {
            std::thread::yield_now();
        }
        spool.write(rest).expect("written");
        spool.finish("It").expect("finished");

        let (survey, heard) = listening.join().expect("no panic");
        let survey = survey.expect("a recording");
        assert_eq!(heard.begun_anew, 1);
        assert_eq!(survey.clip.duration(), samples_to_duration(heard.samples));
    }
}
