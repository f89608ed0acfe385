//! Driver on top of our own receiver, [`voice_receive`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use songbird::ConnectionInfo;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::packet_sink::{PacketSink, SpeakerPacket};
use super::VoiceConnectError;
use super::receiver_metrics::ReceiverMetrics;
use voice_receive::{ConnectOptions, VoiceEvent, VoiceHandle};

/// Longest time that connecting may take, including retries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

pub(in super::super) struct TalkbackDriver {
    packet_sink: Arc<PacketSink>,
    call: Option<ActiveCall>,
}

/// A call that is, was or will be connected.
struct ActiveCall {
    handle: VoiceHandle,
    connect_waiter: Arc<ConnectWaiter>,
    receiver_metrics: ReceiverMetrics,
    _forward_task: AbortOnDropHandle<()>,
}

impl ActiveCall {
    fn new(info: voice_receive::ConnectionInfo, tap: &Arc<PacketSink>) -> Self {
        let (handle, heard) = voice_receive::connect(info, ConnectOptions::default());
        let connect_waiter = Arc::<ConnectWaiter>::default();
        let pump = tokio::spawn(forward_events(
            heard,
            Arc::clone(tap),
            Arc::clone(&connect_waiter),
        ));
        Self {
            handle,
            connect_waiter,
            receiver_metrics: ReceiverMetrics::default(),
            _forward_task: AbortOnDropHandle::new(pump),
        }
    }

    fn report_metrics(&mut self) {
        self.receiver_metrics.report(self.handle.stats());
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.report_metrics();
    }
}

impl TalkbackDriver {
    pub(super) fn new(tap: &Arc<PacketSink>) -> Self {
        Self {
            packet_sink: Arc::clone(tap),
            call: None,
        }
    }

    /// Connects. If there is a call already, the receiver switches to the new server: it keeps the
    /// known users, and no audio is lost.
    pub(super) fn connect(
        &mut self,
        info: &ConnectionInfo,
    ) -> impl Future<Output = Result<(), VoiceConnectError>> + Send + 'static + use<> {
        let info = to_receiver_info(info);
        let told = match &self.call {
            Some(call) => {
                let told = call.connect_waiter.register();
                call.handle.update(info);
                told
            }
            None => {
                let call = self.call.insert(ActiveCall::new(info, &self.packet_sink));
                call.connect_waiter.register()
            }
        };
        async move {
            match timeout(CONNECT_TIMEOUT, told).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(VoiceConnectError::VoiceServer(
                    "asked to do something else".into(),
                )),
                Err(_) => Err(VoiceConnectError::VoiceServer("no answer in time".into())),
            }
        }
    }

    pub(super) fn leave(&mut self) {
        self.call = None;
    }

    pub(super) fn poll_last_alive(&mut self) -> Duration {
        self.call.as_mut().map_or(Duration::ZERO, |call| {
            call.report_metrics();
            self.packet_sink
                .clock()
                .elapsed_at(call.handle.last_alive())
        })
    }
}

/// The pending `connect`, if there is one.
#[derive(Default)]
struct ConnectWaiter(Mutex<Option<oneshot::Sender<Result<(), VoiceConnectError>>>>);

impl ConnectWaiter {
    /// Registers a new `connect`; an earlier one gets no answer.
    fn register(&self) -> oneshot::Receiver<Result<(), VoiceConnectError>> {
        let (sender, told) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        told
    }

    /// Answers the pending `connect`. Returns whether there was one.
    fn resolve(&self, outcome: Result<(), VoiceConnectError>) -> bool {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        asked.is_some_and(|asked| asked.send(outcome).is_ok())
    }
}

/// Forwards the receiver's events to the sink until the receiver ends. Never blocks.
async fn forward_events(
    mut heard: mpsc::Receiver<VoiceEvent>,
    tap: Arc<PacketSink>,
    asked: Arc<ConnectWaiter>,
) {
    // The SSRC of each user. The receiver bounds their number.
    let mut streams = HashMap::new();
    while let Some(heard) = heard.recv().await {
        match heard {
            VoiceEvent::Packets(packets) => {
                tap.on_network_packet();
                forward_packets(packets, &mut streams, &tap);
            }
            VoiceEvent::Speaking { .. } => tap.on_speaking(),
            VoiceEvent::UserLeft { user_id: user } => tap.on_user_left(user),
            VoiceEvent::Connected => {
                tap.on_connected();
                asked.resolve(Ok(()));
            }
            VoiceEvent::Interrupted { since } => tap.on_interrupted(since),
            VoiceEvent::ConnectionLost {
                since,
                close_code: code,
            } => {
                tap.on_interrupted(since);
                report_lost(&tap, &asked, code);
            }
        }
    }
    // The receiver has stopped: the driver has left, or is replaced once its liveness times out.
    asked.resolve(Err(VoiceConnectError::VoiceServer("it has ended".into())));
}

/// Forwards packets. A user may rejoin before their leave is announced; their new stream has
/// unrelated sequence numbers, so the old one is finished first.
fn forward_packets(
    packets: Vec<voice_receive::OpusPacket>,
    streams: &mut HashMap<u64, u32>,
    tap: &PacketSink,
) {
    let mut passed = Vec::with_capacity(packets.len());
    for heard in packets {
        let before = streams.insert(heard.user_id, heard.ssrc);
        if before.is_some_and(|before| before != heard.ssrc) {
            tap.push_packets(passed.drain(..));
            tap.on_user_left(heard.user_id);
        }
        passed.push(to_speaker_packet(heard));
    }
    tap.push_packets(passed);
}

/// Answers the pending `connect` with the error. Without one, an established connection was lost.
fn report_lost(tap: &PacketSink, asked: &ConnectWaiter, code: Option<u16>) {
    let outcome = match code {
        Some(code) => VoiceConnectError::Refused(code),
        None => VoiceConnectError::VoiceServer("no connection".into()),
    };
    if !asked.resolve(Err(outcome)) {
        tap.on_connection_lost(code);
    }
}

fn to_speaker_packet(heard: voice_receive::OpusPacket) -> SpeakerPacket {
    SpeakerPacket {
        user_id: heard.user_id,
        sequence: heard.sequence,
        timestamp: heard.timestamp,
        opus: heard.opus,
        received_at: heard.received,
    }
}

fn to_receiver_info(info: &ConnectionInfo) -> voice_receive::ConnectionInfo {
    voice_receive::ConnectionInfo {
        guild_id: info.guild_id.0.get(),
        channel_id: info.channel_id.0.get(),
        user_id: info.user_id.0.get(),
        session_id: info.session_id.clone(),
        token: info.token.clone().into(),
        endpoint: info.endpoint.clone(),
    }
}
