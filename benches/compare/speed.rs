//! Notes from many users at once: time, CPU, memory.

use std::time::Duration;

use super::BenchResult;
use super::bots::{ANSWER_DELAY, ComparedBot, ComparisonEnvironment, TRANSCRIPTION_DELAY};

/// The bots, measured in turn.
const COMPARED_BOTS: [ComparedBot; 4] = [
    ComparedBot::Talkback,
    ComparedBot::Prerecorded,
    ComparedBot::Python(None),
    ComparedBot::Python(Some(0.1)),
];

/// The pause between two rounds, so that all work of the last one has ended.
const ROUND_PAUSE: Duration = Duration::from_millis(1_200);

/// The results of one bot with this many notes at once.
struct SpeedRow {
    compared_bot: ComparedBot,
    notes: usize,
    /// From each note to its complete answer, less the providers' time.
    overhead: Vec<Duration>,
    cpu: Duration,
    peak_memory_mib: f64,
}

impl SpeedRow {
    /// A quantile of the overhead, in milliseconds.
    fn overhead_quantile_ms(&self, share: f64) -> f64 {
        let last = self.overhead.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        let time = self.overhead.get(at).copied().unwrap_or_default();
        time.as_secs_f64() * 1_000.0
    }

    fn cpu_ms(&self) -> f64 {
        self.cpu.as_secs_f64() * 1_000.0 / self.overhead.len().max(1) as f64
    }
}

pub(crate) async fn speed(counts: &[usize], rounds: Option<usize>) -> BenchResult<()> {
    println!(
        "From a note to its complete answer, over the {} ms that the providers take, with \
         Discord's limits:",
        (TRANSCRIPTION_DELAY + ANSWER_DELAY).as_millis()
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
        for compared_bot in COMPARED_BOTS {
            let row = measure(compared_bot, *count, rounds).await?;
            println!(
                "  | {} | {} | {:.0} | {:.0} | {:.1} | {:.0} |",
                row.notes,
                row.compared_bot.name(),
                row.overhead_quantile_ms(0.5),
                row.overhead_quantile_ms(0.95),
                row.cpu_ms(),
                row.peak_memory_mib
            );
            rows.push(row);
        }
        if let Some((ours, others)) = rows.split_first() {
            for other in others.iter().filter(|it| !it.compared_bot.is_ours()) {
                println!(
                    "    to {}: time {:.3}, CPU {:.3}, memory {:.2}",
                    other.compared_bot.name(),
                    ours.overhead_quantile_ms(0.5) / other.overhead_quantile_ms(0.5),
                    ours.cpu_ms() / other.cpu_ms(),
                    ours.peak_memory_mib / other.peak_memory_mib
                );
            }
        }
    }
    Ok(())
}

async fn measure(compared_bot: ComparedBot, notes: usize, rounds: usize) -> BenchResult<SpeedRow> {
    let environment = ComparisonEnvironment::new(compared_bot).await?;
    let bot = environment.launch_and_wait().await?;
    // The first note opens connections.
    let first = environment.guild.add_member("First");
    let warm = first
        .send_voice_message(&first.dm_channel(), environment.note.clone())
        .await;
    environment.wait_until_answered(&[warm]).await?;
    let mut overhead = Vec::new();
    let mut ticks = 0;
    for round in 0..rounds {
        tokio::time::sleep(ROUND_PAUSE).await;
        let mut people = Vec::new();
        for number in 0..notes {
            let person = environment
                .guild
                .add_member(&format!("Person {number} of {round}"));
            let direct = person.dm_channel();
            people.push((person, direct));
        }
        let before = bot.cpu_ticks();
        let mut sent = Vec::new();
        for (person, direct) in &people {
            sent.push(
                person
                    .send_voice_message(direct, environment.note.clone())
                    .await,
            );
        }
        environment.wait_until_answered(&sent).await?;
        ticks += bot.cpu_ticks() - before;
        for note in &sent {
            if note.bot_replies().len() != 1 {
                return Err(
                    format!("{}: not one answer to {}", compared_bot.name(), note.id()).into(),
                );
            }
            if let (Some(from), Some(to)) =
                (note.version_times().first(), environment.answered_at(note))
            {
                overhead.push((to - *from).saturating_sub(TRANSCRIPTION_DELAY + ANSWER_DELAY));
            }
        }
    }
    overhead.sort_unstable();
    Ok(SpeedRow {
        compared_bot,
        notes,
        overhead,
        cpu: Duration::from_millis(10) * u32::try_from(ticks)?,
        peak_memory_mib: bot.peak_memory_mib(),
    })
}
