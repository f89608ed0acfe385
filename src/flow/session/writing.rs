//! An utterance is written down.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::briefing::Briefing;
use super::in_order::Ticket;
use crate::flow::admission::{Ask, Cost, Engines, Payer, Permit};
use crate::flow::consent::Stamped;
use crate::flow::desk::Desk;
use crate::flow::evidence;
use crate::flow::paid::SLICE;
use crate::flow::paid_upload::{PaidUpload, UPLOAD_SLICE};
use crate::flow::rules::Verdict;
use crate::speech::{SpeechError, Transcript};
use crate::store::{Account, SessionId, StoreError};
use audio::Utterance;

/// Utterances of one session that are with a provider at once.
const AT_ONCE: usize = 6;

/// An utterance whose words are to come.
pub(super) struct Awaited {
    pub(super) ticket: Ticket,
    pub(super) times: Times,
    pub(super) utterance: Stamped<Utterance>,
}

/// When something was said, and how much of it there is to be heard.
#[derive(Clone, Copy)]
pub(super) struct Times {
    pub(super) start: Duration,
    /// Where the speech ends.
    pub(super) end: Duration,
    /// How long it was with the silence around it, to be booked.
    length: Duration,
    /// How much of it was speech.
    speech: Duration,
}

impl Times {
    pub(super) fn of(utterance: &Utterance) -> Self {
        Self {
            start: utterance.start,
            end: utterance.speech_end(),
            length: utterance.end().saturating_sub(utterance.start),
            speech: utterance.speech,
        }
    }

    /// Of something that is no utterance.
    pub(super) fn between(start: Duration, end: Duration) -> Self {
        Self {
            start,
            end,
            length: end.saturating_sub(start),
            speech: Duration::ZERO,
        }
    }
}

/// What came of an utterance.
pub(super) struct Written {
    pub(super) ticket: Ticket,
    pub(super) times: Times,
    pub(super) words: Stamped<Words>,
}

impl Awaited {
    /// With what the live transcriber has understood.
    pub(super) fn understood(&self, transcript: &Transcript) -> Written {
        let words = judged(transcript, self.times.speech);
        Written {
            ticket: self.ticket,
            times: self.times,
            words: self.utterance.stamp().on(words),
        }
    }
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
    /// Whose it is wants it no longer heard.
    Withdrawn,
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

    /// The words of an utterance. Whoever takes it back ends this at once: what waits for a place
    /// is not sent, and what is being sent stops.
    ///
    /// What was uploaded while it was spoken is awaited from there, and given to a transcriber whole
    /// only where that fails.
    pub(super) async fn write(
        self,
        awaited: Awaited,
        briefing: Briefing,
        upload: Option<PaidUpload>,
    ) -> Written {
        let Awaited {
            ticket,
            times,
            utterance,
        } = awaited;
        let stamp = utterance.stamp().clone();
        let work = async {
            match uploaded(times, upload).await {
                Some(words) => words,
                None => self.words(times, utterance, &briefing).await,
            }
        };
        let words = stamp.unless_withdrawn(work).await;
        Written {
            ticket,
            times,
            words: stamp.on(words.unwrap_or(Words::Withdrawn)),
        }
    }

    async fn words(
        &self,
        times: Times,
        utterance: Stamped<Utterance>,
        briefing: &Briefing,
    ) -> Words {
        let Ok(_place) = self.places.acquire().await else {
            return Words::Withdrawn;
        };
        let person = utterance.stamp().person();
        let Some(utterance) = utterance.open() else {
            return Words::Withdrawn;
        };
        let clip = utterance.clip();
        loop {
            let permit = match self.permit(person, Cost::Speech(times.length)).await {
                Ok(Ok(permit)) => permit,
                Ok(Err(verdict)) => return Words::Spent(verdict),
                Err(error) => return Words::Ledger(error),
            };
            let workshop = self.desk.workshop();
            let transcriber = match (permit.engines(), &workshop.local) {
                (Engines::Local, Some(local)) => &local.transcriber,
                _ => &workshop.pipeline.transcriber,
            };
            // Others may take back their names and words while this one is heard: then it is heard
            // anew without them. Each time there are fewer of them.
            let (hints, others) = briefing.open();
            let written = transcriber.transcribe(&permit, &clip, &hints, &());
            let written = others.unless_withdrawn(written).await;
            // Not waited for: the words are.
            drop(permit);
            match written {
                Some(Ok(transcript)) => return judged(&transcript, times.speech),
                Some(Err(error)) => return Words::Failed(error),
                None => {}
            }
        }
    }

    /// The right to upload the beginning of what somebody says, if they may be paid for today.
    pub(super) async fn may_upload(&self, person: u64) -> Option<Permit> {
        match self.permit(person, Cost::Speech(UPLOAD_SLICE)).await {
            // The engines of this machine hear what is whole.
            Ok(Ok(permit)) => Some(permit).filter(|it| it.engines() == Engines::All),
            // Whoever writes the utterance down meets the same, and says so.
            Ok(Err(_)) | Err(_) => None,
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
            at_most: Engines::All,
        };
        self.desk.workshop().admission.admit(&ask).await
    }
}

/// The words of what was uploaded while it was spoken.
async fn uploaded(times: Times, upload: Option<PaidUpload>) -> Option<Words> {
    match upload?.finish(&()).await {
        Ok(transcript) => Some(judged(&transcript, times.speech)),
        Err(error) => {
            tracing::info!(
                error = &error as &dyn std::error::Error,
                "an upload failed, and the whole is sent"
            );
            None
        }
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
