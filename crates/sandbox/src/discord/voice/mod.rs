//! Voice: the gateway at `wss://localhost:PORT` (versions 4 to 8), RTP over UDP, and end-to-end
//! encryption (DAVE), as <https://discord.com/developers/docs/topics/voice-connections> and
//! <https://daveprotocol.com> publish them.
//!
//! In reading order: `presence` is who is in which channel, as the main gateway tells it; `socket`
//! is one connection, `hear` what is said on it; `call` is everybody in one channel; `dave`
//! delivers the messages of a `group` and proposes its members, `mls` is what they look like; `udp`
//! passes packets on, under `cipher`, over a `network` that loses some; `member` is a person's own
//! client, `speech` what they say; `people` and `faults` are what a test orders.

mod call;
mod cipher;
mod dave;
mod faults;
mod group;
mod hear;
mod member;
mod mls;
mod network;
mod people;
mod presence;
mod socket;
mod speech;
mod udp;
mod wire;

use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;

use super::rest::State;
use call::Calls;

pub use faults::{Passed, VoiceClient};
pub use mls::ExternalAuthority;
pub use network::VoiceNetwork;
pub use people::{OpenMic, Speech, VoiceInvitation};
pub use speech::opus_packets;

/// How often the server looks for what takes too long.
const TICK: Duration = Duration::from_millis(100);

/// The voice server.
#[derive(Debug)]
pub(crate) struct Voice {
    calls: Mutex<Calls>,
    /// Where people's clients run.
    runtime: OnceLock<Handle>,
    udp: OnceLock<UdpSocket>,
    ports: OnceLock<(u16, u16)>,
    /// Sockets are neither read nor written.
    frozen: watch::Sender<bool>,
}

/// The listeners, until somebody serves them.
pub(super) struct VoiceDoors {
    gateway: TcpListener,
    udp: UdpSocket,
}

impl Voice {
    pub(super) fn new() -> Self {
        Self {
            calls: Mutex::new(Calls::new()),
            runtime: OnceLock::new(),
            udp: OnceLock::new(),
            ports: OnceLock::new(),
            frozen: watch::Sender::new(false),
        }
    }

    pub(super) fn open(&self, gateway: TcpListener) -> std::io::Result<VoiceDoors> {
        let udp = UdpSocket::bind(("127.0.0.1", 0))?;
        udp.set_nonblocking(true)?;
        let ports = (gateway.local_addr()?.port(), udp.local_addr()?.port());
        let _ = self.ports.set(ports);
        let _ = self.udp.set(udp.try_clone()?);
        Ok(VoiceDoors { gateway, udp })
    }

    /// Where people's clients shall run.
    pub(crate) fn runs_on(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoint(&self) -> String {
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

impl VoiceDoors {
    pub(super) fn serve(
        self,
        state: &Arc<State>,
        certificate: Arc<ServerConfig>,
    ) -> std::io::Result<()> {
        let gateway = tokio::net::TcpListener::from_std(self.gateway)?;
        tokio::spawn(socket::serve(gateway, certificate, Arc::clone(state)));
        let udp = tokio::net::UdpSocket::from_std(self.udp)?;
        tokio::spawn(udp::serve(udp, Arc::clone(state)));
        let state = Arc::clone(state);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(TICK);
            loop {
                tick.tick().await;
                if state.voice.calls().look_at_the_clock() {
                    state.touch();
                }
            }
        });
        Ok(())
    }
}
