//! Both are killed at moments that nobody chose, and started again, while notes keep coming.

use std::time::{Duration, Instant};

use sandbox::{Message, TestUser};

use super::bots::{ComparedBot, ComparisonEnvironment};
use super::{BenchResult, WAIT_TIMEOUT};

/// The longest that a bot lives after it has connected.
const MAX_UPTIME_MS: u64 = 1_500;

/// The least time between two notes, and what is added by chance.
const NOTE_INTERVAL_MS: (u64, u64) = (40, 120);

/// A note, and whether the bot was connected when it came.
struct SentNote {
    note: Message,
    was_connected: bool,
}

impl SentNote {
    async fn send(place: &ComparisonEnvironment, from: &TestUser, up: bool) -> Self {
        let direct = from.dm_channel();
        let note = from.send_voice_message(&direct, place.note.clone()).await;
        Self {
            note,
            was_connected: up,
        }
    }
}

/// Numbers that look like chance and are the same for both.
struct SeededRandom(u64);

impl SeededRandom {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

pub(crate) async fn kills(rounds: usize) -> BenchResult<()> {
    println!("kill -9 at random, {rounds} times, started again at once, while notes keep coming:");
    println!("  | bot | notes | lost | of these sent while it was connected | doubled | half |");
    println!("  | --- | --- | --- | --- | --- | --- |");
    for side in [ComparedBot::Talkback, ComparedBot::Python(Some(0.1))] {
        bench_one_bot(side, rounds).await?;
    }
    Ok(())
}

async fn bench_one_bot(side: ComparedBot, rounds: usize) -> BenchResult<()> {
    let place = ComparisonEnvironment::new(side).await?;
    // Not what is measured here, and it would take long.
    place.discord.disable_rate_limits();
    let people: Vec<TestUser> = (0..20)
        .map(|number| place.guild.add_member(&format!("Person {number}")))
        .collect();
    let mut chance = SeededRandom(0x2545_F491_4F6C_DD1D);
    let mut sent = Vec::new();
    let mut bot = place.launch_and_wait().await?;
    for person in &people {
        sent.push(SentNote::send(&place, person, true).await);
    }
    let known: Vec<Message> = sent.iter().map(|it| it.note.clone()).collect();
    place.wait_until_answered(&known).await?;
    for _ in 0..rounds {
        drop(bot);
        let known = place.discord.identify_and_resume_counts().0;
        let launched = Instant::now();
        bot = place.launch()?;
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if launched.elapsed() > WAIT_TIMEOUT {
                return Err(
                    format!("{} does not come back: {}", side.name(), place.log_tail()).into(),
                );
            }
            let up = place.discord.identify_and_resume_counts().0 > known;
            if up && end.is_none() {
                end = Some(Instant::now() + Duration::from_millis(chance.below(MAX_UPTIME_MS)));
            }
            let person = &people[usize::try_from(chance.below(20))?];
            sent.push(SentNote::send(&place, person, up).await);
            let pause = NOTE_INTERVAL_MS.0 + chance.below(NOTE_INTERVAL_MS.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    wait_until_settled(&place, &sent).await;
    let lost = |it: &&SentNote| it.note.bot_replies().is_empty();
    let half = |it: &&SentNote| !lost(it) && place.answered_at(&it.note).is_none();
    println!(
        "  | {} | {} | {} | {} | {} | {} |",
        side.name(),
        sent.len(),
        sent.iter().filter(lost).count(),
        sent.iter()
            .filter(|it| it.was_connected)
            .filter(lost)
            .count(),
        sent.iter()
            .filter(|it| it.note.bot_replies().len() > 1)
            .count(),
        sent.iter().filter(half).count()
    );
    let whole = sent
        .iter()
        .filter(|it| place.answered_at(&it.note).is_some());
    if side.is_ours() && whole.count() < sent.len() {
        return Err(format!("not all are answered: {}", place.log_tail()).into());
    }
    Ok(())
}

/// Waits until all are answered, or until nothing more is for ten seconds.
async fn wait_until_settled(place: &ComparisonEnvironment, sent: &[SentNote]) {
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(10) {
        let answered = sent.iter().map(|it| &it.note);
        let answered = answered
            .filter(|it| place.answered_at(it).is_some())
            .count();
        if answered == sent.len() {
            return;
        }
        if answered > seen {
            (seen, since) = (answered, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
