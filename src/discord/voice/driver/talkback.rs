//! Driver on top of our own receiver, [`voice_receive`].

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use songbird::ConnectionInfo;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::packet_sink::PacketSink;
use super::VoiceConnectError;
use super::receiver_metrics::ReceiverMetrics;
use audio::VoicePacket;
use voice_receive::{ConnectOptions, OpusPacket, VoiceEvent, VoiceHandle};

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
    fn new(info: voice_receive::ConnectionInfo, packet_sink: &Arc<PacketSink>) -> Self {
        let (handle, events) = voice_receive::connect(info, ConnectOptions::default());
        let connect_waiter = Arc::<ConnectWaiter>::default();
        let forward_task = tokio::spawn(forward_events(
            events,
            Arc::clone(packet_sink),
            Arc::clone(&connect_waiter),
        ));
        Self {
            handle,
            connect_waiter,
            receiver_metrics: ReceiverMetrics::default(),
            _forward_task: AbortOnDropHandle::new(forward_task),
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
    pub(super) fn new(packet_sink: &Arc<PacketSink>) -> Self {
        Self {
            packet_sink: Arc::clone(packet_sink),
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
        let outcome = match &self.call {
            Some(call) => {
                let outcome = call.connect_waiter.register();
                call.handle.update(info);
                outcome
            }
            None => {
                let call = self.call.insert(ActiveCall::new(info, &self.packet_sink));
                call.connect_waiter.register()
            }
        };
        async move {
            match timeout(CONNECT_TIMEOUT, outcome).await {
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
        let (sender, receiver) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        receiver
    }

    /// Answers the pending `connect`. Returns whether there was one.
    fn resolve(&self, outcome: Result<(), VoiceConnectError>) -> bool {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        sender.is_some_and(|sender| sender.send(outcome).is_ok())
    }
}

/// Forwards the receiver's events to the sink until the receiver ends. Never blocks.
async fn forward_events(
    mut events: mpsc::Receiver<VoiceEvent>,
    packet_sink: Arc<PacketSink>,
    connect_waiter: Arc<ConnectWaiter>,
) {
    // The SSRC of each user. The receiver bounds their number.
    let mut ssrcs = HashMap::new();
    while let Some(event) = events.recv().await {
        match event {
            VoiceEvent::Packets(packets) => {
                packet_sink.on_network_packet();
                forward_packets(packets, &mut ssrcs, &packet_sink);
            }
            VoiceEvent::Speaking { .. } => packet_sink.on_speaking(),
            VoiceEvent::UserLeft { user_id } => packet_sink.on_user_left(user_id),
            VoiceEvent::Connected => {
                packet_sink.on_connected();
                connect_waiter.resolve(Ok(()));
            }
            VoiceEvent::Interrupted { since } => packet_sink.on_interrupted(since),
            VoiceEvent::ConnectionLost {
                since,
                close_code: code,
            } => {
                packet_sink.on_interrupted(since);
                report_lost(&packet_sink, &connect_waiter, code);
            }
        }
    }
    // The receiver has stopped: the driver has left, or is replaced once its liveness times out.
    connect_waiter.resolve(Err(VoiceConnectError::VoiceServer("it has ended".into())));
}

/// Forwards packets. A user may rejoin before their leave is announced; their new stream has
/// unrelated sequence numbers, so the old one is finished first.
fn forward_packets(
    packets: Vec<OpusPacket>,
    ssrcs: &mut HashMap<u64, u32>,
    packet_sink: &PacketSink,
) {
    let mut forwarded = Vec::with_capacity(packets.len());
    for packet in packets {
        let previous = ssrcs.insert(packet.user_id, packet.ssrc);
        if previous.is_some_and(|previous| previous != packet.ssrc) {
            packet_sink.push_packets(forwarded.drain(..));
            packet_sink.on_user_left(packet.user_id);
        }
        forwarded.push(to_session_time(packet, packet_sink));
    }
    packet_sink.push_packets(forwarded);
}

/// Answers the pending `connect` with the error. Without one, an established connection was lost.
fn report_lost(packet_sink: &PacketSink, connect_waiter: &ConnectWaiter, code: Option<u16>) {
    let outcome = match code {
        Some(code) => VoiceConnectError::Refused(code),
        None => VoiceConnectError::VoiceServer("no connection".into()),
    };
    if !connect_waiter.resolve(Err(outcome)) {
        packet_sink.on_connection_lost(code);
    }
}

/// The packet as the jitter buffer takes it: received at a session time, not at an [`Instant`].
///
/// [`Instant`]: std::time::Instant
fn to_session_time(packet: OpusPacket, packet_sink: &PacketSink) -> (u64, VoicePacket) {
    let received = packet_sink.clock().elapsed_at(packet.received);
    let OpusPacket {
        user_id,
        sequence,
        timestamp,
        opus,
        ..
    } = packet;
    let packet = VoicePacket {
        sequence,
        timestamp,
        opus,
        received,
    };
    (user_id, packet)
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
