//! How many words are heard wrong, by what has become of the sound: by the program, which looks for
//! speech and drops what no speech carries, and by the recognizer alone.
//!
//! ```sh
//! cargo bench --no-default-features --features local-speech --bench words
//! ```
//!
//! The recordings in `samples/`, each under each condition, which are made here with the same noise
//! each time. Needs the local models (`talkback models fetch`). Prints the table of `README.md`.

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

type BenchResult<T> = std::result::Result<T, Box<dyn Error>>;

/// Noise of this length is repeated.
const NOISE_SAMPLES: usize = 10 * 16_000;

/// What is done to a recording: its number, and its samples.
type NoiseCondition<'a> = Box<dyn Fn(usize, &[f32]) -> Vec<f32> + 'a>;

fn main() -> BenchResult<()> {
    // What `cargo test --benches` runs needs no numbers.
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
    for (name, said) in said() {
        let file = samples.join(name).with_extension("ogg");
        let survey = analyze(Recording::from_path(file), AudioLimits::default(), |_| {}).await?;
        let pcm = survey.clip.pcm().ok_or("a short recording")?.clone();
        cases.push((words(said), pcm.samples().to_vec()));
    }
    let voices: Vec<Vec<f32>> = cases.iter().map(|(_, samples)| samples.clone()).collect();
    println!("| condition | program | recognizer alone | refused |");
    println!("| --- | --- | --- | --- |");
    for (name, condition) in &conditions(&voices) {
        let (mut program, mut alone, mut all, mut refused) = (0, 0, 0, 0);
        for (number, (said, samples)) in cases.iter().enumerate() {
            let heard = sounds::quantize_16_bit(&condition(number, samples));
            let bare = local.recognize_samples(heard.clone()).await?;
            let shown = transcribe_like_program(&local, heard).await?;
            refused += usize::from(shown.is_none());
            program += word_errors(said, &words(&shown.unwrap_or_default()));
            alone += word_errors(said, &words(&bare));
            all += said.len();
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

/// What the program would show; nothing if it hears no speech.
async fn transcribe_like_program(
    local: &LocalTranscriber,
    samples: Vec<f32>,
) -> BenchResult<Option<String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("it.wav");
    std::fs::write(&file, Pcm::from(samples).to_wav())?;
    let found = analyze(Recording::from_path(file), AudioLimits::default(), |_| {}).await;
    let found = match found {
        Err(AudioError::NoSpeech) => return Ok(None),
        found => found?,
    };
    let transcript = local
        .transcribe(&found.clip, &Hints::default(), &())
        .await?;
    let length = found.clip.duration();
    let said = hallucination_filter::filter_transcript(transcript, &found.speech_times, length);
    Ok(Some(said.text).filter(|text| !text.is_empty()))
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

/// All the others at once, each beginning elsewhere and backwards, so that there are no words in it.
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
