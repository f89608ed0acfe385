//! The CPU time of receiving a speaker in a call, compared with a bare libopus loop over the same
//! packets.
//!
//! `cargo bench --no-default-features --bench ear`. 10, 50 and 100 users speak at once, each with a
//! [`SpeakerReceiver`]; their packets come in turn, as they would from the network. Three programs
//! run in turn, so that other load on the machine affects all: bare libopus, a receiver without a
//! VAD (reordering, timeline, decoding, endpointing), and a receiver as the bot uses it.

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use audio::{
    EarshotVad, FRAME_SAMPLES, SegmentLimits, Segmenter, SpeakerEvent, SpeakerReceiver,
    SpeakerReceiverSettings, Vad, VoicePacket,
};
use bytes::Bytes;

#[path = "../tests/it/ogg.rs"]
mod ogg;

/// How often each is measured; the median counts.
const ROUNDS: usize = 9;

/// How long all users speak: 50 packets of 20 ms per second each.
const SECONDS: usize = 10;

fn main() {
    // `cargo test --benches` starts this program too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let words = speech_packets();
    println!("{SECONDS} s of everybody speaking, 16 kHz mono, median of {ROUNDS}");
    for people in [10, 50, 100] {
        bench_speed(&words, people);
    }
    bench_memory(&words);
    bench_automatic_gain(&words);
}

/// Packets of 20 ms of all the samples, one after the other.
fn speech_packets() -> Vec<Bytes> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let names = [
        "meeting_a",
        "meeting_b",
        "meeting_c",
        "numbers",
        "rust",
        "wake",
    ];
    let mut words = Vec::new();
    for name in names {
        let file = samples.join(name).with_extension("ogg");
        let (packets, _) = ogg::packets(&std::fs::read(file).expect("a sample"));
        words.extend(packets.into_iter().skip(2).map(Bytes::from));
    }
    words
}

/// The `turn`th packet of a user. Each user starts at another place.
fn packet_of_speaker(words: &[Bytes], person: usize, turn: usize) -> Bytes {
    words[(person * 37 + turn) % words.len()].clone()
}

fn bench_speed(words: &[Bytes], people: usize) {
    let (mut bare, mut without_vad, mut complete) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(time_libopus(words, people));
        without_vad.push(time_receivers(words, people, |settings| {
            SpeakerReceiver::with_vad(settings, NoSpeechVad).expect("a receiver")
        }));
        complete.push(time_receivers(words, people, |settings| {
            SpeakerReceiver::new(settings).expect("a receiver")
        }));
    }
    let (bare, without_vad, complete) = (median(bare), median(without_vad), median(complete));
    let share = |time: Duration| time.as_secs_f64() / (people * SECONDS) as f64 * 100.0;
    println!("{people:>4} people");
    println!("  libopus        {:.3} % of a core each", share(bare));
    println!(
        "  without VAD    {:.3} %   {:.2} × libopus",
        share(without_vad),
        ratio(without_vad, bare)
    );
    println!(
        "  receiver       {:.3} %   {:.2} × libopus, of which the VAD {:.3} %",
        share(complete),
        ratio(complete, bare),
        share(complete.saturating_sub(without_vad))
    );
}

/// A VAD that never finds speech.
struct NoSpeechVad;

impl Vad for NoSpeechVad {
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        black_box(frame);
        0.0
    }
}

fn time_libopus(words: &[Bytes], people: usize) -> Duration {
    let mut decoders: Vec<opus2::Decoder> = (0..people)
        .map(|_| opus2::Decoder::new(16_000, opus2::Channels::Mono).expect("a decoder"))
        .collect();
    let mut block = [0.0; 1_920];
    let start = Instant::now();
    for turn in 0..SECONDS * 50 {
        for (person, decoder) in decoders.iter_mut().enumerate() {
            let packet = packet_of_speaker(words, person, turn);
            decoder
                .decode_float(&packet, &mut block, false)
                .expect("a packet");
            black_box(&block);
        }
    }
    start.elapsed()
}

fn time_receivers<J: Vad>(
    words: &[Bytes],
    people: usize,
    new_receiver: impl Fn(SpeakerReceiverSettings) -> SpeakerReceiver<J>,
) -> Duration {
    let mut receivers: Vec<SpeakerReceiver<J>> = (0..people)
        .map(|_| new_receiver(SpeakerReceiverSettings::default()))
        .collect();
    let mut events = Vec::new();
    let start = Instant::now();
    for turn in 0..SECONDS * 50 {
        for (person, receiver) in receivers.iter_mut().enumerate() {
            push_packet(receiver, words, person, turn, &mut events);
            black_box(&events);
            events.clear();
        }
    }
    start.elapsed()
}

fn push_packet<J: Vad>(
    receiver: &mut SpeakerReceiver<J>,
    words: &[Bytes],
    person: usize,
    turn: usize,
    events: &mut Vec<SpeakerEvent>,
) {
    let received = Duration::from_millis(20 * (turn as u64 + 1));
    receiver.push_packet(VoicePacket {
        sequence: turn as u16,
        timestamp: turn as u32 * 960,
        opus: packet_of_speaker(words, person, turn),
        received,
    });
    receiver.advance(received, events);
    black_box(receiver.next_deadline());
}

/// The CPU time of the VAD's automatic gain: the segmenter with the bot's VAD, compared with the
/// bare detector, which takes frames at their own level.
fn bench_automatic_gain(words: &[Bytes]) {
    let mut decoder = opus2::Decoder::new(16_000, opus2::Channels::Mono).expect("a decoder");
    let mut block = [0.0; 1_920];
    let mut samples = Vec::new();
    for packet in words {
        let length = decoder.decode_float(packet, &mut block, false);
        samples.extend_from_slice(&block[..length.expect("a packet")]);
    }
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 5 {
        bare.push(time_segmenter(
            &samples,
            EarshotWithoutGain(earshot::Detector::default_boxed()),
        ));
        ours.push(time_segmenter(&samples, EarshotVad::new()));
    }
    let (bare, ours) = (median(bare), median(ours));
    println!("the VAD over {} s of speech", samples.len() / 16_000);
    println!(
        "  without gain {bare:?}, with gain {ours:?}: {:.3} x",
        ratio(ours, bare)
    );
}

/// The bare detector.
struct EarshotWithoutGain(Box<earshot::Detector>);

impl Vad for EarshotWithoutGain {
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.0
            .predict_f32(&frame.map(|sample| sample.clamp(-1.0, 1.0)))
    }
}

fn time_segmenter<J: Vad>(samples: &[f32], vad: J) -> Duration {
    let start = Instant::now();
    let mut segmenter = Segmenter::with_vad(SegmentLimits::default(), vad);
    black_box(segmenter.push(samples));
    black_box(segmenter.finish());
    start.elapsed()
}

/// The memory of a pausing speaker, and of one who has been speaking for ten seconds.
fn bench_memory(words: &[Bytes]) {
    const PEOPLE: usize = 1_000;
    let mut events = Vec::new();
    let before = resident_kib();
    let mut receivers: Vec<SpeakerReceiver> = (0..PEOPLE)
        .map(|_| SpeakerReceiver::new(SpeakerReceiverSettings::default()).expect("a receiver"))
        .collect();
    let fresh = resident_kib();
    for (person, receiver) in receivers.iter_mut().enumerate() {
        for turn in 0..50 {
            push_packet(receiver, words, person, turn, &mut events);
        }
        receiver.advance(Duration::from_secs(3), &mut events);
        events.clear();
    }
    let pausing = resident_kib();
    println!("memory of a speaker, mean of {PEOPLE}");
    let each = |kib: u64| kib as f64 / PEOPLE as f64;
    println!("  new            {:.1} KiB", each(fresh - before));
    println!("  pausing        {:.1} KiB", each(pausing - before));
    let sound = SECONDS * 16_000 * 4 / 1_024;
    println!("  speaking since {SECONDS} s: {sound} KiB of samples, and up to as much again");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// The memory this process holds, in KiB (Linux: VmRSS).
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.expect("a number").parse().expect("a number")
}
