//! The bounded channel between a caller and a provider, and what is queued in it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::event::LiveEvent;

/// The most utterances of one speaker without a final result; audio of further ones is rejected.
pub const MAX_PENDING_UTTERANCES: usize = 64;

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

pub(super) struct LiveChannel {
    /// The most samples that may be queued.
    pub(super) max_queued_samples: usize,
    pub(super) state: Mutex<LiveChannelState>,
    /// Notified when samples were pushed or an utterance ended.
    pub(super) input_notify: Notify,
    /// Notified when there is a new event.
    pub(super) output_notify: Notify,
    /// The event receiver is gone, or the meter stopped the transcription.
    pub(super) cancelled: CancellationToken,
    /// The provider's handle was dropped.
    pub(super) finished: CancellationToken,
}

impl LiveChannel {
    pub(super) fn lock_state(&self) -> MutexGuard<'_, LiveChannelState> {
        // No call leaves the state inconsistent, so a poisoned lock is still usable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy)]
pub(super) struct NewestUtterance {
    pub(super) number: u64,
    pub(super) open: bool,
}

pub(super) struct QueuedAudio {
    pub(super) utterance: u64,
    pub(super) samples: VecDeque<f32>,
    pub(super) ended: bool,
}

#[derive(Default)]
pub(super) struct LiveChannelState {
    pub(super) queue: VecDeque<QueuedAudio>,
    pub(super) queued_samples: usize,
    /// Samples accepted in all.
    pub(super) pushed_samples: u64,
    pub(super) newest: Option<NewestUtterance>,
    /// Utterances that have neither a transcript nor a failure yet, oldest first.
    pub(super) pending_utterances: VecDeque<u64>,
    pub(super) events: VecDeque<LiveEvent>,
    /// Results (not partials) in `events`.
    pub(super) unread_results: usize,
    pub(super) input_closed: bool,
    pub(super) is_finished: bool,
    pub(super) open_since: Option<Instant>,
    pub(super) past_open_time: Duration,
}

impl LiveChannelState {
    pub(super) fn begin_utterance(&mut self, utterance: u64) {
        self.newest = Some(NewestUtterance {
            number: utterance,
            open: true,
        });
        self.pending_utterances.push_back(utterance);
    }

    pub(super) fn end_newest_utterance(&mut self) {
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

    pub(super) fn take_input(
        &mut self,
        min_samples: usize,
        max_samples: usize,
    ) -> Option<LiveInput> {
        let Some(first) = self.queue.front_mut() else {
            return self.input_closed.then_some(LiveInput::Closed);
        };
        let utterance = first.utterance;
        let count = first.samples.len();
        if count > 0 && (count >= min_samples || first.ended) {
            let samples: Vec<f32> = first.samples.drain(..count.min(max_samples)).collect();
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

    pub(super) fn discard_partials(&mut self, utterance: u64) {
        let is_partial = |event: &LiveEvent| matches!(event, LiveEvent::Partial { utterance: number, .. } if *number == utterance);
        self.events.retain(|event| !is_partial(event));
    }

    pub(super) fn push_result(&mut self, event: LiveEvent) {
        let utterance = event.utterance();
        let Some(position) = self
            .pending_utterances
            .iter()
            .position(|number| *number == utterance)
        else {
            return;
        };
        self.pending_utterances.remove(position);
        self.discard_partials(utterance);
        self.events.push_back(event);
        self.unread_results += 1;
        if let Some(newest) = &mut self.newest
            && newest.number == utterance
        {
            newest.open = false;
        }
        self.queue.retain(|queued| {
            let keep = queued.utterance != utterance;
            if !keep {
                self.queued_samples -= queued.samples.len();
            }
            keep
        });
    }

    pub(super) fn session_open_time(&self) -> Duration {
        let current = self.open_since.map(|since| since.elapsed());
        self.past_open_time + current.unwrap_or_default()
    }

    pub(super) fn mark_session_closed(&mut self) {
        self.past_open_time = self.session_open_time();
        self.open_since = None;
    }
}
