//! songbird's driver, the fallback for our own receiver.

use std::collections::HashMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use songbird::driver::{Connect, DecodeMode};
use songbird::events::context_data::{DisconnectKind, DisconnectReason, RtpData};
use songbird::{Config, ConnectionInfo, CoreEvent, Event, EventContext, EventHandler};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::super::packet_sink::PacketSink;
use super::VoiceConnectError;
use audio::VoicePacket;
use net::ErrorCause;

/// Longest time that connecting may take. songbird retries a stale session for about 12 s.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// SSRCs whose user is remembered.
const MAX_SSRCS: usize = 1_024;

/// The fixed RTP header (<https://www.rfc-editor.org/rfc/rfc3550#section-5.1>).
const RTP_HEADER_BYTES: usize = 12;

/// Largest Opus packet that is accepted. The format allows 48 frames of 2.5 ms with 1,275 bytes
/// each, but a datagram of Discord's holds less.
const MAX_OPUS_BYTES: usize = 8_192;

/// songbird's driver on a thread of its own. songbird can deadlock (it takes a lock twice when a
/// call that it joined unencrypted becomes encrypted). Then only that thread is lost: the driver no
/// longer shows signs of life and is replaced.
pub(in super::super) struct SongbirdDriver {
    driver: songbird::driver::Driver,
    listener: Arc<SongbirdListener>,
    runtime: Option<Runtime>,
}

impl SongbirdDriver {
    pub(super) fn new(packet_sink: &Arc<PacketSink>) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("voice")
            .enable_all()
            .build()?;
        let config = Config::default().decode_mode(DecodeMode::Decrypt);
        let mut driver = {
            let _on_it = runtime.enter();
            songbird::driver::Driver::new(config)
        };
        let listener = Arc::new(SongbirdListener {
            packet_sink: Arc::clone(packet_sink),
            users_by_ssrc: Mutex::default(),
            last_alive_ms: AtomicU64::new(0),
        });
        for event in [
            CoreEvent::SpeakingStateUpdate,
            CoreEvent::RtpPacket,
            CoreEvent::VoiceTick,
            CoreEvent::ClientDisconnect,
            CoreEvent::DriverConnect,
            CoreEvent::DriverReconnect,
            CoreEvent::DriverDisconnect,
        ] {
            driver.add_global_event(event.into(), SongbirdEventHandler(Arc::clone(&listener)));
        }
        Ok(Self {
            driver,
            listener,
            runtime: Some(runtime),
        })
    }

    /// The future must not hold a clone of the driver: dropping a clone disconnects.
    pub(super) fn connect(
        &mut self,
        info: ConnectionInfo,
    ) -> impl Future<Output = Result<(), VoiceConnectError>> + Send + 'static + use<> {
        self.leave();
        // A new connection assigns new SSRCs.
        self.listener.lock_users_by_ssrc().clear();
        await_connected(self.driver.connect(info))
    }

    pub(super) fn leave(&mut self) {
        self.driver.leave();
    }

    pub(super) fn last_alive(&self) -> Duration {
        Duration::from_millis(self.listener.last_alive_ms.load(Ordering::Relaxed))
    }
}

impl Drop for SongbirdDriver {
    fn drop(&mut self) {
        self.leave();
        if let Some(runtime) = self.runtime.take() {
            // A deadlocked thread can't be joined.
            runtime.shutdown_background();
        }
    }
}

async fn await_connected(connect: Connect) -> Result<(), VoiceConnectError> {
    match timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(match close_code(DisconnectReason::from(&error)) {
            Some(code) => VoiceConnectError::Refused(code),
            // songbird's error messages contain the endpoint, which does not belong in a log.
            None => VoiceConnectError::VoiceServer(ErrorCause::with_variant_name(
                "no connection",
                &error,
            )),
        }),
        Err(_) => Err(VoiceConnectError::VoiceServer("no answer in time".into())),
    }
}

/// Discord's voice close code, if the connection was closed with one.
fn close_code(reason: DisconnectReason) -> Option<u16> {
    match reason {
        DisconnectReason::WsClosed(code) => code.map(|code| code as u16),
        _ => None,
    }
}

/// Handles the driver's events. Handlers must not block, and a panic would stop all events of the
/// driver.
struct SongbirdListener {
    packet_sink: Arc<PacketSink>,
    users_by_ssrc: Mutex<HashMap<u32, u64>>,
    /// When the driver was last known to be alive, in milliseconds of session time.
    last_alive_ms: AtomicU64,
}

impl SongbirdListener {
    fn handle_event(&self, context: &EventContext<'_>) {
        match context {
            EventContext::VoiceTick(_) => {
                let now = self.packet_sink.clock().elapsed().as_millis();
                let now = u64::try_from(now).unwrap_or(u64::MAX);
                self.last_alive_ms.store(now, Ordering::Relaxed);
            }
            EventContext::RtpPacket(packet) => self.forward_packet(packet),
            EventContext::SpeakingStateUpdate(speaking) => {
                if let Some(user_id) = speaking.user_id {
                    self.map_ssrc(speaking.ssrc, user_id.0);
                    if !speaking.speaking.is_empty() {
                        self.packet_sink.on_speaking();
                    }
                }
            }
            EventContext::ClientDisconnect(disconnect) => {
                let user_id = disconnect.user_id.0;
                self.lock_users_by_ssrc()
                    .retain(|_, known| *known != user_id);
                self.packet_sink.on_user_left(user_id);
            }
            EventContext::DriverConnect(_) | EventContext::DriverReconnect(_) => {
                self.packet_sink.on_connected();
            }
            EventContext::DriverDisconnect(data) => match (data.kind, data.reason) {
                // Requested by us, or already returned by `connect`.
                (_, Some(DisconnectReason::Requested)) | (DisconnectKind::Connect, _) => {}
                (_, reason) => self
                    .packet_sink
                    .on_connection_lost(reason.and_then(close_code)),
            },
            _ => {}
        }
    }

    /// Remembers whose SSRC this is. The first user keeps it until they leave: otherwise others
    /// could claim it and mute them.
    fn map_ssrc(&self, ssrc: u32, user_id: u64) {
        let mut users = self.lock_users_by_ssrc();
        if users.len() < MAX_SSRCS || users.contains_key(&ssrc) {
            users.entry(ssrc).or_insert(user_id);
        }
    }

    fn forward_packet(&self, data: &RtpData) {
        // Packets of unknown users count as well: they show that the connection works.
        self.packet_sink.on_network_packet();
        let Some((ssrc, sequence, timestamp, opus)) = parse_rtp(data) else {
            return;
        };
        let user_id = self.lock_users_by_ssrc().get(&ssrc).copied();
        if let Some(user_id) = user_id {
            let packet = VoicePacket {
                sequence,
                timestamp,
                opus,
                received: self.packet_sink.clock().elapsed(),
            };
            self.packet_sink.push_packets([(user_id, packet)]);
        }
    }

    fn lock_users_by_ssrc(&self) -> std::sync::MutexGuard<'_, HashMap<u32, u64>> {
        self.users_by_ssrc
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// SSRC, sequence number, timestamp and Opus packet, with every length checked: packets that could
/// not be decrypted are delivered too and contain anything.
fn parse_rtp(data: &RtpData) -> Option<(u32, u16, u32, Bytes)> {
    let packet = &data.packet;
    let header = packet.get(..RTP_HEADER_BYTES)?;
    let sequence = u16::from_be_bytes([header[2], header[3]]);
    let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    // songbird's offsets count from behind the header and its CSRC list.
    let body = RTP_HEADER_BYTES + 4 * usize::from(header[0] & 0x0f);
    let start = body.checked_add(data.payload_offset)?;
    let end = packet.len().checked_sub(data.payload_end_pad)?;
    if start >= end || end - start > MAX_OPUS_BYTES {
        return None;
    }
    Some((ssrc, sequence, timestamp, packet.slice(start..end)))
}

struct SongbirdEventHandler(Arc<SongbirdListener>);

#[async_trait]
impl EventHandler for SongbirdEventHandler {
    async fn act(&self, context: &EventContext<'_>) -> Option<Event> {
        let result = catch_unwind(AssertUnwindSafe(|| self.0.handle_event(context)));
        if result.is_err() {
            tracing::error!("a voice event handler panicked");
        }
        None
    }
}
