//! The listener under test: our own receiver, or songbird's driver as the bot uses it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::VoiceConnectionInfo;
use tokio::runtime::{Builder, Runtime};
use voice_receive::{ReceiveStats, VoiceHandle};

use super::receiver_log::ReceiverLog;
use super::{Outcome, own_receiver, songbird_receiver};

/// The name of listeners' threads.
pub(crate) const LISTENER_THREAD: &str = "listener";

/// How often the state is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ReceiverKind {
    Own,
    Songbird,
}

impl ReceiverKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Songbird => "songbird",
        }
    }
}

/// A listener on a runtime of its own: songbird can block its thread for good.
pub(crate) struct BenchListener {
    pub(crate) log: Arc<ReceiverLog>,
    receiver: ActiveReceiver,
    runtime: Option<Runtime>,
}

enum ActiveReceiver {
    Own(Option<VoiceHandle>),
    Songbird(Box<songbird::Driver>),
}

impl BenchListener {
    pub(crate) fn new(kind: ReceiverKind) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(LISTENER_THREAD)
            .enable_all()
            .build()?;
        let log = Arc::new(ReceiverLog::default());
        let receiver = match kind {
            ReceiverKind::Own => ActiveReceiver::Own(None),
            ReceiverKind::Songbird => {
                let _guard = runtime.enter();
                ActiveReceiver::Songbird(Box::new(songbird_receiver::logging_driver(&log)))
            }
        };
        Ok(Self {
            log,
            receiver,
            runtime: Some(runtime),
        })
    }

    /// Joins a call. Fails if it is not connected within `limit`.
    pub(crate) async fn join(
        &mut self,
        invited: &VoiceConnectionInfo,
        limit: Duration,
    ) -> Result<(), String> {
        let runtime = self.runtime.as_ref().ok_or("no runtime")?;
        let (before, _) = self.log.state();
        self.log.record_reconnecting();
        let guard = runtime.enter();
        match &mut self.receiver {
            ActiveReceiver::Own(handle) => {
                *handle = Some(own_receiver::connect(invited, &self.log));
                drop(guard);
            }
            ActiveReceiver::Songbird(driver) => {
                let connecting = driver.connect(songbird_receiver::connection_info(invited)?);
                drop(guard);
                return match tokio::time::timeout(limit, connecting).await {
                    Ok(connected) => connected.map_err(|error| error.to_string()),
                    Err(_) => Err("not connected in time".to_owned()),
                };
            }
        }
        let deadline = Instant::now() + limit;
        loop {
            match self.log.state() {
                (connected, _) if connected > before => return Ok(()),
                (_, Some(why)) => return Err(why),
                _ if Instant::now() > deadline => return Err("not connected in time".to_owned()),
                _ => tokio::time::sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Leaves the call.
    pub(crate) fn leave(&mut self) {
        match &mut self.receiver {
            ActiveReceiver::Own(handle) => *handle = None,
            ActiveReceiver::Songbird(driver) => driver.leave(),
        }
    }

    /// The receiver's own counters; songbird has none.
    pub(crate) fn stats(&self) -> Option<ReceiveStats> {
        match &self.receiver {
            ActiveReceiver::Own(handle) => handle.as_ref().map(VoiceHandle::stats),
            ActiveReceiver::Songbird(_) => None,
        }
    }
}

impl Drop for BenchListener {
    fn drop(&mut self) {
        self.leave();
        if let Some(runtime) = self.runtime.take() {
            // It does not wait for threads that are blocked for good.
            runtime.shutdown_background();
        }
    }
}
