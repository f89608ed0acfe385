//! Prints who speaks in a Discord call, how many packets each user sends, and when they stop.
//!
//! With a bot in a call: `who_speaks GUILD CHANNEL USER SESSION TOKEN ENDPOINT`, or the same values
//! in the environment (`VOICE_GUILD`, `VOICE_CHANNEL`, `VOICE_USER`, `VOICE_SESSION`,
//! `VOICE_TOKEN`, `VOICE_ENDPOINT`). The README of the crate says where a bot gets them. `USER` is
//! the bot's own id.
//!
//! Without Discord: `cargo run -p voice-receive --example who_speaks -- --sandbox` simulates a call
//! of two people on this machine.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use sandbox::{Sandbox, VoiceConnectionInfo};
use tokio::sync::mpsc;
use voice_receive::{ConnectOptions, ConnectionInfo, OpusPacket, VoiceEvent, connect};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A user who sends nothing for this long has stopped speaking.
const SILENT_AFTER: Duration = Duration::from_millis(500);

/// The Opus packet of 20 ms of silence that clients send when they stop speaking.
const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];

const USAGE: &str = "usage: who_speaks GUILD CHANNEL USER SESSION TOKEN ENDPOINT
       who_speaks --sandbox
Values not given as arguments are read from VOICE_GUILD, VOICE_CHANNEL, VOICE_USER,
VOICE_SESSION, VOICE_TOKEN and VOICE_ENDPOINT.";

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--help" | "-h") => println!("{USAGE}"),
        Some("--sandbox") => restart_in_sandbox()?,
        Some("--in-sandbox") => run_in_sandbox().await?,
        _ => {
            let (_handle, events) = connect(parse_info(&arguments)?, ConnectOptions::default());
            print_speakers(events).await?;
        }
    }
    Ok(())
}

/// Reads the values of the call from the arguments, or from the environment.
fn parse_info(arguments: &[String]) -> Result<ConnectionInfo> {
    let value = |index: usize, variable: &str| {
        let argument = arguments.get(index).cloned();
        let value = argument.or_else(|| std::env::var(variable).ok());
        value.ok_or_else(|| format!("{variable} is missing\n\n{USAGE}"))
    };
    Ok(ConnectionInfo {
        guild_id: value(0, "VOICE_GUILD")?.parse()?,
        channel_id: value(1, "VOICE_CHANNEL")?.parse()?,
        user_id: value(2, "VOICE_USER")?.parse()?,
        session_id: value(3, "VOICE_SESSION")?,
        token: value(4, "VOICE_TOKEN")?.into(),
        endpoint: value(5, "VOICE_ENDPOINT")?,
    })
}

/// What a user has sent since they began to speak.
struct Speech {
    packets: u32,
    bytes: usize,
    last_packet: Instant,
}

/// Prints who begins and stops speaking, until the connection is lost or closed.
async fn print_speakers(mut events: mpsc::Receiver<VoiceEvent>) -> Result {
    let mut speaking: BTreeMap<u64, Speech> = BTreeMap::new();
    let mut tick = tokio::time::interval(SILENT_AFTER / 5);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = tick.tick() => {
                speaking.retain(|user_id, speech| {
                    let goes_on = speech.last_packet.elapsed() < SILENT_AFTER;
                    if !goes_on {
                        print_end(*user_id, speech);
                    }
                    goes_on
                });
                continue;
            }
        };
        match event {
            Some(VoiceEvent::Connected) => println!("connected"),
            Some(VoiceEvent::Packets(packets)) => {
                for packet in packets.iter().filter(|it| *it.opus != *SILENCE) {
                    record_packet(&mut speaking, packet);
                }
            }
            Some(VoiceEvent::UserLeft { user_id }) => println!("{user_id} left the call"),
            Some(VoiceEvent::Interrupted { .. }) => println!("interrupted, reconnecting"),
            Some(VoiceEvent::ConnectionLost { close_code, .. }) => {
                return Err(format!("connection lost, close code {close_code:?}").into());
            }
            // Packets are the better sign of speech.
            Some(VoiceEvent::Speaking { .. }) => {}
            None => return Ok(()),
        }
    }
}

fn record_packet(speaking: &mut BTreeMap<u64, Speech>, packet: &OpusPacket) {
    let speech = speaking.entry(packet.user_id).or_insert_with(|| {
        println!("{} speaks", packet.user_id);
        Speech {
            packets: 0,
            bytes: 0,
            last_packet: packet.received,
        }
    });
    speech.packets += 1;
    speech.bytes += packet.opus.len();
    speech.last_packet = packet.received;
}

fn print_end(user_id: u64, speech: &Speech) {
    let (packets, bytes) = (speech.packets, speech.bytes);
    println!("{user_id} stopped after {packets} packets, {bytes} bytes of Opus");
}

/// Runs this program again as a process that trusts the sandbox's certificate: `SSL_CERT_FILE` has
/// to be set from the start of a process.
fn restart_in_sandbox() -> Result {
    let file = format!("who-speaks-{}.pem", std::process::id());
    let certificate = std::env::temp_dir().join(file);
    let status = Command::new(std::env::current_exe()?)
        .arg("--in-sandbox")
        .env("SSL_CERT_FILE", &certificate)
        .status();
    // The child may have failed before it wrote the file.
    let _ = std::fs::remove_file(certificate);
    if status?.success() {
        Ok(())
    } else {
        Err("the call in the sandbox failed".into())
    }
}

/// Ana and Ben speak in a simulated call while this program listens as the bot.
async fn run_in_sandbox() -> Result {
    let speech: &[u8] = include_bytes!("../../../samples/capital.ogg");
    let sandbox = Sandbox::start().await;
    let discord = sandbox.discord();
    discord.trust_authority();
    let guild = discord.add_guild("Garden");
    let channel = guild.add_voice_channel("Lounge");
    let (ana, ben) = (guild.add_member("Ana"), guild.add_member("Ben"));
    println!("Ana is {}, Ben is {}", ana.id(), ben.id());
    ana.join_voice(&channel).await;
    ben.join_voice(&channel).await;

    let info = connection_info(discord.join_voice_externally_as_bot(&channel));
    let (handle, events) = connect(info, ConnectOptions::default());
    let conversation = async {
        discord.wait_until_bot_receiving(&channel).await;
        ana.start_speaking(speech).wait_until_sent().await;
        tokio::time::sleep(SILENT_AFTER * 2).await;
        ben.start_speaking(speech).wait_until_sent().await;
        tokio::time::sleep(SILENT_AFTER * 2).await;
    };
    tokio::select! {
        printed = print_speakers(events) => printed?,
        () = conversation => {}
    }
    let stats = handle.stats();
    println!(
        "{} packets received, {} dropped for want of a key, {} DAVE epochs joined",
        stats.delivered, stats.no_key, stats.epochs
    );
    if stats.delivered == 0 {
        return Err("nothing was received".into());
    }
    Ok(())
}

fn connection_info(info: VoiceConnectionInfo) -> ConnectionInfo {
    ConnectionInfo {
        guild_id: info.guild_id,
        channel_id: info.channel_id,
        user_id: info.user_id,
        session_id: info.session_id,
        token: info.token.into(),
        endpoint: info.endpoint,
    }
}
