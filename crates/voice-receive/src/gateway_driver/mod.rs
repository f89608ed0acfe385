//! The gateway task: begins a session with the voice server, keeps it, resumes or replaces it after
//! a disconnect, and tells the caller when nothing can be received.
//!
//! `connection` is one connection, `server_events` is what the gateway's events do.

mod connection;
mod server_events;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::close_code::{self, CloseAction, HandshakePhase};
use super::dave_state::DaveState;
use super::event::VoiceEvent;
use super::gateway_socket::Disconnected;
use super::liveness::Liveness;
use super::options::ConnectionInfo;
use super::reconnect::ReconnectBackoff;
use super::stats::ReceiveCounters;
use super::udp_receiver::ReceiverCommand;
use super::voice_sender::VoiceSender;
use connection::ResumableVoiceSession;

/// How often the task reports that it is alive.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(200);

/// While the gateway is disconnected, the call counts as interrupted after this long without a
/// packet.
const INTERRUPTED_AFTER: Duration = Duration::from_secs(2);

/// The state of the gateway task.
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
    /// The session to resume, if there is one.
    pub(super) session: Option<ResumableVoiceSession>,
    /// Whether [`VoiceEvent::Interrupted`] or [`VoiceEvent::ConnectionLost`] was the last such
    /// event.
    pub(super) is_interrupted: bool,
    /// When the session was last begun or resumed; `None` while disconnected.
    pub(super) connected_since: Option<Instant>,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug)]
enum ConnectionEnd {
    /// The handle was dropped.
    Left,
    /// The caller gave other values.
    Moved,
    /// Disconnected, with Discord's close code if there was one.
    Disconnected(Option<u16>, HandshakePhase),
}

impl From<(Disconnected, HandshakePhase)> for ConnectionEnd {
    fn from((Disconnected(code), phase): (Disconnected, HandshakePhase)) -> Self {
        Self::Disconnected(code, phase)
    }
}

impl GatewayDriver {
    /// Runs until the handle is dropped.
    pub(super) async fn run(mut self) {
        let liveness = Arc::clone(&self.liveness);
        let mut tick = interval(LIVENESS_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = self.run_until_left();
        tokio::pin!(work);
        loop {
            tokio::select! {
                () = &mut work => return,
                _ = tick.tick() => liveness.mark_gateway(),
            }
        }
    }

    async fn run_until_left(&mut self) {
        loop {
            let disconnected_at = Instant::now();
            match self.stay_connected().await {
                ConnectionEnd::Left => return,
                ConnectionEnd::Moved => self.report_interrupted(disconnected_at).await,
                ConnectionEnd::Disconnected(close_code, _) => {
                    self.is_interrupted = true;
                    let since = self.interrupted_since(disconnected_at);
                    self.emit(VoiceEvent::ConnectionLost { since, close_code })
                        .await;
                    if self.info.changed().await.is_err() {
                        return;
                    }
                }
            }
            self.session = None;
        }
    }

    /// Connects and reconnects until the caller leaves or moves, a close code forbids it, or the
    /// attempts are used up.
    async fn stay_connected(&mut self) -> ConnectionEnd {
        let mut backoff = ReconnectBackoff::new(self.max_connect_attempts);
        loop {
            let end = self.run_connection().await;
            let disconnected_at = Instant::now();
            let ConnectionEnd::Disconnected(code, phase) = end else {
                return end;
            };
            tracing::debug!(?code, ?phase, "disconnected from the voice gateway");
            match close_code::close_action(code, phase) {
                CloseAction::GiveUp => return end,
                CloseAction::Identify => {
                    self.session = None;
                    self.report_interrupted(disconnected_at).await;
                }
                CloseAction::Resume => {}
            }
            let uptime = self
                .connected_since
                .take()
                .map(|since| disconnected_at.saturating_duration_since(since));
            let Some(wait) = backoff.next_wait(uptime) else {
                return end;
            };
            if wait.is_zero() {
                continue;
            }
            // Packets may still arrive: they don't depend on the gateway's connection.
            if self.liveness.last_packet() + INTERRUPTED_AFTER < disconnected_at {
                self.report_interrupted(disconnected_at).await;
            }
            tokio::select! {
                () = sleep(wait) => {}
                changed = self.info.changed() => return end_after_info_change(changed.is_ok()),
            }
        }
    }

    /// Sends [`VoiceEvent::Interrupted`], unless the caller knows already.
    async fn report_interrupted(&mut self, disconnected_at: Instant) {
        if !std::mem::replace(&mut self.is_interrupted, true) {
            let since = self.interrupted_since(disconnected_at);
            self.emit(VoiceEvent::Interrupted { since }).await;
        }
    }

    fn interrupted_since(&self, disconnected_at: Instant) -> Instant {
        disconnected_at.max(self.liveness.last_packet())
    }

    async fn emit(&self, event: VoiceEvent) {
        // Fails if the caller has dropped the receiver; only dropping the handle ends the
        // connection.
        let _ = self.events.send(event).await;
    }

    async fn send_command(&self, command: ReceiverCommand) {
        // The receive thread ends only after this task.
        let _ = self.commands.send(command).await;
    }
}

/// The end of a connection after the channel of [`ConnectionInfo`] has changed or was closed.
fn end_after_info_change(changed: bool) -> ConnectionEnd {
    if changed {
        ConnectionEnd::Moved
    } else {
        ConnectionEnd::Left
    }
}
