//! One job from beginning to end. Each step that costs something is written into the ledger when
//! it is done, so that a process that takes over does not pay for it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};

use super::front::{DeliveryError, Front, JobFailure, JobReply, Outcome};
use super::memory::{self, Bounds, Conversation, Said};
use super::order::{Engines, Note, Order, Via, Wish};
use super::rules::{Rules, Today, Verdict, Whose};
use super::server::ServerSettings;
use super::{Answer, Failure, Pipeline, Reply, spoken_turn};
use crate::chat::{EndReason, Usage, budget};
use crate::speech::Hints;
use crate::store::{self, Entry, Job, JobId, JobState, Speaker, Stage, Store, StoreError, Used};

/// How often a job is begun before it is given up: one that ends the process each time must not
/// do so for ever.
pub const MAX_ATTEMPTS: u32 = 10;

/// Who works, and by which rules.
pub struct Workshop {
    /// The engines of the settings.
    pub pipeline: Pipeline,
    /// The engines of this machine, where the settings name any.
    pub local: Option<Pipeline>,
    /// What is paid for, and the caps.
    pub rules: Rules,
    /// The ledger.
    pub store: Store,
    /// Where orders come from.
    pub front: Arc<dyn Front>,
    /// The time in the ledger.
    pub clock: fn() -> store::Timestamp,
}

/// How a run of a job ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Run {
    /// It is over.
    Over,
    /// It has to be tried again later.
    Later,
}

/// Why work on a job is stopped early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stop {
    /// Nobody may see anything more of it, or another process goes on with it.
    Withdrawn,
    /// Whoever asked has asked something else since.
    Superseded,
}

impl Workshop {
    /// Works on a job until it is over. `stopped` ends it early; what was being sent is sent.
    /// `fresh` says that this process has accepted the job and nobody has worked on it yet.
    /// `unheard` is what the job is still going to use of the day's caps, in milliseconds of
    /// recording; it falls as that is booked.
    ///
    /// # Errors
    ///
    /// If the ledger fails: then the job is as far as it was.
    pub async fn run(
        &self,
        job: JobId,
        fresh: bool,
        unheard: &AtomicU64,
        stopped: impl Future<Output = Stop>,
    ) -> Result<Run, StoreError> {
        let Some(mut job) = self.store.job(job).await? else {
            return Ok(Run::Over);
        };
        if job.state != JobState::Waiting {
            return Ok(Run::Over);
        }
        let Ok(order) = serde_json::from_str::<Order>(&job.order.payload) else {
            tracing::error!(job = job.id.0, "the order can't be read");
            let now = (self.clock)();
            self.store
                .finish(job.id, JobState::Failed, &[], now)
                .await?;
            return Ok(Run::Over);
        };
        // The first message is on its way while the beginning is counted; nothing else is done
        // before that.
        let reply = self.front.reply(&job, &order, fresh).await?;
        job.attempts = self.store.begin(job.id).await?;
        let whole = async {
            let outcome = self.work(&job, &order, unheard, &reply).await?;
            self.close(&job, &order, &outcome, &*reply).await
        };
        tokio::pin!(stopped);
        tokio::select! {
            biased;
            stop = &mut stopped => {
                reply.abandon().await;
                if stop == Stop::Superseded {
                    return self.supersede(&job, &*reply).await;
                }
                Ok(Run::Over)
            }
            run = whole => {
                reply.abandon().await;
                run
            }
        }
    }

    /// Leaves what there is of an answer that nobody waits for any more.
    async fn supersede(&self, job: &Job, reply: &dyn JobReply) -> Result<Run, StoreError> {
        if let Err(error) = reply.deliver(&Outcome::Superseded).await {
            tracing::debug!(
                job = job.id.0,
                error = &error as &dyn std::error::Error,
                "the end of a superseded answer is not shown"
            );
        }
        counter!("talkback_jobs_total", "outcome" => "superseded").increment(1);
        let now = (self.clock)();
        self.store
            .finish(job.id, JobState::Cancelled, &[], now)
            .await?;
        Ok(Run::Over)
    }

    /// Everything up to the outcome.
    async fn work(
        &self,
        job: &Job,
        order: &Order,
        unheard: &AtomicU64,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Outcome, StoreError> {
        let mut notes = notes(job);
        reply.noted(&notes);
        let failed = |notes, failure: JobFailure| {
            tracing::warn!(
                job = job.id.0,
                error = &failure as &dyn std::error::Error,
                "no result"
            );
            Ok(Outcome::Failed { notes, failure })
        };
        if job.attempts > MAX_ATTEMPTS {
            return failed(notes, JobFailure::GivenUp(job.attempts - 1));
        }
        let settings = ServerSettings::of(&self.store, job.order.guild).await?;
        let pipeline = match self.pipeline(order, &settings) {
            Ok(pipeline) => pipeline,
            Err(failure) => return failed(notes, failure),
        };
        while let Some(recording) = order.recordings.get(notes.len()) {
            let started = Instant::now();
            let heard = self
                .hear(&pipeline, job, order, recording, &settings, reply)
                .await?;
            histogram!("talkback_stage_seconds", "stage" => "hear").record(started.elapsed());
            match heard {
                Ok(note) => notes.push(note),
                Err(failure) => return failed(notes, failure),
            }
            let text = serde_json::to_string(&notes).map_err(|_| StoreError::Damaged)?;
            let cost = self.cost(job, Stage::Speech, heard_now(job, &notes));
            self.store.heard(job.id, &text, Some(&cost)).await?;
            unheard.store(to_book(order, notes.len()), Ordering::Relaxed);
            reply.noted(&notes);
        }
        if let Wish::Transcript(_) = order.wish {
            return Ok(Outcome::Transcribed { notes });
        }
        let notice = pipeline.chat.card().notice;
        if let Some(answer) = &job.answer {
            return Ok(Outcome::Answered {
                notes,
                answer: Answer(answer.clone()),
                end: EndReason::Complete,
                notice,
            });
        }
        let started = Instant::now();
        let turns = self.turns(job, order, &notes).await?;
        let asked: u32 = turns
            .iter()
            .map(|turn| budget::estimate_tokens(&turn.text))
            .fold(0, u32::saturating_add);
        let shown: Arc<dyn Reply> = Arc::clone(reply) as _;
        let answered = pipeline.answer(turns, &shown).await;
        histogram!("talkback_stage_seconds", "stage" => "answer").record(started.elapsed());
        match answered {
            Ok(answered) => {
                let usage = answered.end.usage.unwrap_or(Usage {
                    prompt_tokens: asked.into(),
                    answer_tokens: budget::estimate_tokens(&answered.text.0).into(),
                });
                let paid = order.engines == Engines::All && !pipeline.chat.card().is_local();
                let micros = paid.then(|| self.rules.prices.chat(usage));
                let used = Used {
                    tokens_in: usage.prompt_tokens,
                    tokens_out: usage.answer_tokens,
                    micros: micros.unwrap_or(0),
                    ..Used::default()
                };
                count(&used);
                let cost = self.cost(job, Stage::Chat, used);
                let text = &answered.text.0;
                self.store.answered(job.id, text, Some(&cost)).await?;
                Ok(Outcome::Answered {
                    notes,
                    answer: answered.text,
                    end: answered.end.reason,
                    notice,
                })
            }
            Err(failure) => {
                counter!("talkback_provider_errors_total", "stage" => "answer").increment(1);
                failed(notes, failure.into())
            }
        }
    }

    /// The engines that may work on this order, told what its server has chosen.
    fn pipeline(&self, order: &Order, settings: &ServerSettings) -> Result<Pipeline, JobFailure> {
        let mut pipeline = match (order.engines, &self.local) {
            (Engines::All, _) => self.pipeline.clone(),
            (Engines::Local, Some(local)) => local.clone(),
            (Engines::Local, None) => {
                return Err(JobFailure::Rules(Verdict::Spent(Whose::Everyone)));
            }
        };
        if let Some(prompt) = &settings.prompt {
            pipeline.system_prompt.clone_from(prompt);
        }
        Ok(pipeline)
    }

    /// Fetches one recording and writes it down.
    async fn hear(
        &self,
        pipeline: &Pipeline,
        job: &Job,
        order: &Order,
        recording: &super::order::Attachment,
        settings: &ServerSettings,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Result<Note, JobFailure>, StoreError> {
        let rules = settings.applied_to(self.rules);
        let mut pipeline = pipeline.clone();
        pipeline.limits.duration = pipeline.limits.duration.min(rules.longest);
        if recording.duration().is_none() && order.engines == Engines::All {
            // Nobody said how long it plays; it can't play longer than what is left of the day.
            let today = self.today(job.order.guild, job.order.author).await?;
            pipeline.limits.duration = pipeline.limits.duration.min(left(&rules, &today));
        }
        let limit = pipeline.limits.bytes;
        let fetched = match self.front.fetch(job, recording, limit).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut hints = Hints {
            word_times: matches!(order.wish, Wish::Transcript(_)),
            ..pipeline.hints.clone()
        };
        if !settings.languages.is_empty() {
            hints.languages.clone_from(&settings.languages);
        }
        if !settings.terms.is_empty() {
            hints.key_terms = [settings.terms.as_slice(), &hints.key_terms].concat();
            hints.key_terms.truncate(super::server::MAX_TERMS);
        }
        let shown: Arc<dyn Reply> = Arc::clone(reply) as _;
        let heard = match pipeline.hear(fetched, &hints, &shown).await {
            Ok(heard) => heard,
            Err(failure) => {
                if let Failure::Speech(_) = &failure {
                    counter!("talkback_provider_errors_total", "stage" => "hear").increment(1);
                }
                return Ok(Err(failure.into()));
            }
        };
        let millis = u64::try_from(heard.duration.as_millis()).unwrap_or(u64::MAX);
        let paid = !heard.transcript.is_local();
        let micros = paid.then(|| self.rules.prices.speech(heard.duration));
        let micros = micros.unwrap_or(0);
        counter!("talkback_audio_seconds_total").increment(heard.duration.as_secs());
        count(&Used {
            micros,
            ..Used::default()
        });
        let file = match order.wish {
            Wish::Transcript(format) => Some((format, format.render(&heard.transcript))),
            Wish::Answer => None,
        };
        Ok(Ok(Note {
            name: recording.name.clone(),
            text: heard.transcript.text.trim().to_owned(),
            millis,
            micros,
            generation: job.generation,
            file,
        }))
    }

    /// What was used today by those whose caps count.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn today(&self, guild: Option<u64>, author: u64) -> Result<Today, StoreError> {
        let day = (self.clock)().day();
        let used = |scope| self.store.used(day, scope);
        Ok(Today {
            member: used(store::Scope::Author(author)).await?,
            server: match guild {
                Some(guild) => used(store::Scope::Guild(guild)).await?,
                None => Used::default(),
            },
            all: used(store::Scope::Everyone).await?,
        })
    }

    fn cost(&self, job: &Job, stage: Stage, used: Used) -> Entry {
        Entry {
            job: job.id,
            generation: job.generation,
            stage,
            guild: job.order.guild,
            author: job.order.author,
            used,
            at: (self.clock)(),
        }
    }

    /// What the model reads.
    async fn turns(
        &self,
        job: &Job,
        order: &Order,
        notes: &[Note],
    ) -> Result<Vec<crate::chat::Turn>, StoreError> {
        let bounds = match order.conversation {
            Conversation::Call { .. } => Bounds::of_a_call(),
            _ => Bounds::default(),
        };
        let mut past = memory::past(&self.store, order.conversation, bounds).await?;
        if let (Conversation::RepliesTo(message), true) = (order.conversation, past.is_empty()) {
            past = self.front.earlier(job, message).await;
        }
        let said = Said {
            author: job.order.author,
            name: order.name.clone(),
            text: said(order, notes),
        };
        Ok(memory::turns(past, said, bounds.tokens))
    }

    /// Delivers, remembers, and ends the job.
    async fn close(
        &self,
        job: &Job,
        order: &Order,
        outcome: &Outcome,
        reply: &dyn JobReply,
    ) -> Result<Run, StoreError> {
        let started = Instant::now();
        let delivered = reply.deliver(outcome).await;
        histogram!("talkback_stage_seconds", "stage" => "deliver").record(started.elapsed());
        let (state, label) = match (&delivered, outcome) {
            (Err(DeliveryError::Store(_)), _) => (None, "ledger"),
            (Err(DeliveryError::Later(_)), _) => (None, "later"),
            (Err(DeliveryError::Nowhere(_)), _) => (Some(JobState::Failed), "undeliverable"),
            (Ok(_), Outcome::Answered { .. }) => (Some(JobState::Done), "answered"),
            (Ok(_), Outcome::Transcribed { .. }) => (Some(JobState::Done), "transcribed"),
            (Ok(_), Outcome::Failed { failure, .. }) => (Some(JobState::Failed), label(failure)),
            (Ok(_), Outcome::Superseded) => (Some(JobState::Cancelled), "superseded"),
        };
        counter!("talkback_jobs_total", "outcome" => label).increment(1);
        if let Err(error) = &delivered {
            tracing::warn!(
                job = job.id.0,
                channel = job.order.channel,
                error = error as &dyn std::error::Error,
                "not delivered"
            );
        }
        let first = match delivered {
            Ok(first) => first,
            Err(DeliveryError::Store(error)) => return Err(error),
            Err(DeliveryError::Later(_) | DeliveryError::Nowhere(_)) => None,
        };
        let Some(state) = state else {
            return Ok(Run::Later);
        };
        // What only its author saw is not remembered: the next to ask in a thread may be somebody
        // else.
        let turns = match first {
            Some(first) if !order.is_private() => self.turns_of(job, order, outcome, first),
            _ => Vec::new(),
        };
        let now = (self.clock)();
        self.store.finish(job.id, state, &turns, now).await?;
        let waited = (self.clock)().0 - job.created.0;
        tracing::info!(job = job.id.0, outcome = label, millis = waited, "done");
        Ok(Run::Over)
    }

    /// What was said and answered, so that a reply goes on with it.
    fn turns_of(
        &self,
        job: &Job,
        order: &Order,
        outcome: &Outcome,
        first: u64,
    ) -> Vec<store::Turn> {
        let parent = match order.conversation {
            Conversation::RepliesTo(message) => Some(message),
            Conversation::New | Conversation::Thread(_) | Conversation::Call { .. } => None,
        };
        let turn = |message, parent, role, name: &str, text| store::Turn {
            message,
            parent,
            guild: job.order.guild,
            channel: job.order.channel,
            author: job.order.author,
            role,
            name: name.to_owned(),
            text,
            at: (self.clock)(),
        };
        let source = job.order.source;
        match outcome {
            Outcome::Failed { .. } | Outcome::Superseded => Vec::new(),
            // Whoever replies to the transcript means the words in it.
            Outcome::Transcribed { notes } => {
                let text = said(order, notes);
                vec![turn(first, parent, Speaker::User, &order.name, text)]
            }
            Outcome::Answered { notes, answer, .. } => {
                let answer = answer.0.trim().to_owned();
                if let Via::Spoken = order.via {
                    // What was asked is a line of the session already.
                    return vec![turn(first, None, Speaker::Assistant, "", answer)];
                }
                let asked = said(order, notes);
                vec![
                    turn(source, parent, Speaker::User, &order.name, asked),
                    turn(first, Some(source), Speaker::Assistant, "", answer),
                ]
            }
        }
    }
}

/// What the recordings cost that were heard in this run.
fn heard_now(job: &Job, notes: &[Note]) -> Used {
    let now = notes
        .iter()
        .filter(|note| note.generation == job.generation);
    now.fold(Used::default(), |used, note| Used {
        audio_ms: used.audio_ms.saturating_add(note.millis),
        micros: used.micros.saturating_add(note.micros),
        ..used
    })
}

/// Adds to the metrics.
fn count(used: &Used) {
    counter!("talkback_tokens_total", "direction" => "in").increment(used.tokens_in);
    counter!("talkback_tokens_total", "direction" => "out").increment(used.tokens_out);
    counter!("talkback_cost_micros_total").increment(used.micros);
}

/// What is still to be booked once the first recordings are heard, in milliseconds. The engines of
/// this machine use nothing of the caps.
pub(super) fn to_book(order: &Order, heard: usize) -> u64 {
    match order.engines {
        Engines::All => u64::try_from(order.unheard(heard).as_millis()).unwrap_or(u64::MAX),
        Engines::Local => 0,
    }
}

/// What of the order has been heard by an earlier run.
pub(super) fn notes(job: &Job) -> Vec<Note> {
    job.transcript
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// All that somebody says with an order: what was typed, and what the recordings say.
fn said(order: &Order, notes: &[Note]) -> String {
    let typed = order.question.as_deref();
    match notes {
        [] => typed.unwrap_or_default().to_owned(),
        [one] => spoken_turn(&one.text, typed).text,
        several => {
            let all: Vec<String> = (1_usize..)
                .zip(several)
                .map(|(number, note)| format!("Recording {number}: {}", note.text))
                .collect();
            spoken_turn(&all.join("\n\n"), typed).text
        }
    }
}

/// How much of the day's recorded time is left.
fn left(rules: &Rules, today: &Today) -> Duration {
    let left = [
        (rules.audio.member, today.member),
        (rules.audio.server, today.server),
        (rules.audio.all, today.all),
    ]
    .map(|(cap, used)| cap.saturating_sub(used.audio_ms))
    .into_iter()
    .min();
    Duration::from_millis(left.unwrap_or(u64::MAX))
}

fn label(failure: &JobFailure) -> &'static str {
    match failure {
        JobFailure::Flow(Failure::Audio(crate::audio::AudioError::NoSpeech)) => "no_speech",
        JobFailure::Flow(Failure::Audio(_)) => "bad_recording",
        JobFailure::Flow(Failure::Speech(_)) => "speech_failed",
        JobFailure::Flow(Failure::Chat(_)) => "chat_failed",
        JobFailure::Fetch(_) => "fetch_failed",
        JobFailure::Rules(_) => "refused",
        JobFailure::GivenUp(_) => "given_up",
    }
}
