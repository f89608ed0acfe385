//! Keeps a session connected to its call and reconnects when the connection is lost.
//!
//! A task owns the [`CallDriver`], which receives, and asks the [`Supervisor`] what to do about
//! each event. The supervisor also decides what a voice close code means, 4014 included.

use std::sync::Arc;
use std::time::Duration;

use songbird::ConnectionInfo;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::driver::{CallDriver, VoiceConnectError};
use super::packet_sink::PacketSink;
use super::voice_gateway::{VoiceGateway, VoiceJoinError};
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::session::actor::SessionMessage;
use crate::flow::session::audio_worker::AudioInput;
use crate::flow::session::clock::SessionClock;
use crate::flow::session::supervisor::{
    ConnectionEvent, DisconnectCause, Supervisor, SupervisorAction,
};
use crate::flow::session::transcript_view::{CannotHearReason, SessionNotice};
use crate::flow::session::{SessionEndReason, session_end};
use crate::store::OpenSession;

/// Longest wait for the gateway to confirm that the bot has left. There is no confirmation if it
/// was not in the call.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Queued driver events.
const MAX_CONNECTION_EVENTS: usize = 256;

/// Time between two checks of the driver's liveness.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Audio from before the bot was suppressed may arrive this much later.
const SUPPRESSION_GRACE: Duration = Duration::from_millis(500);

/// A change of the bot's own voice state or voice server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallUpdate {
    /// The call has a new voice server, or the bot a new channel.
    ServerOrChannelChanged,
    /// The bot is no longer in any channel.
    RemovedFromCall,
    /// A member left and came back within seconds.
    MemberRejoined,
    /// Why the bot can't hear anyone; `None` once it can.
    HearingChanged(Option<CannotHearReason>),
}

/// A connected call: its driver, and the state needed to reconnect.
pub(super) struct VoiceConnection {
    voice_gateway: VoiceGateway,
    driver: CallDriver,
    packet_sink: Arc<PacketSink>,
    connection_events: mpsc::Receiver<ConnectionEvent>,
    supervisor: Supervisor,
    clock: SessionClock,
    connection_info: ConnectionInfo,
    reconnect_task: Option<JoinHandle<Result<ReconnectOutcome, VoiceJoinError>>>,
    /// Set while leaving in order to rejoin; notified once the gateway confirms the leave.
    leave_confirmed: Option<Arc<Notify>>,
    /// Why nobody can be heard despite a connection, and since when.
    cannot_hear: Option<(CannotHearReason, Duration)>,
    /// Audio arrives although the bot is suppressed.
    hears_while_suppressed: bool,
    /// Start of the interruption that was reported to the session.
    reported_interruption: Option<Duration>,
}

/// How far a reconnect has come.
enum ReconnectOutcome {
    /// The gateway has sent the voice server and session to connect to.
    GatewayJoined(ConnectionInfo),
    DriverConnected,
}

impl VoiceGateway {
    /// Joins the channel of a session and connects to its call.
    pub(super) async fn connect(
        self,
        open: &OpenSession,
        microphone: AudioInput,
        clock: SessionClock,
    ) -> Result<VoiceConnection, VoiceJoinError> {
        let connection_info = self.join(open).await?;
        let connected = self
            .clone()
            .connect_driver(connection_info, microphone, clock)
            .await;
        if connected.is_err() {
            // Don't stay visible in a call without receiving it.
            self.leave().await;
        }
        connected
    }

    async fn connect_driver(
        self,
        connection_info: ConnectionInfo,
        microphone: AudioInput,
        clock: SessionClock,
    ) -> Result<VoiceConnection, VoiceJoinError> {
        let (sender, connection_events) = mpsc::channel(MAX_CONNECTION_EVENTS);
        let packet_sink = PacketSink::new(microphone, clock, sender);
        let mut driver = CallDriver::new(self.driver_kind, &packet_sink)
            .map_err(VoiceJoinError::DriverUnavailable)?;
        let mut supervisor = Supervisor::new(clock.elapsed(), driver.capability());
        driver.connect(connection_info.clone()).await?;
        supervisor.handle_event(clock.elapsed(), ConnectionEvent::Connected);
        Ok(VoiceConnection {
            voice_gateway: self,
            driver,
            packet_sink,
            connection_events,
            supervisor,
            clock,
            connection_info,
            reconnect_task: None,
            leave_confirmed: None,
            cannot_hear: None,
            hears_while_suppressed: false,
            reported_interruption: None,
        })
    }
}

impl VoiceConnection {
    /// Stays connected until `stop`, or until the supervisor gives the call up.
    pub(super) async fn run(
        mut self,
        mut call_updates: mpsc::Receiver<CallUpdate>,
        call: mpsc::Sender<SessionMessage>,
        job_scheduler: Arc<JobScheduler>,
        stop: CancellationToken,
    ) {
        let mut health_check = interval(HEALTH_CHECK_INTERVAL);
        health_check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.clock.elapsed();
            let action = tokio::select! {
                () = stop.cancelled() => break,
                update = call_updates.recv() => match update {
                    None => break,
                    Some(CallUpdate::RemovedFromCall) => match self.leave_confirmed.take() {
                        Some(leave_confirmed) => {
                            leave_confirmed.notify_one();
                            SupervisorAction::Nothing
                        }
                        None => self.supervisor.handle_event(now, ConnectionEvent::RemovedFromCall),
                    },
                    Some(CallUpdate::ServerOrChannelChanged) => self.on_server_or_channel_changed().await,
                    Some(CallUpdate::MemberRejoined) => self.supervisor.handle_event(now, ConnectionEvent::MemberRejoined),
                    Some(CallUpdate::HearingChanged(unhearing)) => {
                        self.on_hearing_changed(unhearing, &call);
                        SupervisorAction::Nothing
                    }
                },
                Some(event) = self.connection_events.recv() => self.supervisor.handle_event(now, event),
                result = async {
                    match &mut self.reconnect_task {
                        Some(reconnect_task) => reconnect_task.await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.reconnect_task = None;
                    self.on_reconnect_finished(result.unwrap_or(Err(VoiceJoinError::GatewayUnavailable)))
                }
                _ = health_check.tick() => self.check_health(&call),
            };
            self.report_interruption(&call);
            if let SupervisorAction::End(cause) = action {
                tracing::warn!(
                    guild = self.voice_gateway.guild_id,
                    ?cause,
                    "the call is over"
                );
                let end_reason = match cause {
                    DisconnectCause::RemovedFromCall => SessionEndReason::RemovedFromCall,
                    DisconnectCause::Refused(code) => SessionEndReason::Refused(code),
                    DisconnectCause::Unreachable => SessionEndReason::Unreachable,
                };
                let recorded_end = session_end::record_end(
                    job_scheduler.runner(),
                    self.voice_gateway.session_id,
                    end_reason,
                )
                .await;
                let _ = call.send(SessionMessage::End(recorded_end)).await;
                break;
            }
            self.apply_action(action);
        }
        if let Some(reconnect_task) = self.reconnect_task.take() {
            reconnect_task.abort();
        }
        self.driver.leave();
        self.voice_gateway.leave().await;
    }

    /// Reports the start or the end of an interruption to the session.
    fn report_interruption(&mut self, call: &mpsc::Sender<SessionMessage>) {
        let unhearing = self.cannot_hear.map(|(_, since)| since);
        let lost = self.supervisor.interrupted_since();
        let interrupted = unhearing.into_iter().chain(lost).min();
        let now = self.clock.elapsed();
        let message = match (self.reported_interruption, interrupted) {
            (None, Some(since)) => {
                self.reported_interruption = Some(since);
                SessionMessage::InterruptedSince(since)
            }
            (Some(since), None) => {
                self.reported_interruption = None;
                let deaf = now.saturating_sub(since);
                tracing::info!(guild = self.voice_gateway.guild_id, ?deaf, "heard again");
                SessionMessage::Interruption(since, now)
            }
            _ => return,
        };
        let _ = call.try_send(message);
    }

    /// Applies a change of whether the bot can hear, and why not.
    fn on_hearing_changed(
        &mut self,
        unhearing: Option<CannotHearReason>,
        call: &mpsc::Sender<SessionMessage>,
    ) {
        let suppressed = unhearing == Some(CannotHearReason::Suppressed);
        self.hears_while_suppressed &= suppressed;
        let current = self.cannot_hear.map(|(why, _)| why);
        if current == unhearing || self.hears_while_suppressed {
            return;
        }
        let now = self.clock.elapsed();
        let since = self.cannot_hear.map_or(now, |(_, since)| since);
        self.cannot_hear = unhearing.map(|why| (why, since));
        tracing::info!(
            guild = self.voice_gateway.guild_id,
            ?unhearing,
            "hearing changed"
        );
        let notice = unhearing.map_or(SessionNotice::CanHearAgain, SessionNotice::CannotHear);
        let _ = call.try_send(SessionMessage::PostNotice(notice));
    }

    /// Checks that the driver is alive and that packets arrive while someone speaks.
    fn check_health(&mut self, call: &mpsc::Sender<SessionMessage>) -> SupervisorAction {
        let now = self.clock.elapsed();
        self.supervisor
            .record_liveness(self.driver.poll_last_alive());
        if let Some((CannotHearReason::Suppressed, since)) = self.cannot_hear
            && self
                .packet_sink
                .has_received_after(since + SUPPRESSION_GRACE)
        {
            // Discord sends audio despite the suppression.
            self.on_hearing_changed(None, call);
            self.hears_while_suppressed = true;
        }
        // While there is a known reason for silence, reconnecting would not help.
        let event = if self.cannot_hear.is_none() && self.packet_sink.has_unheard_speaker() {
            ConnectionEvent::SpeakingStarted
        } else {
            ConnectionEvent::PacketReceived
        };
        self.supervisor.handle_event(now, event);
        self.supervisor.advance(now)
    }

    /// Reconnects if the voice server or the channel differs from the current one.
    async fn on_server_or_channel_changed(&mut self) -> SupervisorAction {
        match self.voice_gateway.current_connection_info().await {
            Some(connection_info) if connection_info != self.connection_info => {
                self.connection_info = connection_info;
                self.supervisor.handle_event(
                    self.clock.elapsed(),
                    ConnectionEvent::ServerOrChannelChanged,
                )
            }
            _ => SupervisorAction::Nothing,
        }
    }

    fn on_reconnect_finished(
        &mut self,
        result: Result<ReconnectOutcome, VoiceJoinError>,
    ) -> SupervisorAction {
        self.leave_confirmed = None;
        let now = self.clock.elapsed();
        match result {
            Ok(ReconnectOutcome::GatewayJoined(connection_info)) => {
                self.connection_info = connection_info;
                self.start_driver_connect();
                SupervisorAction::Nothing
            }
            // The driver has already reported this through the sink, in order with later events.
            Ok(ReconnectOutcome::DriverConnected) => SupervisorAction::Nothing,
            Err(VoiceJoinError::ConnectFailed(VoiceConnectError::Refused(code))) => self
                .supervisor
                .handle_event(now, ConnectionEvent::Disconnected(Some(code))),
            Err(error) => {
                tracing::warn!(guild = self.voice_gateway.guild_id, %error, "could not connect to the call");
                self.supervisor
                    .handle_event(now, ConnectionEvent::ConnectFailed)
            }
        }
    }

    fn apply_action(&mut self, action: SupervisorAction) {
        if !matches!(
            action,
            SupervisorAction::Reconnect
                | SupervisorAction::ReplaceDriver
                | SupervisorAction::RejoinChannel
        ) {
            return;
        }
        tracing::info!(
            guild = self.voice_gateway.guild_id,
            step = ?action,
            "reconnecting"
        );
        if let Some(reconnect_task) = self.reconnect_task.take() {
            reconnect_task.abort();
        }
        if action != SupervisorAction::Reconnect {
            self.driver.leave();
            match CallDriver::new(self.voice_gateway.driver_kind, &self.packet_sink) {
                Ok(driver) => self.driver = driver,
                Err(error) => tracing::error!(%error, "could not create a new driver"),
            }
        }
        if action != SupervisorAction::RejoinChannel {
            return self.start_driver_connect();
        }
        let voice_gateway = self.voice_gateway.clone();
        let leave_confirmed = Arc::new(Notify::new());
        self.leave_confirmed = Some(Arc::clone(&leave_confirmed));
        self.reconnect_task = Some(tokio::spawn(async move {
            voice_gateway.leave().await;
            // A late leave confirmation would undo the join that follows.
            let _ = timeout(LEAVE_TIMEOUT, leave_confirmed.notified()).await;
            voice_gateway
                .rejoin()
                .await
                .map(ReconnectOutcome::GatewayJoined)
        }));
    }

    fn start_driver_connect(&mut self) {
        let connecting = self.driver.connect(self.connection_info.clone());
        self.reconnect_task = Some(tokio::spawn(async move {
            connecting.await?;
            Ok(ReconnectOutcome::DriverConnected)
        }));
    }
}
