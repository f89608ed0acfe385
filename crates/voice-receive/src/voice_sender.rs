//! The half that speaks: packets go out one after the other, each when the one before is over.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use davey::OPUS_SILENCE_PACKET;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::dave_state::DaveState;
use super::depacketizer::lock_dave;
use super::rtp;
use super::transport_cipher::TransportCipher;

/// Packets that wait to be said: a minute of 20 ms each.
pub(super) const MAX_QUEUED_PACKETS: usize = 3_000;

/// Packets of silence at the end, so that nobody's decoder goes on guessing
/// (<https://discord.com/developers/docs/topics/voice-connections#voice-data-interpolation>).
const TRAILING_SILENCE_PACKETS: usize = 5;

/// The rate of RTP timestamps, in Hz.
const RTP_CLOCK_RATE: u32 = 48_000;

/// How long a packet is whose length can't be read.
const DEFAULT_PACKET_DURATION: Duration = Duration::from_millis(20);

/// How far behind the time a packet may be before time is let go: 10 packets.
const MAX_LATENESS: Duration = Duration::from_millis(200);

/// How long a key to speak with is waited for, so often.
const KEY_POLL: (Duration, u32) = (DEFAULT_PACKET_DURATION, 100);

/// The way out, while there is one.
#[derive(Default)]
pub(super) struct VoiceSender(Mutex<Option<SendPath>>);

/// A socket and what goes with packets on it.
pub(super) struct SendPath {
    pub(super) socket: UdpSocket,
    pub(super) transport: TransportCipher,
    pub(super) ssrc: u32,
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
}

impl VoiceSender {
    /// From now on there is this way out.
    pub(super) fn set_path(&self, way: SendPath) {
        *self.lock_path() = Some(way);
    }

    /// Keeps the way open in routers that forget who is quiet. What a full buffer does not take is
    /// lost, here and below, as it is on any network.
    pub(super) fn send_keepalive(&self) {
        if let Some(way) = &mut *self.lock_path() {
            way.keepalives += 1;
            let _ = way.socket.send(&way.keepalives.to_le_bytes());
        }
    }

    /// Sends one packet of silence.
    pub(super) fn send_silence(&self, keys: &Mutex<DaveState>) {
        self.send_packet(&OPUS_SILENCE_PACKET, DEFAULT_PACKET_DURATION, keys);
    }

    fn send_packet(&self, opus: &[u8], length: Duration, keys: &Mutex<DaveState>) {
        let Some(frame) = lock_dave(keys).encrypt(opus) else {
            return;
        };
        if let Some(way) = &mut *self.lock_path() {
            way.sequence = way.sequence.wrapping_add(1);
            way.nonce = way.nonce.wrapping_add(1);
            let head = rtp::write_header(way.sequence, way.timestamp, way.ssrc);
            way.advance_timestamp(length);
            if let Some(datagram) = way.transport.encrypt(&head, &frame, way.nonce) {
                let _ = way.socket.send(&datagram);
            }
        }
    }

    /// Time passes without a packet.
    fn skip_time(&self, pause: Duration) {
        if let Some(way) = &mut *self.lock_path() {
            way.advance_timestamp(pause);
        }
    }

    fn lock_path(&self) -> MutexGuard<'_, Option<SendPath>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SendPath {
    fn advance_timestamp(&mut self, time: Duration) {
        let samples = time.as_micros() * u128::from(RTP_CLOCK_RATE) / 1_000_000;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
        let samples = samples as u32;
        self.timestamp = self.timestamp.wrapping_add(samples);
    }
}

/// Says what comes, until nobody can give anything more.
pub(super) async fn run_voice_sender(
    mut packets: mpsc::Receiver<Bytes>,
    speaks: mpsc::Sender<bool>,
    outlet: Arc<VoiceSender>,
    keys: Arc<Mutex<DaveState>>,
) {
    let mut ended: Option<Instant> = None;
    while let Some(first) = packets.recv().await {
        for _ in 0..KEY_POLL.1 {
            if lock_dave(&keys).can_encrypt() {
                break;
            }
            sleep(KEY_POLL.0).await;
        }
        if speaks.send(true).await.is_err() {
            return;
        }
        let mut due = Instant::now();
        outlet.skip_time(ended.map_or(Duration::ZERO, |ended| due - ended));
        let mut next = Some(first);
        let mut silent = 0;
        loop {
            let packet = match next.take() {
                Some(packet) => {
                    silent = 0;
                    packet
                }
                None if silent < TRAILING_SILENCE_PACKETS => {
                    silent += 1;
                    Bytes::from_static(&OPUS_SILENCE_PACKET)
                }
                None => break,
            };
            if speaks.is_closed() {
                return;
            }
            sleep_until(due).await;
            let length = packet_duration(&packet);
            outlet.send_packet(&packet, length, &keys);
            due = (due + length).max(Instant::now() - MAX_LATENESS);
            next = packets.try_recv().ok();
        }
        ended = Some(due);
        if speaks.send(false).await.is_err() {
            return;
        }
    }
}

/// How long an Opus packet is.
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
    fn a_packet_is_as_long_as_it_says() {
        assert_eq!(
            packet_duration(&OPUS_SILENCE_PACKET),
            DEFAULT_PACKET_DURATION
        );
        // SILK, 60 ms; CELT, 2.5 ms; nothing.
        assert_eq!(packet_duration(&[0x18, 1, 2]), Duration::from_millis(60));
        assert_eq!(packet_duration(&[0xe0, 1, 2]), Duration::from_micros(2_500));
        assert_eq!(packet_duration(&[]), DEFAULT_PACKET_DURATION);
    }
}
