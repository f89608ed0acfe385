//! What it costs to hear somebody in a call, against a bare libopus loop over the same packets.
//!
//! `cargo bench --no-default-features --bench ear`. 10, 50 and 100 people speak at once, each with
//! an ear of their own; their packets come in turn, as they would from the network. Three ways in
//! turn, so that whatever else the machine does strikes all: bare libopus, an ear without a judge
//! of voices (order, place, decoding, endpointing), and an ear as the bot has it.

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

/// How often each way is gone; the median counts.
const ROUNDS: usize = 9;

/// How long everybody speaks: one 20 ms packet each fifty times a second.
const SECONDS: usize = 10;

fn main() {
    // What `cargo test --benches` runs needs no numbers.
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

/// What one of them says as their `turn`th packet: everybody begins elsewhere.
fn packet_of_speaker(words: &[Bytes], person: usize, turn: usize) -> Bytes {
    words[(person * 37 + turn) % words.len()].clone()
}

fn bench_speed(words: &[Bytes], people: usize) {
    let (mut bare, mut deaf, mut ears) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(time_libopus(words, people));
        deaf.push(time_receivers(words, people, |settings| {
            SpeakerReceiver::with_vad(settings, NoSpeechVad).expect("an ear")
        }));
        ears.push(time_receivers(words, people, |settings| {
            SpeakerReceiver::new(settings).expect("an ear")
        }));
    }
    let (bare, deaf, ears) = (median(bare), median(deaf), median(ears));
    let share = |time: Duration| time.as_secs_f64() / (people * SECONDS) as f64 * 100.0;
    println!("{people:>4} people");
    println!("  libopus        {:.3} % of a core each", share(bare));
    println!(
        "  ear, no judge  {:.3} %   {:.2} × libopus",
        share(deaf),
        ratio(deaf, bare)
    );
    println!(
        "  ear            {:.3} %   {:.2} × libopus, of which the judge {:.3} %",
        share(ears),
        ratio(ears, bare),
        share(ears.saturating_sub(deaf))
    );
}

/// Hears nobody's voice.
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
    ear: impl Fn(SpeakerReceiverSettings) -> SpeakerReceiver<J>,
) -> Duration {
    let mut ears: Vec<SpeakerReceiver<J>> = (0..people)
        .map(|_| ear(SpeakerReceiverSettings::default()))
        .collect();
    let mut events = Vec::new();
    let start = Instant::now();
    for turn in 0..SECONDS * 50 {
        for (person, ear) in ears.iter_mut().enumerate() {
            push_all_packets(ear, words, person, turn, &mut events);
            black_box(&events);
            events.clear();
        }
    }
    start.elapsed()
}

fn push_all_packets<J: Vad>(
    ear: &mut SpeakerReceiver<J>,
    words: &[Bytes],
    person: usize,
    turn: usize,
    events: &mut Vec<SpeakerEvent>,
) {
    let received = Duration::from_millis(20 * (turn as u64 + 1));
    ear.push_packet(VoicePacket {
        sequence: turn as u16,
        timestamp: turn as u32 * 960,
        opus: packet_of_speaker(words, person, turn),
        received,
    });
    ear.advance(received, events);
    black_box(ear.next_deadline());
}

/// What it costs that the judge depends on no level: its frames, cut into stretches, against the
/// bare judge's, which took them as they came.
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
    println!("the judge of {} s of speech", samples.len() / 16_000);
    println!(
        "  at its own level {bare:?}, at any {ours:?}: {:.3} x",
        ratio(ours, bare)
    );
}

/// The judge as it was.
struct EarshotWithoutGain(Box<earshot::Detector>);

impl Vad for EarshotWithoutGain {
    fn speech_probability(&mut self, frame: &[f32; FRAME_SAMPLES]) -> f32 {
        self.0
            .predict_f32(&frame.map(|sample| sample.clamp(-1.0, 1.0)))
    }
}

fn time_segmenter<J: Vad>(samples: &[f32], judge: J) -> Duration {
    let start = Instant::now();
    let mut segmenter = Segmenter::with_vad(SegmentLimits::default(), judge);
    black_box(segmenter.push(samples));
    black_box(segmenter.finish());
    start.elapsed()
}

/// The memory of a speaker who pauses, and of one who has been speaking for ten seconds.
fn bench_memory(words: &[Bytes]) {
    const PEOPLE: usize = 1_000;
    let mut events = Vec::new();
    let before = resident_kib();
    let mut ears: Vec<SpeakerReceiver> = (0..PEOPLE)
        .map(|_| SpeakerReceiver::new(SpeakerReceiverSettings::default()).expect("an ear"))
        .collect();
    let fresh = resident_kib();
    for (person, ear) in ears.iter_mut().enumerate() {
        for turn in 0..50 {
            push_all_packets(ear, words, person, turn, &mut events);
        }
        ear.advance(Duration::from_secs(3), &mut events);
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
