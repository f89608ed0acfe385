//! Speech to text while somebody is still talking.
//!
//! A [`LiveTranscriber`] gives each speaker a [`LiveTranscription`]: samples go in by utterance, words
//! come out. Between the two sides lies one [`LiveProviderHandle`] of bounded size, so that whoever pushes
//! never waits, and whoever writes down never waits for a reader: a newer partial takes the place
//! of an unread older one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Hints, SpeechError, Transcript};
use audio::{SAMPLE_RATE, samples_to_duration};

/// The most utterances of one speaker whose end has not been heard of yet. More are not taken.
pub const MAX_PENDING_UTTERANCES: usize = 64;

/// Writes down speech while it is spoken.
#[async_trait]
pub trait LiveTranscriber: Send + Sync {
    /// Shown to people: "AssemblyAI streaming".
    fn name(&self) -> &'static str;

    /// Begins to listen to one speaker. Nothing is connected before the first samples.
    ///
    /// Call it inside a Tokio runtime: the work runs there as a task.
    fn start_stream(&self, hints: Hints) -> LiveTranscription;

    /// Finds out with the shortest session whether it would listen now.
    ///
    /// # Errors
    ///
    /// Why it would not.
    async fn probe(&self) -> Result<(), SpeechError>;
}

/// What has been heard. `Debug` shows sizes only.
pub enum LiveEvent {
    /// What has been understood of it so far; replaces what was said before.
    Partial {
        /// The utterance's number.
        utterance: u64,
        /// All its words so far.
        text: String,
    },
    /// All its words. Comes once for each utterance, in the order of their numbers.
    Final {
        /// The utterance's number.
        utterance: u64,
        /// Its words; the text is empty if nothing was said.
        transcript: Transcript,
    },
    /// Its words will not come from here. Comes in place of [`Final`](Self::Final).
    Failed {
        /// The utterance's number.
        utterance: u64,
        /// Why.
        error: SpeechError,
    },
}

impl LiveEvent {
    /// The number of the utterance it is about.
    pub fn utterance(&self) -> u64 {
        match self {
            Self::Partial { utterance, .. }
            | Self::Final { utterance, .. }
            | Self::Failed { utterance, .. } => *utterance,
        }
    }
}

impl std::fmt::Debug for LiveEvent {
    /// Speech never reaches a log: only its size does.
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

/// One speaker's way to the words. Dropping it terminates the session with the provider.
///
/// Numbers of utterances grow. Samples of a new one end the one before it.
pub struct LiveTranscription {
    sender: LiveAudioSender,
    events: LiveEventReceiver,
}

impl LiveTranscription {
    /// A speaker, and the end of the line for whoever writes down. `room` is how much audio may
    /// wait in between.
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

    /// As [`LiveAudioSender::push`].
    pub fn push(&self, utterance: u64, samples: &[f32]) -> bool {
        self.sender.push(utterance, samples)
    }

    /// As [`LiveAudioSender::end`].
    pub fn end(&self, utterance: u64) {
        self.sender.end(utterance);
    }

    /// As [`LiveEventReceiver::next`].
    pub async fn next(&mut self) -> Option<LiveEvent> {
        self.events.next().await
    }

    /// As [`LiveEventReceiver::open_time`].
    pub fn session_open_time(&self) -> Duration {
        self.events.session_open_time()
    }

    /// Sees how much is used, and can put an end to it, whoever has the two directions.
    pub fn meter(&self) -> LiveMeter {
        LiveMeter(Arc::clone(&self.sender.0))
    }

    /// The two directions by themselves, for two tasks.
    pub fn split(self) -> (LiveAudioSender, LiveEventReceiver) {
        (self.sender, self.events)
    }
}

/// Looks on while somebody is listened to, for whoever pays for it.
pub struct LiveMeter(Arc<LiveChannel>);

impl LiveMeter {
    /// As [`LiveEventReceiver::open_time`]. Complete once [`over`](Self::over) has returned.
    pub fn session_open_time(&self) -> Duration {
        self.0.lock_state().session_open_time()
    }

    /// How much audio was pushed so far.
    pub fn pushed_audio(&self) -> Duration {
        samples_to_duration(self.0.lock_state().pushed_samples)
    }

    /// Waits until the speaker is over and the session with the provider is terminated.
    pub async fn wait_finished(&self) {
        self.0.finished.cancelled().await;
    }

    /// Terminates the session with the provider. What has no words yet gets none.
    pub fn stop(&self) {
        self.0.cancelled.cancel();
    }
}

/// What goes in. Once it is dropped, the words of what was pushed still come, then the session
/// with the provider is terminated.
pub struct LiveAudioSender(Arc<LiveChannel>);

impl LiveAudioSender {
    /// Mono 16 kHz samples of the utterance with this number; never blocks.
    ///
    /// False: nothing was taken. There is no room, or the utterance is over or has failed.
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

    /// The utterance is over: its words are wanted.
    ///
    /// Of an utterance of which nothing was taken, nothing will be heard.
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

    /// As [`LiveEventReceiver::open_time`].
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

/// What comes out. Once it is dropped, the session with the provider is terminated.
pub struct LiveEventReceiver(Arc<LiveChannel>);

impl LiveEventReceiver {
    /// What has been heard; `None` once the speaker is over: nothing more can be pushed, all
    /// words have come, and the session with the provider is terminated.
    ///
    /// Nothing is lost if the future is dropped.
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

    /// How long sessions with the provider have been open so far, which is what a provider
    /// bills. Complete once [`next`](Self::next) has given `None`.
    pub fn session_open_time(&self) -> Duration {
        self.0.lock_state().session_open_time()
    }
}

impl Drop for LiveEventReceiver {
    fn drop(&mut self) {
        self.0.cancelled.cancel();
    }
}

/// What whoever writes down takes from the line.
#[derive(Clone, Debug, PartialEq)]
pub enum LiveInput {
    /// The next samples of this utterance.
    Samples {
        /// The utterance's number.
        utterance: u64,
        /// Mono, 16 kHz.
        samples: Vec<f32>,
    },
    /// No more samples of this utterance will come.
    End {
        /// The utterance's number.
        utterance: u64,
    },
    /// Nothing more will come.
    Closed,
}

/// The end of the line for whoever writes down. Dropping it is the end of the speaker.
pub struct LiveProviderHandle(Arc<LiveChannel>);

impl LiveProviderHandle {
    /// What was pushed next: from `least` to `most` samples of one utterance, fewer only of one
    /// that is over. Nothing is lost if the future is dropped.
    pub async fn next_input(&self, least: usize, most: usize) -> LiveInput {
        loop {
            if let Some(input) = self.0.lock_state().take_input(least, most) {
                return input;
            }
            self.0.input_notify.notified().await;
        }
    }

    /// Waits until nobody is left to read.
    pub async fn wait_cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether nobody is left to read.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }

    /// Tells what has been understood so far, unless the utterance is over.
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

    /// Tells all words of an utterance. Only the first word about its end counts.
    pub fn send_final(&self, utterance: u64, transcript: Transcript) {
        let event = LiveEvent::Final {
            utterance,
            transcript,
        };
        self.0.lock_state().push_result(event);
        self.0.output_notify.notify_one();
    }

    /// Tells that an utterance has failed. What of it still waits is dropped.
    pub fn send_failure(&self, utterance: u64, error: SpeechError) {
        self.0
            .lock_state()
            .push_result(LiveEvent::Failed { utterance, error });
        self.0.output_notify.notify_one();
    }

    /// Tells that every utterance has failed whose end has not been told.
    pub fn fail_all(&self, error: impl Fn() -> SpeechError) {
        let mut state = self.0.lock_state();
        for utterance in state.pending_utterances.clone() {
            let error = error();
            state.push_result(LiveEvent::Failed { utterance, error });
        }
        drop(state);
        self.0.output_notify.notify_one();
    }

    /// A session with the provider is open from now on.
    pub fn mark_session_open(&self) {
        let mut state = self.0.lock_state();
        state.open_since.get_or_insert_with(Instant::now);
    }

    /// The session is over.
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
    /// Samples that may wait.
    max_queued_samples: usize,
    state: Mutex<LiveChannelState>,
    /// Something was pushed or ended.
    input_notify: Notify,
    /// Something was heard.
    output_notify: Notify,
    /// Nobody is left to read, or nobody pays.
    cancelled: CancellationToken,
    /// The end of whoever writes down.
    finished: CancellationToken,
}

impl LiveChannel {
    fn lock_state(&self) -> MutexGuard<'_, LiveChannelState> {
        // The state is whole between any two calls.
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
    /// Samples that were ever taken.
    pushed_samples: u64,
    newest: Option<NewestUtterance>,
    /// Utterances that were begun and neither finished nor failed, in their order.
    pending_utterances: VecDeque<u64>,
    events: VecDeque<LiveEvent>,
    /// Ends of utterances among the events.
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
