//! What people cost who speak at once, against the floor: opening the same packets and decoding
//! them, in one loop.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::TestUser;

use super::Outcome;
use super::cpu_floor::cpu_floor;
use super::process::load_average;
use super::scene::{TRAILING_SILENCE_PACKETS, VoiceFixture, person_name};
use super::speech_samples::continuous_speech;

/// Packets that everybody says: 20 s.
const PACKETS_PER_SPEAKER: usize = 1_000;

/// How long nobody says anything, for comparison.
const IDLE_TIME: Duration = Duration::from_secs(4);

pub(crate) async fn bench_cpu(people: &[usize]) -> Outcome<()> {
    println!("cpu: people who speak at once for 20 s");
    for people in people {
        bench_speakers(*people).await?;
    }
    Ok(())
}

async fn bench_speakers(people: usize) -> Outcome<()> {
    let mut lounge = VoiceFixture::new(people, &[]).await?;
    let process = lounge.process();
    lounge.join_voice(0..people).await;
    let before = process.memory_mib();
    lounge.start_session().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (in_call, idle) = (process.memory_mib(), process.cpu_time());
    tokio::time::sleep(IDLE_TIME).await;
    let idle = (process.cpu_time() - idle).div_duration_f64(IDLE_TIME);

    let words: Vec<Vec<Bytes>> = (0..people)
        .map(|it| continuous_speech(it, PACKETS_PER_SPEAKER))
        .collect::<Outcome<_>>()?;
    let (used, own, begun) = (
        process.cpu_time(),
        super::process::Process(std::process::id()).cpu_time(),
        Instant::now(),
    );
    let speeches: Vec<_> = lounge
        .people
        .iter()
        .zip(&words)
        .map(|(person, words)| person.start_speaking_packets(words.clone()))
        .collect();
    let mut peak = in_call;
    let waiting = async {
        for speech in speeches {
            speech.wait_until_sent().await;
        }
    };
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            () = &mut waiting => break,
            () = tokio::time::sleep(Duration::from_millis(500)) => peak = peak.max(process.memory_mib()),
        }
    }
    let took = begun.elapsed();
    let own = super::process::Process(std::process::id()).cpu_time() - own;
    tokio::time::sleep(Duration::from_secs(2)).await;
    peak = peak.max(process.memory_mib());
    let used = process.cpu_time() - used;
    let load = load_average();

    let overrun = lounge
        .scrape_metric("talkback_packets_overrun_total")
        .await?;
    let utterances = lounge.scrape_metric("talkback_utterances_total").await?;
    let written = lounge
        .scrape_metric("talkback_utterances_total{outcome=\"written\"}")
        .await?;
    let sent: usize = lounge.people.iter().map(TestUser::packets_sent).sum();
    let forwarded: usize = lounge
        .people
        .iter()
        .map(|it| lounge.discord.packets_forwarded_to_bot(it))
        .sum();
    let remains = lounge.end_session().await?;
    let heard: usize = (0..people)
        .map(|it| remains.speaker(&person_name(it)).decoded_sample_packets())
        .sum();
    let floor = cpu_floor(&words, false)?;
    // By packets, since silence behind the speech is sent too.
    let each = used.as_secs_f64() / heard.max(1) as f64 * 50.0 * 100.0;
    let least = floor.as_secs_f64() * 50.0 * 100.0;
    println!(
        "{people:>4} people: {each:.3} % of a core each = {:.2} × the floor of {least:.3} %; of it \
         {:.3} % the call in which nobody speaks ({:.1} % in all)",
        each / least,
        idle * 100.0 / people as f64,
        idle * 100.0
    );
    println!(
        "     packets: {} to be sent, {sent} sent, {forwarded} passed on, {heard} heard; overrun \
         {overrun}; {written} of {utterances} utterances written down",
        people * (PACKETS_PER_SPEAKER + TRAILING_SILENCE_PACKETS)
    );
    println!(
        "     memory: {before:.1} MiB before, {in_call:.1} in the call, {peak:.1} at most: {:.0} KiB \
         a speaker",
        (peak - in_call) * 1_024.0 / people as f64
    );
    println!(
        "     the sandbox took {:.1} s for 20.1 s, with {:.0} % of a core; load {load}",
        took.as_secs_f64(),
        own.div_duration_f64(took) * 100.0
    );
    Ok(())
}
