//! The word error rate under bad acoustic conditions: of the program, which detects speech and
//! filters hallucinations, and of the recognizer alone.
//!
//! ```sh
//! cargo bench --no-default-features --features local-speech --bench words
//! ```
//!
//! The recordings in `samples/` under each condition, with the same noise in every run. Needs the
//! local models (`talkback models fetch`). Prints the table of `README.md`.

#[path = "../tests/it/synthetic_sounds.rs"]
mod sounds;
#[path = "../tests/it/word_error_rate.rs"]
mod word_errors;

use std::error::Error;
use std::path::PathBuf;

use audio::{AudioError, AudioLimits, Pcm, Recording, analyze};
use talkback::flow::hallucination_filter;
use talkback::models;
use talkback::speech::local::{LocalSpeechSettings, LocalTranscriber};
use talkback::speech::{Hints, Transcriber};
use word_errors::{said, word_errors, words};

type BenchResult<T> = Result<T, Box<dyn Error>>;

/// The length of the noise, which is repeated.
const NOISE_SAMPLES: usize = 10 * 16_000;

/// Alters a recording, given its number and its samples.
type NoiseCondition<'a> = Box<dyn Fn(usize, &[f32]) -> Vec<f32> + 'a>;

fn main() -> BenchResult<()> {
    // `cargo test --benches` starts this program too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(table())
}

async fn table() -> BenchResult<()> {
    let folder =
        std::env::var_os("TALKBACK_MODELS").map_or_else(models::default_folder, PathBuf::from);
    let local = LocalTranscriber::new(LocalSpeechSettings::in_folder(
        &folder,
        AudioLimits::default(),
    ));
    local.probe().await?;
    let samples = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("samples");
    let mut cases = Vec::new();
    for (name, reference) in said() {
        let file = samples.join(name).with_extension("ogg");
        let analysis = analyze(Recording::from_path(file), AudioLimits::default(), |_| {}).await?;
        let pcm = analysis.clip.pcm().ok_or("a short recording")?.clone();
        cases.push((words(reference), pcm.samples().to_vec()));
    }
    let voices: Vec<Vec<f32>> = cases.iter().map(|(_, samples)| samples.clone()).collect();
    println!("| condition | program | recognizer alone | refused |");
    println!("| --- | --- | --- | --- |");
    for (name, condition) in &conditions(&voices) {
        let (mut program, mut alone, mut all, mut refused) = (0, 0, 0, 0);
        for (number, (reference, samples)) in cases.iter().enumerate() {
            let altered = sounds::quantize_16_bit(&condition(number, samples));
            let bare = local.recognize_samples(altered.clone()).await?;
            let shown = transcribe_like_program(&local, altered).await?;
            refused += usize::from(shown.is_none());
            program += word_errors(reference, &words(&shown.unwrap_or_default()));
            alone += word_errors(reference, &words(&bare));
            all += reference.len();
        }
        let share = |errors: usize| errors as f64 * 100.0 / all as f64;
        println!(
            "| {name} | {:.1} % | {:.1} % | {refused} of {} |",
            share(program),
            share(alone),
            cases.len()
        );
    }
    Ok(())
}

/// The text that the program would show; `None` if it finds no speech.
async fn transcribe_like_program(
    local: &LocalTranscriber,
    samples: Vec<f32>,
) -> BenchResult<Option<String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("it.wav");
    std::fs::write(&file, Pcm::from(samples).to_wav())?;
    let analysis = analyze(Recording::from_path(file), AudioLimits::default(), |_| {}).await;
    let analysis = match analysis {
        Err(AudioError::NoSpeech) => return Ok(None),
        analysis => analysis?,
    };
    let transcript = local
        .transcribe(&analysis.clip, &Hints::default(), &())
        .await?;
    let length = analysis.clip.duration();
    let filtered =
        hallucination_filter::filter_transcript(transcript, &analysis.speech_times, length);
    Ok(Some(filtered.text).filter(|text| !text.is_empty()))
}

fn conditions(voices: &[Vec<f32>]) -> Vec<(String, NoiseCondition<'_>)> {
    let mut conditions: Vec<(String, NoiseCondition<'_>)> =
        vec![("clean".to_owned(), Box::new(|_, samples| samples.to_vec()))];
    for below in [10.0, 5.0, 0.0] {
        conditions.push((
            format!("white noise, {below} dB below the speech"),
            Box::new(move |number, samples| {
                sounds::mix_noise(
                    samples,
                    &sounds::white_noise(NOISE_SAMPLES, number as u64),
                    below,
                )
            }),
        ));
        conditions.push((
            format!("pink noise, {below} dB below"),
            Box::new(move |number, samples| {
                sounds::mix_noise(
                    samples,
                    &sounds::pink_noise(NOISE_SAMPLES, number as u64),
                    below,
                )
            }),
        ));
        conditions.push((
            format!("babble of seven voices, {below} dB below"),
            Box::new(move |number, samples| {
                sounds::mix_noise(samples, &babble(voices, number), below)
            }),
        ));
    }
    conditions.push((
        "telephone band, 300 to 3,400 Hz".to_owned(),
        Box::new(|_, samples| sounds::telephone_band(samples)),
    ));
    for gain in [-35.0, -50.0] {
        conditions.push((
            format!("{gain} dB gain"),
            Box::new(move |_, samples| sounds::amplify(samples, gain)),
        ));
    }
    conditions.push((
        "reverb of 0.5 s".to_owned(),
        Box::new(|number, samples| sounds::reverb(samples, number as u64)),
    ));
    conditions.push((
        "clipped by 20 dB".to_owned(),
        Box::new(|_, samples| sounds::clip(samples)),
    ));
    conditions
}

/// All other recordings at once, backwards and each with another start, so that no words can be
/// recognized.
fn babble(voices: &[Vec<f32>], number: usize) -> Vec<f32> {
    let mut babble = vec![0.0; NOISE_SAMPLES];
    for (other, voice) in voices.iter().enumerate() {
        if other == number {
            continue;
        }
        let voice = sounds::at_level(voice, -20.0);
        let backwards = voice.iter().rev().cycle().skip(other * 9_000);
        for (sum, sample) in babble.iter_mut().zip(backwards) {
            *sum += sample;
        }
    }
    babble
}
