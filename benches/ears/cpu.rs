//! What people cost who talk at once, against the floor: opening the same packets and decoding
//! them, in one loop.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sandbox::{Channel, Person};

use super::Outcome;
use super::call::Place;
use super::child::{self, CONNECTED, END, LISTENS};
use super::floor::floor;
use super::listener::Kind;
use super::material::talk;
use super::process::{Process, load};

/// Packets that everybody says: 20 s.
const SAID: usize = 1_000;

/// How long nobody says anything, for comparison.
const QUIET: Duration = Duration::from_secs(4);

/// After the last packet, until nothing more is heard.
const REST: Duration = Duration::from_secs(3);

/// The longest that all may take to be connected and to have their keys.
const LIMIT: Duration = Duration::from_secs(60);

/// Calls, and people in each.
const CROWDS: [(usize, usize); 4] = [(1, 10), (1, 50), (1, 100), (20, 25)];

pub(crate) async fn cpu(place: &Place, part: &str) -> Outcome<()> {
    println!("cpu: people who talk at once for 20 s");
    for (calls, people) in CROWDS {
        let what = format!("{calls} × {people}");
        if !what.contains(part) {
            continue;
        }
        let words: Vec<Vec<Bytes>> = (0..calls * people)
            .map(|it| talk(it, SAID))
            .collect::<Outcome<_>>()?;
        for kind in &place.kinds {
            crowd(place, *kind, &what, (calls, people), &words, true).await?;
        }
        for kind in &place.kinds {
            crowd(place, *kind, &what, (calls, people), &words, false).await?;
        }
    }
    Ok(())
}

/// A listener as a process of its own.
struct Listener {
    process: Child,
    told: ChildStdin,
    tells: tokio::sync::mpsc::Receiver<String>,
}

impl Listener {
    fn new(kind: Kind, decodes: bool) -> Outcome<Self> {
        let how = if decodes { "decodes" } else { "listens" };
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--bench")
            .env(LISTENS, format!("{} {how}", kind.name()))
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
            told,
            tells,
        })
    }

    fn is_told(&mut self, line: &str) -> Outcome<()> {
        writeln!(self.told, "{line}")?;
        Ok(self.told.flush()?)
    }

    async fn says(&mut self) -> Outcome<String> {
        let line = tokio::time::timeout(LIMIT, self.tells.recv()).await?;
        Ok(line.ok_or("the listener has ended")?)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn crowd(
    place: &Place,
    kind: Kind,
    what: &str,
    (calls, people): (usize, usize),
    words: &[Vec<Bytes>],
    decodes: bool,
) -> Outcome<()> {
    let mut listener = Listener::new(kind, decodes)?;
    let process = Process(listener.process.id());
    let lounges: Vec<Channel> = (0..calls)
        .map(|_| place.guild.voice_channel("Lounge"))
        .collect();
    let mut all: Vec<Person> = Vec::new();
    for lounge in &lounges {
        for _ in 0..people {
            let person = place.guild.member("Person");
            person.joins_voice(lounge).await;
            all.push(person);
        }
    }
    let before = process.memory();
    let eves: Vec<Person> = lounges.iter().map(|_| place.guild.member("Eve")).collect();
    for (eve, lounge) in eves.iter().zip(&lounges) {
        listener.is_told(&child::told(&eve.invited_to_voice(lounge)))?;
    }
    listener.is_told(END)?;
    for _ in 0..calls {
        let said = listener.says().await?;
        if said != CONNECTED {
            return Err(said.into());
        }
    }
    for (eve, lounge) in eves.iter().zip(&lounges) {
        until_keys(place, eve, lounge).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (in_call, idle) = (process.memory(), process.cpu());
    tokio::time::sleep(QUIET).await;
    let idle = (process.cpu() - idle).div_duration_f64(QUIET);

    let (used, own, begun) = (
        process.cpu(),
        Process(std::process::id()).cpu(),
        Instant::now(),
    );
    let speeches: Vec<_> = all
        .iter()
        .zip(words)
        .map(|(person, words)| person.begins_to_speak_packets(words.clone()))
        .collect();
    for speech in speeches {
        speech.ends().await;
    }
    let took = begun.elapsed();
    tokio::time::sleep(REST).await;
    let used = process.cpu() - used;
    let own = Process(std::process::id()).cpu() - own;
    let after = process.memory();
    let forwarded: usize = all
        .chunks(people)
        .zip(&eves)
        .flat_map(|(people, eve)| {
            let sent = people.iter().map(|it| (it.id(), eve.id()));
            sent.map(|(from, to)| place.discord.forwarded(from, to))
        })
        .sum();
    listener.is_told(END)?;
    let told = listener.says().await?;
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
            Ok::<_, Box<dyn std::error::Error>>(floor(words, in_time)?.as_secs_f64() * 50.0 * 100.0)
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
        load()
    );
    drop(listener);
    for person in all.iter().chain(&eves) {
        person.leaves_voice().await;
    }
    Ok(())
}

async fn until_keys(place: &Place, eve: &Person, lounge: &Channel) -> Outcome<()> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let clients = place.discord.voice_clients();
        let has = clients.iter().any(|it| {
            it.user_id == eve.id() && it.channel_id == lounge.id() && it.connected && it.hears
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
