//! The CPU time and memory of users who speak at once, compared with the floor: decrypting and
//! decoding the same packets in one loop.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::TestUser;

use super::Outcome;
use super::cpu_floor::cpu_floor;
use super::process::load_average;
use super::scene::{BotScene, TRAILING_SILENCE_PACKETS, person_name};
use super::speech_samples::continuous_speech;

/// Packets that each user sends: 20 s.
const PACKETS_PER_SPEAKER: usize = 1_000;

/// How long the idle CPU time is measured.
const IDLE_TIME: Duration = Duration::from_secs(4);

pub(crate) async fn bench_cpu(people: &[usize]) -> Outcome<()> {
    println!("cpu: people who speak at once for 20 s");
    for people in people {
        bench_speakers(*people).await?;
    }
    Ok(())
}

async fn bench_speakers(people: usize) -> Outcome<()> {
    let mut scene = BotScene::new(people, &[]).await?;
    let process = scene.process();
    scene.join_voice(0..people).await;
    let before = process.memory_mib();
    scene.start_session().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (in_call, idle) = (process.memory_mib(), process.cpu_time());
    tokio::time::sleep(IDLE_TIME).await;
    let idle = (process.cpu_time() - idle).div_duration_f64(IDLE_TIME);

    let words: Vec<Vec<Bytes>> = (0..people)
        .map(|it| continuous_speech(it, PACKETS_PER_SPEAKER))
        .collect::<Outcome<_>>()?;
    let (used, own, started) = (
        process.cpu_time(),
        super::process::Process(std::process::id()).cpu_time(),
        Instant::now(),
    );
    let speeches: Vec<_> = scene
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
    let took = started.elapsed();
    let own = super::process::Process(std::process::id()).cpu_time() - own;
    tokio::time::sleep(Duration::from_secs(2)).await;
    peak = peak.max(process.memory_mib());
    let used = process.cpu_time() - used;
    let load = load_average();

    let overrun = scene
        .scrape_metric("talkback_packets_overrun_total")
        .await?;
    let utterances = scene.scrape_metric("talkback_utterances_total").await?;
    let written = scene
        .scrape_metric("talkback_utterances_total{outcome=\"written\"}")
        .await?;
    let sent: usize = scene.people.iter().map(TestUser::packets_sent).sum();
    let forwarded: usize = scene
        .people
        .iter()
        .map(|it| scene.discord.packets_forwarded_to_bot(it))
        .sum();
    let transcript = scene.end_session().await?;
    let heard: usize = (0..people)
        .map(|it| {
            transcript
                .speaker(&person_name(it))
                .decoded_sample_packets()
        })
        .sum();
    let floor = cpu_floor(&words, false)?;
    // Per packet, since trailing silence is sent too.
    let each = used.as_secs_f64() / heard.max(1) as f64 * 50.0 * 100.0;
    let least = floor.as_secs_f64() * 50.0 * 100.0;
    println!(
        "{people:>4} people: {each:.3} % of a core each = {:.2} × the floor of {least:.3} %; of it \
         {:.3} % for the idle call ({:.1} % in all)",
        each / least,
        idle * 100.0 / people as f64,
        idle * 100.0
    );
    println!(
        "     packets: {} to be sent, {sent} sent, {forwarded} forwarded, {heard} heard; overrun \
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
