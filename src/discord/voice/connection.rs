//! The connection to a call, and what is done when it is lost.
//!
//! songbird's gateway half joins and leaves, a [`Driver`] receives. A task owns the driver and asks
//! the [`Supervisor`] what to do about everything that happens.

use std::sync::Arc;
use std::time::Duration;

use songbird::error::JoinError;
use songbird::id::{ChannelId, GuildId};
use songbird::{ConnectionInfo, Songbird};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::driver::{CallDriver, VoiceConnectError};
use super::packet_sink::PacketSink;
use crate::config::VoiceDriver;
use crate::flow::job_scheduler::JobScheduler;
use crate::flow::session::actor::SessionMessage;
use crate::flow::session::audio_worker::AudioInput;
use crate::flow::session::clock::SessionClock;
use crate::flow::session::supervisor::{
    ConnectionEvent, DisconnectCause, Supervisor, SupervisorAction,
};
use crate::flow::session::transcript_view::{CannotHearReason, SessionNotice};
use crate::flow::session::{SessionEndReason, session_end};
use crate::store::{OpenSession, SessionId, SessionRecord, Store};

/// The longest time Discord may take to let us into a call.
const JOIN_TIMEOUT: Duration = Duration::from_secs(8);

/// The longest time that word of having left a call is waited for; who was not in it gets none.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);

/// Signs that wait.
const MAX_CONNECTION_EVENTS: usize = 256;

/// Between two looks at whether the driver still lives.
const HEALTH_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// What was said before the bot was suppressed may come so much later.
const SUPPRESSION_GRACE: Duration = Duration::from_millis(500);

/// What the gateway tells about the bot's own place in a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallUpdate {
    /// The server or the channel is another one.
    ServerOrChannelChanged,
    /// The bot is no longer in any channel.
    RemovedFromCall,
    /// Somebody has left and come back within seconds.
    MemberRejoined,
    /// Why the bot hears nobody, if it is so.
    HearingChanged(Option<CannotHearReason>),
}

/// Why a call can't be joined.
#[derive(Debug, thiserror::Error)]
pub(in crate::discord) enum VoiceJoinError {
    /// Discord does not let us in: no right, no room, or no such channel.
    #[error("Discord does not let the bot in")]
    Denied,
    /// There is no connection to the gateway at the moment.
    #[error("no gateway")]
    GatewayUnavailable,
    /// Somebody has ended the session.
    #[error("the session has ended")]
    SessionEnded,
    /// The voice server does not let us in, or does not answer.
    #[error(transparent)]
    ConnectFailed(#[from] VoiceConnectError),
    /// The system gives no thread for a driver.
    #[error("no driver: {0}")]
    DriverUnavailable(std::io::Error),
}

/// The way into the call of one session.
#[derive(Clone)]
pub(super) struct VoiceGateway {
    songbird: Arc<Songbird>,
    driver_kind: VoiceDriver,
    store: Store,
    session_id: SessionId,
    guild_id: u64,
}

/// A call that is connected to.
pub(super) struct VoiceConnection {
    voice_gateway: VoiceGateway,
    driver: CallDriver,
    packet_sink: Arc<PacketSink>,
    connection_events: mpsc::Receiver<ConnectionEvent>,
    supervisor: Supervisor,
    clock: SessionClock,
    connection_info: ConnectionInfo,
    reconnect_task: Option<JoinHandle<Result<ReconnectOutcome, VoiceJoinError>>>,
    /// While we leave in order to join again: told once the gateway says that we have left.
    leave_confirmed: Option<Arc<Notify>>,
    /// Why nobody is heard although there is a connection, and since when.
    cannot_hear: Option<(CannotHearReason, Duration)>,
    /// It hears although it is suppressed.
    hears_while_suppressed: bool,
    /// Since when the session knows that nobody is heard.
    reported_interruption: Option<Duration>,
}

/// How far a new connection has come.
enum ReconnectOutcome {
    /// The gateway has told where the call is.
    GatewayJoined(ConnectionInfo),
    /// The driver is connected.
    DriverConnected,
}

impl VoiceGateway {
    pub(super) fn new(
        songbird: Arc<Songbird>,
        driver_kind: VoiceDriver,
        store: Store,
        session: &SessionRecord,
    ) -> Self {
        Self {
            songbird,
            driver_kind,
            store,
            session_id: session.id,
            guild_id: session.details.guild,
        }
    }

    /// Joins the channel where a session was last, and connects to its call.
    pub(super) async fn connect(
        self,
        open: &OpenSession,
        microphone: AudioInput,
        clock: SessionClock,
    ) -> Result<VoiceConnection, VoiceJoinError> {
        let info = self.join(open).await?;
        let connected = self.clone().connect_driver(info, microphone, clock).await;
        if connected.is_err() {
            // Nobody should see us in a call that we don't hear.
            self.leave().await;
        }
        connected
    }

    async fn connect_driver(
        self,
        info: ConnectionInfo,
        microphone: AudioInput,
        clock: SessionClock,
    ) -> Result<VoiceConnection, VoiceJoinError> {
        let (sender, signs) = mpsc::channel(MAX_CONNECTION_EVENTS);
        let tap = PacketSink::new(microphone, clock, sender);
        let mut driver =
            CallDriver::new(self.driver_kind, &tap).map_err(VoiceJoinError::DriverUnavailable)?;
        let mut supervisor = Supervisor::new(clock.elapsed(), driver.capability());
        driver.connect(info.clone()).await?;
        supervisor.handle_event(clock.elapsed(), ConnectionEvent::Connected);
        Ok(VoiceConnection {
            voice_gateway: self,
            driver,
            packet_sink: tap,
            connection_events: signs,
            supervisor,
            clock,
            connection_info: info,
            reconnect_task: None,
            leave_confirmed: None,
            cannot_hear: None,
            hears_while_suppressed: false,
            reported_interruption: None,
        })
    }

    /// Asks the gateway for a place in the call of a session that nobody has ended.
    async fn join(&self, open: &OpenSession) -> Result<ConnectionInfo, VoiceJoinError> {
        let channel = non_zero_id(open.session().details.voice_channel)
            .map(ChannelId)
            .ok_or(VoiceJoinError::Denied)?;
        let guild = self.songbird_guild_id().ok_or(VoiceJoinError::Denied)?;
        let joined = timeout(JOIN_TIMEOUT, self.songbird.join_gateway(guild, channel)).await;
        match joined {
            Ok(Ok((info, _))) => Ok(info),
            Ok(Err(JoinError::NoSender | JoinError::Serenity(_))) => {
                Err(VoiceJoinError::GatewayUnavailable)
            }
            Ok(Err(_)) | Err(_) => {
                self.leave().await;
                Err(VoiceJoinError::Denied)
            }
        }
    }

    /// The same again, unless somebody has ended the session meanwhile.
    async fn rejoin(&self) -> Result<ConnectionInfo, VoiceJoinError> {
        match self.store.joinable_session(self.session_id).await {
            Ok(Some(open)) => self.join(&open).await,
            Ok(None) => Err(VoiceJoinError::SessionEnded),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "not known whether a session goes on");
                Err(VoiceJoinError::SessionEnded)
            }
        }
    }

    /// Leaves whatever call the bot is in here.
    pub(super) async fn leave(&self) {
        let Some(guild) = self.songbird_guild_id() else {
            return;
        };
        // Also for another process, which may have left the bot sitting there.
        self.songbird.get_or_insert(guild);
        // What can't be told to the gateway now, the next connection will not know.
        let _ = timeout(JOIN_TIMEOUT, self.songbird.remove(guild)).await;
    }

    /// What the gateway has told last about where the call is.
    async fn current_connection_info(&self) -> Option<ConnectionInfo> {
        let call = self.songbird.get(self.songbird_guild_id()?)?;
        let call = call.lock().await;
        call.current_connection().cloned()
    }

    fn songbird_guild_id(&self) -> Option<GuildId> {
        non_zero_id(self.guild_id).map(GuildId)
    }
}

impl VoiceConnection {
    /// Keeps connected until `stop`, or until there is nothing to be connected to.
    pub(super) async fn run(
        mut self,
        mut notices: mpsc::Receiver<CallUpdate>,
        call: mpsc::Sender<SessionMessage>,
        desk: Arc<JobScheduler>,
        stop: CancellationToken,
    ) {
        let mut look = interval(HEALTH_CHECK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = self.clock.elapsed();
            let step = tokio::select! {
                () = stop.cancelled() => break,
                notice = notices.recv() => match notice {
                    None => break,
                    Some(CallUpdate::RemovedFromCall) => match self.leave_confirmed.take() {
                        Some(left) => {
                            left.notify_one();
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
                Some(sign) = self.connection_events.recv() => self.supervisor.handle_event(now, sign),
                dialed = async {
                    match &mut self.reconnect_task {
                        Some(dialing) => dialing.await,
                        None => std::future::pending().await,
                    }
                } => {
                    self.reconnect_task = None;
                    self.on_reconnect_finished(dialed.unwrap_or(Err(VoiceJoinError::GatewayUnavailable)))
                }
                _ = look.tick() => self.check_health(&call),
            };
            self.report_interruption(&call);
            if let SupervisorAction::End(cause) = step {
                tracing::warn!(
                    guild = self.voice_gateway.guild_id,
                    ?cause,
                    "the call is over"
                );
                let ending = match cause {
                    DisconnectCause::RemovedFromCall => SessionEndReason::RemovedFromCall,
                    DisconnectCause::Refused(code) => SessionEndReason::Refused(code),
                    DisconnectCause::Unreachable => SessionEndReason::Unreachable,
                };
                let noted =
                    session_end::record_end(desk.runner(), self.voice_gateway.session_id, ending)
                        .await;
                let _ = call.send(SessionMessage::End(noted)).await;
                break;
            }
            self.apply_step(step);
        }
        if let Some(dialing) = self.reconnect_task.take() {
            dialing.abort();
        }
        self.driver.leave();
        self.voice_gateway.leave().await;
    }

    /// Tells the session since when nobody is heard, or that people are heard again.
    fn report_interruption(&mut self, call: &mpsc::Sender<SessionMessage>) {
        let unhearing = self.cannot_hear.map(|(_, since)| since);
        let lost = self.supervisor.interrupted_since();
        let deaf = unhearing.into_iter().chain(lost).min();
        let now = self.clock.elapsed();
        let message = match (self.reported_interruption, deaf) {
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

    /// The gateway has told why the bot hears nobody, or that it does.
    fn on_hearing_changed(
        &mut self,
        unhearing: Option<CannotHearReason>,
        call: &mpsc::Sender<SessionMessage>,
    ) {
        let suppressed = unhearing == Some(CannotHearReason::Suppressed);
        self.hears_while_suppressed &= suppressed;
        let known = self.cannot_hear.map(|(why, _)| why);
        if known == unhearing || self.hears_while_suppressed {
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
        let remark = unhearing.map_or(SessionNotice::CanHearAgain, SessionNotice::CannotHear);
        let _ = call.try_send(SessionMessage::PostNotice(remark));
    }

    /// Whether the driver still lives, and everybody who speaks is heard.
    fn check_health(&mut self, call: &mpsc::Sender<SessionMessage>) -> SupervisorAction {
        let now = self.clock.elapsed();
        self.supervisor
            .record_liveness(self.driver.poll_last_alive());
        if let Some((CannotHearReason::Suppressed, since)) = self.cannot_hear
            && self
                .packet_sink
                .has_received_after(since + SUPPRESSION_GRACE)
        {
            // Discord does not keep anything from us after all.
            self.on_hearing_changed(None, call);
            self.hears_while_suppressed = true;
        }
        // While nobody is heard for a reason, another connection would change nothing.
        let heard = if self.cannot_hear.is_none() && self.packet_sink.has_unheard_speaker() {
            ConnectionEvent::SpeakingStarted
        } else {
            ConnectionEvent::PacketReceived
        };
        self.supervisor.handle_event(now, heard);
        self.supervisor.advance(now)
    }

    /// The gateway has told something about the call; whether it is new.
    async fn on_server_or_channel_changed(&mut self) -> SupervisorAction {
        match self.voice_gateway.current_connection_info().await {
            Some(info) if info != self.connection_info => {
                self.connection_info = info;
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
        dialed: Result<ReconnectOutcome, VoiceJoinError>,
    ) -> SupervisorAction {
        self.leave_confirmed = None;
        let now = self.clock.elapsed();
        match dialed {
            Ok(ReconnectOutcome::GatewayJoined(info)) => {
                self.connection_info = info;
                self.start_driver_connect();
                SupervisorAction::Nothing
            }
            // The driver has said so, and what came after it, in order.
            Ok(ReconnectOutcome::DriverConnected) => SupervisorAction::Nothing,
            Err(VoiceJoinError::ConnectFailed(VoiceConnectError::Refused(code))) => self
                .supervisor
                .handle_event(now, ConnectionEvent::Disconnected(Some(code))),
            Err(error) => {
                tracing::warn!(guild = self.voice_gateway.guild_id, %error, "not connected to a call");
                self.supervisor
                    .handle_event(now, ConnectionEvent::ConnectFailed)
            }
        }
    }

    fn apply_step(&mut self, step: SupervisorAction) {
        if !matches!(
            step,
            SupervisorAction::Reconnect
                | SupervisorAction::ReplaceDriver
                | SupervisorAction::RejoinChannel
        ) {
            return;
        }
        tracing::info!(
            guild = self.voice_gateway.guild_id,
            ?step,
            "connecting anew"
        );
        if let Some(dialing) = self.reconnect_task.take() {
            dialing.abort();
        }
        if step != SupervisorAction::Reconnect {
            self.driver.leave();
            match CallDriver::new(self.voice_gateway.driver_kind, &self.packet_sink) {
                Ok(driver) => self.driver = driver,
                Err(error) => tracing::error!(%error, "no new driver"),
            }
        }
        if step != SupervisorAction::RejoinChannel {
            return self.start_driver_connect();
        }
        let line = self.voice_gateway.clone();
        let left = Arc::new(Notify::new());
        self.leave_confirmed = Some(Arc::clone(&left));
        self.reconnect_task = Some(tokio::spawn(async move {
            line.leave().await;
            // Word of having left would undo a join that it comes after.
            let _ = timeout(LEAVE_TIMEOUT, left.notified()).await;
            line.rejoin().await.map(ReconnectOutcome::GatewayJoined)
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

fn non_zero_id(number: u64) -> Option<std::num::NonZeroU64> {
    std::num::NonZeroU64::new(number)
}
