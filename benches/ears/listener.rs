//! Who listens: our own receiver, or songbird's driver as the bot uses it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::VoiceConnectionInfo;
use tokio::runtime::{Builder, Runtime};
use voice_receive::{ReceiveStats, VoiceHandle};

use super::receiver_log::ReceiverLog;
use super::{Outcome, own_receiver, songbird_receiver};

/// What threads of a listener are called.
pub(crate) const LISTENER_THREAD: &str = "listener";

/// Between two looks at what has come of something.
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

/// One who listens, on a thread of their own: songbird can block its thread for good.
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
        let ears = match kind {
            ReceiverKind::Own => ActiveReceiver::Own(None),
            ReceiverKind::Songbird => {
                let _on_it = runtime.enter();
                ActiveReceiver::Songbird(Box::new(songbird_receiver::logging_driver(&log)))
            }
        };
        Ok(Self {
            log,
            receiver: ears,
            runtime: Some(runtime),
        })
    }

    /// Joins a call, and is connected in this time or says why not.
    pub(crate) async fn join(
        &mut self,
        invited: &VoiceConnectionInfo,
        limit: Duration,
    ) -> Result<(), String> {
        let runtime = self.runtime.as_ref().ok_or("no runtime")?;
        let (before, _) = self.log.state();
        self.log.record_reconnecting();
        let on_it = runtime.enter();
        match &mut self.receiver {
            ActiveReceiver::Own(handle) => {
                *handle = Some(own_receiver::connect(invited, &self.log));
                drop(on_it);
            }
            ActiveReceiver::Songbird(driver) => {
                let connecting = driver.connect(songbird_receiver::connection_info(invited)?);
                drop(on_it);
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

    /// What the listener itself says of what it has not heard.
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
            // Whoever is blocked for good can't be waited for.
            runtime.shutdown_background();
        }
    }
}
