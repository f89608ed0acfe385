//! A long session of five people: memory, sockets and threads.

use std::time::{Duration, Instant};

use sandbox::TestUser;

use super::Outcome;
use super::process::load_average;
use super::scene::{VoiceFixture, person_name};
use super::speech_samples::continuous_speech;

const PEOPLE: usize = 5;

/// Short sessions before the long one, thrice; what one leaves behind, ten leave ten times.
const SHORT_SESSIONS: usize = 10;

/// Idle worker threads live for ten seconds.
const IDLE_THREAD_LIFETIME: Duration = Duration::from_secs(12);

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn bench_long_session(minutes: usize) -> Outcome<()> {
    println!("long: {PEOPLE} people for {minutes} min");
    let mut lounge = VoiceFixture::new(PEOPLE, &[]).await?;
    let process = lounge.process();
    lounge.join_voice(0..PEOPLE).await;
    // The first session makes what is kept: connections to providers, a pool of threads.
    short_session(&mut lounge).await?;
    tokio::time::sleep(IDLE_THREAD_LIFETIME).await;
    let (before, memory) = (process.resource_counts(), process.memory_mib());
    println!("  after one short session:        {before}; {memory:.1} MiB");
    for tens in 1..=3 {
        for _ in 0..SHORT_SESSIONS {
            short_session(&mut lounge).await?;
        }
        tokio::time::sleep(IDLE_THREAD_LIFETIME).await;
        println!(
            "  after {:>2} more:                  {}; {:.1} MiB",
            tens * SHORT_SESSIONS,
            process.resource_counts(),
            process.memory_mib()
        );
    }

    lounge.start_session().await;
    println!(
        "  in the long session:            {}; {:.1} MiB",
        process.resource_counts(),
        process.memory_mib()
    );
    let sent =
        |lounge: &VoiceFixture| -> usize { lounge.people.iter().map(TestUser::packets_sent).sum() };
    let (sent_before, begun) = (sent(&lounge), Instant::now());
    let mut speaker = 0;
    for minute in 1..=minutes {
        let end = begun + MINUTE * u32::try_from(minute)?;
        while Instant::now() < end {
            // Somebody speaks for five seconds; every third time the next one falls in.
            let speech = lounge.people[speaker % PEOPLE]
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
    let sent = sent(&lounge) - sent_before;
    let remains = lounge.end_session().await?;
    let heard: usize = (0..PEOPLE)
        .map(|it| remains.speaker(&person_name(it)).decoded_sample_packets())
        .sum();
    tokio::time::sleep(IDLE_THREAD_LIFETIME).await;
    println!(
        "  after it:                       {}; {:.1} MiB",
        process.resource_counts(),
        process.memory_mib()
    );
    println!(
        "  {sent} packets sent, {heard} heard, {:.1} s nobody heard",
        remains.interrupted_time().as_secs_f64()
    );
    Ok(())
}

/// A short session in which something is said.
async fn short_session(lounge: &mut VoiceFixture) -> Outcome<()> {
    lounge.start_session().await;
    lounge.ana().speak_packets(continuous_speech(0, 100)?).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    lounge.end_session().await?;
    Ok(())
}
