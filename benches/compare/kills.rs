//! Both bots are killed at random moments and restarted, while notes keep coming.

use std::time::{Duration, Instant};

use sandbox::{Message, TestUser};

use super::bots::{ComparedBot, ComparisonEnvironment};
use super::{BenchResult, WAIT_TIMEOUT};

/// The longest time that a bot runs after it has connected.
const MAX_UPTIME_MS: u64 = 1_500;

/// The shortest time between two notes, and the largest random addition.
const NOTE_INTERVAL_MS: (u64, u64) = (40, 120);

/// A note, and whether the bot was connected when it was sent.
struct SentNote {
    note: Message,
    was_connected: bool,
}

impl SentNote {
    async fn send(
        environment: &ComparisonEnvironment,
        from: &TestUser,
        was_connected: bool,
    ) -> Self {
        let direct = from.dm_channel();
        let note = from
            .send_voice_message(&direct, environment.note.clone())
            .await;
        Self {
            note,
            was_connected,
        }
    }
}

/// Pseudorandom numbers, the same for both bots.
struct SeededRandom(u64);

impl SeededRandom {
    fn next_below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

pub(crate) async fn kills(rounds: usize) -> BenchResult<()> {
    println!("kill -9 at random, {rounds} times, started again at once, while notes keep coming:");
    println!("  | bot | notes | lost | of these sent while it was connected | doubled | half |");
    println!("  | --- | --- | --- | --- | --- | --- |");
    for compared_bot in [ComparedBot::Talkback, ComparedBot::Python(Some(0.1))] {
        bench_one_bot(compared_bot, rounds).await?;
    }
    Ok(())
}

async fn bench_one_bot(compared_bot: ComparedBot, rounds: usize) -> BenchResult<()> {
    let environment = ComparisonEnvironment::new(compared_bot).await?;
    // Rate limits are not measured here and would take long.
    environment.discord.disable_rate_limits();
    let people: Vec<TestUser> = (0..20)
        .map(|number| environment.guild.add_member(&format!("Person {number}")))
        .collect();
    let mut random = SeededRandom(0x2545_F491_4F6C_DD1D);
    let mut sent = Vec::new();
    let mut bot = environment.launch_and_wait().await?;
    for person in &people {
        sent.push(SentNote::send(&environment, person, true).await);
    }
    let known: Vec<Message> = sent.iter().map(|it| it.note.clone()).collect();
    environment.wait_until_answered(&known).await?;
    for _ in 0..rounds {
        drop(bot);
        let known = environment.discord.identify_and_resume_counts().0;
        let launched = Instant::now();
        bot = environment.launch()?;
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if launched.elapsed() > WAIT_TIMEOUT {
                return Err(format!(
                    "{} does not come back: {}",
                    compared_bot.name(),
                    environment.log_tail()
                )
                .into());
            }
            let is_connected = environment.discord.identify_and_resume_counts().0 > known;
            if is_connected && end.is_none() {
                end =
                    Some(Instant::now() + Duration::from_millis(random.next_below(MAX_UPTIME_MS)));
            }
            let person = &people[usize::try_from(random.next_below(20))?];
            sent.push(SentNote::send(&environment, person, is_connected).await);
            let pause = NOTE_INTERVAL_MS.0 + random.next_below(NOTE_INTERVAL_MS.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    wait_until_settled(&environment, &sent).await;
    let lost = |it: &&SentNote| it.note.bot_replies().is_empty();
    let half = |it: &&SentNote| !lost(it) && environment.answered_at(&it.note).is_none();
    println!(
        "  | {} | {} | {} | {} | {} | {} |",
        compared_bot.name(),
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
        .filter(|it| environment.answered_at(&it.note).is_some());
    if compared_bot.is_ours() && whole.count() < sent.len() {
        return Err(format!("not all are answered: {}", environment.log_tail()).into());
    }
    Ok(())
}

/// Waits until all notes are answered, or until no further one is for ten seconds.
async fn wait_until_settled(environment: &ComparisonEnvironment, sent: &[SentNote]) {
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(10) {
        let answered = sent.iter().map(|it| &it.note);
        let answered = answered
            .filter(|it| environment.answered_at(it).is_some())
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
