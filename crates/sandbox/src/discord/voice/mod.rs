//! Voice: the gateway at `wss://localhost:PORT` (versions 4 to 8), RTP over UDP, and end-to-end
//! encryption (DAVE), as <https://discord.com/developers/docs/topics/voice-connections> and
//! <https://daveprotocol.com> publish them.
//!
//! In reading order: `presence` is who is in which channel, as the main gateway tells it; `socket`
//! is one connection, `hear` what is said on it; `call` is everybody in one channel; `dave`
//! delivers the messages of a `group` and proposes its members, `mls` is what they look like; `udp`
//! passes packets on, under `cipher`, over a `network` that loses some; `member` is a person's own
//! client, `speech` what they say; `people` and `faults` are what a test orders.

mod client_messages;
mod dave;
mod dave_group;
mod frames;
mod gateway_connection;
mod handles;
mod mls;
mod network;
mod server_state;
mod simulated_client;
mod speech;
mod test_controls;
mod transport_cipher;
mod udp;
mod voice_states;

use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use super::rest_api::DiscordState;
use server_state::VoiceServerState;

pub use handles::{OngoingSpeech, OpenMic, VoiceConnectionInfo};
pub use mls::ExternalSender;
pub use network::VoiceNetwork;
pub use speech::opus_packets;
pub use test_controls::{ForwardedPacket, VoiceClient};

/// How often the server looks for what takes too long.
const DEADLINE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The voice server.
#[derive(Debug)]
pub(crate) struct VoiceServer {
    state: Mutex<VoiceServerState>,
    /// Where people's clients run.
    runtime: OnceLock<Handle>,
    udp: OnceLock<UdpSocket>,
    ports: OnceLock<(u16, u16)>,
    /// Sockets are neither read nor written.
    frozen: watch::Sender<bool>,
}

/// The listeners, until somebody serves them.
pub(super) struct VoiceListeners {
    gateway: TcpListener,
    udp: UdpSocket,
}

impl VoiceServer {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(VoiceServerState::new()),
            runtime: OnceLock::new(),
            udp: OnceLock::new(),
            ports: OnceLock::new(),
            frozen: watch::Sender::new(false),
        }
    }

    pub(super) fn bind(&self, gateway: TcpListener) -> std::io::Result<VoiceListeners> {
        let udp = UdpSocket::bind(("127.0.0.1", 0))?;
        udp.set_nonblocking(true)?;
        let ports = (gateway.local_addr()?.port(), udp.local_addr()?.port());
        let _ = self.ports.set(ports);
        let _ = self.udp.set(udp.try_clone()?);
        Ok(VoiceListeners { gateway, udp })
    }

    /// Where people's clients shall run.
    pub(crate) fn set_runtime(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    fn state(&self) -> MutexGuard<'_, VoiceServerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gateway_authority(&self) -> String {
        format!("localhost:{}", self.ports.get().map_or(0, |it| it.0))
    }

    fn udp_port(&self) -> u16 {
        self.ports.get().map_or(0, |it| it.1)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let runtime = self.runtime.get().expect("the sandbox runs");
        runtime.spawn(task);
    }
}

impl VoiceListeners {
    pub(super) fn serve(
        self,
        state: &Arc<DiscordState>,
        certificate: Arc<ServerConfig>,
    ) -> std::io::Result<()> {
        let gateway = tokio::net::TcpListener::from_std(self.gateway)?;
        tokio::spawn(gateway_connection::serve(
            gateway,
            certificate,
            Arc::clone(state),
        ));
        let udp = tokio::net::UdpSocket::from_std(self.udp)?;
        tokio::spawn(udp::serve(udp, Arc::clone(state)));
        let state = Arc::clone(state);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(DEADLINE_CHECK_INTERVAL);
            loop {
                tick.tick().await;
                if state.voice.state().expire_deadlines() {
                    state.notify_changed();
                }
            }
        });
        Ok(())
    }
}
