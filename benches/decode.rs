//! The time to decode a voice message of ten minutes, and the memory for one of two hours.
//!
//! `cargo bench --no-default-features --bench decode`; needs ffmpeg. Three programs decode the
//! same file in turn, so that other load on the machine affects all: this package,
//! `ffmpeg -ar 16000 -ac 1`, and a bare loop over libopus with the packets already in memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use audio::{AudioLimits, Decoder, Recording};

#[path = "../tests/it/ogg.rs"]
mod ogg;

/// How often each program runs; the median counts.
const ROUNDS: usize = 15;

/// Set for the child process, which decodes this file (none if empty) and prints its peak memory.
const CHILD_VARIABLE: &str = "TALKBACK_BENCH_CHILD";

fn main() {
    if let Ok(file) = std::env::var(CHILD_VARIABLE) {
        if !file.is_empty() {
            decode_file(Path::new(&file));
        }
        println!("{}", peak_memory_kib());
        return;
    }
    // `cargo test --benches` starts this program too, without `--bench`.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    bench_speed(&make_voice_message(directory.path(), 10));
    bench_memory(&make_voice_message(directory.path(), 120));
}

/// Makes an Ogg Opus file (mono, 32 kbit/s) of this many minutes from the samples.
fn make_voice_message(directory: &Path, minutes: u32) -> PathBuf {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    let list = directory.join("list.txt");
    let mut lines = String::new();
    for _ in 0..minutes * 60 / 25 + 1 {
        for name in [
            "meeting_a",
            "meeting_b",
            "meeting_c",
            "numbers",
            "question",
            "rust",
            "wake",
        ] {
            let file = samples.join(name).with_extension("ogg");
            lines.push_str(&format!("file '{}'\n", file.display()));
        }
    }
    std::fs::write(&list, lines).expect("a list");
    let output = directory.join(format!("{minutes}.ogg"));
    let status = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "error",
            "-y",
            "-f",
            "concat",
            "-safe",
            "0",
            "-i",
        ])
        .arg(&list)
        .args([
            "-t",
            &(minutes * 60).to_string(),
            "-ac",
            "1",
            "-c:a",
            "libopus",
            "-b:a",
            "32k",
        ])
        .arg(&output)
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg");
    assert!(status.success(), "ffmpeg could not make the file");
    output
}

fn bench_speed(file: &Path) {
    let (packets, _) = ogg::packets(&std::fs::read(file).expect("the file"));
    let (mut ours, mut ffmpeg, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| decode_file(file)));
        ffmpeg.push(time(|| decode_with_ffmpeg(file)));
        bare.push(time(|| decode_with_libopus(&packets)));
    }
    let (ours, ffmpeg, bare) = (median(ours), median(ffmpeg), median(bare));
    println!("10 minutes of Ogg Opus to 16 kHz mono, median of {ROUNDS}");
    println!("  ours    {ours:>10.1?}");
    println!(
        "  ffmpeg  {ffmpeg:>10.1?}   ours / ffmpeg {:.3}",
        ratio(ours, ffmpeg)
    );
    println!(
        "  libopus {bare:>10.1?}   ours / libopus {:.3}",
        ratio(ours, bare)
    );
}

fn bench_memory(file: &Path) {
    let idle = child_peak_memory_kib("");
    let busy = child_peak_memory_kib(&file.to_string_lossy());
    println!("2 hours of Ogg Opus, peak memory in a process of its own");
    println!(
        "  idle {idle} KiB, decoding {busy} KiB, above idle {} KiB",
        busy - idle
    );
}

fn decode_file(file: &Path) -> usize {
    let recording = Recording::from_path(file);
    let mut decoder = Decoder::open(&recording, &AudioLimits::default()).expect("a recording");
    let mut samples = 0;
    while let Some(block) = decoder.next_block().expect("a whole file") {
        samples += std::hint::black_box(block).len();
    }
    samples
}

fn decode_with_ffmpeg(file: &Path) -> usize {
    let output = Command::new("ffmpeg")
        .args(["-nostdin", "-loglevel", "error", "-i"])
        .arg(file)
        .args(["-ar", "16000", "-ac", "1", "-f", "s16le", "-y", "/dev/null"])
        .stdin(Stdio::null())
        .status()
        .expect("ffmpeg");
    assert!(output.success());
    0
}

fn decode_with_libopus(packets: &[Vec<u8>]) -> usize {
    let mut decoder = opus2::Decoder::new(16_000, opus2::Channels::Mono).expect("a decoder");
    let mut block = [0.0; 1_920];
    let mut samples = 0;
    for packet in &packets[2..] {
        samples += decoder
            .decode_float(packet, &mut block, false)
            .expect("a packet");
        std::hint::black_box(&block);
    }
    samples
}

fn time(work: impl FnOnce() -> usize) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// The peak memory in KiB of a child process that decodes the file.
fn child_peak_memory_kib(file: &str) -> u64 {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .env(CHILD_VARIABLE, file)
        .output()
        .expect("a child");
    let text = String::from_utf8(output.stdout).expect("a number");
    text.trim().parse().expect("a number")
}

/// The peak resident memory of this process in KiB (Linux: VmHWM).
fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("VmHWM");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}
