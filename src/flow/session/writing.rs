//! An utterance is written down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::evidence;
use super::in_order::Ticket;
use crate::audio::Utterance;
use crate::flow::admission::{Ask, Cost, Engines, Payer, Permit};
use crate::flow::desk::Desk;
use crate::flow::paid::SLICE;
use crate::flow::rules::Verdict;
use crate::speech::{Hints, SpeechError, Transcript};
use crate::store::{Account, SessionId, StoreError};

/// Utterances of one session that are with a provider at once.
const AT_ONCE: usize = 6;

/// What came of an utterance.
pub(super) struct Written {
    pub(super) ticket: Ticket,
    pub(super) person: u64,
    pub(super) start: Duration,
    /// Where the speech ends.
    pub(super) end: Duration,
    pub(super) words: Words,
}

/// What was understood.
pub(super) enum Words {
    /// This was said.
    Said { text: String },
    /// Nothing was said, in spite of what the recognizer may think.
    Nothing,
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
    session: SessionId,
    guild: u64,
    places: Arc<Semaphore>,
}

impl Writer {
    pub(super) fn new(desk: Arc<Desk>, session: SessionId, guild: u64) -> Self {
        Self {
            desk,
            session,
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
            return Words::Nothing;
        };
        let permit = match self.permit(person, Cost::Speech(length)).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(verdict)) => return Words::Spent(verdict),
            Err(error) => return Words::Ledger(error),
        };
        let workshop = self.desk.workshop();
        let transcriber = match (permit.engines(), &workshop.local) {
            (Engines::Local, Some(local)) => &local.transcriber,
            _ => &workshop.pipeline.transcriber,
        };
        let speech = utterance.speech;
        let clip = utterance.clip();
        let written = transcriber.transcribe(&permit, &clip, hints, &()).await;
        // Not waited for: the words are.
        drop(permit);
        match written {
            Ok(transcript) => judged(&transcript, speech),
            Err(error) => Words::Failed(error),
        }
    }

    /// The right to listen to somebody while they speak, if they may be paid for today.
    pub(super) async fn may_listen(&self, person: u64) -> Option<Permit> {
        match self.permit(person, Cost::Stream(SLICE)).await {
            // The engines of this machine do not listen along.
            Ok(Ok(permit)) => Some(permit).filter(|it| it.engines() == Engines::All),
            // Whoever writes the utterance down meets the same, and says so.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// Whose caps count for what somebody says here, and what it is booked to.
    pub(super) fn books(&self, person: u64) -> (Payer, Account) {
        let payer = Payer {
            guild: Some(self.guild),
            author: person,
        };
        (payer, Account::Session(self.session))
    }

    async fn permit(&self, person: u64, cost: Cost) -> Result<Result<Permit, Verdict>, StoreError> {
        let (payer, account) = self.books(person);
        let ask = Ask {
            payer,
            account,
            cost,
            hold: None,
        };
        self.desk.workshop().admission.admit(&ask).await
    }
}

/// Words for which there is enough evidence.
pub(super) fn judged(transcript: &Transcript, speech: Duration) -> Words {
    let text = transcript.text.trim();
    if evidence::was_said(text, speech) {
        let text = text.to_owned();
        return Words::Said { text };
    }
    if !text.is_empty() {
        tracing::debug!(?speech, bytes = text.len(), "words without speech dropped");
    }
    Words::Nothing
}
