//! The half that talks to the gateway: it gets a session, keeps it, and takes it up again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::ConnectionInfo;
use super::close_code::{self, CloseAction, HandshakePhase};
use super::dave_state::DaveState;
use super::depacketizer::lock_dave;
use super::event::VoiceEvent;
use super::gateway_protocol::{ClientEvent, DaveEvent, ServerEvent};
use super::gateway_socket::{Disconnected, VoiceSocket};
use super::heartbeat::{Heartbeat, HeartbeatAction};
use super::ip_discovery;
use super::reconnect::ReconnectBackoff;
use super::stats::ReceiveCounters;
use super::transport_cipher::{self, TransportCipher};
use super::udp_receiver::{Liveness, ReceiverCommand};
use super::voice_sender::{SendPath, VoiceSender};
use net::ErrorCause;

/// How long it may take from an open connection to one that packets come on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How often our own address is asked for, and how long an answer may take each time.
const IP_DISCOVERY_ATTEMPTS: (usize, Duration) = (10, Duration::from_millis(500));

/// Between two packets that keep the way open.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Between two signs of life.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(200);

/// Without a packet for this long, while there is no gateway either, nobody is heard.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(2);

/// The close code for a cipher that is not known.
const UNKNOWN_ENCRYPTION_MODE: u16 = 4_016;

/// What the system shall hold of datagrams that are not read yet: 4 MiB, of which most systems give
/// less. Hundreds of speakers send 25,000 in a second.
const UDP_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// The gateway's half of a connection to a call.
pub(super) struct GatewayDriver {
    pub(super) max_connect_attempts: u32,
    pub(super) info: watch::Receiver<ConnectionInfo>,
    pub(super) events: mpsc::Sender<VoiceEvent>,
    pub(super) commands: mpsc::Sender<ReceiverCommand>,
    pub(super) speaking_updates: mpsc::Receiver<bool>,
    pub(super) sender: Arc<VoiceSender>,
    pub(super) dave: Arc<Mutex<DaveState>>,
    pub(super) counters: Arc<ReceiveCounters>,
    pub(super) liveness: Arc<Liveness>,
    /// What can be taken up again.
    pub(super) session: Option<ResumableVoiceSession>,
    /// Nobody can be heard, and that was told.
    pub(super) is_interrupted: bool,
    /// When the session was last begun or taken up.
    pub(super) connected_since: Option<Instant>,
}

/// A session with the voice server.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResumableVoiceSession {
    ssrc: u32,
    /// The number of the last frame that was seen.
    last_sequence: Option<u16>,
}

/// Why a connection, or all of them, came to an end.
#[derive(Clone, Copy, Debug)]
enum ConnectionEnd {
    /// Nobody wants it any more.
    Left,
    /// It goes on elsewhere.
    Moved,
    Disconnected(Option<u16>, HandshakePhase),
}

impl From<(Disconnected, HandshakePhase)> for ConnectionEnd {
    fn from((Disconnected(code), during): (Disconnected, HandshakePhase)) -> Self {
        Self::Disconnected(code, during)
    }
}

/// One connection.
struct OpenConnection {
    socket: VoiceSocket,
    phase: HandshakePhase,
    heartbeat: Option<Heartbeat>,
    /// Where packets come from, until they do, and the cipher that was chosen.
    udp: Option<StdSocket>,
    session: ResumableVoiceSession,
    handshake_deadline: Instant,
}

impl GatewayDriver {
    /// Runs until the handle is dropped.
    pub(super) async fn run(mut self) {
        let life = Arc::clone(&self.liveness);
        let mut tick = interval(LIVENESS_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = self.run_until_left();
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => return,
                _ = tick.tick() => life.mark_gateway(),
            }
        }
    }

    async fn run_until_left(&mut self) {
        loop {
            let broke = Instant::now();
            match self.stay_connected().await {
                ConnectionEnd::Left => return,
                ConnectionEnd::Moved => self.report_interrupted(broke).await,
                ConnectionEnd::Disconnected(code, _) => {
                    self.is_interrupted = true;
                    let since = self.interrupted_since(broke);
                    self.emit(VoiceEvent::ConnectionLost {
                        since,
                        close_code: code,
                    })
                    .await;
                    if self.info.changed().await.is_err() {
                        return;
                    }
                }
            }
            self.session = None;
        }
    }

    /// Stays connected as long as that makes sense.
    async fn stay_connected(&mut self) -> ConnectionEnd {
        let mut reconnects = ReconnectBackoff::new(self.max_connect_attempts);
        loop {
            let ended = self.run_connection().await;
            let broke = Instant::now();
            let ConnectionEnd::Disconnected(code, during) = ended else {
                return ended;
            };
            tracing::debug!(?code, ?during, "the voice gateway is gone");
            match close_code::close_action(code, during) {
                CloseAction::GiveUp => return ended,
                CloseAction::Identify => {
                    self.session = None;
                    self.report_interrupted(broke).await;
                }
                CloseAction::Resume => {}
            }
            let held = self.connected_since.take();
            let held = held.map(|since| broke.saturating_duration_since(since));
            let Some(wait) = reconnects.next_wait(held) else {
                return ended;
            };
            if wait.is_zero() {
                continue;
            }
            // Packets may come all the same: they have another way.
            if self.liveness.last_packet() + INTERRUPTED_AFTER < broke {
                self.report_interrupted(broke).await;
            }
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.info.changed() => return end_after_info_change(changed.is_ok()),
            }
        }
    }

    /// One connection, from its beginning to its end.
    async fn run_connection(&mut self) -> ConnectionEnd {
        let info = self.info.borrow_and_update().clone();
        let during = match self.session {
            Some(_) => HandshakePhase::Resuming,
            None => HandshakePhase::Identifying,
        };
        let opened = tokio::select! {
            opened = VoiceSocket::connect(&info.endpoint) => opened,
            changed = self.info.changed() => return end_after_info_change(changed.is_ok()),
        };
        let socket = match opened {
            Ok(socket) => socket,
            Err(broken) => return (broken, during).into(),
        };
        let mut connection = OpenConnection {
            socket,
            phase: during,
            heartbeat: None,
            udp: None,
            session: self.session.unwrap_or(ResumableVoiceSession {
                ssrc: 0,
                last_sequence: None,
            }),
            handshake_deadline: Instant::now() + HANDSHAKE_TIMEOUT,
        };
        let ended = self.run_event_loop(&mut connection, &info).await;
        if self.session.is_some() || connection.phase == HandshakePhase::Established {
            self.session = Some(connection.session);
        }
        if matches!(ended, ConnectionEnd::Left | ConnectionEnd::Moved) {
            connection.socket.close().await;
        }
        ended
    }

    async fn run_event_loop(
        &mut self,
        connection: &mut OpenConnection,
        info: &ConnectionInfo,
    ) -> ConnectionEnd {
        let mut keepalive = interval(KEEPALIVE_INTERVAL);
        keepalive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let during = connection.phase;
            let beat = connection.heartbeat.as_ref().map(Heartbeat::next_deadline);
            let done = tokio::select! {
                changed = self.info.changed() => return end_after_info_change(changed.is_ok()),
                said = connection.socket.next_event() => match said {
                    Ok((number, frame)) => {
                        if number.is_some() {
                            connection.session.last_sequence = number;
                        }
                        self.handle_event(connection, info, frame).await
                    }
                    Err(broken) => Err(broken),
                },
                () = sleep_until_deadline(beat) => connection.poll_heartbeat().await,
                () = sleep_until(connection.handshake_deadline.into()), if during != HandshakePhase::Established => {
                    Err(Disconnected(None))
                }
                _ = keepalive.tick() => {
                    self.sender.send_keepalive();
                    Ok(())
                }
                Some(speaks) = self.speaking_updates.recv(), if during == HandshakePhase::Established => {
                    let ssrc = connection.session.ssrc;
                    connection.socket.send(&ClientEvent::Speaking { is_speaking: speaks, ssrc }).await
                }
            };
            if let Err(broken) = done {
                return (broken, connection.phase).into();
            }
        }
    }

    async fn handle_event(
        &mut self,
        connection: &mut OpenConnection,
        info: &ConnectionInfo,
        frame: ServerEvent,
    ) -> Result<(), Disconnected> {
        match frame {
            ServerEvent::Hello {
                heartbeat_interval: heartbeat,
            } => {
                connection.heartbeat = Some(Heartbeat::new(heartbeat, Instant::now()));
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
                let found = discover_address((ip, port).into(), ssrc).await;
                let (udp, address, port) = found.ok_or(Disconnected(None))?;
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
                secret_key: key,
                dave_version: dave,
            } => {
                return self
                    .on_session_description(connection, info, &mode, &key, dave)
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
                user_id: user,
                ssrc,
                is_speaking: speaks,
            } => {
                if ssrc != 0 {
                    self.send_command(ReceiverCommand::MapSsrc {
                        ssrc,
                        user_id: user,
                    })
                    .await;
                }
                if speaks {
                    // It is told again each time; what has no room is not missed.
                    let _ = self.events.try_send(VoiceEvent::Speaking { user_id: user });
                }
            }
            ServerEvent::ClientsConnected(people) => lock_dave(&self.dave).add_users(people),
            ServerEvent::ClientDisconnected(user) => {
                lock_dave(&self.dave).remove_user(user);
                self.send_command(ReceiverCommand::UserLeft { user_id: user })
                    .await;
                self.emit(VoiceEvent::UserLeft { user_id: user }).await;
            }
            ServerEvent::Dave(said) => return self.handle_dave_event(connection, said).await,
            ServerEvent::Other(_) => {}
        }
        Ok(())
    }

    /// How packets are encrypted: from now on they can be heard.
    async fn on_session_description(
        &mut self,
        connection: &mut OpenConnection,
        info: &ConnectionInfo,
        mode: &str,
        key: &[u8; 32],
        dave: u16,
    ) -> Result<(), Disconnected> {
        let Some(udp) = connection.udp.take() else {
            return Ok(());
        };
        let ways = (
            TransportCipher::new(mode, key),
            TransportCipher::new(mode, key),
            udp.try_clone(),
        );
        let (Some(inward), Some(outward), Ok(outlet)) = ways else {
            return Err(Disconnected(Some(UNKNOWN_ENCRYPTION_MODE)));
        };
        let ssrc = connection.session.ssrc;
        self.send_command(ReceiverCommand::Listen(udp, inward))
            .await;
        self.sender.set_path(SendPath::new(outlet, outward, ssrc));
        let channel = info.channel_id;
        let answers = self
            .update_dave(move |keys| keys.start_session(channel, dave))
            .await;
        for said in answers {
            connection.socket.send(&said).await?;
        }
        // Nobody may send packets who has not said first whose they are.
        let quiet = ClientEvent::Speaking {
            is_speaking: false,
            ssrc,
        };
        connection.socket.send(&quiet).await?;
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
        said: DaveEvent,
    ) -> Result<(), Disconnected> {
        let now = Instant::now();
        let answers = self
            .update_dave(move |keys| keys.handle_event(said, now))
            .await;
        for said in answers {
            connection.socket.send(&said).await?;
        }
        Ok(())
    }

    /// Does something with the keys. It is work, and takes milliseconds in a large group.
    async fn update_dave(
        &mut self,
        work: impl FnOnce(&mut DaveState) -> Vec<ClientEvent> + Send + 'static,
    ) -> Vec<ClientEvent> {
        let keys = Arc::clone(&self.dave);
        let done = tokio::task::spawn_blocking(move || work(&mut lock_dave(&keys))).await;
        let answers = done.unwrap_or_else(|error| {
            // A library has met with something that it did not expect.
            let cause = ErrorCause::from_error(&error);
            tracing::error!(%cause, "the keys broke");
            lock_dave(&self.dave).reset_group()
        });
        {
            let keys = lock_dave(&self.dave);
            self.counters
                .epochs
                .store(keys.epoch_count(), Ordering::Relaxed);
            self.counters
                .dave_errors
                .store(keys.error_count(), Ordering::Relaxed);
        }
        self.send_command(ReceiverCommand::KeysChanged).await;
        answers
    }

    /// Tells that nobody can be heard, if that is news.
    async fn report_interrupted(&mut self, broke: Instant) {
        if !std::mem::replace(&mut self.is_interrupted, true) {
            let since = self.interrupted_since(broke);
            self.emit(VoiceEvent::Interrupted { since }).await;
        }
    }

    fn interrupted_since(&self, broke: Instant) -> Instant {
        broke.max(self.liveness.last_packet())
    }

    async fn emit(&self, heard: VoiceEvent) {
        // Nobody listens any more at the end.
        let _ = self.events.send(heard).await;
    }

    async fn send_command(&self, order: ReceiverCommand) {
        // The receiver ends only after us.
        let _ = self.commands.send(order).await;
    }
}

impl OpenConnection {
    /// Says who we are, or goes on with a session.
    async fn identify_or_resume(&mut self, info: &ConnectionInfo) -> Result<(), Disconnected> {
        let (session, token) = (
            info.session_id.clone(),
            info.token.expose_secret().to_owned(),
        );
        let said = match self.phase {
            HandshakePhase::Identifying => ClientEvent::Identify {
                guild_id: info.guild_id,
                user_id: info.user_id,
                session_id: session,
                token,
            },
            HandshakePhase::Resuming => ClientEvent::Resume {
                guild_id: info.guild_id,
                session_id: session,
                token,
                last_sequence: self.session.last_sequence,
            },
            HandshakePhase::Established => return Ok(()),
        };
        self.socket.send(&said).await
    }

    async fn poll_heartbeat(&mut self) -> Result<(), Disconnected> {
        let due = self
            .heartbeat
            .as_mut()
            .and_then(|it| it.poll(Instant::now()));
        match due {
            Some(HeartbeatAction::Send(nonce)) => {
                let seen = self.session.last_sequence;
                self.socket
                    .send(&ClientEvent::Heartbeat {
                        nonce,
                        last_sequence: seen,
                    })
                    .await
            }
            Some(HeartbeatAction::TimedOut) => Err(Disconnected(None)),
            None => Ok(()),
        }
    }
}

fn end_after_info_change(changed: bool) -> ConnectionEnd {
    if changed {
        ConnectionEnd::Moved
    } else {
        ConnectionEnd::Left
    }
}

async fn sleep_until_deadline(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A socket to the voice server, and our address as Discord sees it.
async fn discover_address(server: SocketAddr, ssrc: u32) -> Option<(StdSocket, String, u16)> {
    let socket = bind_udp_socket(server).map_err(|error| {
        let cause = ErrorCause::from_error(&error);
        tracing::warn!(%cause, "no socket for voice");
    });
    let socket = socket.ok()?;
    let asking = UdpSocket::from_std(socket.try_clone().ok()?).ok()?;
    let question = ip_discovery::request(ssrc);
    for _ in 0..IP_DISCOVERY_ATTEMPTS.0 {
        // Lost or refused: it is asked again.
        let _ = asking.send(&question).await;
        let answered = async {
            // One byte more, so that what is too long is no answer.
            let mut datagram = [0; ip_discovery::PACKET_BYTES + 1];
            loop {
                let length = asking.recv(&mut datagram).await.ok()?;
                if let Some(answer) = ip_discovery::parse_response(&datagram[..length], ssrc) {
                    return Some(answer);
                }
            }
        };
        match timeout(IP_DISCOVERY_ATTEMPTS.1, answered).await {
            Ok(Some((address, port))) => return Some((socket, address, port)),
            Ok(None) => sleep(IP_DISCOVERY_ATTEMPTS.1).await,
            Err(_) => {}
        }
    }
    tracing::warn!("the voice server does not answer over UDP");
    None
}

fn bind_udp_socket(server: SocketAddr) -> std::io::Result<StdSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = StdSocket::bind((any, 0))?;
    // Nothing from elsewhere comes through.
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    // What the system does not give, we do without.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(UDP_RECEIVE_BUFFER);
    Ok(socket)
}
