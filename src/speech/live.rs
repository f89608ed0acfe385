//! Live speech to text: transcribes while people are still talking.
//!
//! A [`LiveTranscriber`] opens one [`LiveTranscription`] per speaker: samples go in, grouped by
//! utterance, and [`LiveEvent`]s come out. The provider works on the other end of a bounded channel,
//! its [`LiveProviderHandle`]. Neither side blocks the other: pushing never waits, and a newer
//! partial replaces an unread older one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Hints, SpeechError, Transcript};
use audio::{SAMPLE_RATE, samples_to_duration};

/// The most utterances of one speaker without a final result; audio of further ones is rejected.
pub const MAX_PENDING_UTTERANCES: usize = 64;

/// Transcribes speech while it is spoken.
#[async_trait]
pub trait LiveTranscriber: Send + Sync {
    /// Name shown to users, for example "AssemblyAI streaming".
    fn name(&self) -> &'static str;

    /// Starts a stream for one speaker. Connects only when the first samples arrive.
    ///
    /// Must be called inside a Tokio runtime: the stream runs there as a task.
    fn start_stream(&self, hints: Hints) -> LiveTranscription;

    /// Opens the shortest possible session to check that the provider works now.
    ///
    /// # Errors
    ///
    /// Why the provider can't be used.
    async fn probe(&self) -> Result<(), SpeechError>;
}

/// A result for one utterance. `Debug` shows sizes only.
pub enum LiveEvent {
    /// The text recognized so far; replaces the previous partial.
    Partial {
        /// The utterance's number.
        utterance: u64,
        /// The whole text so far.
        text: String,
    },
    /// The complete transcript. Sent once per utterance, in order of their numbers.
    Final {
        /// The utterance's number.
        utterance: u64,
        /// The transcript; its text is empty if no speech was recognized.
        transcript: Transcript,
    },
    /// Transcription failed. Sent instead of [`Final`](Self::Final).
    Failed {
        /// The utterance's number.
        utterance: u64,
        /// Why.
        error: SpeechError,
    },
}

impl LiveEvent {
    /// The number of the utterance that the event is about.
    pub fn utterance(&self) -> u64 {
        match self {
            Self::Partial { utterance, .. }
            | Self::Final { utterance, .. }
            | Self::Failed { utterance, .. } => *utterance,
        }
    }
}

impl std::fmt::Debug for LiveEvent {
    /// Transcript text never reaches a log, only its size.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Partial { utterance, text } => f
                .debug_struct("Partial")
                .field("utterance", utterance)
                .field("characters", &text.chars().count())
                .finish(),
            Self::Final {
                utterance,
                transcript,
            } => f
                .debug_struct("Final")
                .field("utterance", utterance)
                .field("transcript", transcript)
                .finish(),
            Self::Failed { utterance, error } => f
                .debug_struct("Failed")
                .field("utterance", utterance)
                .field("error", error)
                .finish(),
        }
    }
}

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
    pub fn new(room: Duration) -> (Self, LiveProviderHandle) {
        let line = Arc::new(LiveChannel {
            max_queued_samples: (room.as_secs_f64() * f64::from(SAMPLE_RATE)) as usize,
            state: Mutex::default(),
            input_notify: Notify::new(),
            output_notify: Notify::new(),
            cancelled: CancellationToken::new(),
            finished: CancellationToken::new(),
        });
        let speaker = Self {
            sender: LiveAudioSender(Arc::clone(&line)),
            events: LiveEventReceiver(Arc::clone(&line)),
        };
        (speaker, LiveProviderHandle(line))
    }

    /// See [`LiveAudioSender::push`].
    pub fn push(&self, utterance: u64, samples: &[f32]) -> bool {
        self.sender.push(utterance, samples)
    }

    /// See [`LiveAudioSender::end_utterance`].
    pub fn end(&self, utterance: u64) {
        self.sender.end(utterance);
    }

    /// See [`LiveEventReceiver::next_event`].
    pub async fn next(&mut self) -> Option<LiveEvent> {
        self.events.next().await
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
    /// Returns false if the samples were rejected: the buffer is full, or the utterance has ended or
    /// failed.
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
    pub fn end(&self, utterance: u64) {
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
    /// The next event, or `None` once the transcription has finished: no more input is accepted, all
    /// results were delivered, and the provider session is closed.
    ///
    /// Cancel safe: dropping the future loses no event.
    pub async fn next(&mut self) -> Option<LiveEvent> {
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

/// Input for the provider.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveInput {
    /// The next samples of this utterance.
    Samples {
        /// The utterance's number.
        utterance: u64,
        /// Mono, 16 kHz.
        samples: Vec<f32>,
    },
    /// The utterance has ended: no more samples of it follow.
    End {
        /// The utterance's number.
        utterance: u64,
    },
    /// No more input follows.
    Closed,
}

/// The provider's end of the channel. Dropping it finishes the transcription.
pub struct LiveProviderHandle(Arc<LiveChannel>);

impl LiveProviderHandle {
    /// The next input: between `min_samples` and `max_samples` samples of one utterance, or fewer if
    /// the utterance has ended. Cancel safe: dropping the future loses no input.
    pub async fn next_input(&self, least: usize, most: usize) -> LiveInput {
        loop {
            if let Some(input) = self.0.lock_state().take_input(least, most) {
                return input;
            }
            self.0.input_notify.notified().await;
        }
    }

    /// Waits until the event receiver is gone or the transcription was stopped.
    pub async fn wait_cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether the event receiver is gone or the transcription was stopped.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Sends the text recognized so far, unless the utterance already has a result.
    pub fn send_partial(&self, utterance: u64, text: String) {
        let mut state = self.0.lock_state();
        if state.pending_utterances.contains(&utterance) {
            state.discard_partials(utterance);
            state
                .events
                .push_back(LiveEvent::Partial { utterance, text });
            drop(state);
            self.0.output_notify.notify_one();
        }
    }

    /// Sends the final transcript. Only the first result of an utterance counts.
    pub fn send_final(&self, utterance: u64, transcript: Transcript) {
        let event = LiveEvent::Final {
            utterance,
            transcript,
        };
        self.0.lock_state().push_result(event);
        self.0.output_notify.notify_one();
    }

    /// Marks an utterance as failed and drops its queued audio.
    pub fn send_failure(&self, utterance: u64, error: SpeechError) {
        self.0
            .lock_state()
            .push_result(LiveEvent::Failed { utterance, error });
        self.0.output_notify.notify_one();
    }

    /// Fails every utterance that has no result yet.
    pub fn fail_all(&self, error: impl Fn() -> SpeechError) {
        let mut state = self.0.lock_state();
        for utterance in state.pending_utterances.clone() {
            let error = error();
            state.push_result(LiveEvent::Failed { utterance, error });
        }
        drop(state);
        self.0.output_notify.notify_one();
    }

    /// Records that a provider session is open from now on.
    pub fn mark_session_open(&self) {
        let mut state = self.0.lock_state();
        state.open_since.get_or_insert_with(Instant::now);
    }

    /// Records that the provider session has been closed.
    pub fn mark_session_closed(&self) {
        self.0.lock_state().mark_session_closed();
    }
}

impl Drop for LiveProviderHandle {
    fn drop(&mut self) {
        let mut state = self.0.lock_state();
        state.mark_session_closed();
        state.is_finished = true;
        drop(state);
        self.0.finished.cancel();
        self.0.output_notify.notify_one();
    }
}

struct LiveChannel {
    /// The most samples that may be queued.
    max_queued_samples: usize,
    state: Mutex<LiveChannelState>,
    /// Notified when samples were pushed or an utterance ended.
    input_notify: Notify,
    /// Notified when there is a new event.
    output_notify: Notify,
    /// The event receiver is gone, or the meter stopped the transcription.
    cancelled: CancellationToken,
    /// The provider's handle was dropped.
    finished: CancellationToken,
}

impl LiveChannel {
    fn lock_state(&self) -> MutexGuard<'_, LiveChannelState> {
        // No call leaves the state inconsistent, so a poisoned lock is still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
struct NewestUtterance {
    number: u64,
    open: bool,
}

struct QueuedAudio {
    utterance: u64,
    samples: VecDeque<f32>,
    ended: bool,
}

#[derive(Default)]
struct LiveChannelState {
    queue: VecDeque<QueuedAudio>,
    queued_samples: usize,
    /// Samples accepted in all.
    pushed_samples: u64,
    newest: Option<NewestUtterance>,
    /// Utterances that have neither a transcript nor a failure yet, oldest first.
    pending_utterances: VecDeque<u64>,
    events: VecDeque<LiveEvent>,
    /// Results (not partials) in `events`.
    unread_results: usize,
    input_closed: bool,
    is_finished: bool,
    open_since: Option<Instant>,
    past_open_time: Duration,
}

impl LiveChannelState {
    fn begin_utterance(&mut self, utterance: u64) {
        self.newest = Some(NewestUtterance {
            number: utterance,
            open: true,
        });
        self.pending_utterances.push_back(utterance);
    }

    fn end_newest_utterance(&mut self) {
        let Some(newest) = self.newest.as_mut().filter(|newest| newest.open) else {
            return;
        };
        newest.open = false;
        let utterance = newest.number;
        match self.queue.back_mut() {
            Some(last) if last.utterance == utterance => last.ended = true,
            _ => self.queue.push_back(QueuedAudio {
                utterance,
                samples: VecDeque::new(),
                ended: true,
            }),
        }
    }

    fn take_input(&mut self, least: usize, most: usize) -> Option<LiveInput> {
        let Some(first) = self.queue.front_mut() else {
            return self.input_closed.then_some(LiveInput::Closed);
        };
        let utterance = first.utterance;
        let count = first.samples.len();
        if count > 0 && (count >= least || first.ended) {
            let samples: Vec<f32> = first.samples.drain(..count.min(most)).collect();
            self.queued_samples -= samples.len();
            if first.samples.is_empty() && !first.ended {
                self.queue.pop_front();
            }
            return Some(LiveInput::Samples { utterance, samples });
        }
        if !first.ended {
            return None;
        }
        self.queue.pop_front();
        Some(LiveInput::End { utterance })
    }

    fn discard_partials(&mut self, utterance: u64) {
        let is_it = |event: &LiveEvent| matches!(event, LiveEvent::Partial { utterance: one, .. } if *one == utterance);
        self.events.retain(|event| !is_it(event));
    }

    fn push_result(&mut self, event: LiveEvent) {
        let utterance = event.utterance();
        let Some(place) = self
            .pending_utterances
            .iter()
            .position(|one| *one == utterance)
        else {
            return;
        };
        self.pending_utterances.remove(place);
        self.discard_partials(utterance);
        self.events.push_back(event);
        self.unread_results += 1;
        if let Some(newest) = &mut self.newest
            && newest.number == utterance
        {
            newest.open = false;
        }
        self.queue.retain(|waiting| {
            let other = waiting.utterance != utterance;
            if !other {
                self.queued_samples -= waiting.samples.len();
            }
            other
        });
    }

    fn session_open_time(&self) -> Duration {
        let now = self.open_since.map(|since| since.elapsed());
        self.past_open_time + now.unwrap_or_default()
    }

    fn mark_session_closed(&mut self) {
        self.past_open_time = self.session_open_time();
        self.open_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (LiveTranscription, LiveProviderHandle) {
        LiveTranscription::new(Duration::from_secs(1))
    }

    fn transcript(text: &str) -> Transcript {
        Transcript {
            text: text.to_owned(),
            segments: Vec::new(),
            words: Vec::new(),
            language: None,
            confidence: None,
            provider: "somebody",
        }
    }

    fn samples(utterance: u64, count: usize) -> LiveInput {
        LiveInput::Samples {
            utterance,
            samples: vec![0.5; count],
        }
    }

    #[tokio::test]
    async fn what_is_pushed_comes_out_by_utterance() {
        let (speaker, line) = pair();
        for utterance in [1, 2] {
            for _ in 0..3 {
                assert!(speaker.push(utterance, &[0.5; 100]));
            }
        }
        speaker.end(1);
        speaker.end(7);
        drop(speaker);
        assert_eq!(line.next_input(50, 250).await, samples(1, 250));
        assert_eq!(line.next_input(100, 250).await, samples(1, 50));
        assert_eq!(
            line.next_input(100, 250).await,
            LiveInput::End { utterance: 1 }
        );
        assert_eq!(line.next_input(100, 900).await, samples(2, 300));
        assert_eq!(
            line.next_input(100, 900).await,
            LiveInput::End { utterance: 2 }
        );
        assert_eq!(line.next_input(100, 900).await, LiveInput::Closed);
        line.wait_cancelled().await;
    }

    #[tokio::test]
    async fn room_is_bounded_and_comes_back() {
        let (speaker, line) = pair();
        assert!(speaker.push(0, &[0.5; 16_000]));
        assert!(!speaker.push(0, &[0.5]));
        assert_eq!(line.next_input(1, 1_000).await, samples(0, 1_000));
        assert!(speaker.push(0, &[0.5; 1_000]));
        line.send_failure(0, SpeechError::UnsupportedClip);
        assert!(!speaker.push(0, &[0.5]), "it has failed");
        assert!(speaker.push(1, &[0.5; 16_000]), "and takes no room");
    }

    #[tokio::test]
    async fn unread_words_take_no_more_room_than_the_newest() {
        let (mut speaker, line) = pair();
        assert!(speaker.push(0, &[0.5]) && speaker.push(1, &[0.5]));
        for text in ["One", "One two"] {
            line.send_partial(0, text.to_owned());
        }
        line.send_partial(9, "nobody's".to_owned());
        let partial = speaker.next().await;
        assert!(matches!(partial, Some(LiveEvent::Partial { text, .. }) if text == "One two"));
        line.send_partial(0, "One two three".to_owned());
        line.send_final(0, transcript("One two three."));
        line.send_final(0, transcript("again"));
        line.send_partial(0, "late".to_owned());
        line.fail_all(|| SpeechError::UnsupportedClip);
        drop(line);
        let event = speaker.next().await.expect("the words");
        assert!(matches!(event, LiveEvent::Final { utterance: 0, .. }));
        assert!(!format!("{event:?}").contains("three"), "{event:?}");
        let event = speaker.next().await.expect("a failure");
        assert!(matches!(event, LiveEvent::Failed { utterance: 1, .. }));
        assert!(speaker.next().await.is_none());
        assert!(!speaker.push(2, &[0.5]), "it is over");
    }

    #[tokio::test(start_paused = true)]
    async fn open_time_adds_up() {
        let (speaker, line) = pair();
        for _ in 0..2 {
            line.mark_session_open();
            tokio::time::advance(Duration::from_secs(5)).await;
            line.mark_session_closed();
            tokio::time::advance(Duration::from_secs(60)).await;
        }
        assert_eq!(speaker.session_open_time(), Duration::from_secs(10));
        line.mark_session_open();
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(speaker.session_open_time(), Duration::from_secs(11));
    }
}
