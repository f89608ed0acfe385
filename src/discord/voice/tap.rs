//! What songbird's driver tells, as small messages. Handlers never wait, and can't panic: one that
//! does ends all events of the driver for good.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use songbird::driver::Driver;
use songbird::events::context_data::{DisconnectReason, RtpData};
use songbird::{CoreEvent, Event, EventContext, EventHandler};
use tokio::sync::mpsc;

use crate::flow::session::hearing::{Microphone, SessionClock};
use crate::flow::session::supervisor::Sign;

/// Stream numbers (SSRC) that are known to belong to somebody.
const MAX_STREAMS: usize = 1_024;

/// The part of an RTP packet that all have (<https://www.rfc-editor.org/rfc/rfc3550#section-5.1>).
const RTP_HEADER: usize = 12;

/// The largest Opus packet: 1,275 bytes a frame, and at most 48 frames of 2.5 ms.
const MAX_OPUS: usize = 8_192;

/// Listens to a driver.
pub(super) struct Tap {
    microphone: Microphone,
    clock: SessionClock,
    signs: mpsc::Sender<Sign>,
    people: Mutex<HashMap<u32, u64>>,
    pub(super) life: Life,
}

/// When something was heard last, in milliseconds of the session.
#[derive(Debug, Default)]
pub(super) struct Life {
    tick: AtomicU64,
    packet: AtomicU64,
    speaking: AtomicU64,
}

impl Life {
    /// Of the driver.
    pub(super) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick.load(Ordering::Relaxed))
    }

    /// Whether somebody was said to speak and no packet has come since.
    pub(super) fn speaks_unheard(&self) -> bool {
        self.speaking.load(Ordering::Relaxed) > self.packet.load(Ordering::Relaxed)
    }
}

impl Tap {
    pub(super) fn new(
        microphone: Microphone,
        clock: SessionClock,
        signs: mpsc::Sender<Sign>,
    ) -> Arc<Self> {
        Arc::new(Self {
            microphone,
            clock,
            signs,
            people: Mutex::default(),
            life: Life::default(),
        })
    }

    /// Listens to this driver from now on.
    pub(super) fn listen_to(self: &Arc<Self>, driver: &mut Driver) {
        for event in [
            CoreEvent::SpeakingStateUpdate,
            CoreEvent::RtpPacket,
            CoreEvent::VoiceTick,
            CoreEvent::ClientDisconnect,
            CoreEvent::DriverConnect,
            CoreEvent::DriverReconnect,
            CoreEvent::DriverDisconnect,
        ] {
            driver.add_global_event(event.into(), Handler(Arc::clone(self)));
        }
    }

    fn hear(&self, context: &EventContext<'_>) {
        let now = self.clock.now().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        match context {
            EventContext::VoiceTick(_) => self.life.tick.store(now, Ordering::Relaxed),
            EventContext::RtpPacket(packet) => {
                self.life.packet.store(now, Ordering::Relaxed);
                self.packet(packet);
            }
            EventContext::SpeakingStateUpdate(speaking) => {
                if let Some(person) = speaking.user_id {
                    self.belongs(speaking.ssrc, person.0);
                    if !speaking.speaking.is_empty() {
                        self.life.speaking.store(now, Ordering::Relaxed);
                    }
                }
            }
            EventContext::ClientDisconnect(gone) => {
                let person = gone.user_id.0;
                let mut people = self.people();
                people.retain(|_, known| *known != person);
                drop(people);
                self.microphone.over(person);
            }
            EventContext::DriverConnect(_) | EventContext::DriverReconnect(_) => {
                self.sign(Sign::Connected);
            }
            EventContext::DriverDisconnect(data) => match data.reason {
                // We did that ourselves.
                Some(DisconnectReason::Requested) => {}
                Some(DisconnectReason::WsClosed(code)) => {
                    let code = code.map(|code| code as u16);
                    self.sign(Sign::Lost(code));
                }
                _ => self.sign(Sign::Lost(None)),
            },
            _ => {}
        }
    }

    /// A stream belongs to somebody. One that belongs to somebody else already is theirs as long
    /// as they are there: whoever may say otherwise could mute them.
    fn belongs(&self, stream: u32, person: u64) {
        let mut people = self.people();
        if people.len() < MAX_STREAMS || people.contains_key(&stream) {
            people.entry(stream).or_insert(person);
        }
    }

    /// A new connection gives streams out anew.
    pub(super) fn forget_streams(&self) {
        self.people().clear();
    }

    fn packet(&self, data: &RtpData) {
        let Some((stream, sequence, timestamp, opus)) = parts(data) else {
            return;
        };
        let person = self.people().get(&stream).copied();
        if let Some(person) = person {
            self.microphone.packet(person, sequence, timestamp, opus);
        }
    }

    fn people(&self) -> std::sync::MutexGuard<'_, HashMap<u32, u64>> {
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign(&self, sign: Sign) {
        if self.signs.try_send(sign).is_err() {
            tracing::warn!(?sign, "no room for a sign");
        }
    }
}

/// Stream, sequence number, time stamp and Opus packet, with every length checked: packets that
/// could not be decrypted come too, and their contents may be anything.
fn parts(data: &RtpData) -> Option<(u32, u16, u32, Bytes)> {
    let packet = &data.packet;
    let header = packet.get(..RTP_HEADER)?;
    let sequence = u16::from_be_bytes([header[2], header[3]]);
    let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let stream = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    // The offsets count from behind the header with its list of sources.
    let body = RTP_HEADER + 4 * usize::from(header[0] & 0x0f);
    let start = body.checked_add(data.payload_offset)?;
    let end = packet.len().checked_sub(data.payload_end_pad)?;
    if start >= end || end - start > MAX_OPUS {
        return None;
    }
    Some((stream, sequence, timestamp, packet.slice(start..end)))
}

struct Handler(Arc<Tap>);

#[async_trait]
impl EventHandler for Handler {
    async fn act(&self, context: &EventContext<'_>) -> Option<Event> {
        let heard = catch_unwind(AssertUnwindSafe(|| self.0.hear(context)));
        if heard.is_err() {
            tracing::error!("a handler of voice events panicked");
        }
        None
    }
}
