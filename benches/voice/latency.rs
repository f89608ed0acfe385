//! From the end of speech to what users see, with providers that answer at once.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::TestUser;

use super::Outcome;
use super::process::{millis, percentile};
use super::scene::{BotScene, first_shown, say, trimmed_sample_packets};

/// The silence that ends an utterance.
pub(crate) const END_SILENCE: Duration = Duration::from_millis(600);

/// The pause between two lines, so that no edit waits for an earlier one.
pub(crate) const PAUSE_BETWEEN_LINES: Duration = Duration::from_millis(1_500);

/// Sessions whose first line is measured.
const SESSIONS: usize = 10;

/// How long after the first speaker the second one ends.
const OVERLAP_OFFSET: Duration = Duration::from_millis(200);

/// Times from the end of speech, less [`END_SILENCE`].
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
    let mut scene = BotScene::new(2, &[]).await?;
    let words = trimmed_sample_packets("capital")?;
    let mut number = 0;

    let mut questions = LatencyTimes::default();
    scene.join_voice(0..1).await;
    scene.start_session().await;
    // The first two rounds open connections.
    for round in 0..rounds + 2 {
        number += 1;
        let mut times = LatencyTimes::default();
        ask(&scene, &words, number, &mut times).await?;
        if round >= 2 {
            questions.recognizer.append(&mut times.recognizer);
            questions.line.append(&mut times.line);
            questions.answer.append(&mut times.answer);
        }
    }
    scene.end_session().await?;
    questions.print("A question of somebody alone");

    let mut lines = LatencyTimes::default();
    scene.join_voice(1..2).await;
    scene.start_session().await;
    for round in 0..rounds + 2 {
        number += 1;
        let mut times = LatencyTimes::default();
        speak(&scene, &scene.people[round % 2], &words, number, &mut times).await?;
        if round >= 2 {
            lines.recognizer.append(&mut times.recognizer);
            lines.line.append(&mut times.line);
        }
    }
    let delays = scene
        .scrape_metric("talkback_speech_to_line_seconds_sum")
        .await?;
    let count = scene
        .scrape_metric("talkback_speech_to_line_seconds_count")
        .await?;
    let transcript = scene.end_session().await?;
    lines.print("A line that comes alone");
    println!(
        "  the bot's own account: half within {:.0} ms of the end of an utterance, mean {:.0} ms",
        millis(transcript.speaker("Ana").delay_median),
        delays / count.max(1.0) * 1_000.0
    );

    let mut second = LatencyTimes::default();
    scene.start_session().await;
    for _ in 0..rounds.div_ceil(2) {
        number += 2;
        second
            .line
            .push(overlapping_speech(&scene, &words, number).await?);
    }
    scene.end_session().await?;
    second.print("A line 200 ms after another one's, which waits for its turn to be shown");

    let mut first = LatencyTimes::default();
    for _ in 0..SESSIONS.min(rounds) {
        number += 1;
        scene.start_session().await;
        speak(&scene, scene.ana(), &words, number, &mut first).await?;
        scene.end_session().await?;
    }
    first.print("The first line of a session");
    Ok(())
}

/// Ana asks a question.
async fn ask(
    scene: &BotScene,
    words: &[Bytes],
    number: usize,
    times: &mut LatencyTimes,
) -> Outcome<()> {
    scene
        .sandbox
        .assemblyai()
        .set_transcript(&format!("What is number {number}?"));
    let answer = format!("Answer {number} it is.");
    scene.sandbox.openai().says(&answer);
    let end = say(scene.ana(), words.to_vec()).await;
    let line = shown_latency(scene, end, &format!("**Ana:** What is number {number}?")).await?;
    let answered = shown_latency(scene, end, &format!("Answer {number}")).await?;
    times.line.push(line);
    times.answer.push(answered);
    record_recognizer_latency(scene, end, times);
    tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    Ok(())
}

/// A user says something that is not meant for the bot.
async fn speak(
    scene: &BotScene,
    person: &TestUser,
    words: &[Bytes],
    number: usize,
    times: &mut LatencyTimes,
) -> Outcome<()> {
    let text = format!("Number {number} is done.");
    scene.sandbox.assemblyai().set_transcript(&text);
    let end = say(person, words.to_vec()).await;
    times.line.push(shown_latency(scene, end, &text).await?);
    record_recognizer_latency(scene, end, times);
    tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    Ok(())
}

/// Ana speaks, and Ben's speech ends a moment later. Returns the latency of his line.
async fn overlapping_speech(scene: &BotScene, words: &[Bytes], number: usize) -> Outcome<Duration> {
    let (first, then) = (
        format!("Number {} is done.", number - 1),
        format!("Number {number} is done."),
    );
    let stt = scene.sandbox.assemblyai();
    stt.set_transcript(&then);
    stt.queue_transcripts([&first]);
    let (ana, ben) = (&scene.people[0], &scene.people[1]);
    let later = async {
        tokio::time::sleep(OVERLAP_OFFSET).await;
        say(ben, words.to_vec()).await
    };
    let (_, end) = tokio::join!(say(ana, words.to_vec()), later);
    let time = shown_latency(scene, end, &then).await?;
    tokio::time::sleep(PAUSE_BETWEEN_LINES).await;
    Ok(time)
}

/// How long after the end of the utterance these words were visible.
async fn shown_latency(scene: &BotScene, end: Instant, words: &str) -> Outcome<Duration> {
    let message = scene
        .ana()
        .wait_for_message(&scene.text_channel, words)
        .await;
    let at = first_shown(&message, words).ok_or("the words have disappeared")?;
    Ok(after(end, at))
}

/// Records when the last request reached the recognizer.
fn record_recognizer_latency(scene: &BotScene, end: Instant, times: &mut LatencyTimes) {
    let requests = scene.sandbox.assemblyai().requests();
    let last = requests.iter().rfind(|it| it.path.contains("/transcribe"));
    times
        .recognizer
        .extend(last.map(|it| after(end, it.received_at)));
}

fn after(end: Instant, at: Instant) -> Duration {
    at.saturating_duration_since(end + END_SILENCE)
}
