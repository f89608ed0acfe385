//! What people cost who talk at once, against the floor: opening the same packets and decoding
//! them, in one loop.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Channel, TestUser};

use super::Outcome;
use super::call::BenchServer;
use super::child_process::{self, CONNECTED, END_OF_INVITATIONS, LISTENER_VARIABLE};
use super::floor::cpu_floor;
use super::listener::ReceiverKind;
use super::material::continuous_speech;
use super::process::{Process, load_average};

/// Packets that everybody says: 20 s.
const PACKETS_PER_SPEAKER: usize = 1_000;

/// How long nobody says anything, for comparison.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// After the last packet, until nothing more is heard.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// The longest that all may take to be connected and to have their keys.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls, and people in each.
const CROWDS: [(usize, usize); 4] = [(1, 10), (1, 50), (1, 100), (20, 25)];

pub(crate) async fn bench_cpu(place: &BenchServer, part: &str) -> Outcome<()> {
    println!("cpu: people who talk at once for 20 s");
    for (calls, people) in CROWDS {
        let what = format!("{calls} × {people}");
        if !what.contains(part) {
            continue;
        }
        let words: Vec<Vec<Bytes>> = (0..calls * people)
            .map(|it| continuous_speech(it, PACKETS_PER_SPEAKER))
            .collect::<Outcome<_>>()?;
        for kind in &place.kinds {
            bench_crowd(place, *kind, &what, (calls, people), &words, true).await?;
        }
        for kind in &place.kinds {
            bench_crowd(place, *kind, &what, (calls, people), &words, false).await?;
        }
    }
    Ok(())
}

/// A listener as a process of its own.
struct ListenerProcess {
    process: Child,
    stdin: ChildStdin,
    lines: tokio::sync::mpsc::Receiver<String>,
}

impl ListenerProcess {
    fn new(kind: ReceiverKind, decodes: bool) -> Outcome<Self> {
        let how = if decodes { "decodes" } else { "listens" };
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--bench")
            .env(LISTENER_VARIABLE, format!("{} {how}", kind.name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = process.stdin.take().ok_or("no standard input")?;
        let out = process.stdout.take().ok_or("no standard output")?;
        let (sender, tells) = tokio::sync::mpsc::channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            process,
            stdin: told,
            lines: tells,
        })
    }

    fn write_line(&mut self, line: &str) -> Outcome<()> {
        writeln!(self.stdin, "{line}")?;
        Ok(self.stdin.flush()?)
    }

    async fn read_line(&mut self) -> Outcome<String> {
        let line = tokio::time::timeout(SETUP_TIMEOUT, self.lines.recv()).await?;
        Ok(line.ok_or("the listener has ended")?)
    }
}

impl Drop for ListenerProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn bench_crowd(
    place: &BenchServer,
    kind: ReceiverKind,
    what: &str,
    (calls, people): (usize, usize),
    words: &[Vec<Bytes>],
    decodes: bool,
) -> Outcome<()> {
    let mut listener = ListenerProcess::new(kind, decodes)?;
    let process = Process(listener.process.id());
    let lounges: Vec<Channel> = (0..calls)
        .map(|_| place.guild.add_voice_channel("Lounge"))
        .collect();
    let mut all: Vec<TestUser> = Vec::new();
    for lounge in &lounges {
        for _ in 0..people {
            let person = place.guild.add_member("Person");
            person.join_voice(lounge).await;
            all.push(person);
        }
    }
    let before = process.memory_mib();
    let eves: Vec<TestUser> = lounges
        .iter()
        .map(|_| place.guild.add_member("Eve"))
        .collect();
    for (eve, lounge) in eves.iter().zip(&lounges) {
        listener.write_line(&child_process::format_invitation(
            &eve.join_voice_externally(lounge),
        ))?;
    }
    listener.write_line(END_OF_INVITATIONS)?;
    for _ in 0..calls {
        let said = listener.read_line().await?;
        if said != CONNECTED {
            return Err(said.into());
        }
    }
    for (eve, lounge) in eves.iter().zip(&lounges) {
        wait_for_keys(place, eve, lounge).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (in_call, idle) = (process.memory_mib(), process.cpu_time());
    tokio::time::sleep(IDLE_TIME).await;
    let idle = (process.cpu_time() - idle).div_duration_f64(IDLE_TIME);

    let (used, own, begun) = (
        process.cpu_time(),
        Process(std::process::id()).cpu_time(),
        Instant::now(),
    );
    let speeches: Vec<_> = all
        .iter()
        .zip(words)
        .map(|(person, words)| person.start_speaking_packets(words.clone()))
        .collect();
    for speech in speeches {
        speech.wait_until_sent().await;
    }
    let took = begun.elapsed();
    tokio::time::sleep(SETTLE_TIME).await;
    let used = process.cpu_time() - used;
    let own = Process(std::process::id()).cpu_time() - own;
    let after = process.memory_mib();
    let forwarded: usize = all
        .chunks(people)
        .zip(&eves)
        .flat_map(|(people, eve)| {
            let sent = people.iter().map(|it| (it.id(), eve.id()));
            sent.map(|(from, to)| place.discord.packets_forwarded(from, to))
        })
        .sum();
    listener.write_line(END_OF_INVITATIONS)?;
    let told = listener.read_line().await?;
    let heard: usize = told
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    // By packets, since silence behind the speech is sent too.
    let each = used.as_secs_f64() / heard.max(1) as f64 * 50.0 * 100.0;
    let how = if decodes { "decoding" } else { "opening only" };
    println!(
        "  {what:<7} {how:<12} {:<8} | {forwarded} sent, {told}",
        kind.name()
    );
    if decodes {
        let least = |in_time| {
            Ok::<_, Box<dyn std::error::Error>>(
                cpu_floor(words, in_time)?.as_secs_f64() * 50.0 * 100.0,
            )
        };
        let (least, in_time) = (least(false)?, least(true)?);
        println!(
            "      {each:.4} % of a core each = {:.2} × the floor of {least:.4} %",
            each / least
        );
        println!(
            "      the same loop at the pace of the call: {in_time:.4} %, {:.2} × that",
            each / in_time
        );
    } else {
        println!("      {each:.4} % of a core each");
    }
    println!(
        "      {before:.1} MiB before, {in_call:.1} in the call, {after:.1} after: {:.0} KiB a \
         speaker for being there and {:.0} KiB for talking; nobody talks: {:.2} % of a core",
        (in_call - before) * 1_024.0 / all.len() as f64,
        (after - in_call) * 1_024.0 / all.len() as f64,
        idle * 100.0
    );
    println!(
        "      the sandbox took {:.1} s for 20.1 s, with {:.0} % of a core; load {}",
        took.as_secs_f64(),
        own.div_duration_f64(took) * 100.0,
        load_average()
    );
    drop(listener);
    for person in all.iter().chain(&eves) {
        person.leave_voice().await;
    }
    Ok(())
}

async fn wait_for_keys(place: &BenchServer, eve: &TestUser, lounge: &Channel) -> Outcome<()> {
    let deadline = Instant::now() + SETUP_TIMEOUT;
    loop {
        let clients = place.discord.voice_clients();
        let has = clients.iter().any(|it| {
            it.user_id == eve.id()
                && it.channel_id == lounge.id()
                && it.is_connected
                && it.is_receiving
        });
        if has {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err("no keys in time".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
