//! Bad networks: whether the bot counts losses correctly, and how many words it still recognizes.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sandbox::{TestUser, VoiceNetwork};
use talkback::models;

use super::Outcome;
use super::scene::{BotScene, person_name};
use super::speech_samples::{sample_packets, sample_path};
use super::word_errors::{said, word_errors, words};

/// Users who say all samples, each in another order and with other losses.
const PEOPLE: usize = 3;

/// The pause between two samples.
const PAUSE: Duration = Duration::from_millis(1_200);

const PACKET_SECONDS: f64 = 0.02;

pub(crate) async fn bench_network() -> Outcome<()> {
    if !cfg!(feature = "local-speech") {
        return Err("network needs --features local-speech".into());
    }
    let folder = models::default_folder();
    println!("network: all samples of {PEOPLE} people, written down by the local recognizer");
    println!(
        "  the files themselves: word errors {:.1} %",
        word_error_rate_of_files(&folder)?
    );
    let perfect = VoiceNetwork::perfect;
    let jitter = Duration::from_millis(60);
    let mut clean_rate = None;
    for (what, network) in [
        ("clean", perfect()),
        ("2 % loss", perfect().with_loss(0.02)),
        ("10 % loss", perfect().with_loss(0.1)),
        ("30 % loss", perfect().with_loss(0.3)),
        ("60 ms jitter", perfect().with_jitter(jitter)),
        (
            "10 % loss, 60 ms jitter",
            perfect().with_loss(0.1).with_jitter(jitter),
        ),
    ] {
        let errors = word_error_rate_over(what, network, &folder, clean_rate).await?;
        clean_rate.get_or_insert(errors);
    }
    Ok(())
}

/// The word error rate of the samples as files.
fn word_error_rate_of_files(models: &Path) -> Outcome<f64> {
    let (mut errors, mut all) = (0, 0);
    for (name, expected) in said() {
        let heard = Command::new(env!("CARGO_BIN_EXE_talkback"))
            .arg("transcribe")
            .arg(sample_path(name))
            .env_clear()
            .env("HOME", std::env::temp_dir())
            .env("SPEECH_PROVIDERS", "local")
            .env("TALKBACK_MODELS", models)
            .output()?;
        let expected = words(expected);
        let heard = String::from_utf8_lossy(&heard.stdout).into_owned();
        errors += word_errors(&expected, &words(&heard));
        all += expected.len();
    }
    Ok(100.0 * errors as f64 / all.max(1) as f64)
}

/// Runs a session over this network and returns its word error rate in percent.
async fn word_error_rate_over(
    what: &str,
    network: VoiceNetwork,
    models: &Path,
    clean: Option<f64>,
) -> Outcome<f64> {
    let local = [
        ("SPEECH_PROVIDERS", "local".to_owned()),
        ("TALKBACK_MODELS", models.to_string_lossy().into_owned()),
    ];
    let mut scene = BotScene::new(PEOPLE, &local).await?;
    scene.join_voice(0..PEOPLE).await;
    scene.start_session().await;
    let before: usize = forwarded_sample_packets(&scene);
    scene.discord.voice_network(network);
    let samples = said();
    let turns = samples.len();
    for turn in 0..turns {
        let speeches: Vec<_> = (0..PEOPLE)
            .map(|person| {
                let (sample, _) = samples[(turn + 3 * person) % turns];
                let packets = sample_packets(sample)?;
                Ok(scene.people[person].start_speaking_packets(packets))
            })
            .collect::<Outcome<_>>()?;
        for speech in speeches {
            speech.wait_until_sent().await;
        }
        tokio::time::sleep(PAUSE).await;
    }
    // The bot notices losses at the end only when later packets arrive.
    scene.discord.voice_network(VoiceNetwork::perfect());
    for person in &scene.people {
        person.speak_packets(Vec::new()).await;
    }
    tokio::time::sleep(PAUSE * 2).await;
    let sent: usize = scene.people.iter().map(TestUser::packets_sent).sum();
    let lost = (sent - (forwarded_sample_packets(&scene) - before)) as f64 * PACKET_SECONDS;
    let transcript = scene.end_session().await?;
    let (mut counted, mut late, mut errors, mut all) = (0.0, 0, 0, 0);
    for person in 0..PEOPLE {
        let totals = transcript.speaker(&person_name(person));
        counted += totals.lost.as_secs_f64();
        late += totals.late;
        let order = (0..turns).map(|turn| samples[(turn + 3 * person) % turns].1);
        let expected = words(&order.collect::<Vec<_>>().join(" "));
        errors += word_errors(&expected, &words(&totals.words));
        if std::env::var_os("WORDS").is_some() {
            println!("    {}: {}", person_name(person), totals.words);
        }
        all += expected.len();
    }
    let truth = lost + late as f64 * PACKET_SECONDS;
    let rate = 100.0 * errors as f64 / all.max(1) as f64;
    println!(
        "  {what:<24} {:5.1} s sent, {lost:6.2} s lost on the way + {late:>3} packets too late; \
         counted {counted:6.2} s ({:+.2} % of it, {:+.2} % of what was sent); word errors {rate:.1} %{}",
        sent as f64 * PACKET_SECONDS,
        if truth > 0.0 {
            100.0 * (counted - truth) / truth
        } else {
            0.0
        },
        100.0 * (counted - truth) / (sent as f64 * PACKET_SECONDS),
        clean.map_or_else(String::new, |clean| format!(" ({:+.1})", rate - clean)),
    );
    Ok(rate)
}

fn forwarded_sample_packets(scene: &BotScene) -> usize {
    let people = scene.people.iter();
    people
        .map(|it| scene.discord.packets_forwarded_to_bot(it))
        .sum()
}
