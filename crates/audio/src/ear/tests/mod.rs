//! What the tests of the ear share: senders, networks, and a listener with a clock of its own.

mod exact;
mod hostile;
mod loss;
mod order;
mod pauses;
mod speech;
mod waited;

use bytes::Bytes;
use opus2::{Application, Bitrate, Channels, Encoder};

use super::*;
use crate::FRAME_SAMPLES;

#[path = "../../../../../tests/it/ogg.rs"]
mod ogg;

/// What clients send when somebody stops speaking.
const SILENCE: &[u8] = &[0xF8, 0xFF, 0xFE];

/// 20 ms at 48 kHz.
const TICKS: u32 = 960;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The packets of one of the samples: 20 ms each.
fn sample(name: &str) -> Vec<Bytes> {
    let path = format!("{}/../../samples/{name}.ogg", env!("CARGO_MANIFEST_DIR"));
    let (packets, _) = ogg::packets(&std::fs::read(path).expect("a sample"));
    packets.into_iter().skip(2).map(Bytes::from).collect()
}

/// Packets of a signal at 48 kHz.
fn encode(signal: &[f32], packet: usize, bitrate: i32) -> Vec<Bytes> {
    let mut encoder = Encoder::new(48_000, Channels::Mono, Application::Audio).expect("an encoder");
    encoder
        .set_bitrate(Bitrate::Bits(bitrate))
        .expect("a bitrate");
    signal
        .chunks_exact(packet)
        .map(|part| encoder.encode_vec_float(part, 4_000).expect("a packet"))
        .map(Bytes::from)
        .collect()
}

/// What a bare loop over libopus makes of packets.
fn bare(packets: &[Bytes]) -> Vec<f32> {
    let mut decoder = opus2::Decoder::new(16_000, Channels::Mono).expect("a decoder");
    let mut block = [0.0; 1_920];
    let mut samples = Vec::new();
    for packet in packets {
        let length = decoder
            .decode_float(packet, &mut block, false)
            .expect("a packet");
        samples.extend_from_slice(&block[..length]);
    }
    samples
}

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0 >> 33
    }

    /// 0.0..1.0
    fn share(&mut self) -> f64 {
        self.roll() as f64 / (1_u64 << 31) as f64
    }

    /// -1.0..1.0
    fn noise(&mut self) -> f32 {
        (self.share() * 2.0 - 1.0) as f32
    }
}

/// What a client's timestamps do while it sends nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Habit {
    /// They go on: Discord's own clients.
    GoOn,
    /// They stand still: discord.js.
    StandStill,
}

/// A client that sends packets of 20 ms.
struct Sender {
    habit: Habit,
    sequence: u16,
    timestamp: u32,
    now: Duration,
    sent: Vec<VoicePacket>,
}

impl Sender {
    fn new(habit: Habit) -> Self {
        Self {
            habit,
            sequence: 65_500,
            timestamp: u32::MAX - 20_000,
            now: ms(1_000),
            sent: Vec::new(),
        }
    }

    /// Sends packets, each when its 20 ms have been spoken.
    fn speak(&mut self, packets: &[Bytes]) {
        for opus in packets {
            self.now += ms(20);
            self.sent.push(VoicePacket {
                sequence: self.sequence,
                timestamp: self.timestamp,
                opus: opus.clone(),
                received: self.now,
            });
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(TICKS);
        }
    }

    /// Lets the key go: five packets of silence.
    fn stop(&mut self) {
        self.speak(&vec![Bytes::from_static(SILENCE); 5]);
    }

    /// Sends nothing.
    fn pause(&mut self, pause: Duration) {
        self.now += pause;
        if self.habit == Habit::GoOn {
            self.timestamp = self
                .timestamp
                .wrapping_add((pause.as_micros() * 48 / 1_000) as u32);
        }
    }
}

/// Takes everything for speech that was not sent as silence.
struct Always;

impl Judge for Always {
    fn judge(&mut self, _frame: &[f32; FRAME_SAMPLES]) -> f32 {
        1.0
    }
}

/// What came out, and when.
struct Heard {
    events: Vec<(Duration, EarEvent)>,
    counts: Counts,
}

impl Heard {
    fn utterances(&self) -> Vec<&Utterance> {
        let utterance = |event: &'_ (Duration, EarEvent)| matches!(event.1, EarEvent::Utterance(_));
        self.events
            .iter()
            .filter(|event| utterance(event))
            .filter_map(|(_, event)| match event {
                EarEvent::Utterance(utterance) => Some(utterance),
                _ => None,
            })
            .collect()
    }

    /// The track from there to the end of the last utterance.
    fn samples_from(&self, from: Duration) -> Vec<f32> {
        let utterances = self.utterances();
        let end = utterances.last().map_or(from, |last| last.end());
        let track = speaker_track(utterances, end);
        track.samples()[duration_to_samples(from) as usize..].to_vec()
    }

    /// Where somebody began to speak.
    fn starts(&self) -> Vec<Duration> {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                EarEvent::SpeechStarted { at } => Some(*at),
                _ => None,
            })
            .collect()
    }

    fn lost(&self) -> Vec<(Duration, Duration)> {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                EarEvent::Lost { at, length } => Some((*at, *length)),
                _ => None,
            })
            .collect()
    }
}

/// Takes packets in the order of their arrival, and is woken when it is due, until nobody speaks.
fn listen<J: Judge>(ear: Ear<J>, packets: &[VoicePacket]) -> Heard {
    attend(ear, packets, true)
}

/// The same, but leaves when the last packet has come.
fn listen_and_leave<J: Judge>(ear: Ear<J>, packets: &[VoicePacket]) -> Heard {
    attend(ear, packets, false)
}

fn attend<J: Judge>(mut ear: Ear<J>, packets: &[VoicePacket], patient: bool) -> Heard {
    let mut packets = packets.to_vec();
    packets.sort_by_key(|packet| packet.received);
    let mut events = Vec::new();
    let mut now = Duration::ZERO;
    for packet in packets {
        let received = packet.received;
        wake(&mut ear, received, &mut now, &mut events);
        now = received;
        ear.hear(packet);
        advance(&mut ear, now, &mut events);
    }
    if patient {
        wake(&mut ear, Duration::MAX, &mut now, &mut events);
    }
    let mut rest = Vec::new();
    ear.finish(now, &mut rest);
    events.extend(rest.into_iter().map(|event| (now, event)));
    assert!(ear.due().is_none());
    Heard {
        events,
        counts: ear.counts(),
    }
}

/// Wakes the ear whenever it wants to be woken before `until`.
fn wake<J: Judge>(
    ear: &mut Ear<J>,
    until: Duration,
    now: &mut Duration,
    events: &mut Vec<(Duration, EarEvent)>,
) {
    while let Some(due) = ear.due().filter(|due| *due < until) {
        *now = due.max(*now);
        advance(ear, *now, events);
        assert!(ear.due().is_none_or(|next| next > *now), "due in vain");
    }
}

fn advance<J: Judge>(ear: &mut Ear<J>, now: Duration, events: &mut Vec<(Duration, EarEvent)>) {
    let mut new = Vec::new();
    ear.advance(now, &mut new);
    events.extend(new.into_iter().map(|event| (now, event)));
}

/// An ear that takes everything for speech.
fn all_ears() -> Ear<Always> {
    Ear::with_judge(EarSettings::default(), Always).expect("an ear")
}

/// An ear as the bot has it.
fn real_ear() -> Ear {
    Ear::new(EarSettings::default()).expect("an ear")
}
