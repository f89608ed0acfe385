//! What is said into the browser's microphone.

use std::path::{Path, PathBuf};

use audio::{AudioLimits, Decoder, Recording, SAMPLE_RATE};

use super::chromium::Chromium;

/// What a microphone hears, as WAV in a folder that goes with it.
pub(crate) struct FakeMicrophone {
    pub(crate) wav_file: PathBuf,
    pub(crate) seconds: f64,
    _folder: tempfile::TempDir,
}

impl FakeMicrophone {
    /// A recording, as the program's own decoder has it.
    pub(crate) fn from_recording(recording: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let wav_file = folder.path().join("said.wav");
        let recording = Recording::from_path(recording);
        let mut decoder = Decoder::open(&recording, &AudioLimits::default()).expect("a recording");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: SAMPLE_RATE,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut wav = hound::WavWriter::create(&wav_file, spec).expect("a file");
        let mut samples = 0_u32;
        while let Some(block) = decoder.next_block().expect("decodes") {
            for sample in block {
                wav.write_sample((sample.clamp(-1.0, 1.0) * 32_767.0) as i16)
                    .expect("written");
                samples += 1;
            }
        }
        wav.finalize().expect("written");
        Self {
            wav_file,
            seconds: f64::from(samples) / f64::from(SAMPLE_RATE),
            _folder: folder,
        }
    }

    /// Waits until the page records and all of it has been said, and lets go of what was pressed.
    pub(crate) async fn play_to_end(&self, browser: &Chromium) {
        self.play_then_wait(browser, 0.4).await;
    }

    /// The same, and lets go so many seconds after the end.
    pub(crate) async fn play_then_wait(&self, browser: &Chromium, seconds: f64) {
        browser.wait_for_state("recording").await;
        // The microphone plays in the browser's own time.
        browser.evaluate("window.begun = performance.now()").await;
        let millis = (self.seconds + seconds) * 1_000.0;
        browser
            .wait_until(&format!("performance.now() - begun > {millis}"))
            .await;
        browser.release().await;
    }
}
