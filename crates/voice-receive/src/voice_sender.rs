//! Sends Opus packets, each when the one before it is over.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use davey::OPUS_SILENCE_PACKET;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::dave_state::{DaveState, lock_dave};
use super::rtp;
use super::transport_cipher::TransportCipher;

/// Packets that wait to be sent: a minute of 20 ms each.
pub(super) const MAX_QUEUED_PACKETS: usize = 3_000;

/// Packets of silence after the last packet, so that decoders don't extrapolate
/// (<https://discord.com/developers/docs/topics/voice-connections#voice-data-interpolation>).
const TRAILING_SILENCE_PACKETS: usize = 5;

/// The rate of RTP timestamps, in Hz.
const RTP_CLOCK_RATE: u32 = 48_000;

/// The duration of a packet whose duration can't be read.
const DEFAULT_PACKET_DURATION: Duration = Duration::from_millis(20);

/// How far the schedule may fall behind before it is moved: 10 packets.
const MAX_LATENESS: Duration = Duration::from_millis(200);

/// How long to wait between checks for a key to encrypt with, and how many checks: 2 s in all.
const KEY_POLL: (Duration, u32) = (DEFAULT_PACKET_DURATION, 100);

/// The current [`SendPath`]; `None` before the first session.
#[derive(Default)]
pub(super) struct VoiceSender(Mutex<Option<SendPath>>);

/// The socket to send on, its cipher, and the counters of our RTP stream.
pub(super) struct SendPath {
    socket: UdpSocket,
    transport: TransportCipher,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    nonce: u32,
    keepalives: u64,
}

impl SendPath {
    pub(super) fn new(socket: UdpSocket, transport: TransportCipher, ssrc: u32) -> Self {
        Self {
            socket,
            transport,
            ssrc,
            sequence: 0,
            timestamp: 0,
            nonce: 0,
            keepalives: 0,
        }
    }

    fn advance_timestamp(&mut self, time: Duration) {
        let samples = time.as_micros() * u128::from(RTP_CLOCK_RATE) / 1_000_000;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
        let samples = samples as u32;
        self.timestamp = self.timestamp.wrapping_add(samples);
    }
}

impl VoiceSender {
    /// Sends on this path from now on.
    pub(super) fn set_path(&self, path: SendPath) {
        *self.lock_path() = Some(path);
    }

    /// Sends a datagram that keeps NAT mappings alive: a counter of 8 bytes, little-endian. A
    /// datagram that does not fit into the socket's buffer is dropped, here and in `send_packet`,
    /// as it could be on the network.
    pub(super) fn send_keepalive(&self) {
        if let Some(path) = &mut *self.lock_path() {
            path.keepalives += 1;
            let _ = path.socket.send(&path.keepalives.to_le_bytes());
        }
    }

    /// Sends one packet of silence.
    pub(super) fn send_silence(&self, dave: &Mutex<DaveState>) {
        self.send_packet(&OPUS_SILENCE_PACKET, DEFAULT_PACKET_DURATION, dave);
    }

    fn send_packet(&self, opus: &[u8], duration: Duration, dave: &Mutex<DaveState>) {
        let Some(frame) = lock_dave(dave).encrypt(opus) else {
            return;
        };
        if let Some(path) = &mut *self.lock_path() {
            path.sequence = path.sequence.wrapping_add(1);
            path.nonce = path.nonce.wrapping_add(1);
            let header = rtp::write_header(path.sequence, path.timestamp, path.ssrc);
            path.advance_timestamp(duration);
            if let Some(datagram) = path.transport.encrypt(&header, &frame, path.nonce) {
                let _ = path.socket.send(&datagram);
            }
        }
    }

    /// Advances the timestamp over a pause.
    fn skip_time(&self, pause: Duration) {
        if let Some(path) = &mut *self.lock_path() {
            path.advance_timestamp(pause);
        }
    }

    fn lock_path(&self) -> MutexGuard<'_, Option<SendPath>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends the packets that come, until the handle or the gateway task is gone. `speaking` turns the
/// speaking indicator on before the first packet of a run and off after the trailing silence.
pub(super) async fn run_voice_sender(
    mut packets: mpsc::Receiver<Bytes>,
    speaking: mpsc::Sender<bool>,
    sender: Arc<VoiceSender>,
    dave: Arc<Mutex<DaveState>>,
) {
    let mut ended_at: Option<Instant> = None;
    while let Some(first) = packets.recv().await {
        for _ in 0..KEY_POLL.1 {
            if lock_dave(&dave).can_encrypt() {
                break;
            }
            sleep(KEY_POLL.0).await;
        }
        if speaking.send(true).await.is_err() {
            return;
        }
        let mut due = Instant::now();
        sender.skip_time(ended_at.map_or(Duration::ZERO, |ended_at| due - ended_at));
        let mut next = Some(first);
        let mut silent_packets = 0;
        loop {
            let packet = match next.take() {
                Some(packet) => {
                    silent_packets = 0;
                    packet
                }
                None if silent_packets < TRAILING_SILENCE_PACKETS => {
                    silent_packets += 1;
                    Bytes::from_static(&OPUS_SILENCE_PACKET)
                }
                None => break,
            };
            if speaking.is_closed() {
                return;
            }
            sleep_until(due).await;
            let duration = packet_duration(&packet);
            sender.send_packet(&packet, duration, &dave);
            due = (due + duration).max(Instant::now() - MAX_LATENESS);
            next = packets.try_recv().ok();
        }
        ended_at = Some(due);
        if speaking.send(false).await.is_err() {
            return;
        }
    }
}

/// The duration of an Opus packet.
fn packet_duration(opus: &[u8]) -> Duration {
    let samples = opus2::packet::get_nb_samples(opus, RTP_CLOCK_RATE).unwrap_or(0);
    match u64::try_from(samples) {
        Ok(samples) if samples > 0 => {
            Duration::from_micros(samples * 1_000_000 / u64::from(RTP_CLOCK_RATE))
        }
        _ => DEFAULT_PACKET_DURATION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_duration_is_read_from_the_packet() {
        assert_eq!(
            packet_duration(&OPUS_SILENCE_PACKET),
            DEFAULT_PACKET_DURATION
        );
        // SILK, 60 ms; CELT, 2.5 ms; empty.
        assert_eq!(packet_duration(&[0x18, 1, 2]), Duration::from_millis(60));
        assert_eq!(packet_duration(&[0xe0, 1, 2]), Duration::from_micros(2_500));
        assert_eq!(packet_duration(&[]), DEFAULT_PACKET_DURATION);
    }
}
