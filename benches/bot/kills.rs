//! The bot is killed while voice messages keep coming.

use std::time::{Duration, Instant};

use sandbox::{Message, TestUser};

use super::BenchResult;
use super::environment::BotEnvironment;
use super::notes::{
    NoteOutcomes, check_answered_exactly_once, is_answered_completely, wait_until_answered,
};

/// Notes keep coming, as direct messages and in a channel, while the bot is killed at random
/// moments.
pub(crate) async fn bench_kills(rounds: usize) -> BenchResult<()> {
    let environment = BotEnvironment::new().await?;
    environment.discord.disable_rate_limits();
    environment
        .sandbox
        .openai()
        .set_chunk_delay(Duration::from_millis(15));
    let channel = environment.guild.add_text_channel("general");
    let ana = environment.guild.add_member("Ana");
    ana.grant_manage_guild();
    let people: Vec<TestUser> = (0..10)
        .map(|number| environment.guild.add_member(&format!("Person {number}")))
        .collect();
    let mut bot = environment.launch_and_wait().await?;
    let on = serde_json::json!({"on": true});
    let settings = ana.run_command(&channel, "/settings notes", on).await;
    settings
        .wait_for_answer_containing("Voice messages are answered in")
        .await;
    let mut notes = Vec::new();
    for person in &people {
        // The ledger has to know these users, so that the bot catches up with their direct
        // messages.
        notes.push(
            person
                .send_voice_message(&person.dm_channel(), environment.note.clone())
                .await,
        );
    }
    wait_until_answered(&notes, notes.len()).await?;
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next_below = |limit: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % limit
    };
    let started = Instant::now();
    for round in 0..rounds {
        let uptime = Duration::from_millis(next_below(900));
        let end = Instant::now() + uptime;
        while Instant::now() < end {
            let person = &people[next_below(10) as usize];
            let direct = person.dm_channel();
            let to = if next_below(2) == 0 {
                &direct
            } else {
                &channel
            };
            notes.push(
                person
                    .send_voice_message(to, environment.note.clone())
                    .await,
            );
            tokio::time::sleep(Duration::from_millis(40 + next_below(120))).await;
        }
        drop(bot);
        bot = environment.launch()?;
        if round % 10 == 9 {
            eprintln!("{} kills, {} notes", round + 1, notes.len());
        }
    }
    let answered = wait_until_answered(&notes, notes.len()).await;
    println!(
        "{rounds} kills in {:.0} s, {}",
        started.elapsed().as_secs_f64(),
        NoteOutcomes::from_notes(&notes)
    );
    for note in notes.iter().filter(|note| !is_answered_completely(note)) {
        let replies: Vec<_> = note.bot_replies().iter().map(Message::text).collect();
        println!("  {}: {replies:?}", note.id());
    }
    if answered.is_err() {
        let log = environment.log();
        let tail = log.len().saturating_sub(4_000);
        println!("{}", log.get(tail..).unwrap_or_default());
    }
    answered?;
    check_answered_exactly_once(&notes)?;
    let direct: usize = people
        .iter()
        .map(|it| it.dm_channel().bot_messages().len())
        .sum();
    let all = direct + channel.bot_messages().len();
    if all != notes.len() {
        return Err(format!("{all} messages for {} notes", notes.len()).into());
    }
    Ok(())
}
