//! From the end of speech to what people see, with providers that answer at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::Person;

use super::Outcome;
use super::process::{ms, percentile};
use super::scene::{Lounge, says, shown_at, voiced};

/// What has to pass before speech counts as over.
pub(crate) const END_SILENCE: Duration = Duration::from_millis(600);

/// Between two lines, so that no edit waits for an earlier one.
pub(crate) const PAUSE: Duration = Duration::from_millis(1_500);

/// Sessions that are begun to see their first line.
const SESSIONS: usize = 10;

/// How long after one person another one ends.
const SOON_AFTER: Duration = Duration::from_millis(200);

/// Times from the end of speech, without the end silence.
#[derive(Default)]
struct Times {
    recognizer: Vec<Duration>,
    line: Vec<Duration>,
    answer: Vec<Duration>,
}

impl Times {
    fn print(&mut self, what: &str) {
        println!("{what}, {} times:", self.line.len());
        for (stage, times) in [
            ("the recognizer has it", &mut self.recognizer),
            ("the line is there", &mut self.line),
            ("words of the answer are there", &mut self.answer),
        ] {
            if !times.is_empty() {
                println!(
                    "  {stage:<30} {:7.1} ms, 95th {:7.1} ms",
                    ms(percentile(times, 50)),
                    ms(percentile(times, 95))
                );
            }
        }
    }
}

pub(crate) async fn latency(rounds: usize) -> Outcome<()> {
    println!("latency, without the end silence of {END_SILENCE:?}; medians");
    let mut lounge = Lounge::new(2, &[]).await?;
    let words = voiced("capital")?;
    let mut number = 0;

    let mut questions = Times::default();
    lounge.join(0..1).await;
    lounge.begins().await;
    // The first ones open connections.
    for round in 0..rounds + 2 {
        number += 1;
        let mut times = Times::default();
        asks(&lounge, &words, number, &mut times).await?;
        if round >= 2 {
            questions.recognizer.append(&mut times.recognizer);
            questions.line.append(&mut times.line);
            questions.answer.append(&mut times.answer);
        }
    }
    lounge.ends().await?;
    questions.print("A question of somebody alone");

    let mut lines = Times::default();
    lounge.join(1..2).await;
    lounge.begins().await;
    for round in 0..rounds + 2 {
        number += 1;
        let mut times = Times::default();
        tells(
            &lounge,
            &lounge.people[round % 2],
            &words,
            number,
            &mut times,
        )
        .await?;
        if round >= 2 {
            lines.recognizer.append(&mut times.recognizer);
            lines.line.append(&mut times.line);
        }
    }
    let delays = lounge.metric("talkback_speech_to_line_seconds_sum").await?;
    let count = lounge
        .metric("talkback_speech_to_line_seconds_count")
        .await?;
    let remains = lounge.ends().await?;
    lines.print("A line that comes alone");
    println!(
        "  the bot's own account: half within {:.0} ms of the end of an utterance, mean {:.0} ms",
        ms(remains.of("Ana").delay_median),
        delays / count.max(1.0) * 1_000.0
    );

    let mut second = Times::default();
    lounge.begins().await;
    for _ in 0..rounds.div_ceil(2) {
        number += 2;
        second.line.push(overlap(&lounge, &words, number).await?);
    }
    lounge.ends().await?;
    second.print("A line 200 ms after another one's, which waits for its turn to be shown");

    let mut first = Times::default();
    for _ in 0..SESSIONS.min(rounds) {
        number += 1;
        lounge.begins().await;
        tells(&lounge, lounge.ana(), &words, number, &mut first).await?;
        lounge.ends().await?;
    }
    first.print("The first line of a session");
    Ok(())
}

/// Ana asks something.
async fn asks(lounge: &Lounge, words: &[Bytes], number: usize, times: &mut Times) -> Outcome<()> {
    lounge
        .sandbox
        .assemblyai()
        .hears(&format!("What is number {number}?"));
    let answer = format!("Answer {number} it is.");
    lounge.sandbox.openai().says(&answer);
    let end = says(lounge.ana(), words.to_vec()).await;
    let line = shown(lounge, end, &format!("**Ana:** What is number {number}?")).await?;
    let answered = shown(lounge, end, &format!("Answer {number}")).await?;
    times.line.push(line);
    times.answer.push(answered);
    recognized(lounge, end, times);
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// Somebody says something that is not meant for the bot.
async fn tells(
    lounge: &Lounge,
    person: &Person,
    words: &[Bytes],
    number: usize,
    times: &mut Times,
) -> Outcome<()> {
    let said = format!("Number {number} is done.");
    lounge.sandbox.assemblyai().hears(&said);
    let end = says(person, words.to_vec()).await;
    times.line.push(shown(lounge, end, &said).await?);
    recognized(lounge, end, times);
    tokio::time::sleep(PAUSE).await;
    Ok(())
}

/// Ana says something, and Ben something that ends a moment later: gives his line.
async fn overlap(lounge: &Lounge, words: &[Bytes], number: usize) -> Outcome<Duration> {
    let (first, then) = (
        format!("Number {} is done.", number - 1),
        format!("Number {number} is done."),
    );
    let stt = lounge.sandbox.assemblyai();
    stt.hears(&then);
    stt.hears_in_turn([&first]);
    let (ana, ben) = (&lounge.people[0], &lounge.people[1]);
    let later = async {
        tokio::time::sleep(SOON_AFTER).await;
        says(ben, words.to_vec()).await
    };
    let (_, end) = tokio::join!(says(ana, words.to_vec()), later);
    let time = shown(lounge, end, &then).await?;
    tokio::time::sleep(PAUSE).await;
    Ok(time)
}

/// How long after the end of speech and of the silence behind it these words were to be seen.
async fn shown(lounge: &Lounge, end: Instant, words: &str) -> Outcome<Duration> {
    let message = lounge.ana().sees(&lounge.channel, words).await;
    let at = shown_at(&message, words).ok_or("words that were there are gone")?;
    Ok(after(end, at))
}

/// When the last request to the recognizer was there.
fn recognized(lounge: &Lounge, end: Instant, times: &mut Times) {
    let requests = lounge.sandbox.assemblyai().requests();
    let last = requests.iter().rfind(|it| it.path.contains("/transcribe"));
    times.recognizer.extend(last.map(|it| after(end, it.at)));
}

fn after(end: Instant, at: Instant) -> Duration {
    at.saturating_duration_since(end + END_SILENCE)
}
