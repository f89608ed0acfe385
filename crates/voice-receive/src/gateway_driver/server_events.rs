//! What the gateway's events do to the connection, the receive thread and the DAVE state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use net::ErrorCause;

use super::GatewayDriver;
use super::connection::OpenConnection;
use crate::close_code::HandshakePhase;
use crate::dave_state::{DaveState, lock_dave};
use crate::event::VoiceEvent;
use crate::gateway_protocol::{ClientEvent, DaveEvent, ServerEvent};
use crate::gateway_socket::Disconnected;
use crate::heartbeat::Heartbeat;
use crate::ip_discovery::discover_address;
use crate::options::ConnectionInfo;
use crate::transport_cipher::{self, TransportCipher};
use crate::udp_receiver::ReceiverCommand;
use crate::voice_sender::SendPath;

/// Discord's close code for an unknown encryption mode, also used if the server offers none of
/// ours.
const UNKNOWN_ENCRYPTION_MODE: u16 = 4_016;

impl GatewayDriver {
    pub(super) async fn handle_event(
        &mut self,
        connection: &mut OpenConnection,
        info: &ConnectionInfo,
        event: ServerEvent,
    ) -> Result<(), Disconnected> {
        match event {
            ServerEvent::Hello { heartbeat_interval } => {
                connection.heartbeat = Some(Heartbeat::new(heartbeat_interval, Instant::now()));
                return connection.identify_or_resume(info).await;
            }
            ServerEvent::Ready {
                ssrc,
                ip,
                port,
                modes,
            } => {
                if connection.phase != HandshakePhase::Identifying {
                    return Ok(());
                }
                lock_dave(&self.dave).clear_users();
                connection.session.ssrc = ssrc;
                let mode = transport_cipher::choose_mode(&modes)
                    .ok_or(Disconnected(Some(UNKNOWN_ENCRYPTION_MODE)))?;
                let discovered = discover_address((ip, port).into(), ssrc).await;
                let (udp, address, port) = discovered.ok_or(Disconnected(None))?;
                connection.udp = Some(udp);
                let select = ClientEvent::SelectProtocol {
                    address,
                    port,
                    mode,
                };
                return connection.socket.send(&select).await;
            }
            ServerEvent::SessionDescription {
                mode,
                secret_key,
                dave_version,
            } => {
                return self
                    .on_session_description(connection, info, &mode, &secret_key, dave_version)
                    .await;
            }
            ServerEvent::Resumed => {
                connection.phase = HandshakePhase::Established;
                self.connected_since = Some(Instant::now());
                self.counters.resumed.fetch_add(1, Ordering::Relaxed);
                if std::mem::take(&mut self.is_interrupted) {
                    self.emit(VoiceEvent::Connected).await;
                }
            }
            ServerEvent::HeartbeatAck { nonce } => {
                if let Some(heartbeat) = &mut connection.heartbeat {
                    heartbeat.acknowledge(nonce);
                }
            }
            ServerEvent::Speaking {
                user_id,
                ssrc,
                is_speaking,
            } => {
                if ssrc != 0 {
                    self.send_command(ReceiverCommand::MapSsrc { ssrc, user_id })
                        .await;
                }
                if is_speaking {
                    // Dropped if the channel is full: the gateway repeats it.
                    let _ = self.events.try_send(VoiceEvent::Speaking { user_id });
                }
            }
            ServerEvent::ClientsConnected(user_ids) => lock_dave(&self.dave).add_users(user_ids),
            ServerEvent::ClientDisconnected(user_id) => {
                lock_dave(&self.dave).remove_user(user_id);
                self.send_command(ReceiverCommand::UserLeft { user_id })
                    .await;
                self.emit(VoiceEvent::UserLeft { user_id }).await;
            }
            ServerEvent::Dave(event) => return self.handle_dave_event(connection, event).await,
            ServerEvent::Other(_) => {}
        }
        Ok(())
    }

    /// Establishes the session: the receive thread and the sender get the socket and the key.
    async fn on_session_description(
        &mut self,
        connection: &mut OpenConnection,
        info: &ConnectionInfo,
        mode: &str,
        secret_key: &[u8; 32],
        dave_version: u16,
    ) -> Result<(), Disconnected> {
        let Some(udp) = connection.udp.take() else {
            return Ok(());
        };
        let paths = (
            TransportCipher::new(mode, secret_key),
            TransportCipher::new(mode, secret_key),
            udp.try_clone(),
        );
        let (Some(receive_cipher), Some(send_cipher), Ok(send_socket)) = paths else {
            return Err(Disconnected(Some(UNKNOWN_ENCRYPTION_MODE)));
        };
        let ssrc = connection.session.ssrc;
        self.send_command(ReceiverCommand::Listen(udp, receive_cipher))
            .await;
        self.sender
            .set_path(SendPath::new(send_socket, send_cipher, ssrc));
        let channel_id = info.channel_id;
        let replies = self
            .update_dave(move |dave| dave.start_session(channel_id, dave_version))
            .await;
        for reply in replies {
            connection.socket.send(&reply).await?;
        }
        // Discord requires a Speaking message before the first packet.
        let not_speaking = ClientEvent::Speaking {
            is_speaking: false,
            ssrc,
        };
        connection.socket.send(&not_speaking).await?;
        self.sender.send_silence(&self.dave);
        connection.phase = HandshakePhase::Established;
        self.connected_since = Some(Instant::now());
        self.is_interrupted = false;
        self.counters.identified.fetch_add(1, Ordering::Relaxed);
        self.emit(VoiceEvent::Connected).await;
        Ok(())
    }

    async fn handle_dave_event(
        &mut self,
        connection: &mut OpenConnection,
        event: DaveEvent,
    ) -> Result<(), Disconnected> {
        let now = Instant::now();
        let replies = self
            .update_dave(move |dave| dave.handle_event(event, now))
            .await;
        for reply in replies {
            connection.socket.send(&reply).await?;
        }
        Ok(())
    }

    /// Changes the DAVE state on a blocking thread, since that takes milliseconds in a large group.
    /// Returns the replies to send.
    async fn update_dave(
        &mut self,
        update: impl FnOnce(&mut DaveState) -> Vec<ClientEvent> + Send + 'static,
    ) -> Vec<ClientEvent> {
        let dave = Arc::clone(&self.dave);
        let updated = tokio::task::spawn_blocking(move || update(&mut lock_dave(&dave))).await;
        let replies = updated.unwrap_or_else(|error| {
            // The DAVE library panicked.
            let cause = ErrorCause::from_error(&error);
            tracing::error!(%cause, "the DAVE library failed, rejoining the group");
            lock_dave(&self.dave).reset_group()
        });
        {
            let dave = lock_dave(&self.dave);
            self.counters
                .epochs
                .store(dave.epoch_count(), Ordering::Relaxed);
            self.counters
                .dave_errors
                .store(dave.error_count(), Ordering::Relaxed);
        }
        self.send_command(ReceiverCommand::KeysChanged).await;
        replies
    }
}
