//! Shared by the receiver tests: clients, networks, and a loop that drives a receiver with a
//! simulated clock.

mod bit_exact_decoding;
mod delayed_packets;
mod hostile;
mod packet_loss;
mod packet_order;
mod pauses;
mod utterances;

use bytes::Bytes;
use opus2::{Application, Bitrate, Channels, Encoder};

use super::*;
use crate::FRAME_SAMPLES;
use crate::pcm::duration_to_samples;

#[path = "../../../../../tests/it/ogg.rs"]
mod ogg;

/// Clients send this when the user stops speaking.
const SILENCE_PACKET: &[u8] = &[0xF8, 0xFF, 0xFE];

/// 20 ms at 48 kHz.
const PACKET_TICKS: u32 = 960;

fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// The packets of a sample, 20 ms each.
fn sample(name: &str) -> Vec<Bytes> {
    let path = format!("{}/../../samples/{name}.ogg", env!("CARGO_MANIFEST_DIR"));
    let (packets, _) = ogg::packets(&std::fs::read(path).expect("a sample"));
    packets.into_iter().skip(2).map(Bytes::from).collect()
}

/// Encodes a signal at 48 kHz; `packet` is the packet duration in samples.
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

/// Decodes packets with libopus alone.
fn decode_with_libopus(packets: &[Bytes]) -> Vec<f32> {
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

/// A deterministic random number generator.
struct TestRng(u64);

impl TestRng {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0 >> 33
    }

    /// 0.0..1.0
    fn unit(&mut self) -> f64 {
        self.next() as f64 / (1_u64 << 31) as f64
    }

    /// -1.0..1.0
    fn signed_unit(&mut self) -> f32 {
        (self.unit() * 2.0 - 1.0) as f32
    }
}

/// What a client's timestamps do while it sends nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum PauseTimestamps {
    /// They continue: Discord's own clients.
    Continue,
    /// They stand still: discord.js.
    Freeze,
}

/// A client that sends packets of 20 ms.
struct FakeClient {
    pause_timestamps: PauseTimestamps,
    sequence: u16,
    timestamp: u32,
    now: Duration,
    sent: Vec<VoicePacket>,
}

impl FakeClient {
    fn new(pause_timestamps: PauseTimestamps) -> Self {
        Self {
            pause_timestamps,
            sequence: 65_500,
            timestamp: u32::MAX - 20_000,
            now: millis(1_000),
            sent: Vec::new(),
        }
    }

    /// Sends packets, each at the end of its 20 ms.
    fn speak(&mut self, packets: &[Bytes]) {
        for opus in packets {
            self.now += millis(20);
            self.sent.push(VoicePacket {
                sequence: self.sequence,
                timestamp: self.timestamp,
                opus: opus.clone(),
                received: self.now,
            });
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(PACKET_TICKS);
        }
    }

    /// Releases push-to-talk: five packets of silence.
    fn send_silence(&mut self) {
        self.speak(&vec![Bytes::from_static(SILENCE_PACKET); 5]);
    }

    /// Sends nothing for a while.
    fn pause(&mut self, pause: Duration) {
        self.now += pause;
        if self.pause_timestamps == PauseTimestamps::Continue {
            self.timestamp = self
                .timestamp
                .wrapping_add((pause.as_micros() * 48 / 1_000) as u32);
        }
    }
}

/// Rates every frame as speech. The endpointer overrides it for silence that the client sent.
struct EverythingIsSpeech;

impl Vad for EverythingIsSpeech {
    fn speech_probability(&mut self, _frame: &[f32; FRAME_SAMPLES]) -> f32 {
        1.0
    }
}

/// The events, and when they were emitted.
struct ReceivedEvents {
    events: Vec<(Duration, SpeakerEvent)>,
    stats: SpeakerStats,
}

impl ReceivedEvents {
    fn utterances(&self) -> Vec<&Utterance> {
        let utterance =
            |event: &'_ (Duration, SpeakerEvent)| matches!(event.1, SpeakerEvent::Utterance(_));
        self.events
            .iter()
            .filter(|event| utterance(event))
            .filter_map(|(_, event)| match event {
                SpeakerEvent::Utterance(utterance) => Some(utterance),
                _ => None,
            })
            .collect()
    }

    /// The speaker's track from `from` to the end of the last utterance.
    fn samples_from(&self, from: Duration) -> Vec<f32> {
        let utterances = self.utterances();
        let end = utterances.last().map_or(from, |last| last.end());
        let track = speaker_track(utterances, end);
        track.samples()[duration_to_samples(from) as usize..].to_vec()
    }

    /// Positions where speech started.
    fn speech_starts(&self) -> Vec<Duration> {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                SpeakerEvent::SpeechStarted { at } => Some(*at),
                _ => None,
            })
            .collect()
    }

    fn losses(&self) -> Vec<(Duration, Duration)> {
        self.events
            .iter()
            .filter_map(|(_, event)| match event {
                SpeakerEvent::Lost { at, length } => Some((*at, *length)),
                _ => None,
            })
            .collect()
    }
}

/// Pushes packets in order of arrival, and advances the receiver at its deadlines until speech has
/// ended.
fn receive_all<V: Vad>(receiver: SpeakerReceiver<V>, packets: &[VoicePacket]) -> ReceivedEvents {
    receive(receiver, packets, true)
}

/// The same, but finishes right after the last packet.
fn receive_then_finish<V: Vad>(
    receiver: SpeakerReceiver<V>,
    packets: &[VoicePacket],
) -> ReceivedEvents {
    receive(receiver, packets, false)
}

fn receive<V: Vad>(
    mut receiver: SpeakerReceiver<V>,
    packets: &[VoicePacket],
    patient: bool,
) -> ReceivedEvents {
    let mut packets = packets.to_vec();
    packets.sort_by_key(|packet| packet.received);
    let mut events = Vec::new();
    let mut now = Duration::ZERO;
    for packet in packets {
        let received = packet.received;
        advance_until(&mut receiver, received, &mut now, &mut events);
        now = received;
        receiver.push_packet(packet);
        advance(&mut receiver, now, &mut events);
    }
    if patient {
        advance_until(&mut receiver, Duration::MAX, &mut now, &mut events);
    }
    let mut rest = Vec::new();
    receiver.finish(now, &mut rest);
    events.extend(rest.into_iter().map(|event| (now, event)));
    assert!(receiver.next_deadline().is_none());
    ReceivedEvents {
        events,
        stats: receiver.stats(),
    }
}

/// Advances the receiver at each of its deadlines before `until`.
fn advance_until<V: Vad>(
    receiver: &mut SpeakerReceiver<V>,
    until: Duration,
    now: &mut Duration,
    events: &mut Vec<(Duration, SpeakerEvent)>,
) {
    while let Some(due) = receiver.next_deadline().filter(|due| *due < until) {
        *now = due.max(*now);
        advance(receiver, *now, events);
        assert!(
            receiver.next_deadline().is_none_or(|next| next > *now),
            "the deadline had nothing to do"
        );
    }
}

fn advance<V: Vad>(
    receiver: &mut SpeakerReceiver<V>,
    now: Duration,
    events: &mut Vec<(Duration, SpeakerEvent)>,
) {
    let mut new = Vec::new();
    receiver.advance(now, &mut new);
    events.extend(new.into_iter().map(|event| (now, event)));
}

/// A receiver that rates every frame as speech.
fn receiver_without_vad() -> SpeakerReceiver<EverythingIsSpeech> {
    SpeakerReceiver::with_vad(SpeakerReceiverSettings::default(), EverythingIsSpeech)
        .expect("a receiver")
}

/// A receiver with the default settings and detector.
fn default_receiver() -> SpeakerReceiver {
    SpeakerReceiver::new(SpeakerReceiverSettings::default()).expect("a receiver")
}
