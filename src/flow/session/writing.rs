//! An utterance is written down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::evidence;
use super::in_order::Ticket;
use crate::audio::Utterance;
use crate::flow::desk::Desk;
use crate::flow::rules::Verdict;
use crate::flow::server::ServerSettings;
use crate::speech::{Hints, SpeechError, Transcriber, Transcript};
use crate::store::StoreError;

/// Utterances of one session that are with a provider at once.
const AT_ONCE: usize = 6;

/// What came of an utterance.
pub(super) struct Written {
    pub(super) ticket: Ticket,
    pub(super) person: u64,
    pub(super) start: Duration,
    /// Where the speech ends.
    pub(super) end: Duration,
    /// How long it was with the silence around it, to be booked.
    pub(super) length: Duration,
    /// What it cost, where that is not a matter of its length.
    pub(super) price: Option<u64>,
    pub(super) words: Words,
}

/// What was understood.
pub(super) enum Words {
    /// This was said, and whether it has to be paid for.
    Said { text: String, paid: bool },
    /// Nothing was said, in spite of what the recognizer may think.
    Nothing { paid: bool },
    /// Nobody could write it down.
    Failed(SpeechError),
    /// A cap is reached.
    Spent(Verdict),
    /// The ledger fails.
    Ledger(StoreError),
}

/// Has utterances written down, a few at a time.
#[derive(Clone)]
pub(super) struct Writer {
    desk: Arc<Desk>,
    guild: u64,
    places: Arc<Semaphore>,
}

impl Writer {
    pub(super) fn new(desk: Arc<Desk>, guild: u64) -> Self {
        Self {
            desk,
            guild,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The words of an utterance.
    pub(super) async fn write(
        self,
        ticket: Ticket,
        person: u64,
        utterance: Utterance,
        hints: Hints,
    ) -> Written {
        let (start, end) = (utterance.start, utterance.speech_end());
        let length = utterance.end().saturating_sub(start);
        let words = self.words(person, utterance, length, &hints).await;
        Written {
            ticket,
            person,
            start,
            end,
            length,
            price: None,
            words,
        }
    }

    async fn words(
        &self,
        person: u64,
        utterance: Utterance,
        length: Duration,
        hints: &Hints,
    ) -> Words {
        let Ok(_place) = self.places.acquire().await else {
            return Words::Nothing { paid: false };
        };
        let transcriber = match self.transcriber(person, length).await {
            Ok(Ok(transcriber)) => transcriber,
            Ok(Err(verdict)) => return Words::Spent(verdict),
            Err(error) => return Words::Ledger(error),
        };
        let speech = utterance.speech;
        let clip = utterance.clip();
        match transcriber.transcribe(&clip, hints, &()).await {
            Ok(transcript) => judged(&transcript, speech),
            Err(error) => Words::Failed(error),
        }
    }

    /// Whether somebody may cost something today.
    pub(super) async fn may_cost_more(&self, person: u64) -> bool {
        match self.judge(person, Duration::ZERO).await {
            Ok(verdict) => verdict == Verdict::Go,
            // Whoever writes the utterance down meets the same, and says so.
            Err(_) => false,
        }
    }

    async fn judge(&self, person: u64, length: Duration) -> Result<Verdict, StoreError> {
        let workshop = self.desk.workshop();
        let settings = ServerSettings::of(&workshop.store, Some(self.guild)).await?;
        let rules = settings.applied_to(workshop.rules);
        let today = workshop.today(Some(self.guild), person).await?;
        Ok(rules.judge(length, &today, None))
    }

    /// Who may write down so much more today.
    async fn transcriber(
        &self,
        person: u64,
        length: Duration,
    ) -> Result<Result<Arc<dyn Transcriber>, Verdict>, StoreError> {
        let workshop = self.desk.workshop();
        let verdict = self.judge(person, length).await?;
        Ok(match (verdict, &workshop.local) {
            (Verdict::Local(_), Some(local)) => Ok(Arc::clone(&local.transcriber)),
            (Verdict::Local(whose), None) => Err(Verdict::Spent(whose)),
            (Verdict::Spent(_), _) => Err(verdict),
            _ => Ok(Arc::clone(&workshop.pipeline.transcriber)),
        })
    }
}

/// Words for which there is enough evidence.
pub(super) fn judged(transcript: &Transcript, speech: Duration) -> Words {
    let paid = !transcript.is_local();
    let text = transcript.text.trim();
    if evidence::was_said(text, speech) {
        let text = text.to_owned();
        return Words::Said { text, paid };
    }
    if !text.is_empty() {
        tracing::debug!(?speech, bytes = text.len(), "words without speech dropped");
    }
    Words::Nothing { paid }
}
