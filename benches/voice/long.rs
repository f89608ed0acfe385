//! A long session of five people: memory, sockets and threads.

use std::time::{Duration, Instant};

use sandbox::Person;

use super::Outcome;
use super::material::talk;
use super::process::load;
use super::scene::{Lounge, name};

const PEOPLE: usize = 5;

/// Short sessions before the long one, thrice; what one leaves behind, ten leave ten times.
const SHORT: usize = 10;

/// Idle worker threads live for ten seconds.
const THREADS_END: Duration = Duration::from_secs(12);

const MINUTE: Duration = Duration::from_secs(60);

pub(crate) async fn long(minutes: usize) -> Outcome<()> {
    println!("long: {PEOPLE} people for {minutes} min");
    let mut lounge = Lounge::new(PEOPLE, &[]).await?;
    let process = lounge.process();
    lounge.join(0..PEOPLE).await;
    // The first session makes what is kept: connections to providers, a pool of threads.
    session(&mut lounge).await?;
    tokio::time::sleep(THREADS_END).await;
    let (before, memory) = (process.holds(), process.memory());
    println!("  after one short session:        {before}; {memory:.1} MiB");
    for tens in 1..=3 {
        for _ in 0..SHORT {
            session(&mut lounge).await?;
        }
        tokio::time::sleep(THREADS_END).await;
        println!(
            "  after {:>2} more:                  {}; {:.1} MiB",
            tens * SHORT,
            process.holds(),
            process.memory()
        );
    }

    lounge.begins().await;
    println!(
        "  in the long session:            {}; {:.1} MiB",
        process.holds(),
        process.memory()
    );
    let sent = |lounge: &Lounge| -> usize { lounge.people.iter().map(Person::packets_sent).sum() };
    let (sent_before, begun) = (sent(&lounge), Instant::now());
    let mut speaker = 0;
    for minute in 1..=minutes {
        let end = begun + MINUTE * u32::try_from(minute)?;
        while Instant::now() < end {
            // Somebody speaks for five seconds; every third time the next one falls in.
            let speech =
                lounge.people[speaker % PEOPLE].begins_to_speak_packets(talk(speaker, 250)?);
            if speaker % 3 == 2 {
                tokio::time::sleep(Duration::from_secs(3)).await;
            } else {
                speech.ends().await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            speaker += 1;
        }
        println!(
            "  minute {minute:>3}: {:.1} MiB, {}, load {}",
            process.memory(),
            process.holds(),
            load()
        );
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    let sent = sent(&lounge) - sent_before;
    let remains = lounge.ends().await?;
    let heard: usize = (0..PEOPLE).map(|it| remains.of(&name(it)).packets()).sum();
    tokio::time::sleep(THREADS_END).await;
    println!(
        "  after it:                       {}; {:.1} MiB",
        process.holds(),
        process.memory()
    );
    println!(
        "  {sent} packets sent, {heard} heard, {:.1} s nobody heard",
        remains.deaf().as_secs_f64()
    );
    Ok(())
}

/// A short session in which something is said.
async fn session(lounge: &mut Lounge) -> Outcome<()> {
    lounge.begins().await;
    lounge.ana().speaks_packets(talk(0, 100)?).await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    lounge.ends().await?;
    Ok(())
}
