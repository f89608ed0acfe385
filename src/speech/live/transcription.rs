//! The caller's end: pushes audio, receives results, measures the usage.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::channel::{LiveChannel, MAX_PENDING_UTTERANCES, QueuedAudio};
use super::event::LiveEvent;
use super::provider::LiveProviderHandle;
use audio::{SAMPLE_RATE, samples_to_duration};

/// One speaker's live transcription. Dropping it terminates the provider session.
///
/// Utterance numbers must increase. Pushing samples of a new utterance ends the previous one.
pub struct LiveTranscription {
    sender: LiveAudioSender,
    events: LiveEventReceiver,
}

impl LiveTranscription {
    /// Creates a transcription and the provider's handle to it. At most `max_queued_audio` is
    /// buffered between the two.
    pub fn new(max_queued_audio: Duration) -> (Self, LiveProviderHandle) {
        let channel = Arc::new(LiveChannel {
            max_queued_samples: (max_queued_audio.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize,
            state: Mutex::default(),
            input_notify: Notify::new(),
            output_notify: Notify::new(),
            cancelled: CancellationToken::new(),
            finished: CancellationToken::new(),
        });
        let transcription = Self {
            sender: LiveAudioSender(Arc::clone(&channel)),
            events: LiveEventReceiver(Arc::clone(&channel)),
        };
        (transcription, LiveProviderHandle(channel))
    }

    /// See [`LiveAudioSender::push`].
    pub fn push(&self, utterance: u64, samples: &[f32]) -> bool {
        self.sender.push(utterance, samples)
    }

    /// See [`LiveAudioSender::end_utterance`].
    pub fn end_utterance(&self, utterance: u64) {
        self.sender.end_utterance(utterance);
    }

    /// See [`LiveEventReceiver::next_event`].
    pub async fn next_event(&mut self) -> Option<LiveEvent> {
        self.events.next_event().await
    }

    /// See [`LiveEventReceiver::session_open_time`].
    pub fn session_open_time(&self) -> Duration {
        self.events.session_open_time()
    }

    /// A meter of the usage, which can also stop the transcription after the halves were split.
    pub fn meter(&self) -> LiveMeter {
        LiveMeter(Arc::clone(&self.sender.0))
    }

    /// Splits the transcription into its two halves, for two tasks.
    pub fn split(self) -> (LiveAudioSender, LiveEventReceiver) {
        (self.sender, self.events)
    }
}

/// Measures the usage of a live transcription for billing, and can stop it.
pub struct LiveMeter(Arc<LiveChannel>);

impl LiveMeter {
    /// See [`LiveEventReceiver::session_open_time`]. Complete once
    /// [`wait_finished`](Self::wait_finished) has returned.
    pub fn session_open_time(&self) -> Duration {
        self.0.lock_state().session_open_time()
    }

    /// How much audio was pushed so far.
    pub fn pushed_audio(&self) -> Duration {
        samples_to_duration(self.0.lock_state().pushed_samples)
    }

    /// Waits until the transcription has finished and the provider session is closed.
    pub async fn wait_finished(&self) {
        self.0.finished.cancelled().await;
    }

    /// Terminates the provider session. Utterances without a final result get none.
    pub fn stop(&self) {
        self.0.cancelled.cancel();
    }
}

/// The input half. Once it is dropped, the results of what was pushed still arrive, then the
/// provider session is terminated.
pub struct LiveAudioSender(Arc<LiveChannel>);

impl LiveAudioSender {
    /// Pushes mono 16 kHz samples of the utterance with this number. Never blocks.
    ///
    /// Returns false if the samples were rejected: the buffer is full, or the utterance has ended
    /// or failed.
    pub fn push(&self, utterance: u64, samples: &[f32]) -> bool {
        let mut state = self.0.lock_state();
        if state.is_finished || state.queued_samples + samples.len() > self.0.max_queued_samples {
            return false;
        }
        match state.newest {
            Some(newest) if newest.number == utterance => {
                if !newest.open {
                    return false;
                }
            }
            Some(newest) if newest.number > utterance => return false,
            Some(_) | None => {
                if state.pending_utterances.len() + state.unread_results == MAX_PENDING_UTTERANCES {
                    return false;
                }
                state.end_newest_utterance();
                state.begin_utterance(utterance);
            }
        }
        state.queued_samples += samples.len();
        state.pushed_samples += samples.len() as u64;
        match state.queue.back_mut() {
            Some(last) if last.utterance == utterance => last.samples.extend(samples),
            _ => state.queue.push_back(QueuedAudio {
                utterance,
                samples: samples.iter().copied().collect(),
                ended: false,
            }),
        }
        drop(state);
        self.0.input_notify.notify_one();
        true
    }

    /// Ends the utterance, which requests its final result.
    ///
    /// An utterance without any accepted samples produces no event.
    pub fn end_utterance(&self, utterance: u64) {
        let mut state = self.0.lock_state();
        if state
            .newest
            .is_some_and(|newest| newest.number == utterance)
        {
            state.end_newest_utterance();
            drop(state);
            self.0.input_notify.notify_one();
        }
    }

    /// See [`LiveEventReceiver::session_open_time`].
    pub fn session_open_time(&self) -> Duration {
        self.0.lock_state().session_open_time()
    }
}

impl Drop for LiveAudioSender {
    fn drop(&mut self) {
        let mut state = self.0.lock_state();
        state.end_newest_utterance();
        state.input_closed = true;
        drop(state);
        self.0.input_notify.notify_one();
    }
}

/// The output half. Dropping it terminates the provider session.
pub struct LiveEventReceiver(Arc<LiveChannel>);

impl LiveEventReceiver {
    /// The next event, or `None` once the transcription has finished: no more input is accepted,
    /// all results were delivered, and the provider session is closed.
    ///
    /// Cancel safe: dropping the future loses no event.
    pub async fn next_event(&mut self) -> Option<LiveEvent> {
        loop {
            {
                let mut state = self.0.lock_state();
                if let Some(event) = state.events.pop_front() {
                    if !matches!(event, LiveEvent::Partial { .. }) {
                        state.unread_results -= 1;
                    }
                    return Some(event);
                }
                if state.is_finished {
                    return None;
                }
            }
            self.0.output_notify.notified().await;
        }
    }

    /// How long provider sessions have been open so far, which is what a provider bills. Complete
    /// once [`next_event`](Self::next_event) has returned `None`.
    pub fn session_open_time(&self) -> Duration {
        self.0.lock_state().session_open_time()
    }
}

impl Drop for LiveEventReceiver {
    fn drop(&mut self) {
        self.0.cancelled.cancel();
    }
}
