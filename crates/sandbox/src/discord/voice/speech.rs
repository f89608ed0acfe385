//! What a person says: packets, one every 20 ms or however long they are, as a client sends them.

use std::collections::VecDeque;
use std::io::Cursor;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::super::rest_api::DiscordState;
use super::client_messages::VoiceClientMessage;
use super::simulated_client::SimulatedClient;

/// What clients send when somebody stops talking, five times.
const SILENCE_FRAME: &[u8] = &[0xf8, 0xff, 0xfe];

/// Silence as an encoder makes it of an open microphone: it is encrypted like speech.
const COMFORT_NOISE_FRAME: &[u8] = &[0xfc, 0xff, 0xfe];

/// So many packets of silence end an utterance.
const TRAILING_SILENCE_FRAMES: usize = 5;

/// Between saying that one speaks and speaking.
const SPEAKING_LEAD: Duration = Duration::from_millis(40);

/// Samples a second, whatever the packets hold.
const SAMPLE_RATE: u64 = 48_000;

/// The usual length of a packet in samples.
const DEFAULT_FRAME_SAMPLES: u64 = 960;

/// Packets that wait to be said: six hours.
const MAX_QUEUED_PACKETS: usize = 6 * 3_600 * 50;

/// The microphone is on.
const SPEAKING_MICROPHONE: u64 = 1;

/// The extension that official clients send with their packets: its head, and the body that is
/// encrypted.
const RTP_EXTENSION: ([u8; 4], [u8; 4]) = ([0xbe, 0xde, 0, 1], [0x10, 0xff, 0, 0]);

/// When a client says that it speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum SpeakingAnnouncement {
    BeforeAudio,
    Delayed(Duration),
    Never,
}

/// What is still to be said, and how far the stream is.
#[derive(Debug)]
pub(super) struct SpeechQueue {
    packets: VecDeque<QueuedPacket>,
    is_sending: bool,
    is_closed: bool,
    /// Between utterances there is comfort silence.
    pub(super) is_mic_open: bool,
    pub(super) announcement: SpeakingAnnouncement,
    pub(super) has_rtp_extension: bool,
    sequence: u16,
    timestamp: u32,
    /// When the last packet ended.
    last_packet_end: Option<Instant>,
    pub(super) packets_sent: usize,
}

#[derive(Debug)]
struct QueuedPacket {
    packet: Bytes,
    pace: f64,
    /// Dropped when it has been sent.
    done: Option<oneshot::Sender<()>>,
}

impl SpeechQueue {
    pub(super) fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            packets: VecDeque::new(),
            is_sending: false,
            is_closed: false,
            is_mic_open: false,
            announcement: SpeakingAnnouncement::BeforeAudio,
            has_rtp_extension: false,
            sequence,
            timestamp,
            last_packet_end: None,
            packets_sent: 0,
        }
    }

    /// Nothing more is said.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
        self.packets.clear();
    }

    /// What waits is not said any more.
    pub(super) fn clear(&mut self) {
        self.packets.clear();
    }

    fn pop(&mut self) -> Option<QueuedPacket> {
        if let Some(item) = self.packets.pop_front() {
            return Some(item);
        }
        if self.is_mic_open && !self.is_closed {
            return Some(QueuedPacket {
                packet: Bytes::from_static(COMFORT_NOISE_FRAME),
                pace: 1.0,
                done: None,
            });
        }
        self.is_sending = false;
        None
    }

    /// Pauses count as they do on the wall.
    fn skip_pause(&mut self) {
        if let Some(ended) = self.last_packet_end {
            let pause = ended.elapsed().as_micros() as u64 * SAMPLE_RATE / 1_000_000;
            self.advance_timestamp(pause / DEFAULT_FRAME_SAMPLES * DEFAULT_FRAME_SAMPLES);
        }
    }

    fn advance_timestamp(&mut self, samples: u64) {
        self.timestamp = self.timestamp.wrapping_add(samples as u32);
    }

    /// The head of the next packet.
    fn next_rtp_header(&mut self, ssrc: u32) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        let version = if self.has_rtp_extension { 0x90 } else { 0x80 };
        let mut header = vec![version, 0x78];
        header.extend(self.sequence.to_be_bytes());
        header.extend(self.timestamp.to_be_bytes());
        header.extend(ssrc.to_be_bytes());
        if self.has_rtp_extension {
            header.extend(RTP_EXTENSION.0);
        }
        header
    }
}

/// Puts an utterance in line. Who waits on the channel learns when all is sent.
pub(super) fn queue_utterance(
    state: &Arc<DiscordState>,
    mouth: &Arc<SimulatedClient>,
    packets: Vec<Bytes>,
    pace: f64,
) -> oneshot::Receiver<()> {
    let (done, all_sent) = oneshot::channel();
    let mut line = mouth.speech();
    assert!(
        line.packets.len() + packets.len() <= MAX_QUEUED_PACKETS,
        "that is too much to say"
    );
    if line.is_closed {
        return all_sent;
    }
    let tail = if line.is_mic_open {
        0
    } else {
        TRAILING_SILENCE_FRAMES
    };
    let silence = std::iter::repeat_n(Bytes::from_static(SILENCE_FRAME), tail);
    let items = packets.into_iter().chain(silence);
    line.packets.extend(items.map(|packet| QueuedPacket {
        packet,
        pace,
        done: None,
    }));
    if let Some(last) = line.packets.back_mut() {
        last.done = Some(done);
    }
    start_sending(state, mouth, &mut line);
    all_sent
}

/// The microphone stays on, or only as long as there is something to say.
pub(super) fn set_mic_open(state: &Arc<DiscordState>, mouth: &Arc<SimulatedClient>, open: bool) {
    let mut line = mouth.speech();
    line.is_mic_open = open;
    if open && !line.is_closed {
        start_sending(state, mouth, &mut line);
    }
}

fn start_sending(state: &Arc<DiscordState>, mouth: &Arc<SimulatedClient>, line: &mut SpeechQueue) {
    if !line.is_sending {
        line.is_sending = true;
        let task = send_queued(Arc::clone(state), Arc::clone(mouth), line.announcement);
        state.voice.spawn(task);
    }
}

async fn send_queued(
    state: Arc<DiscordState>,
    mouth: Arc<SimulatedClient>,
    announces: SpeakingAnnouncement,
) {
    let announce = |state: &DiscordState| {
        let mut calls = state.voice.state();
        calls.handle_client_message(
            mouth.number,
            VoiceClientMessage::Speaking(SPEAKING_MICROPHONE),
        );
    };
    let begun = tokio::time::Instant::now();
    let mut announced_at = match announces {
        SpeakingAnnouncement::BeforeAudio => {
            announce(&state);
            None
        }
        SpeakingAnnouncement::Delayed(late) => Some(begun + late),
        SpeakingAnnouncement::Never => None,
    };
    let mut next = begun + SPEAKING_LEAD;
    mouth.speech().skip_pause();
    loop {
        tokio::time::sleep_until(next).await;
        if announced_at.is_some_and(|at| at <= tokio::time::Instant::now()) {
            announce(&state);
            announced_at = None;
        }
        let Some(item) = mouth.speech().pop() else {
            return;
        };
        let samples = opus_packet_samples(&item.packet);
        let length = Duration::from_micros(samples * 1_000_000 / SAMPLE_RATE);
        send_packet(&state, &mouth, &item.packet, samples);
        next += length.div_f64(item.pace);
        mouth.speech().last_packet_end = Some(Instant::now() + length.div_f64(item.pace));
        if let Some(done) = item.done {
            let _ = done.send(());
        }
        state.notify_changed();
    }
}

/// Sends a packet, if it can be encrypted as it has to be.
fn send_packet(state: &Arc<DiscordState>, mouth: &SimulatedClient, packet: &[u8], samples: u64) {
    let sealed = mouth.encrypt(packet);
    let (header, extension) = {
        let mut line = mouth.speech();
        let header = sealed.as_ref().map(|_| line.next_rtp_header(mouth.ssrc));
        line.packets_sent += usize::from(sealed.is_some());
        line.advance_timestamp(samples);
        (header, line.has_rtp_extension)
    };
    if let (Some(sealed), Some(header)) = (sealed, header) {
        let before = if extension { &RTP_EXTENSION.1[..] } else { &[] };
        let body = [before, &sealed].concat();
        state.forward_packet(mouth.number, &header, &body);
    }
}

/// How long an Opus packet is: <https://www.rfc-editor.org/rfc/rfc6716#section-3.1>.
fn opus_packet_samples(packet: &[u8]) -> u64 {
    let Some(toc) = packet.first() else {
        return DEFAULT_FRAME_SAMPLES;
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
        assert_eq!(opus_packet_samples(SILENCE_FRAME), 960);
        assert_eq!(opus_packet_samples(&[0x08, 1, 2]), 960);
        assert_eq!(opus_packet_samples(&[0x18, 1, 2]), 2_880);
        assert_eq!(opus_packet_samples(&[0xfb, 0x03, 1]), 2_880);
        assert_eq!(opus_packet_samples(&[]), 960);
    }

    #[test]
    fn a_pause_moves_the_timestamp_on() {
        let mut line = SpeechQueue::new(u16::MAX, 0);
        let at = |header: &[u8]| u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        line.skip_pause();
        assert_eq!(line.next_rtp_header(1)[2..4], [0, 0]);
        line.advance_timestamp(960);
        assert_eq!(at(&line.next_rtp_header(1)), 960);
        line.last_packet_end = Instant::now().checked_sub(Duration::from_millis(1_005));
        line.skip_pause();
        assert_eq!(at(&line.next_rtp_header(1)), 960 + 50 * 960);
    }
}
