//! One connection to the voice gateway: its event loop, Identify or Resume, and heartbeats.

use std::net::UdpSocket as StdSocket;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::{ConnectionEnd, GatewayDriver, end_after_info_change};
use crate::close_code::HandshakePhase;
use crate::gateway_protocol::ClientEvent;
use crate::gateway_socket::{Disconnected, VoiceSocket};
use crate::heartbeat::{Heartbeat, HeartbeatAction};
use crate::options::ConnectionInfo;

/// The time limit from an open websocket to an established session.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The time between two UDP keepalives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// What is needed to resume a session with the voice server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResumableVoiceSession {
    pub(super) ssrc: u32,
    /// The sequence number of the last message received.
    pub(super) last_sequence: Option<u16>,
}

/// An open connection.
pub(super) struct OpenConnection {
    pub(super) socket: VoiceSocket,
    pub(super) phase: HandshakePhase,
    /// From Hello on.
    pub(super) heartbeat: Option<Heartbeat>,
    /// The UDP socket between Ready and Session Description. The receive thread has it afterwards.
    pub(super) udp: Option<StdSocket>,
    pub(super) session: ResumableVoiceSession,
    handshake_deadline: Instant,
}

impl GatewayDriver {
    /// Opens a connection and runs it to its end.
    pub(super) async fn run_connection(&mut self) -> ConnectionEnd {
        let info = self.info.borrow_and_update().clone();
        let phase = match self.session {
            Some(_) => HandshakePhase::Resuming,
            None => HandshakePhase::Identifying,
        };
        let opened = tokio::select! {
            opened = VoiceSocket::connect(&info.endpoint) => opened,
            changed = self.info.changed() => return end_after_info_change(changed.is_ok()),
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(disconnected) => return (disconnected, phase).into(),
        };
        let mut connection = OpenConnection {
            socket,
            phase,
            heartbeat: None,
            udp: None,
            session: self.session.unwrap_or(ResumableVoiceSession {
                ssrc: 0,
                last_sequence: None,
            }),
            handshake_deadline: Instant::now() + HANDSHAKE_TIMEOUT,
        };
        let end = self.run_event_loop(&mut connection, &info).await;
        if self.session.is_some() || connection.phase == HandshakePhase::Established {
            self.session = Some(connection.session);
        }
        if matches!(end, ConnectionEnd::Left | ConnectionEnd::Moved) {
            connection.socket.close().await;
        }
        end
    }

    async fn run_event_loop(
        &mut self,
        connection: &mut OpenConnection,
        info: &ConnectionInfo,
    ) -> ConnectionEnd {
        let mut keepalive = interval(KEEPALIVE_INTERVAL);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let phase = connection.phase;
            let next_heartbeat = connection.heartbeat.as_ref().map(Heartbeat::next_deadline);
            let handled = tokio::select! {
                changed = self.info.changed() => return end_after_info_change(changed.is_ok()),
                received = connection.socket.next_event() => match received {
                    Ok((sequence, event)) => {
                        if sequence.is_some() {
                            connection.session.last_sequence = sequence;
                        }
                        self.handle_event(connection, info, event).await
                    }
                    Err(disconnected) => Err(disconnected),
                },
                () = sleep_until_deadline(next_heartbeat) => connection.poll_heartbeat().await,
                () = sleep_until(connection.handshake_deadline.into()), if phase != HandshakePhase::Established => {
                    Err(Disconnected(None))
                }
                _ = keepalive.tick() => {
                    self.sender.send_keepalive();
                    Ok(())
                }
                Some(is_speaking) = self.speaking_updates.recv(), if phase == HandshakePhase::Established => {
                    let ssrc = connection.session.ssrc;
                    connection.socket.send(&ClientEvent::Speaking { is_speaking, ssrc }).await
                }
            };
            if let Err(disconnected) = handled {
                return (disconnected, connection.phase).into();
            }
        }
    }
}

impl OpenConnection {
    /// Sends Identify or Resume, which follows Hello.
    pub(super) async fn identify_or_resume(
        &mut self,
        info: &ConnectionInfo,
    ) -> Result<(), Disconnected> {
        let session_id = info.session_id.clone();
        let token = info.token.expose_secret().to_owned();
        let event = match self.phase {
            HandshakePhase::Identifying => ClientEvent::Identify {
                guild_id: info.guild_id,
                user_id: info.user_id,
                session_id,
                token,
            },
            HandshakePhase::Resuming => ClientEvent::Resume {
                guild_id: info.guild_id,
                session_id,
                token,
                last_sequence: self.session.last_sequence,
            },
            HandshakePhase::Established => return Ok(()),
        };
        self.socket.send(&event).await
    }

    async fn poll_heartbeat(&mut self) -> Result<(), Disconnected> {
        let action = self
            .heartbeat
            .as_mut()
            .and_then(|it| it.poll(Instant::now()));
        match action {
            Some(HeartbeatAction::Send(nonce)) => {
                let last_sequence = self.session.last_sequence;
                self.socket
                    .send(&ClientEvent::Heartbeat {
                        nonce,
                        last_sequence,
                    })
                    .await
            }
            Some(HeartbeatAction::TimedOut) => Err(Disconnected(None)),
            None => Ok(()),
        }
    }
}

async fn sleep_until_deadline(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
