//! The half that speaks: packets go out one after the other, each when the one before is over.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use davey::OPUS_SILENCE_PACKET;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::inbox::locked;
use super::keys::Keys;
use super::rtp;
use super::transport::Transport;

/// Packets that wait to be said: a minute of 20 ms each.
pub(super) const MAX_WAITING: usize = 3_000;

/// Packets of silence at the end, so that nobody's decoder goes on guessing
/// (<https://discord.com/developers/docs/topics/voice-connections#voice-data-interpolation>).
const TAIL: usize = 5;

/// The rate of RTP timestamps, in Hz.
const RATE: u32 = 48_000;

/// How long a packet is whose length can't be read.
const FRAME: Duration = Duration::from_millis(20);

/// How far behind the time a packet may be before time is let go: 10 packets.
const LATE: Duration = Duration::from_millis(200);

/// How long a key to speak with is waited for, so often.
const KEY_WAIT: (Duration, u32) = (FRAME, 100);

/// The way out, while there is one.
#[derive(Default)]
pub(super) struct Outlet(Mutex<Option<Way>>);

/// A socket and what goes with packets on it.
pub(super) struct Way {
    pub(super) socket: UdpSocket,
    pub(super) transport: Transport,
    pub(super) ssrc: u32,
    sequence: u16,
    timestamp: u32,
    nonce: u32,
    keepalives: u64,
}

impl Way {
    pub(super) fn new(socket: UdpSocket, transport: Transport, ssrc: u32) -> Self {
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

impl Outlet {
    /// From now on there is this way out.
    pub(super) fn open(&self, way: Way) {
        *self.way() = Some(way);
    }

    /// Keeps the way open in routers that forget who is quiet. What a full buffer does not take is
    /// lost, here and below, as it is on any network.
    pub(super) fn keepalive(&self) {
        if let Some(way) = &mut *self.way() {
            way.keepalives += 1;
            let _ = way.socket.send(&way.keepalives.to_le_bytes());
        }
    }

    /// Sends one packet of silence.
    pub(super) fn silence(&self, keys: &Mutex<Keys>) {
        self.send(&OPUS_SILENCE_PACKET, FRAME, keys);
    }

    fn send(&self, opus: &[u8], length: Duration, keys: &Mutex<Keys>) {
        let Some(frame) = locked(keys).seal(opus) else {
            return;
        };
        if let Some(way) = &mut *self.way() {
            way.sequence = way.sequence.wrapping_add(1);
            way.nonce = way.nonce.wrapping_add(1);
            let head = rtp::head(way.sequence, way.timestamp, way.ssrc);
            way.passes(length);
            if let Some(datagram) = way.transport.seal(&head, &frame, way.nonce) {
                let _ = way.socket.send(&datagram);
            }
        }
    }

    /// Time passes without a packet.
    fn pauses(&self, pause: Duration) {
        if let Some(way) = &mut *self.way() {
            way.passes(pause);
        }
    }

    fn way(&self) -> MutexGuard<'_, Option<Way>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Way {
    fn passes(&mut self, time: Duration) {
        let samples = time.as_micros() * u128::from(RATE) / 1_000_000;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
        let samples = samples as u32;
        self.timestamp = self.timestamp.wrapping_add(samples);
    }
}

/// Says what comes, until nobody can give anything more.
pub(super) async fn talk(
    mut packets: mpsc::Receiver<Bytes>,
    speaks: mpsc::Sender<bool>,
    outlet: Arc<Outlet>,
    keys: Arc<Mutex<Keys>>,
) {
    let mut ended: Option<Instant> = None;
    while let Some(first) = packets.recv().await {
        for _ in 0..KEY_WAIT.1 {
            if locked(&keys).can_seal() {
                break;
            }
            sleep(KEY_WAIT.0).await;
        }
        if speaks.send(true).await.is_err() {
            return;
        }
        let mut due = Instant::now();
        outlet.pauses(ended.map_or(Duration::ZERO, |ended| due - ended));
        let mut next = Some(first);
        let mut silent = 0;
        loop {
            let packet = match next.take() {
                Some(packet) => {
                    silent = 0;
                    packet
                }
                None if silent < TAIL => {
                    silent += 1;
                    Bytes::from_static(&OPUS_SILENCE_PACKET)
                }
                None => break,
            };
            if speaks.is_closed() {
                return;
            }
            sleep_until(due).await;
            let length = length(&packet);
            outlet.send(&packet, length, &keys);
            due = (due + length).max(Instant::now() - LATE);
            next = packets.try_recv().ok();
        }
        ended = Some(due);
        if speaks.send(false).await.is_err() {
            return;
        }
    }
}

/// How long an Opus packet is.
fn length(opus: &[u8]) -> Duration {
    let samples = opus2::packet::get_nb_samples(opus, RATE).unwrap_or(0);
    match u64::try_from(samples) {
        Ok(samples) if samples > 0 => Duration::from_micros(samples * 1_000_000 / u64::from(RATE)),
        _ => FRAME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_as_long_as_it_says() {
        assert_eq!(length(&OPUS_SILENCE_PACKET), FRAME);
        // SILK, 60 ms; CELT, 2.5 ms; nothing.
        assert_eq!(length(&[0x18, 1, 2]), Duration::from_millis(60));
        assert_eq!(length(&[0xe0, 1, 2]), Duration::from_micros(2_500));
        assert_eq!(length(&[]), FRAME);
    }
}
