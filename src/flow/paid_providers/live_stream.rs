//! Metered live streams. A stream is paid for in slices: each is reserved before any of it is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::flow::admission::{CallCost, Payer, Permit};
use crate::speech::{Hints, LiveMeter, LiveTranscriber, LiveTranscription, SpeechError};
use crate::store::UsageAccount;

/// Length of the slice of a stream that is reserved at a time.
pub const STREAM_SLICE: Duration = Duration::from_secs(10);

/// The next slice is requested when less than this is left.
const RENEW_BELOW: Duration = Duration::from_secs(2);

/// How often the usage of a stream is checked.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long a stopped stream may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A live transcriber whose streams cost money.
#[derive(Clone)]
pub struct PaidLiveTranscriber(Arc<dyn LiveTranscriber>);

impl PaidLiveTranscriber {
    /// Wraps a client.
    #[must_use]
    pub fn new(client: Arc<dyn LiveTranscriber>) -> Self {
        Self(client)
    }

    /// Like [`LiveTranscriber::name`].
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name()
    }

    /// Like [`LiveTranscriber::start_stream`]. The permit covers the first [`STREAM_SLICE`]; a new
    /// one is requested for each further slice, and the stream ends if it is refused. Usage is
    /// metered until the provider's session ends, even if the speaker leaves before.
    #[must_use]
    pub fn listen(
        &self,
        permit: Permit,
        (payer, account): (Payer, UsageAccount),
        hints: Hints,
    ) -> LiveTranscription {
        let transcription = self.0.start_stream(hints);
        let meter = transcription.meter();
        let tasks = permit.task_tracker();
        tasks.spawn(meter_stream(permit, (payer, account), meter));
        transcription
    }

    /// Like [`LiveTranscriber::probe`].
    ///
    /// # Errors
    ///
    /// Why it would not work.
    pub async fn probe(&self) -> Result<(), SpeechError> {
        self.0.probe().await
    }
}

/// Requests and settles permits slice by slice until the stream ends.
async fn meter_stream(
    mut permit: Permit,
    (payer, account): (Payer, UsageAccount),
    meter: LiveMeter,
) {
    let mut since = (Duration::ZERO, Duration::ZERO);
    let mut last = Duration::ZERO;
    loop {
        let finished = tokio::select! {
            () = meter.wait_finished() => true,
            () = sleep(POLL_INTERVAL) => false,
        };
        let (pushed, open) = (meter.pushed_audio(), meter.session_open_time());
        let used = open.saturating_sub(since.1);
        permit.set_streamed(pushed.saturating_sub(since.0), used);
        if finished {
            break;
        }
        // A pause is a good time to settle.
        let is_paused = std::mem::replace(&mut last, open) == open;
        let keeps_permit =
            used + RENEW_BELOW <= STREAM_SLICE && permit.counts_against_today() && !is_paused;
        if used.is_zero() || keeps_permit {
            continue;
        }
        match permit
            .request_next(payer, account, CallCost::Stream(STREAM_SLICE))
            .await
        {
            Ok(Ok(next)) => {
                since = (pushed, open);
                std::mem::replace(&mut permit, next).settle().await;
                continue;
            }
            Ok(Err(decision)) => {
                tracing::info!(verdict = ?decision, "stream stopped by the usage rules");
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "usage check failed, stopping the stream"
            ),
        }
        meter.stop();
        let _ = timeout(STOP_TIMEOUT, meter.wait_finished()).await;
        let used = meter.session_open_time().saturating_sub(since.1);
        permit.set_streamed(meter.pushed_audio().saturating_sub(since.0), used);
        break;
    }
    permit.settle().await;
}
