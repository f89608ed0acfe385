//! One job from beginning to end. Each step that costs something is written into the ledger when
//! it is done, so that a process that takes over does not pay for it again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use metrics::{counter, histogram};

use super::admission::{Admission, Ask, Cost, Engines, Hold, Payer, Permit, Settling};
use super::consent::{ConsentBook, Consents, Stamped, Stamps};
use super::front::{DeliveryError, Front, JobFailure, JobReply, Outcome};
use super::memory::{self, Bounds, Conversation, Said};
use super::order::{Note, Order, Via, Wish};
use super::rules::{Verdict, Whose};
use super::server::ServerSettings;
use super::suspects::Suspects;
use super::{Answer, Failure, Pipeline, Reply, spoken_turn};
use crate::chat::{EndReason, Usage};
use crate::speech::Hints;
use crate::store::{self, Account, Job, JobId, JobState, Speaker, Store, StoreError};

/// How often a job is begun before it is given up: one that ends the process each time must not
/// do so for ever.
pub const MAX_ATTEMPTS: u32 = 10;

/// The same once all there is to do is to deliver what is paid for.
const MAX_DELIVERIES: u32 = 100;

/// How often a job is begun that panics.
const MAX_PANICS: u32 = 2;

/// How long an outcome is tried to be delivered. Discord is not away for longer.
const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);

/// Who works, and by which rules.
pub struct Workshop {
    /// The engines of the settings.
    pub pipeline: Pipeline,
    /// The engines of this machine, where the settings name any.
    pub local: Option<Pipeline>,
    /// Who judges and books what is paid.
    pub admission: Admission,
    /// The ledger.
    pub store: Store,
    /// Whose words may be used.
    pub consents: Consents,
    /// Who runs alone.
    pub suspects: Suspects,
    /// Where orders come from.
    pub front: Arc<dyn Front>,
    /// The time in the ledger.
    pub clock: fn() -> store::Timestamp,
}

/// Why a recording is not written down.
enum NotHeard {
    Failed(JobFailure),
    /// Nobody would see it.
    NoPlace(DeliveryError),
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
    /// Nobody may see anything more of it.
    Withdrawn,
    /// Another process goes on with it.
    Closing,
    /// There will soon be no place for the answer.
    OutOfTime,
    /// Whoever asked has asked something else since.
    Superseded,
    /// Whoever asked, or whose words it is about, wants nothing of theirs to be used any more.
    TakenBack,
}

impl Workshop {
    /// Works on a job until it is over. `stopped` ends it early; what was being sent is sent.
    /// `fresh` says that this process has accepted the job and nobody has worked on it yet.
    /// `hold` is what is reserved of the day's caps for it. Without the `leave` of those whose words
    /// it is about nothing of it is shown or kept.
    ///
    /// # Errors
    ///
    /// If the ledger fails: then the job is as far as it was.
    pub async fn run(
        &self,
        job: JobId,
        fresh: bool,
        hold: Option<&Hold>,
        leave: &Stamps,
        stopped: impl Future<Output = Stop>,
    ) -> Result<Run, StoreError> {
        let Some(job) = self.store.job(job).await? else {
            return Ok(Run::Over);
        };
        if job.state != JobState::Waiting {
            return Ok(Run::Over);
        }
        let Ok(order) = serde_json::from_str::<Order>(&job.order.payload) else {
            self.apologize(job.id).await?;
            return Ok(Run::Over);
        };
        // The first message is on its way before the beginning is counted; nothing else is done
        // before that.
        let replying = self.front.reply(&job, &order, fresh);
        let Some(reply) = leave.unless_withdrawn(replying).await else {
            self.store.forget_source(job.order.source).await?;
            return Ok(Run::Over);
        };
        let reply = reply?;
        let (begun, delivering) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut whole = Box::pin(async {
            let mut job = job.clone();
            let _alone = self.suspects.turn_of(&job).await;
            job.attempts = self.store.begin(job.id).await?;
            begun.store(true, Ordering::Relaxed);
            let worked = tokio::select! {
                biased;
                why = reply.lost() => Err(DeliveryError::Nowhere(why)),
                worked = self.work(&job, &order, hold, &reply) => worked?,
            };
            delivering.store(true, Ordering::Relaxed);
            match worked {
                Ok(outcome) => self.close(&job, &order, &outcome, &*reply).await,
                // Nobody is paid for what nobody would see, and whoever asked is told where that
                // is possible.
                Err(DeliveryError::Nowhere(why)) => {
                    tracing::warn!(job = job.id.0, %why, "there is no place for the answer");
                    let outcome = Outcome::Failed {
                        notes: notes(&job),
                        failure: JobFailure::NoPlace,
                    };
                    self.close(&job, &order, &outcome, &*reply).await
                }
                Err(error) => self.ends(&job, &order, None, Err(error)).await,
            }
        });
        tokio::pin!(stopped);
        let stop = tokio::select! {
            biased;
            stop = &mut stopped => stop,
            run = &mut whole => {
                reply.abandon().await;
                return run;
            }
        };
        // The answer itself is the better end.
        if stop == Stop::OutOfTime && delivering.load(Ordering::Relaxed) {
            let run = whole.await;
            reply.abandon().await;
            return run;
        }
        // What nobody polls any more must not stand in line for anything.
        drop(whole);
        reply.abandon().await;
        match stop {
            // That the process ends is not the job's doing.
            Stop::Closing if begun.load(Ordering::Relaxed) => self.store.put_off(job.id).await?,
            Stop::Closing => {}
            Stop::TakenBack => {
                reply.take_away().await;
                self.store.forget_source(job.order.source).await?;
            }
            Stop::Withdrawn => {
                if let Err(error) = reply.settle().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(job = job.id.0, error, "a message may be left");
                }
            }
            Stop::Superseded | Stop::OutOfTime => self.end(&job, &*reply, stop).await?,
        }
        Ok(Run::Over)
    }

    /// Whether an answer costs anything, as far as the settings say.
    pub(super) fn answers_cost(&self) -> bool {
        let usage = Usage {
            prompt_tokens: 1,
            answer_tokens: 1,
        };
        !self.pipeline.chat.card().is_local() && self.admission.rules().prices.chat(usage) > 0
    }

    /// Ends a job that nobody works on at the moment, and says why.
    ///
    /// # Errors
    ///
    /// If the ledger fails.
    pub async fn break_off(&self, id: JobId, fresh: bool, stop: Stop) -> Result<(), StoreError> {
        let Some((job, order)) = self.unfinished(id).await? else {
            return Ok(());
        };
        let reply = self.front.reply(&job, &order, fresh).await?;
        reply.noted(&notes(&job));
        let ended = self.end(&job, &*reply, stop).await;
        reply.abandon().await;
        ended
    }

    /// A job panicked. Whether it is over now: else it is tried again.
    ///
    /// # Errors
    ///
    /// If the ledger fails.
    pub async fn stumbled(&self, id: JobId) -> Result<Run, StoreError> {
        let Some((job, order)) = self.unfinished(id).await? else {
            return Ok(Run::Over);
        };
        if job.attempts < MAX_PANICS {
            return Ok(Run::Later);
        }
        // Whatever becomes of the sentence, nobody tries again.
        let now = (self.clock)();
        self.store.finish(id, JobState::Failed, &[], now).await?;
        counter!("talkback_jobs_total", "outcome" => "given_up").increment(1);
        let reply = self.front.reply(&job, &order, false).await?;
        let outcome = Outcome::Failed {
            notes: notes(&job),
            failure: JobFailure::GivenUp(job.attempts),
        };
        self.tell(&job, &*reply, &outcome).await;
        Ok(Run::Over)
    }

    /// Ends a job whose row can't be read, and says so where that is possible.
    ///
    /// # Errors
    ///
    /// If the ledger fails.
    pub async fn apologize(&self, id: JobId) -> Result<(), StoreError> {
        tracing::error!(job = id.0, "the order can't be read");
        let Some(job) = self.store.bare_job(id).await? else {
            return Ok(());
        };
        let now = (self.clock)();
        if !self.store.finish(id, JobState::Failed, &[], now).await? {
            return Ok(());
        }
        let order = Order {
            wish: Wish::Answer,
            name: String::new(),
            recordings: Vec::new(),
            question: None,
            conversation: Conversation::New,
            borrowed: None,
            via: Via::Message,
        };
        let reply = self.front.reply(&job, &order, false).await?;
        let outcome = Outcome::Failed {
            notes: Vec::new(),
            failure: JobFailure::Unreadable,
        };
        self.tell(&job, &*reply, &outcome).await;
        Ok(())
    }

    /// Takes away what is shown of a job that is not to be done any more.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn take_away(&self, id: JobId) -> Result<(), StoreError> {
        if let Some((job, order)) = self.unfinished(id).await? {
            self.front.take_away(&job, &order).await;
        }
        Ok(())
    }

    async fn unfinished(&self, id: JobId) -> Result<Option<(Job, Order)>, StoreError> {
        let job = self.store.job(id).await?;
        let job = job.filter(|job| job.state == JobState::Waiting);
        Ok(job.and_then(|job| {
            let order = serde_json::from_str(&job.order.payload).ok()?;
            Some((job, order))
        }))
    }

    /// Leaves what there is of an answer that does not come to its end.
    async fn end(&self, job: &Job, reply: &dyn JobReply, stop: Stop) -> Result<(), StoreError> {
        let (outcome, state, label) = match stop {
            Stop::OutOfTime => {
                let failure = JobFailure::OutOfTime;
                let notes = notes(job);
                let outcome = Outcome::Failed { notes, failure };
                (outcome, JobState::Failed, "out_of_time")
            }
            _ => (Outcome::Superseded, JobState::Cancelled, "superseded"),
        };
        self.tell(job, reply, &outcome).await;
        counter!("talkback_jobs_total", "outcome" => label).increment(1);
        let now = (self.clock)();
        self.store.finish(job.id, state, &[], now).await?;
        Ok(())
    }

    async fn tell(&self, job: &Job, reply: &dyn JobReply, outcome: &Outcome) {
        if let Err(error) = reply.deliver(outcome).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(job = job.id.0, error, "an end is not shown");
        }
    }

    /// Everything up to the outcome.
    async fn work(
        &self,
        job: &Job,
        order: &Order,
        hold: Option<&Hold>,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Result<Outcome, DeliveryError>, StoreError> {
        let mut notes = notes(job);
        reply.noted(&notes);
        let failed = |notes, failure: JobFailure| {
            tracing::warn!(
                job = job.id.0,
                error = &failure as &dyn std::error::Error,
                "no result"
            );
            Ok(Ok(Outcome::Failed { notes, failure }))
        };
        let most = match is_complete(job, order) {
            true => MAX_DELIVERIES,
            false => MAX_ATTEMPTS,
        };
        if job.attempts > most {
            return failed(notes, JobFailure::GivenUp(job.attempts - 1));
        }
        let settings = ServerSettings::of(&self.store, job.order.guild).await?;
        // Where the smaller engines had to hear, they answer too: at a cap nothing more is paid.
        let mut at_most = Engines::All;
        while let Some(recording) = order.recordings.get(notes.len()) {
            let started = Instant::now();
            let rest = order.unheard(notes.len() + 1);
            let heard = self
                .hear(job, order, recording, (hold, rest), &settings, reply)
                .await?;
            histogram!("talkback_stage_seconds", "stage" => "hear").record(started.elapsed());
            let (note, paid, engines) = match heard {
                Ok(heard) => heard,
                Err(NotHeard::Failed(failure)) => return failed(notes, failure),
                Err(NotHeard::NoPlace(error)) => return Ok(Err(error)),
            };
            if engines == Engines::Local {
                at_most = engines;
            }
            notes.push(note);
            let text = serde_json::to_string(&notes).map_err(|_| StoreError::Damaged)?;
            self.store.heard(job.id, &text, paid.booking()).await?;
            paid.written();
            reply.noted(&notes);
        }
        if let Wish::Transcript(_) = order.wish {
            return Ok(Ok(Outcome::Transcribed { notes }));
        }
        if let Some(answer) = &job.answer {
            return Ok(Ok(Outcome::Answered {
                notes,
                answer: Answer(answer.clone()),
                end: EndReason::Complete,
                notice: self.pipeline.chat.card().notice,
            }));
        }
        let started = Instant::now();
        let shown: Arc<dyn Reply> = Arc::clone(reply) as _;
        let (permit, pipeline, answered) = loop {
            let (turns, others) = self.turns(job, order, &notes).await?;
            let ask = Ask {
                payer: payer(job),
                account: account(job),
                cost: self
                    .pipeline
                    .chat
                    .cost(&self.pipeline.conversation(turns.clone())),
                hold: None,
                at_most,
            };
            if let Err(error) = reply.stands().await {
                return Ok(Err(error));
            }
            let permit = match self.admission.admit(&ask).await? {
                Ok(permit) => permit,
                Err(verdict) => return failed(notes, JobFailure::Rules(verdict)),
            };
            let pipeline = match self.engines(&permit, &settings, &**reply) {
                Ok(pipeline) => pipeline,
                Err(failure) => return failed(notes, failure),
            };
            let answer = pipeline.answer(&permit, turns, &shown);
            // Others may take back what they said before while the model reads it: then it is
            // asked anew without that. Each time there are fewer of them.
            match others.unless_withdrawn(answer).await {
                Some(answered) => break (permit, pipeline, answered),
                None => {
                    permit.settle().await;
                    reply.anew();
                }
            }
        };
        histogram!("talkback_stage_seconds", "stage" => "answer").record(started.elapsed());
        match answered {
            Ok(answered) => {
                let text = &answered.text.0;
                let paid = permit.finish();
                self.store.answered(job.id, text, paid.booking()).await?;
                paid.written();
                Ok(Ok(Outcome::Answered {
                    notes,
                    answer: answered.text,
                    end: answered.end.reason,
                    notice: pipeline.chat.card().notice,
                }))
            }
            Err(failure) => {
                permit.settle().await;
                counter!("talkback_provider_errors_total", "stage" => "answer").increment(1);
                failed(notes, failure.into())
            }
        }
    }

    /// The engines that a permit is for, told what the server has chosen. Whoever waits is told if
    /// they are the smaller ones.
    fn engines(
        &self,
        permit: &Permit,
        settings: &ServerSettings,
        reply: &dyn JobReply,
    ) -> Result<Pipeline, JobFailure> {
        let mut pipeline = match (permit.engines(), &self.local) {
            (Engines::All, _) => self.pipeline.clone(),
            (Engines::Local, Some(local)) => {
                reply.smaller_engines();
                local.clone()
            }
            (Engines::Local, None) => {
                return Err(JobFailure::Rules(Verdict::Spent(Whose::Everyone)));
            }
        };
        if let Some(prompt) = &settings.prompt {
            pipeline.system_prompt.clone_from(prompt);
        }
        Ok(pipeline)
    }

    /// Fetches one recording and writes it down. With what that used, to be booked, and who heard.
    async fn hear(
        &self,
        job: &Job,
        order: &Order,
        recording: &super::order::Attachment,
        (hold, rest): (Option<&Hold>, Duration),
        settings: &ServerSettings,
        reply: &Arc<dyn JobReply>,
    ) -> Result<Result<(Note, Settling, Engines), NotHeard>, StoreError> {
        let rules = settings.applied_to(*self.admission.rules());
        let mut pipeline = self.pipeline.clone();
        pipeline.limits.duration = pipeline.limits.duration.min(rules.longest);
        let limit = pipeline.limits.bytes;
        let fetched = match self.front.fetch(job, recording, limit).await {
            Ok(fetched) => fetched,
            Err(error) => return Ok(Err(NotHeard::Failed(error.into()))),
        };
        let shown: Arc<dyn Reply> = Arc::clone(reply) as _;
        // Only now is it known how long it plays, whatever was announced.
        let decoded = match pipeline.decode(fetched, &pipeline.hints, &shown).await {
            Ok(decoded) => decoded,
            Err(failure) => return Ok(Err(NotHeard::Failed(failure.into()))),
        };
        if let Err(error) = reply.stands().await {
            return Ok(Err(NotHeard::NoPlace(error)));
        }
        let ask = Ask {
            payer: payer(job),
            account: account(job),
            cost: Cost::Speech(decoded.duration()),
            hold: hold.map(|hold| (hold, rest)),
            at_most: Engines::All,
        };
        let permit = match self.admission.admit(&ask).await? {
            Ok(permit) => permit,
            Err(verdict) => return Ok(Err(NotHeard::Failed(JobFailure::Rules(verdict)))),
        };
        let pipeline = match self.engines(&permit, settings, &**reply) {
            Ok(pipeline) => pipeline,
            Err(failure) => return Ok(Err(NotHeard::Failed(failure))),
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
        let heard = match pipeline.write_down(&permit, decoded, &hints, &shown).await {
            Ok(heard) => heard,
            Err(failure) => {
                permit.settle().await;
                if let Failure::Speech(_) = &failure {
                    counter!("talkback_provider_errors_total", "stage" => "hear").increment(1);
                }
                return Ok(Err(NotHeard::Failed(failure.into())));
            }
        };
        let file = match order.wish {
            Wish::Transcript(format) => Some((format, format.render(&heard.transcript))),
            Wish::Answer => None,
        };
        let note = Note {
            name: recording.name.clone(),
            text: heard.transcript.text.trim().to_owned(),
            millis: u64::try_from(heard.duration.as_millis()).unwrap_or(u64::MAX),
            file,
        };
        let engines = permit.engines();
        Ok(Ok((note, permit.finish(), engines)))
    }

    /// Who may be heard in the calls of a server, as the ledger and the server's settings say; where
    /// a session goes on, at most as its notice says.
    ///
    /// # Errors
    ///
    /// If the ledger can't be read.
    pub async fn book(&self, guild: u64) -> Result<ConsentBook, StoreError> {
        let settings = ServerSettings::of(&self.store, Some(guild)).await?;
        let book = self.consents.read_book(&self.store, guild).await?;
        book.tighten(settings.voice_consent);
        Ok(book)
    }

    /// What the model reads.
    async fn turns(
        &self,
        job: &Job,
        order: &Order,
        notes: &[Note],
    ) -> Result<(Vec<crate::chat::Turn>, Stamps), StoreError> {
        let bounds = match order.conversation {
            Conversation::Call { .. } => Bounds::of_a_call(),
            _ => Bounds::default(),
        };
        let consents = &self.consents;
        let mut past = memory::past(consents, &self.store, order.conversation, bounds).await?;
        if let (Conversation::RepliesTo(message), true) = (order.conversation, past.is_empty()) {
            let earlier = self.front.earlier(job, message).await;
            past = memory::stamped(consents, earlier);
        }
        let others = past.iter().map(|turn| turn.stamp().clone()).collect();
        let past = past.into_iter().filter_map(Stamped::open).collect();
        let said = said(job.order.author, order, notes);
        Ok((memory::turns(past, said, bounds.tokens), others))
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
        self.ends(job, order, Some(outcome), delivered).await
    }

    /// Remembers what was delivered, and ends the job. Without an outcome the reply had no place.
    async fn ends(
        &self,
        job: &Job,
        order: &Order,
        outcome: Option<&Outcome>,
        delivered: Result<Option<u64>, DeliveryError>,
    ) -> Result<Run, StoreError> {
        let now = (self.clock)();
        let paid = matches!(
            outcome,
            Some(Outcome::Answered { .. } | Outcome::Transcribed { .. })
        );
        let (state, label) = match (&delivered, outcome) {
            (Err(DeliveryError::Later(_)), _) if job.due < now.before(MAX_AGE) => {
                (Some(JobState::Failed), "undeliverable")
            }
            (Err(DeliveryError::Store(_)), _) => (None, "ledger"),
            (Err(DeliveryError::Later(_)), _) => (None, "later"),
            (Err(DeliveryError::Withdrawn), _) => (Some(JobState::Cancelled), "withdrawn"),
            (Err(DeliveryError::Nowhere(_) | DeliveryError::Refused(_)), _) | (Ok(_), None) => {
                (Some(JobState::Failed), "undeliverable")
            }
            (Ok(_), Some(Outcome::Answered { .. })) => (Some(JobState::Done), "answered"),
            (Ok(_), Some(Outcome::Transcribed { .. })) => (Some(JobState::Done), "transcribed"),
            (Ok(_), Some(Outcome::Failed { failure, .. })) => {
                (Some(JobState::Failed), label(failure))
            }
            (Ok(_), Some(Outcome::Superseded)) => (Some(JobState::Cancelled), "superseded"),
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
            Err(DeliveryError::Withdrawn) => {
                self.store.forget_source(job.order.source).await?;
                return Ok(Run::Over);
            }
            Err(
                DeliveryError::Later(_) | DeliveryError::Nowhere(_) | DeliveryError::Refused(_),
            ) => None,
        };
        let Some(state) = state else {
            if paid {
                self.store.put_off(job.id).await?;
            }
            return Ok(Run::Later);
        };
        // What only its author saw is not remembered: the next to ask in a thread may be somebody
        // else.
        let turns = match (first, outcome) {
            (Some(first), Some(outcome)) if !order.is_private() => {
                self.turns_of(job, order, outcome, first)
            }
            _ => Vec::new(),
        };
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
        let turn = |message, parent, role, said: Said| store::Turn {
            message,
            parent,
            guild: job.order.guild,
            channel: job.order.channel,
            author: said.author,
            role,
            name: said.name,
            text: said.text,
            at: (self.clock)(),
        };
        let answer = |answer: &Answer| Said {
            author: job.order.author,
            name: String::new(),
            text: answer.0.trim().to_owned(),
        };
        let (source, author) = (job.order.source, job.order.author);
        // What was asked stands in the request, and what it is about in a message before it.
        let asked = |notes: &[Note], last: u64| {
            let mut said = said(author, order, notes);
            let own = said.pop().filter(|_| said.len() < 2);
            let before = order.borrowed.as_ref().zip(said.pop());
            let theirs = before.map(|(from, said)| (from.message, said));
            let parent_of_own = theirs.as_ref().map(|(message, _)| *message).or(parent);
            let theirs = theirs.map(|(message, said)| turn(message, parent, Speaker::User, said));
            let own = own.map(|said| turn(last, parent_of_own, Speaker::User, said));
            theirs.into_iter().chain(own).collect::<Vec<_>>()
        };
        match outcome {
            Outcome::Failed { .. } | Outcome::Superseded => Vec::new(),
            // Whoever replies to the transcript means the words in it.
            Outcome::Transcribed { notes } => asked(notes, first),
            Outcome::Answered {
                notes,
                answer: given,
                ..
            } => {
                if given.0.trim().is_empty() {
                    return Vec::new();
                }
                if let Via::Spoken = order.via {
                    // What was asked is a line of the session already.
                    return vec![turn(first, None, Speaker::Assistant, answer(given))];
                }
                let mut turns = asked(notes, source);
                turns.push(turn(first, Some(source), Speaker::Assistant, answer(given)));
                turns
            }
        }
    }
}

/// Who pays for a job: whoever asked, whoever pressed what.
fn payer(job: &Job) -> Payer {
    Payer {
        guild: job.order.guild,
        author: job.order.author,
    }
}

/// Whether nothing is left to do but to deliver.
fn is_complete(job: &Job, order: &Order) -> bool {
    match order.wish {
        Wish::Answer => job.answer.is_some(),
        Wish::Transcript(_) => notes(job).len() >= order.recordings.len(),
    }
}

fn account(job: &Job) -> Account {
    Account::Job {
        job: job.id,
        generation: job.generation,
    }
}

/// What of the order has been heard by an earlier run.
pub(super) fn notes(job: &Job) -> Vec<Note> {
    job.transcript
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// All that is said with an order, by whom: what was typed, and what the recordings say. At most
/// two: what somebody else said, and what is asked about it.
fn said(author: u64, order: &Order, notes: &[Note]) -> Vec<Said> {
    let typed = order.question.as_deref();
    let own = |text| Said {
        author,
        name: order.name.clone(),
        text,
    };
    let Some(borrowed) = &order.borrowed else {
        return vec![own(together(typed, notes))];
    };
    let theirs = together(borrowed.text.as_deref(), notes);
    let known = borrowed.author != 0;
    let theirs = Said {
        author: if known { borrowed.author } else { author },
        name: order.speaker().to_owned(),
        text: theirs,
    };
    [theirs]
        .into_iter()
        .filter(|said| !said.text.is_empty())
        .chain(typed.map(|typed| own(typed.to_owned())))
        .collect()
}

fn together(typed: Option<&str>, notes: &[Note]) -> String {
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

fn label(failure: &JobFailure) -> &'static str {
    match failure {
        JobFailure::Flow(Failure::Audio(::audio::AudioError::NoSpeech)) => "no_speech",
        JobFailure::Flow(Failure::Audio(_)) => "bad_recording",
        JobFailure::Flow(Failure::Speech(_)) => "speech_failed",
        JobFailure::Flow(Failure::Chat(_)) => "chat_failed",
        JobFailure::Fetch(_) => "fetch_failed",
        JobFailure::Rules(_) => "refused",
        JobFailure::GivenUp(_) => "given_up",
        JobFailure::NoPlace => "no_place",
        JobFailure::OutOfTime => "out_of_time",
        JobFailure::Unreadable => "unreadable",
    }
}
