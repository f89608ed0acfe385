//! What a person says: packets, one every 20 ms or however long they are, as a client sends them.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::rest::State;
use super::hear::Said;
use super::member::Mouth;

/// What clients send when somebody stops talking, five times.
const SILENCE: &[u8] = &[0xf8, 0xff, 0xfe];

/// Silence as an encoder makes it of an open microphone: it is encrypted like speech.
const COMFORT: &[u8] = &[0xfc, 0xff, 0xfe];

/// So many packets of silence end an utterance.
const TAIL: usize = 5;

/// Between saying that one speaks and speaking.
const LEAD: Duration = Duration::from_millis(40);

/// Samples a second, whatever the packets hold.
const RATE: u64 = 48_000;

/// The usual length of a packet in samples.
const FRAME: u64 = 960;

/// Packets that wait to be said: six hours.
const MAX_WAITING: usize = 6 * 3_600 * 50;

/// The microphone is on.
const MICROPHONE: u64 = 1;

/// The extension that official clients send with their packets: its head, and the body that is
/// encrypted.
const EXTENSION: ([u8; 4], [u8; 4]) = ([0xbe, 0xde, 0, 1], [0x10, 0xff, 0, 0]);

/// When a client says that it speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Announces {
    First,
    Late(Duration),
    Never,
}

/// What is still to be said, and how far the stream is.
#[derive(Debug)]
pub(super) struct Line {
    waiting: VecDeque<Item>,
    running: bool,
    closed: bool,
    /// Between utterances there is comfort silence.
    pub(super) open: bool,
    pub(super) announces: Announces,
    pub(super) extension: bool,
    sequence: u16,
    timestamp: u32,
    /// When the last packet ended.
    ended: Option<Instant>,
    pub(super) sent: usize,
}

#[derive(Debug)]
struct Item {
    packet: Bytes,
    pace: f64,
    /// Dropped when it has been sent.
    done: Option<oneshot::Sender<()>>,
}

impl Line {
    pub(super) fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            running: false,
            closed: false,
            open: false,
            announces: Announces::First,
            extension: false,
            sequence,
            timestamp,
            ended: None,
            sent: 0,
        }
    }

    /// Nothing more is said.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.waiting.clear();
    }

    /// What waits is not said any more.
    pub(super) fn hush(&mut self) {
        self.waiting.clear();
    }

    fn next(&mut self) -> Option<Item> {
        if let Some(item) = self.waiting.pop_front() {
            return Some(item);
        }
        if self.open && !self.closed {
            return Some(Item {
                packet: Bytes::from_static(COMFORT),
                pace: 1.0,
                done: None,
            });
        }
        self.running = false;
        None
    }

    /// Pauses count as they do on the wall.
    fn pauses(&mut self) {
        if let Some(ended) = self.ended {
            let pause = ended.elapsed().as_micros() as u64 * RATE / 1_000_000;
            self.passes(pause / FRAME * FRAME);
        }
    }

    fn passes(&mut self, samples: u64) {
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }

    /// The head of the next packet.
    fn header(&mut self, ssrc: u32) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let version = if self.extension { 0x90 } else { 0x80 };
        let mut header = vec![version, 0x78];
        header.extend(self.sequence.to_be_bytes());
        header.extend(self.timestamp.to_be_bytes());
        header.extend(ssrc.to_be_bytes());
        if self.extension {
            header.extend(EXTENSION.0);
        }
        header
    }
}

/// Puts an utterance in line. Who waits on the channel learns when all is sent.
pub(super) fn utter(
    state: &Arc<State>,
    mouth: &Arc<Mouth>,
    packets: Vec<Bytes>,
    pace: f64,
) -> oneshot::Receiver<()> {
    let (done, all_sent) = oneshot::channel();
    let mut line = mouth.line();
    assert!(
        line.waiting.len() + packets.len() <= MAX_WAITING,
        "that is too much to say"
    );
    if line.closed {
        return all_sent;
    }
    let tail = if line.open { 0 } else { TAIL };
    let silence = std::iter::repeat_n(Bytes::from_static(SILENCE), tail);
    let items = packets.into_iter().chain(silence);
    line.waiting.extend(items.map(|packet| Item {
        packet,
        pace,
        done: None,
    }));
    if let Some(last) = line.waiting.back_mut() {
        last.done = Some(done);
    }
    start(state, mouth, &mut line);
    all_sent
}

/// The microphone stays on, or only as long as there is something to say.
pub(super) fn keep_open(state: &Arc<State>, mouth: &Arc<Mouth>, open: bool) {
    let mut line = mouth.line();
    line.open = open;
    if open && !line.closed {
        start(state, mouth, &mut line);
    }
}

fn start(state: &Arc<State>, mouth: &Arc<Mouth>, line: &mut Line) {
    if !line.running {
        line.running = true;
        let task = talk(Arc::clone(state), Arc::clone(mouth), line.announces);
        state.voice.spawn(task);
    }
}

async fn talk(state: Arc<State>, mouth: Arc<Mouth>, announces: Announces) {
    let announce = |state: &State| {
        let mut calls = state.voice.calls();
        calls.said(mouth.number, Said::Speaking(MICROPHONE));
    };
    let begun = tokio::time::Instant::now();
    let mut announced_at = match announces {
        Announces::First => {
            announce(&state);
            None
        }
        Announces::Late(late) => Some(begun + late),
        Announces::Never => None,
    };
    let mut next = begun + LEAD;
    mouth.line().pauses();
    loop {
        tokio::time::sleep_until(next).await;
        if announced_at.is_some_and(|at| at <= tokio::time::Instant::now()) {
            announce(&state);
            announced_at = None;
        }
        let Some(item) = mouth.line().next() else {
            return;
        };
        let samples = samples(&item.packet);
        let length = Duration::from_micros(samples * 1_000_000 / RATE);
        send(&state, &mouth, &item.packet, samples);
        next += length.div_f64(item.pace);
        mouth.line().ended = Some(Instant::now() + length.div_f64(item.pace));
        if let Some(done) = item.done {
            let _ = done.send(());
        }
        state.touch();
    }
}

/// Sends a packet, if it can be encrypted as it has to be.
fn send(state: &Arc<State>, mouth: &Mouth, packet: &[u8], samples: u64) {
    let sealed = mouth.seal(packet);
    let (header, extension) = {
        let mut line = mouth.line();
        let header = sealed.as_ref().map(|_| line.header(mouth.ssrc));
        line.sent += usize::from(sealed.is_some());
        line.passes(samples);
        (header, line.extension)
    };
    if let (Some(sealed), Some(header)) = (sealed, header) {
        let before = if extension { &EXTENSION.1[..] } else { &[] };
        let body = [before, &sealed].concat();
        state.forward(mouth.number, &header, &body);
    }
}

/// How long an Opus packet is: <https://www.rfc-editor.org/rfc/rfc6716#section-3.1>.
fn samples(packet: &[u8]) -> u64 {
    let Some(toc) = packet.first() else {
        return FRAME;
    };
    let config = toc >> 3;
    let frame = match config {
        0..=11 => [480, 960, 1_920, 2_880][usize::from(config & 3)],
        12..=15 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1).copied().unwrap_or(1) & 0x3f),
    };
    (frame * frames).max(120)
}

/// The Opus packets of an Ogg file, without its two headers.
///
/// # Panics
///
/// If it is no Ogg file.
pub fn opus_packets(ogg: &[u8]) -> Vec<Bytes> {
    let mut reader = ogg::PacketReader::new(Cursor::new(ogg));
    let mut packets = Vec::new();
    while let Some(packet) = reader.read_packet().expect("an Ogg file") {
        if !packet.data.starts_with(b"OpusHead") && !packet.data.starts_with(b"OpusTags") {
            packets.push(Bytes::from(packet.data));
        }
    }
    packets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_how_long_it_is() {
        assert_eq!(samples(SILENCE), 960);
        assert_eq!(samples(&[0x08, 1, 2]), 960);
        assert_eq!(samples(&[0x18, 1, 2]), 2_880);
        assert_eq!(samples(&[0xfb, 0x03, 1]), 2_880);
        assert_eq!(samples(&[]), 960);
    }

    #[test]
    fn a_pause_moves_the_timestamp_on() {
        let mut line = Line::new(u16::MAX, 0);
        let at = |header: &[u8]| u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        line.pauses();
        assert_eq!(line.header(1)[2..4], [0, 0]);
        line.passes(960);
        assert_eq!(at(&line.header(1)), 960);
        line.ended = Instant::now().checked_sub(Duration::from_millis(1_005));
        line.pauses();
        assert_eq!(at(&line.header(1)), 960 + 50 * 960);
    }
}
