//! A long session with five users: memory, sockets and threads.

use std::time::{Duration, Instant};

use sandbox::TestUser;

use super::Outcome;
use super::process::load_average;
use super::scene::{BotScene, person_name};
use super::speech_samples::continuous_speech;

const PEOPLE: usize = 5;

/// Short sessions before the long one, three times. A leak shows ten times as large after ten.
const SHORT_SESSIONS: usize = 10;

/// Longer than idle worker threads live (10 s).
const IDLE_THREAD_LIFETIME: Duration = Duration::from_secs(12);

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn bench_long_session(minutes: usize) -> Outcome<()> {
    println!("long: {PEOPLE} people for {minutes} min");
    let mut scene = BotScene::new(PEOPLE, &[]).await?;
    let process = scene.process();
    scene.join_voice(0..PEOPLE).await;
    // The first session creates what stays: connections to providers, a pool of threads.
    short_session(&mut scene).await?;
    tokio::time::sleep(IDLE_THREAD_LIFETIME).await;
    let (before, memory) = (process.resource_counts(), process.memory_mib());
    println!("  after one short session:        {before}; {memory:.1} MiB");
    for tens in 1..=3 {
        for _ in 0..SHORT_SESSIONS {
            short_session(&mut scene).await?;
        }
        tokio::time::sleep(IDLE_THREAD_LIFETIME).await;
        println!(
            "  after {:>2} more:                  {}; {:.1} MiB",
            tens * SHORT_SESSIONS,
            process.resource_counts(),
            process.memory_mib()
        );
    }

    scene.start_session().await;
    println!(
        "  in the long session:            {}; {:.1} MiB",
        process.resource_counts(),
        process.memory_mib()
    );
    let sent =
        |scene: &BotScene| -> usize { scene.people.iter().map(TestUser::packets_sent).sum() };
    let (sent_before, started) = (sent(&scene), Instant::now());
    let mut speaker = 0;
    for minute in 1..=minutes {
        let end = started + MINUTE * u32::try_from(minute)?;
        while Instant::now() < end {
            // One user speaks for five seconds; every third time the next one interrupts.
            let speech = scene.people[speaker % PEOPLE]
                .start_speaking_packets(continuous_speech(speaker, 250)?);
            if speaker % 3 == 2 {
                tokio::time::sleep(Duration::from_secs(3)).await;
            } else {
                speech.wait_until_sent().await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            speaker += 1;
        }
        println!(
            "  minute {minute:>3}: {:.1} MiB, {}, load {}",
            process.memory_mib(),
            process.resource_counts(),
            load_average()
        );
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let sent = sent(&scene) - sent_before;
    let transcript = scene.end_session().await?;
    let heard: usize = (0..PEOPLE)
        .map(|it| {
            transcript
                .speaker(&person_name(it))
                .decoded_sample_packets()
        })
        .sum();
    tokio::time::sleep(IDLE_THREAD_LIFETIME).await;
    println!(
        "  after it:                       {}; {:.1} MiB",
        process.resource_counts(),
        process.memory_mib()
    );
    println!(
        "  {sent} packets sent, {heard} heard, {:.1} s interrupted",
        transcript.interrupted_time().as_secs_f64()
    );
    Ok(())
}

/// A session of a few seconds with some speech.
async fn short_session(scene: &mut BotScene) -> Outcome<()> {
    scene.start_session().await;
    scene.ana().speak_packets(continuous_speech(0, 100)?).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    scene.end_session().await?;
    Ok(())
}
