//! Both are killed at moments that nobody chose, and started again, while notes keep coming.

use std::time::{Duration, Instant};

use sandbox::{Message, Person};

use super::bots::{Place, Side};
use super::{LIMIT, Outcome};

/// The longest that a bot lives after it has connected.
const LIFE: u64 = 1_500;

/// The least time between two notes, and what is added by chance.
const GAP: (u64, u64) = (40, 120);

/// A note, and whether the bot was connected when it came.
struct Sent {
    note: Message,
    up: bool,
}

impl Sent {
    async fn now(place: &Place, from: &Person, up: bool) -> Self {
        let direct = from.direct();
        let note = from.sends_voice_note(&direct, place.note.clone()).await;
        Self { note, up }
    }
}

/// Numbers that look like chance and are the same for both.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

pub(crate) async fn kills(rounds: usize) -> Outcome<()> {
    println!("kill -9 at random, {rounds} times, started again at once, while notes keep coming:");
    println!("  | bot | notes | lost | of these sent while it was connected | doubled | half |");
    println!("  | --- | --- | --- | --- | --- | --- |");
    for side in [Side::Talkback, Side::Python(Some(0.1))] {
        killed(side, rounds).await?;
    }
    Ok(())
}

async fn killed(side: Side, rounds: usize) -> Outcome<()> {
    let place = Place::new(side).await?;
    // Not what is measured here, and it would take long.
    place.discord.without_rate_limits();
    let people: Vec<Person> = (0..20)
        .map(|number| place.guild.member(&format!("Person {number}")))
        .collect();
    let mut chance = Chance(0x2545_F491_4F6C_DD1D);
    let mut sent = Vec::new();
    let mut bot = place.start().await?;
    for person in &people {
        sent.push(Sent::now(&place, person, true).await);
    }
    let known: Vec<Message> = sent.iter().map(|it| it.note.clone()).collect();
    place.until_answered(&known).await?;
    for _ in 0..rounds {
        drop(bot);
        let known = place.discord.logins().0;
        let launched = Instant::now();
        bot = place.launch()?;
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if launched.elapsed() > LIMIT {
                return Err(format!("{} does not come back: {}", side.name(), place.log()).into());
            }
            let up = place.discord.logins().0 > known;
            if up && end.is_none() {
                end = Some(Instant::now() + Duration::from_millis(chance.below(LIFE)));
            }
            let person = &people[usize::try_from(chance.below(20))?];
            sent.push(Sent::now(&place, person, up).await);
            let pause = GAP.0 + chance.below(GAP.1);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    settle(&place, &sent).await;
    let lost = |it: &&Sent| it.note.replies().is_empty();
    let half = |it: &&Sent| !lost(it) && place.answered(&it.note).is_none();
    println!(
        "  | {} | {} | {} | {} | {} | {} |",
        side.name(),
        sent.len(),
        sent.iter().filter(lost).count(),
        sent.iter().filter(|it| it.up).filter(lost).count(),
        sent.iter().filter(|it| it.note.replies().len() > 1).count(),
        sent.iter().filter(half).count()
    );
    let whole = sent.iter().filter(|it| place.answered(&it.note).is_some());
    if side.is_ours() && whole.count() < sent.len() {
        return Err(format!("not all are answered: {}", place.log()).into());
    }
    Ok(())
}

/// Waits until all are answered, or until nothing more is for ten seconds.
async fn settle(place: &Place, sent: &[Sent]) {
    let (mut seen, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_secs(10) {
        let answered = sent.iter().map(|it| &it.note);
        let answered = answered.filter(|it| place.answered(it).is_some()).count();
        if answered == sent.len() {
            return;
        }
        if answered > seen {
            (seen, since) = (answered, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
