//! Speech becomes words on this machine. Needs the local models; without them the stories that
//! load one say that they are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use audio::{AudioLimits, Clip, Pcm, Recording, analyze};
use talkback::models;
use talkback::speech::local::{LocalSpeechSettings, LocalTranscriber, PROVIDER_NAME};
use talkback::speech::{
    Hints, SpeechError, Transcriber, Transcript, TranscriptionObserver, TranscriptionProgress,
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::audio_formats::fixture;
use crate::hallucination_filter::samples_of;
use crate::requirements;
use crate::support::{TalkbackCommand, sample_path};
use crate::synthetic_sounds;
use crate::word_error_rate::{said, word_errors, words};

const SAMPLES_PER_SECOND: usize = 16_000;

/// The folder with the model and its library, where they have been fetched.
fn installed_models() -> Option<PathBuf> {
    requirements::models()
}

fn settings(folder: &Path) -> LocalSpeechSettings {
    LocalSpeechSettings::in_folder(folder, AudioLimits::default())
}

async fn transcribe(to: &LocalTranscriber, clip: &Clip) -> Transcript {
    to.transcribe(clip, &Hints::default(), &())
        .await
        .expect("it listens")
}

async fn pcm(name: &str) -> Pcm {
    let recording = Recording::from_path(sample_path(&format!("{name}.ogg")));
    let survey = analyze(recording, AudioLimits::default(), |_| {}).await;
    let clip = survey.expect("a sample").clip;
    clip.pcm().expect("a short one").clone()
}

/// All samples with two seconds of silence before each, and where each begins and ends.
async fn concatenated_clips() -> (Vec<f32>, Vec<(Duration, Duration)>) {
    let mut samples = Vec::new();
    let mut places = Vec::new();
    let now = |samples: &[f32]| Duration::from_secs_f64(samples.len() as f64 / 16_000.0);
    for (name, _) in said() {
        samples.extend([0.0; 2 * SAMPLES_PER_SECOND]);
        let start = now(&samples);
        samples.extend_from_slice(pcm(name).await.samples());
        places.push((start, now(&samples)));
    }
    (samples, places)
}

/// Errors in what was heard as a share of what was said.
fn error_rate(said: &str, heard: &str) -> f64 {
    let said = words(said);
    word_errors(&said, &words(heard)) as f64 / said.len() as f64
}

#[tokio::test]
async fn every_sample_is_understood() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    local.probe().await.expect("the model loads");
    let (mut errors, mut all) = (0, 0);
    for (name, said) in said() {
        let pcm = pcm(name).await;
        let duration = pcm.duration();
        let transcript = transcribe(&local, &Clip::from_pcm(pcm)).await;
        let rate = error_rate(said, &transcript.text);
        assert!(rate < 0.2, "{name}: {}", transcript.text);
        errors += word_errors(&words(said), &words(&transcript.text));
        all += words(said).len();

        assert_eq!(transcript.provider, PROVIDER_NAME);
        assert_eq!(transcript.language.as_deref(), Some("en"));
        assert!(transcript.words.is_empty(), "it knows no times of words");
        let texts: Vec<_> = transcript.segments.iter().map(|part| &*part.text).collect();
        assert_eq!(texts.join(" "), transcript.text);
        let end = transcript.segments.last().map(|segment| segment.end);
        assert!(end.expect("a segment") <= duration, "{name}");
    }
    assert!(errors * 100 <= all * 6, "{errors} of {all} words");
}

#[tokio::test]
async fn a_long_recording_comes_back_whole_and_in_order() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    let (samples, places) = concatenated_clips().await;
    let transcript = transcribe(&local, &Clip::from_pcm(samples.into())).await;
    let segments = &transcript.segments;
    assert!(segments.iter().all(|segment| segment.start < segment.end));
    assert!(segments.windows(2).all(|pair| pair[0].end <= pair[1].start));
    for ((name, said), (start, end)) in said().into_iter().zip(places) {
        let here = |segment: &&talkback::speech::Segment| {
            let middle = (segment.start + segment.end) / 2;
            (start..end).contains(&middle)
        };
        let heard: Vec<&str> = segments
            .iter()
            .filter(here)
            .map(|part| &*part.text)
            .collect();
        let heard = heard.join(" ");
        assert!(error_rate(said, &heard) < 0.25, "{name}: {heard}");
    }
}

#[tokio::test]
async fn speech_without_a_pause_loses_no_word_at_the_cut() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    // Short enough pauses that nothing but the length cuts it.
    let mut samples = Vec::new();
    let mut whole = Vec::new();
    for _ in 0..2 {
        for (name, said) in said() {
            samples.extend(without_pauses(pcm(name).await.samples()));
            whole.push(said);
        }
    }
    assert!(
        samples.len() > 40 * SAMPLES_PER_SECOND,
        "more than fits at once"
    );
    let transcript = transcribe(&local, &Clip::from_pcm(samples.into())).await;
    let rate = error_rate(&whole.join(" "), &transcript.text);
    assert!(rate < 0.15, "{rate}: {}", transcript.text);
}

/// No stretch of quiet is longer than 0.15 s.
fn without_pauses(samples: &[f32]) -> Vec<f32> {
    let mut quiet = 0;
    let mut kept = Vec::new();
    for part in samples.chunks(160) {
        let loud = part.iter().any(|sample| sample.abs() > 0.02);
        quiet = if loud { 0 } else { quiet + 1 };
        if quiet <= 15 {
            kept.extend_from_slice(part);
        }
    }
    kept
}

#[tokio::test]
async fn a_file_that_is_not_kept_in_memory_is_decoded_again() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    let (samples, _) = concatenated_clips().await;
    let home = TempDir::new().expect("a folder");
    let path = home.path().join("row.wav");
    fs::write(&path, Pcm::from(samples).to_wav()).expect("a file");
    let mut texts = Vec::new();
    for max_in_memory in [Duration::from_secs(600), Duration::from_secs(1)] {
        let limits = AudioLimits {
            max_in_memory,
            ..AudioLimits::default()
        };
        let clip = analyze(Recording::from_path(&path), limits, |_| {})
            .await
            .expect("a recording")
            .clip;
        assert_eq!(
            clip.pcm().is_some(),
            max_in_memory > Duration::from_secs(60)
        );
        texts.push(transcribe(&local, &clip).await.text);
    }
    assert!(texts[0].len() > 300);
    assert!(texts[0] == texts[1], "{texts:#?}");
}

#[tokio::test]
async fn where_nobody_speaks_there_are_no_words() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    let mut state = 1_u32;
    let mut noise = |level: f32| {
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 16) as f32 / 32_768.0 - 1.0) * level
        };
        (0..20 * SAMPLES_PER_SECOND).map(next).collect::<Vec<f32>>()
    };
    let hum = |i| (i as f32 * 50.0 * std::f32::consts::TAU / 16_000.0).sin() * 0.1;
    for (what, samples) in [
        ("silence", vec![0.0; 40 * SAMPLES_PER_SECOND]),
        ("hiss", noise(0.001)),
        ("louder hiss", noise(0.02)),
        (
            "hum of the mains",
            (0..20 * SAMPLES_PER_SECOND).map(hum).collect(),
        ),
        ("hardly anything", vec![0.0; SAMPLES_PER_SECOND / 10]),
    ] {
        let transcript = transcribe(&local, &Clip::from_pcm(samples.into())).await;
        assert_eq!(transcript.text, "", "{what}");
        assert!(transcript.segments.is_empty(), "{what}");
    }
}

#[tokio::test]
async fn several_at_a_time_hear_the_same() {
    let Some(folder) = installed_models() else {
        return;
    };
    let mut clips = Vec::new();
    for (name, _) in said() {
        clips.push(Clip::from_pcm(pcm(name).await));
    }
    let alone = LocalTranscriber::new(settings(&folder));
    let mut expected = Vec::new();
    for clip in &clips {
        expected.push(transcribe(&alone, clip).await.text);
    }
    for parallel in [1, 2] {
        let mut settings = settings(&folder);
        settings.max_concurrent = parallel;
        let together = LocalTranscriber::new(settings);
        let heard =
            futures_util::future::join_all(clips.iter().map(|clip| transcribe(&together, clip)));
        let heard: Vec<String> = heard.await.into_iter().map(|heard| heard.text).collect();
        assert_eq!(heard, expected);
    }
}

/// Remembers what it is told.
#[derive(Default)]
struct StartObserver {
    started: Mutex<Vec<&'static str>>,
    progress: watch::Sender<Vec<(Duration, Duration)>>,
}

impl TranscriptionObserver for StartObserver {
    fn on_start(&self, provider: &'static str) {
        self.started.lock().expect("not poisoned").push(provider);
    }

    fn on_progress(&self, progress: TranscriptionProgress) {
        match progress {
            TranscriptionProgress::Recognizing { done, total } => {
                self.progress.send_modify(|all| all.push((done, total)));
            }
            other => panic!("not the local engine's: {other:?}"),
        }
    }
}

#[tokio::test]
async fn progress_is_told_and_dropping_frees_the_engine() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    let (row, _) = concatenated_clips().await;
    let row_duration = Pcm::from(row.clone()).duration();
    let watcher = StartObserver::default();
    let clip = Clip::from_pcm(row.clone().into());
    local
        .transcribe(&clip, &Hints::default(), &watcher)
        .await
        .expect("it listens");
    assert_eq!(
        *watcher.started.lock().expect("not poisoned"),
        [PROVIDER_NAME]
    );
    let told = watcher.progress.borrow().clone();
    assert!(told.len() >= 4, "{told:?}");
    assert!(
        told.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "{told:?}"
    );
    assert!(
        told.iter()
            .all(|(done, total)| *total == row_duration && done <= total)
    );

    // An hour of speech, which nobody waits for after its first words.
    let hour: Vec<f32> = row
        .iter()
        .copied()
        .cycle()
        .take(3_600 * SAMPLES_PER_SECOND)
        .collect();
    let clip = Clip::from_pcm(hour.into());
    let watcher = StartObserver::default();
    let mut progress = watcher.progress.subscribe();
    let hints = Hints::default();
    tokio::select! {
        _ = local.transcribe(&clip, &hints, &watcher) => panic!("an hour is long"),
        _ = progress.wait_for(|told| !told.is_empty()) => {}
    }
    local.probe().await.expect("the one engine is free again");
}

/// The model's folder with one file replaced.
fn models_with_broken_file(folder: &Path, name: &str, content: Option<&[u8]>) -> TempDir {
    let home = TempDir::new().expect("a folder");
    let model = home.path().join("moonshine-tiny-en");
    fs::create_dir(&model).expect("a folder");
    let runtime = models::onnx_runtime().expect("a runtime for this platform");
    let library = runtime.files[0].name;
    let files = [
        "encoder_model.ort",
        "decoder_model_merged.ort",
        "tokenizer.bin",
    ];
    let all = files.map(|file| format!("moonshine-tiny-en/{file}"));
    for file in all.iter().map(String::as_str).chain([library]) {
        let (from, to) = (folder.join(file), home.path().join(file));
        match content {
            _ if !file.ends_with(name) => drop(fs::copy(from, to).expect("a copy")),
            Some(content) => fs::write(to, content).expect("another content"),
            None => {}
        }
    }
    home
}

#[tokio::test]
async fn a_missing_or_damaged_model_file_is_named() {
    let Some(folder) = installed_models() else {
        return;
    };
    let of_model = |name: &str| fs::read(folder.join("moonshine-tiny-en").join(name));
    let (encoder, decoder) = ("encoder_model.ort", "decoder_model_merged.ort");
    let encoder_bytes = of_model(encoder).expect("the encoder");
    let decoder_bytes = of_model(decoder).expect("the decoder");
    let tokenizer_bytes = of_model("tokenizer.bin").expect("the vocabulary");
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let stories: [(&str, Option<Vec<u8>>); 12] = [
        (encoder, None),
        (encoder, Some(Vec::new())),
        (encoder, Some(b"<html>404</html>".to_vec())),
        (encoder, Some(half(&encoder_bytes))),
        (encoder, Some(decoder_bytes.clone())),
        (decoder, None),
        (decoder, Some(half(&decoder_bytes))),
        (decoder, Some(encoder_bytes)),
        ("tokenizer.bin", None),
        ("tokenizer.bin", Some(Vec::new())),
        ("tokenizer.bin", Some(vec![0xff; 1_000])),
        ("tokenizer.bin", Some(half(&tokenizer_bytes))),
    ];
    for (name, content) in stories {
        let size = content.as_ref().map(Vec::len);
        let home = models_with_broken_file(&folder, name, content.as_deref());
        let local = LocalTranscriber::new(settings(home.path()));
        let error = local.probe().await.expect_err("it can't work");
        let SpeechError::LocalEngine {
            reason,
            fixed_by_fetch,
        } = &error
        else {
            panic!("another error: {error:?}");
        };
        assert!(reason.contains(name), "{name} {size:?}: {reason}");
        assert!(fixed_by_fetch, "{name} {size:?}");
    }
}

/// A process loads one library in its life, so this is told by a process of its own.
#[tokio::test]
async fn a_missing_or_damaged_library_is_one_sentence() {
    let Some(folder) = installed_models() else {
        return;
    };
    let runtime = models::onnx_runtime().expect("a runtime for this platform");
    let library = runtime.files[0].name;
    let whole = fs::read(folder.join(library)).expect("the library");
    let stories = [
        None,
        Some(Vec::new()),
        Some(b"not a library".to_vec()),
        Some(whole[..whole.len() / 2].to_vec()),
    ];
    for content in stories {
        let size = content.as_ref().map(Vec::len);
        let home = models_with_broken_file(&folder, library, content.as_deref());
        let mut talkback = TalkbackCommand::new();
        talkback.set("TALKBACK_MODELS", &home.path().to_string_lossy());
        let question = sample_path("capital.ogg");
        let question = question.to_string_lossy();
        let screen = talkback.run(&["transcribe", &question]).await;
        assert_eq!(screen.exit_code, Some(6), "{size:?}: {screen:?}");
        assert_eq!(screen.stdout, "", "{size:?}");
        assert!(
            screen.stderr.contains("talkback models fetch"),
            "{size:?}: {screen:?}"
        );
        assert!(!screen.stderr.contains("panicked"), "{size:?}: {screen:?}");
    }
}

/// Listened to while it is spoken, with pauses between, it is the same words.
#[tokio::test]
async fn what_is_heard_ahead_is_what_is_heard_of_the_whole() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    let (mut samples, places) = concatenated_clips().await;
    // As much as may wait for the engine at once: nobody here takes the time to speak.
    samples.truncate((places[2].1.as_secs_f64() * SAMPLES_PER_SECOND as f64) as usize);
    let whole = transcribe(&local, &Clip::from_pcm(Pcm::from(samples.clone()))).await;

    let mut ahead = local.start_streaming(&Hints::default()).expect("it can");
    for block in samples.chunks(SAMPLES_PER_SECOND / 10) {
        ahead.push(block);
        tokio::task::yield_now().await;
    }
    let ahead = ahead.finish(&()).await.expect("it listens");

    // A comma may hang on how long the silence behind it was.
    assert_eq!(words(&ahead.text), words(&whole.text));
}

#[tokio::test]
async fn quiet_speech_is_understood_as_well_as_without_looking_for_it() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    for dbfs in [-50.0, -55.0, -60.0] {
        let (mut ours, mut alone, mut all) = (0, 0, 0);
        for (name, said) in said() {
            let samples = synthetic_sounds::at_level(pcm(name).await.samples(), dbfs);
            let samples = synthetic_sounds::quantize_16_bit(&samples);
            let bare = local
                .recognize_samples(samples.clone())
                .await
                .expect("words");
            let heard = transcribe(&local, &Clip::from_pcm(samples.into()))
                .await
                .text;
            let said = words(said);
            ours += word_errors(&said, &words(&heard));
            alone += word_errors(&said, &words(&bare));
            all += said.len();
        }
        println!("{dbfs} dBFS: {ours} and {alone} errors in {all} words");
        assert!(
            ours * 100 <= alone * 100 + all * 3,
            "{dbfs}: {ours} for {alone} of {all}"
        );
    }
}

#[tokio::test]
async fn recordings_that_went_unheard_are_heard() {
    let Some(folder) = installed_models() else {
        return;
    };
    let local = LocalTranscriber::new(settings(&folder));
    for file in ["quiet35.ogg", "inverted.ogg"] {
        let samples = samples_of(fixture(file)).await;
        let heard = transcribe(&local, &Clip::from_pcm(samples.into()))
            .await
            .text;
        assert!(
            error_rate("What is the capital of France?", &heard) < 0.2,
            "{file}: {heard}"
        );
    }
}
