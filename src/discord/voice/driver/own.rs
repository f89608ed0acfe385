//! Our own receiver ([`voice_receive`]).

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use songbird::ConnectionInfo;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::super::tap::{Packet, Tap};
use super::NotConnected;
use super::counted::Counted;
use voice_receive::{Handle, Heard, Options};

/// The longest time it may take to connect, with all its tries.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);

pub(in super::super) struct Driver {
    tap: Arc<Tap>,
    call: Option<Call>,
}

/// A call that is connected to, or was, or is about to be.
struct Call {
    handle: Handle,
    asked: Arc<Asked>,
    counted: Counted,
    _pump: AbortOnDropHandle<()>,
}

impl Call {
    fn new(info: voice_receive::ConnectionInfo, tap: &Arc<Tap>) -> Self {
        let (handle, heard) = voice_receive::connect(info, Options::default());
        let asked = Arc::<Asked>::default();
        let pump = tokio::spawn(pump(heard, Arc::clone(tap), Arc::clone(&asked)));
        Self {
            handle,
            asked,
            counted: Counted::default(),
            _pump: AbortOnDropHandle::new(pump),
        }
    }

    fn count(&mut self) {
        self.counted.add(self.handle.counts());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.count();
    }
}

impl Driver {
    pub(super) fn new(tap: &Arc<Tap>) -> Self {
        Self {
            tap: Arc::clone(tap),
            call: None,
        }
    }

    /// Once there is a connection it is only told where to go on: what is known of people is kept,
    /// and nothing they say is lost.
    pub(super) fn connect(
        &mut self,
        info: &ConnectionInfo,
    ) -> impl Future<Output = Result<(), NotConnected>> + Send + 'static + use<> {
        let info = translated(info);
        let told = match &self.call {
            Some(call) => {
                let told = call.asked.ask();
                call.handle.update(info);
                told
            }
            None => {
                let call = self.call.insert(Call::new(info, &self.tap));
                call.asked.ask()
            }
        };
        async move {
            match timeout(CONNECT_LIMIT, told).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => Err(NotConnected::Server("asked to do something else".into())),
                Err(_) => Err(NotConnected::Server("no answer in time".into())),
            }
        }
    }

    pub(super) fn leave(&mut self) {
        self.call = None;
    }

    pub(super) fn look(&mut self) -> Duration {
        self.call.as_mut().map_or(Duration::ZERO, |call| {
            call.count();
            self.tap.clock().at_instant(call.handle.alive())
        })
    }
}

/// Whoever waits for a connection.
#[derive(Default)]
struct Asked(Mutex<Option<oneshot::Sender<Result<(), NotConnected>>>>);

impl Asked {
    /// From now on somebody does; who did before gets no answer.
    fn ask(&self) -> oneshot::Receiver<Result<(), NotConnected>> {
        let (sender, told) = oneshot::channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        told
    }

    /// Whether somebody was told.
    fn answer(&self, outcome: Result<(), NotConnected>) -> bool {
        let asked = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        asked.is_some_and(|asked| asked.send(outcome).is_ok())
    }
}

/// Passes on what is heard, as long as something is. Nothing it does can wait.
async fn pump(mut heard: mpsc::Receiver<Heard>, tap: Arc<Tap>, asked: Arc<Asked>) {
    // The stream of everybody who talks. The receiver bounds how many can.
    let mut streams = HashMap::new();
    while let Some(heard) = heard.recv().await {
        match heard {
            Heard::Packets(packets) => {
                tap.hears();
                pass(packets, &mut streams, &tap);
            }
            Heard::Speaks { .. } => tap.speaks(),
            Heard::Left { user } => tap.left(user),
            Heard::Connected => {
                tap.connected();
                asked.answer(Ok(()));
            }
            Heard::Deaf { since } => tap.deaf(since),
            Heard::Lost { since, code } => {
                tap.deaf(since);
                lost(&tap, &asked, code);
            }
        }
    }
    // Who is not asked for anything has left the call, or is missed by whoever looks after it.
    asked.answer(Err(NotConnected::Server("it has ended".into())));
}

/// Somebody can come back before the call is told that they had left. The numbers of their new
/// stream have nothing to do with the old one's.
fn pass(packets: Vec<voice_receive::Packet>, streams: &mut HashMap<u64, u32>, tap: &Tap) {
    let mut passed = Vec::with_capacity(packets.len());
    for heard in packets {
        let before = streams.insert(heard.user, heard.ssrc);
        if before.is_some_and(|before| before != heard.ssrc) {
            tap.packets(passed.drain(..));
            tap.left(heard.user);
        }
        passed.push(packet(heard));
    }
    tap.packets(passed);
}

/// Whoever waits for a connection is told that there is none, and else whoever has one.
fn lost(tap: &Tap, asked: &Asked, code: Option<u16>) {
    let outcome = match code {
        Some(code) => NotConnected::Refused(code),
        None => NotConnected::Server("no connection".into()),
    };
    if !asked.answer(Err(outcome)) {
        tap.lost(code);
    }
}

fn packet(heard: voice_receive::Packet) -> Packet {
    Packet {
        person: heard.user,
        sequence: heard.sequence,
        timestamp: heard.timestamp,
        opus: heard.opus,
        received: heard.received,
    }
}

fn translated(info: &ConnectionInfo) -> voice_receive::ConnectionInfo {
    voice_receive::ConnectionInfo {
        guild: info.guild_id.0.get(),
        channel: info.channel_id.0.get(),
        user: info.user_id.0.get(),
        session: info.session_id.clone(),
        token: info.token.clone().into(),
        endpoint: info.endpoint.clone(),
    }
}
