//! Who listens: our own receiver, or songbird's driver as the bot uses it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sandbox::VoiceInvitation;
use tokio::runtime::{Builder, Runtime};
use voice_receive::{Counts, Handle};

use super::log::Log;
use super::{Outcome, own, theirs};

/// What threads of a listener are called.
pub(crate) const THREAD: &str = "listener";

/// Between two looks at what has come of something.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Own,
    Songbird,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Songbird => "songbird",
        }
    }
}

/// One who listens, on a thread of their own: songbird can block its thread for good.
pub(crate) struct Listener {
    pub(crate) log: Arc<Log>,
    ears: Ears,
    runtime: Option<Runtime>,
}

enum Ears {
    Own(Option<Handle>),
    Songbird(Box<songbird::Driver>),
}

impl Listener {
    pub(crate) fn new(kind: Kind) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD)
            .enable_all()
            .build()?;
        let log = Arc::new(Log::default());
        let ears = match kind {
            Kind::Own => Ears::Own(None),
            Kind::Songbird => {
                let _on_it = runtime.enter();
                Ears::Songbird(Box::new(theirs::driver(&log)))
            }
        };
        Ok(Self {
            log,
            ears,
            runtime: Some(runtime),
        })
    }

    /// Joins a call, and is connected in this time or says why not.
    pub(crate) async fn joins(
        &mut self,
        invited: &VoiceInvitation,
        limit: Duration,
    ) -> Result<(), String> {
        let runtime = self.runtime.as_ref().ok_or("no runtime")?;
        let (before, _) = self.log.state();
        self.log.begins();
        let on_it = runtime.enter();
        match &mut self.ears {
            Ears::Own(handle) => {
                *handle = Some(own::connects(invited, &self.log));
                drop(on_it);
            }
            Ears::Songbird(driver) => {
                let connecting = driver.connect(theirs::info(invited)?);
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
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Leaves the call.
    pub(crate) fn leaves(&mut self) {
        match &mut self.ears {
            Ears::Own(handle) => *handle = None,
            Ears::Songbird(driver) => driver.leave(),
        }
    }

    /// What the listener itself says of what it has not heard.
    pub(crate) fn counts(&self) -> Option<Counts> {
        match &self.ears {
            Ears::Own(handle) => handle.as_ref().map(Handle::counts),
            Ears::Songbird(_) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.leaves();
        if let Some(runtime) = self.runtime.take() {
            // Whoever is blocked for good can't be waited for.
            runtime.shutdown_background();
        }
    }
}
