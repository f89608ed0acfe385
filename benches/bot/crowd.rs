//! 1,000 voice messages from 100 users at once.

use std::time::Instant;

use sandbox::{Channel, TestUser};

use super::environment::BotEnvironment;
use super::notes::{NoteOutcomes, check_answered_exactly_once, wait_until_answered};
use super::{BenchResult, kib_to_mib};

/// 100 users send ten notes each at once, with Discord's rate limits.
pub(crate) async fn bench_crowd() -> BenchResult<()> {
    let environment = BotEnvironment::new().await?;
    let bot = environment.launch_and_wait().await?;
    let people: Vec<(TestUser, Channel)> = (0..100)
        .map(|number| environment.guild.add_member(&format!("Person {number}")))
        .map(|person| {
            let channel = person.dm_channel();
            (person, channel)
        })
        .collect();
    let idle = bot.memory_kib("VmRSS");
    let started = Instant::now();
    let mut notes = Vec::new();
    for _ in 0..10 {
        for (person, channel) in &people {
            notes.push(
                person
                    .send_voice_message(channel, environment.note.clone())
                    .await,
            );
        }
    }
    let half = wait_until_answered(&notes, 500).await?;
    let half_memory = bot.memory_kib("VmRSS");
    let all = wait_until_answered(&notes, notes.len()).await;
    println!("1,000 notes from 100 people at once:");
    println!("  {}", NoteOutcomes::from_notes(&notes));
    let all = all?;
    check_answered_exactly_once(&notes)?;
    println!(
        "  half after             {:6.1} s",
        (half - started).as_secs_f64()
    );
    println!(
        "  all after              {:6.1} s",
        (all - started).as_secs_f64()
    );
    println!(
        "  floor                  {:6.1} s (two requests a note, 50 a second)",
        40.0
    );
    println!(
        "  refused for coming too soon: {}",
        environment.discord.rate_limited_requests()
    );
    println!(
        "  memory: {:.1} MiB before, {:.1} MiB at half, {:.1} MiB at the end, {:.1} MiB at most",
        kib_to_mib(idle),
        kib_to_mib(half_memory),
        kib_to_mib(bot.memory_kib("VmRSS")),
        kib_to_mib(bot.memory_kib("VmHWM"))
    );
    Ok(())
}
