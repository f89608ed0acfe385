//! The CPU time and memory of users who talk at once, compared with the floor: decrypting and
//! decoding the same packets in one loop.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Channel, TestUser};

use super::Outcome;
use super::call::BenchServer;
use super::child_process::{self, CONNECTED, END_OF_INVITATIONS, LISTENER_VARIABLE};
use super::cpu_floor::cpu_floor;
use super::listener::ReceiverKind;
use super::process::{Process, load_average};
use super::speech_samples::continuous_speech;

/// Packets that each user sends: 20 s.
const PACKETS_PER_SPEAKER: usize = 1_000;

/// How long the idle CPU time is measured.
const IDLE_TIME: Duration = Duration::from_secs(4);

/// How long to wait for packets after the last one was sent.
const SETTLE_TIME: Duration = Duration::from_secs(3);

/// The time limit for all to be connected and to have their keys.
const SETUP_TIMEOUT: Duration = Duration::from_secs(60);

/// Calls, and users in each.
const CROWDS: [(usize, usize); 4] = [(1, 10), (1, 50), (1, 100), (20, 25)];

pub(crate) async fn bench_cpu(server: &BenchServer, part: &str) -> Outcome<()> {
    println!("cpu: people who talk at once for 20 s");
    for (calls, people) in CROWDS {
        let what = format!("{calls} × {people}");
        if !what.contains(part) {
            continue;
        }
        let speech: Vec<Vec<Bytes>> = (0..calls * people)
            .map(|it| continuous_speech(it, PACKETS_PER_SPEAKER))
            .collect::<Outcome<_>>()?;
        for kind in &server.kinds {
            bench_crowd(server, *kind, &what, (calls, people), &speech, true).await?;
        }
        for kind in &server.kinds {
            bench_crowd(server, *kind, &what, (calls, people), &speech, false).await?;
        }
    }
    Ok(())
}

/// A listener in a child process.
struct ListenerProcess {
    process: Child,
    stdin: ChildStdin,
    lines: tokio::sync::mpsc::Receiver<String>,
}

impl ListenerProcess {
    fn new(kind: ReceiverKind, decodes: bool) -> Outcome<Self> {
        let mode = if decodes { "decodes" } else { "listens" };
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--bench")
            .env(LISTENER_VARIABLE, format!("{} {mode}", kind.name()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = process.stdin.take().ok_or("no standard input")?;
        let stdout = process.stdout.take().ok_or("no standard output")?;
        let (sender, lines) = tokio::sync::mpsc::channel(64);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            process,
            stdin,
            lines,
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
    server: &BenchServer,
    kind: ReceiverKind,
    what: &str,
    (calls, people): (usize, usize),
    speech: &[Vec<Bytes>],
    decodes: bool,
) -> Outcome<()> {
    let mut listener = ListenerProcess::new(kind, decodes)?;
    let process = Process(listener.process.id());
    let channels: Vec<Channel> = (0..calls)
        .map(|_| server.guild.add_voice_channel("Lounge"))
        .collect();
    let mut all: Vec<TestUser> = Vec::new();
    for channel in &channels {
        for _ in 0..people {
            let person = server.guild.add_member("Person");
            person.join_voice(channel).await;
            all.push(person);
        }
    }
    let before = process.memory_mib();
    let listeners: Vec<TestUser> = channels
        .iter()
        .map(|_| server.guild.add_member("Eve"))
        .collect();
    for (listening_user, channel) in listeners.iter().zip(&channels) {
        listener.write_line(&child_process::format_invitation(
            &listening_user.join_voice_externally(channel),
        ))?;
    }
    listener.write_line(END_OF_INVITATIONS)?;
    for _ in 0..calls {
        let line = listener.read_line().await?;
        if line != CONNECTED {
            return Err(line.into());
        }
    }
    for (listening_user, channel) in listeners.iter().zip(&channels) {
        wait_for_keys(server, listening_user, channel).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (in_call, idle) = (process.memory_mib(), process.cpu_time());
    tokio::time::sleep(IDLE_TIME).await;
    let idle = (process.cpu_time() - idle).div_duration_f64(IDLE_TIME);

    let (used, own, started) = (
        process.cpu_time(),
        Process(std::process::id()).cpu_time(),
        Instant::now(),
    );
    let speeches: Vec<_> = all
        .iter()
        .zip(speech)
        .map(|(person, speech)| person.start_speaking_packets(speech.clone()))
        .collect();
    for speech in speeches {
        speech.wait_until_sent().await;
    }
    let took = started.elapsed();
    tokio::time::sleep(SETTLE_TIME).await;
    let used = process.cpu_time() - used;
    let own = Process(std::process::id()).cpu_time() - own;
    let after = process.memory_mib();
    let forwarded: usize = all
        .chunks(people)
        .zip(&listeners)
        .flat_map(|(people, listening_user)| {
            let sent = people.iter().map(|it| (it.id(), listening_user.id()));
            sent.map(|(from, to)| server.discord.packets_forwarded(from, to))
        })
        .sum();
    listener.write_line(END_OF_INVITATIONS)?;
    let report = listener.read_line().await?;
    let heard: usize = report
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or(0);
    // Per packet, since trailing silence is sent too.
    let each = used.as_secs_f64() / heard.max(1) as f64 * 50.0 * 100.0;
    let how = if decodes { "decoding" } else { "decrypting" };
    println!(
        "  {what:<7} {how:<12} {:<8} | {forwarded} sent, {report}",
        kind.name()
    );
    if decodes {
        let least = |in_time| {
            Ok::<_, Box<dyn std::error::Error>>(
                cpu_floor(speech, in_time)?.as_secs_f64() * 50.0 * 100.0,
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
         speaker for being present and {:.0} KiB for talking; idle: {:.2} % of a core",
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
    for person in all.iter().chain(&listeners) {
        person.leave_voice().await;
    }
    Ok(())
}

async fn wait_for_keys(server: &BenchServer, user: &TestUser, channel: &Channel) -> Outcome<()> {
    let deadline = Instant::now() + SETUP_TIMEOUT;
    loop {
        let clients = server.discord.voice_clients();
        let has_keys = clients.iter().any(|it| {
            it.user_id == user.id()
                && it.channel_id == channel.id()
                && it.is_connected
                && it.is_receiving
        });
        if has_keys {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err("no keys in time".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
