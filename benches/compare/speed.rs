//! Notes from so many people at once: time, CPU, memory.

use std::time::Duration;

use super::Outcome;
use super::bots::{ANSWERING, HEARING, Place, Side};

/// Who is measured, in turn.
const SIDES: [Side; 4] = [
    Side::Talkback,
    Side::Prerecorded,
    Side::Python(None),
    Side::Python(Some(0.1)),
];

/// Between two rounds, for both sides to become quiet.
const PAUSE: Duration = Duration::from_millis(1_200);

/// What was measured of one side with so many notes at once.
struct Row {
    side: Side,
    notes: usize,
    /// From each note to its complete answer, over what the providers take.
    over: Vec<Duration>,
    cpu: Duration,
    peak: f64,
}

impl Row {
    /// The time that a share of the notes did not exceed, in milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        let last = self.over.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        let time = self.over.get(at).copied().unwrap_or_default();
        time.as_secs_f64() * 1_000.0
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1_000.0 / self.over.len().max(1) as f64
    }
}

pub(crate) async fn speed(counts: &[usize], rounds: Option<usize>) -> Outcome<()> {
    println!(
        "From a note to its complete answer, over the {} ms that the providers take, with \
         Discord's limits:",
        (HEARING + ANSWERING).as_millis()
    );
    println!("  | at once | bot | median ms | 95 % ms | CPU ms a note | peak MiB |");
    println!("  | --- | --- | --- | --- | --- | --- |");
    for count in counts {
        let rounds = rounds.unwrap_or(match count {
            0..=3 => 15,
            4..=30 => 5,
            _ => 2,
        });
        let mut rows = Vec::new();
        for side in SIDES {
            let row = measure(side, *count, rounds).await?;
            println!(
                "  | {} | {} | {:.0} | {:.0} | {:.1} | {:.0} |",
                row.notes,
                row.side.name(),
                row.quantile(0.5),
                row.quantile(0.95),
                row.cpu_ms(),
                row.peak
            );
            rows.push(row);
        }
        if let Some((ours, others)) = rows.split_first() {
            for other in others.iter().filter(|it| !it.side.is_ours()) {
                println!(
                    "    to {}: time {:.3}, CPU {:.3}, memory {:.2}",
                    other.side.name(),
                    ours.quantile(0.5) / other.quantile(0.5),
                    ours.cpu_ms() / other.cpu_ms(),
                    ours.peak / other.peak
                );
            }
        }
    }
    Ok(())
}

async fn measure(side: Side, notes: usize, rounds: usize) -> Outcome<Row> {
    let place = Place::new(side).await?;
    let bot = place.start().await?;
    // The first note opens connections.
    let first = place.guild.member("First");
    let warm = first
        .sends_voice_note(&first.direct(), place.note.clone())
        .await;
    place.until_answered(&[warm]).await?;
    let mut over = Vec::new();
    let mut ticks = 0;
    for round in 0..rounds {
        tokio::time::sleep(PAUSE).await;
        let mut people = Vec::new();
        for number in 0..notes {
            let person = place.guild.member(&format!("Person {number} of {round}"));
            let direct = person.direct();
            people.push((person, direct));
        }
        let before = bot.ticks();
        let mut sent = Vec::new();
        for (person, direct) in &people {
            sent.push(person.sends_voice_note(direct, place.note.clone()).await);
        }
        place.until_answered(&sent).await?;
        ticks += bot.ticks() - before;
        for note in &sent {
            if note.replies().len() != 1 {
                return Err(format!("{}: not one answer to {}", side.name(), note.id()).into());
            }
            if let (Some(from), Some(to)) = (note.times().first(), place.answered(note)) {
                over.push((to - *from).saturating_sub(HEARING + ANSWERING));
            }
        }
    }
    over.sort_unstable();
    Ok(Row {
        side,
        notes,
        over,
        cpu: Duration::from_millis(10) * u32::try_from(ticks)?,
        peak: bot.peak(),
    })
}
