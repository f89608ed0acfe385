//! From the end of speech to what people see, with providers that answer at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::TestUser;

use super::Outcome;
use super::process::{millis, percentile};
use super::scene::{VoiceFixture, first_shown, says, trimmed_sample_packets};

/// What has to pass before speech counts as over.
pub(crate) const END_SILENCE: Duration = Duration::from_millis(600);

/// Between two lines, so that no edit waits for an earlier one.
pub(crate) const PAUSE_BETWEEN_LINES: Duration = Duration::from_millis(1_500);

/// Sessions that are begun to see their first line.
const SESSIONS: usize = 10;

/// How long after one person another one ends.
const OVERLAP_OFFSET: Duration = Duration::from_millis(200);

/// Times from the end of speech, without the end silence.
#[derive(Default)]
struct LatencyTimes {
    recognizer: Vec<Duration>,
    line: Vec<Duration>,
    answer: Vec<Duration>,
}

impl LatencyTimes {
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
                    millis(percentile(times, 50)),
                    millis(percentile(times, 95))
                );
            }
        }
    }
}

pub(crate) async fn bench_latency(rounds: usize) -> Outcome<()> {
    println!("latency, without the end silence of {END_SILENCE:?}; medians");
    let mut lounge = VoiceFixture::new(2, &[]).await?;
    let words = trimmed_sample_packets("capital")?;
    let mut number = 0;

    let mut questions = LatencyTimes::default();
    lounge.join_voice(0..1).await;
    lounge.start_session().await;
    // The first ones open connections.
    for round in 0..rounds + 2 {
        number += 1;
        let mut times = LatencyTimes::default();
        ask(&lounge, &words, number, &mut times).await?;
        if round >= 2 {
            questions.recognizer.append(&mut times.recognizer);
            questions.line.append(&mut times.line);
            questions.answer.append(&mut times.answer);
        }
    }
    lounge.end_session().await?;
    questions.print("A question of somebody alone");

    let mut lines = LatencyTimes::default();
    lounge.join_voice(1..2).await;
    lounge.start_session().await;
    for round in 0..rounds + 2 {
        number += 1;
        let mut times = LatencyTimes::default();
        speak(
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
    let delays = lounge
        .scrape_metric("talkback_speech_to_line_seconds_sum")
        .await?;
    let count = lounge
        .scrape_metric("talkback_speech_to_line_seconds_count")
        .await?;
    let remains = lounge.end_session().await?;
    lines.print("A line that comes alone");
    println!(
        "  the bot's own account: half within {:.0} ms of the end of an utterance, mean {:.0} ms",
        millis(remains.speaker("Ana").delay_median),
        delays / count.max(1.0) * 1_000.0
    );

    let mut second = LatencyTimes::default();
    lounge.start_session().await;
    for _ in 0..rounds.div_ceil(2) {
        number += 2;
        second
            .line
            .push(overlapping_speech(&lounge, &words, number).await?);
    }
    lounge.end_session().await?;
    second.print("A line 200 ms after another one's, which waits for its turn to be shown");

    let mut first = LatencyTimes::default();
    for _ in 0..SESSIONS.min(rounds) {
        number += 1;
        lounge.start_session().await;
        speak(&lounge, lounge.ana(), &words, number, &mut first).await?;
        lounge.end_session().await?;
    }
    first.print("The first line of a session");
    Ok(())
}

/// Ana asks something.
async fn ask(
    lounge: &VoiceFixture,
    words: &[Bytes],
    number: usize,
    times: &mut LatencyTimes,
) -> Outcome<()> {
    lounge
        .sandbox
        .assemblyai()
        .set_transcript(&format!("What is number {number}?"));
    let answer = format!("Answer {number} it is.");
    lounge.sandbox.openai().says(&answer);
    let end = says(lounge.ana(), words.to_vec()).await;
    let line = shown_latency(lounge, end, &format!("**Ana:** What is number {number}?")).await?;
    let answered = shown_latency(lounge, end, &format!("Answer {number}")).await?;
    times.line.push(line);
    times.answer.push(answered);
    record_recognizer_latency(lounge, end, times);
    tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    Ok(())
}

/// Somebody says something that is not meant for the bot.
async fn speak(
    lounge: &VoiceFixture,
    person: &TestUser,
    words: &[Bytes],
    number: usize,
    times: &mut LatencyTimes,
) -> Outcome<()> {
    let said = format!("Number {number} is done.");
    lounge.sandbox.assemblyai().set_transcript(&said);
    let end = says(person, words.to_vec()).await;
    times.line.push(shown_latency(lounge, end, &said).await?);
    record_recognizer_latency(lounge, end, times);
    tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    Ok(())
}

/// Ana says something, and Ben something that ends a moment later: gives his line.
async fn overlapping_speech(
    lounge: &VoiceFixture,
    words: &[Bytes],
    number: usize,
) -> Outcome<Duration> {
    let (first, then) = (
        format!("Number {} is done.", number - 1),
        format!("Number {number} is done."),
    );
    let stt = lounge.sandbox.assemblyai();
    stt.set_transcript(&then);
    stt.queue_transcripts([&first]);
    let (ana, ben) = (&lounge.people[0], &lounge.people[1]);
    let later = async {
        tokio::time::sleep(OVERLAP_OFFSET).await;
        says(ben, words.to_vec()).await
    };
    let (_, end) = tokio::join!(says(ana, words.to_vec()), later);
    let time = shown_latency(lounge, end, &then).await?;
    tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    Ok(time)
}

/// How long after the end of speech and of the silence behind it these words were to be seen.
async fn shown_latency(lounge: &VoiceFixture, end: Instant, words: &str) -> Outcome<Duration> {
    let message = lounge
        .ana()
        .wait_for_message(&lounge.text_channel, words)
        .await;
    let at = first_shown(&message, words).ok_or("words that were there are gone")?;
    Ok(after(end, at))
}

/// When the last request to the recognizer was there.
fn record_recognizer_latency(lounge: &VoiceFixture, end: Instant, times: &mut LatencyTimes) {
    let requests = lounge.sandbox.assemblyai().requests();
    let last = requests.iter().rfind(|it| it.path.contains("/transcribe"));
    times
        .recognizer
        .extend(last.map(|it| after(end, it.received_at)));
}

fn after(end: Instant, at: Instant) -> Duration {
    at.saturating_duration_since(end + END_SILENCE)
}
