//! songbird's driver, with the bot's rules for attributing its packets to users.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use sandbox::VoiceConnectionInfo;
use songbird::driver::DecodeMode;
use songbird::events::context_data::{DisconnectReason, RtpData};
use songbird::id::{ChannelId, GuildId, UserId};
use songbird::{Config, ConnectionInfo, CoreEvent, Driver, Event, EventContext, EventHandler};

use super::receiver_log::ReceiverLog;

/// The size of the fixed RTP header.
const RTP_HEADER_BYTES: usize = 12;

pub(crate) fn connection_info(
    invited: &VoiceConnectionInfo,
) -> Result<ConnectionInfo, &'static str> {
    let id = |id: u64| NonZeroU64::new(id).ok_or("an id of 0");
    Ok(ConnectionInfo {
        channel_id: ChannelId(id(invited.channel_id)?),
        endpoint: invited.endpoint.clone(),
        guild_id: GuildId(id(invited.guild_id)?),
        session_id: invited.session_id.clone(),
        token: invited.token.clone(),
        user_id: UserId(id(invited.user_id)?),
    })
}

/// A driver that records what it receives in the log. Must be created within its runtime.
pub(crate) fn logging_driver(log: &Arc<ReceiverLog>) -> Driver {
    let log = Arc::clone(log);
    driver_with_callback(move |report| match report {
        DriverReport::Packet(user, ssrc, sequence, opus) => {
            log.record_packet(user, ssrc, sequence, opus);
        }
        DriverReport::Connected => log.record_connected(),
        DriverReport::Ended(why) => log.record_ended(why),
    })
}

/// What a driver reports.
pub(crate) enum DriverReport<'a> {
    Packet(Option<u64>, u32, u16, &'a [u8]),
    Connected,
    Ended(String),
}

/// A driver that calls `callback` with its reports.
pub(crate) fn driver_with_callback(
    callback: impl Fn(DriverReport<'_>) + Send + Sync + 'static,
) -> Driver {
    let mut driver = Driver::new(Config::default().decode_mode(DecodeMode::Decrypt));
    let tap = Arc::new(SongbirdTap {
        user_by_ssrc: Mutex::default(),
        callback: Box::new(callback),
    });
    for event in [
        CoreEvent::SpeakingStateUpdate,
        CoreEvent::RtpPacket,
        CoreEvent::ClientDisconnect,
        CoreEvent::DriverConnect,
        CoreEvent::DriverReconnect,
        CoreEvent::DriverDisconnect,
    ] {
        driver.add_global_event(event.into(), SongbirdHandler(Arc::clone(&tap)));
    }
    driver
}

struct SongbirdTap {
    user_by_ssrc: Mutex<HashMap<u32, u64>>,
    callback: Box<dyn Fn(DriverReport<'_>) + Send + Sync>,
}

impl SongbirdTap {
    fn lock_users(&self) -> MutexGuard<'_, HashMap<u32, u64>> {
        self.user_by_ssrc
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn handle_event(&self, context: &EventContext<'_>) {
        match context {
            EventContext::RtpPacket(data) => {
                if let Some((ssrc, sequence, opus)) = split_rtp(data) {
                    let user = self.lock_users().get(&ssrc).copied();
                    (self.callback)(DriverReport::Packet(user, ssrc, sequence, opus));
                }
            }
            EventContext::SpeakingStateUpdate(speaking) => {
                if let Some(user) = speaking.user_id {
                    // The first announcement of an SSRC stays valid.
                    self.lock_users().entry(speaking.ssrc).or_insert(user.0);
                }
            }
            EventContext::ClientDisconnect(left) => {
                self.lock_users().retain(|_, user| *user != left.user_id.0);
            }
            EventContext::DriverConnect(_) | EventContext::DriverReconnect(_) => {
                (self.callback)(DriverReport::Connected);
            }
            EventContext::DriverDisconnect(data)
                if data.reason != Some(DisconnectReason::Requested) =>
            {
                (self.callback)(DriverReport::Ended(format!("{:?}", data.reason)));
            }
            _ => {}
        }
    }
}

/// SSRC, sequence number and Opus packet, as `discord::voice` extracts them.
fn split_rtp(data: &RtpData) -> Option<(u32, u16, &[u8])> {
    let packet = &data.packet;
    let header = packet.get(..RTP_HEADER_BYTES)?;
    let sequence = u16::from_be_bytes([header[2], header[3]]);
    let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    let body = RTP_HEADER_BYTES + 4 * usize::from(header[0] & 0x0f);
    let start = body.checked_add(data.payload_offset)?;
    let end = packet.len().checked_sub(data.payload_end_pad)?;
    Some((ssrc, sequence, packet.get(start..end)?))
}

struct SongbirdHandler(Arc<SongbirdTap>);

#[async_trait]
impl EventHandler for SongbirdHandler {
    async fn act(&self, context: &EventContext<'_>) -> Option<Event> {
        self.0.handle_event(context);
        None
    }
}
