//! What people cost who speak at once, against the floor: opening the same packets and decoding
//! them, in one loop.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::Person;

use super::Outcome;
use super::floor::floor;
use super::material::talk;
use super::process::load;
use super::scene::{Lounge, TAIL, name};

/// Packets that everybody says: 20 s.
const SAID: usize = 1_000;

/// How long nobody says anything, for comparison.
const QUIET: Duration = Duration::from_secs(4);

pub(crate) async fn cpu(people: &[usize]) -> Outcome<()> {
    println!("cpu: people who speak at once for 20 s");
    for people in people {
        speaking(*people).await?;
    }
    Ok(())
}

async fn speaking(people: usize) -> Outcome<()> {
    let mut lounge = Lounge::new(people, &[]).await?;
    let process = lounge.process();
    lounge.join(0..people).await;
    let before = process.memory();
    lounge.begins().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (in_call, idle) = (process.memory(), process.cpu());
    tokio::time::sleep(QUIET).await;
    let idle = (process.cpu() - idle).div_duration_f64(QUIET);

    let words: Vec<Vec<Bytes>> = (0..people)
        .map(|it| talk(it, SAID))
        .collect::<Outcome<_>>()?;
    let (used, own, begun) = (
        process.cpu(),
        super::process::Process(std::process::id()).cpu(),
        Instant::now(),
    );
    let speeches: Vec<_> = lounge
        .people
        .iter()
        .zip(&words)
        .map(|(person, words)| person.begins_to_speak_packets(words.clone()))
        .collect();
    let mut peak = in_call;
    let waiting = async {
        for speech in speeches {
            speech.ends().await;
        }
    };
    tokio::pin!(waiting);
    loop {
        tokio::select! {
            () = &mut waiting => break,
            () = tokio::time::sleep(Duration::from_millis(500)) => peak = peak.max(process.memory()),
        }
    }
    let took = begun.elapsed();
    let own = super::process::Process(std::process::id()).cpu() - own;
    tokio::time::sleep(Duration::from_secs(2)).await;
    peak = peak.max(process.memory());
    let used = process.cpu() - used;
    let load = load();

    let overrun = lounge.metric("talkback_packets_overrun_total").await?;
    let utterances = lounge.metric("talkback_utterances_total").await?;
    let written = lounge
        .metric("talkback_utterances_total{outcome=\"written\"}")
        .await?;
    let sent: usize = lounge.people.iter().map(Person::packets_sent).sum();
    let forwarded: usize = lounge
        .people
        .iter()
        .map(|it| lounge.discord.forwarded_to_bot(it))
        .sum();
    let remains = lounge.ends().await?;
    let heard: usize = (0..people).map(|it| remains.of(&name(it)).packets()).sum();
    let floor = floor(&words, false)?;
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
        people * (SAID + TAIL)
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
