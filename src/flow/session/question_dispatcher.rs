//! Detects questions to the bot in the transcript, and submits them as jobs.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::AnswerMode;
use super::transcript_view::{SessionNotice, TranscriptView};
use super::wake_word::{BotNames, is_request};
use crate::flow::access::{AccessGrant, MemberAccess};
use crate::flow::consent::PersonalData;
use crate::flow::conversation_history::ConversationRef;
use crate::flow::guild_settings::GuildSettings;
use crate::flow::job_scheduler::{CarriedOver, JobScheduler, JobSubmission, SubmitError};
use crate::flow::job_spec::{JobSpec, OutputKind, ReplyTarget};
use crate::store::{SessionId, TranscriptLine};

/// After saying only the bot's name, a speaker has this long to ask.
const FOLLOW_UP_WINDOW: Duration = Duration::from_secs(10);

/// Users whose latest request is remembered.
const MAX_TRACKED_USERS: usize = 256;

/// Capacity of the question queue.
const MAX_QUEUED_QUESTIONS: usize = 32;

/// Finds questions to the bot and queues them.
pub(super) struct QuestionDispatcher {
    bot_names: BotNames,
    /// Users who have said only the bot's name, and when.
    called_at: HashMap<u64, Duration>,
    questions: mpsc::Sender<PersonalData<(TranscriptLine, String)>>,
}

/// Submits questions one after the other, since superseding an older one may take time.
struct QuestionWorker {
    scheduler: Arc<JobScheduler>,
    view: Arc<dyn TranscriptView>,
    session: SessionId,
    guild: u64,
    channel: u64,
    /// The latest request of each user.
    last_request_ids: HashMap<u64, u64>,
    /// Users for whom a missing-permission notice was posted.
    notified_no_access: HashSet<u64>,
}

impl QuestionDispatcher {
    pub(super) fn new(
        scheduler: Arc<JobScheduler>,
        view: Arc<dyn TranscriptView>,
        bot_names: BotNames,
        (session, guild, channel): (SessionId, u64, u64),
    ) -> Self {
        let (questions, mut queued) = mpsc::channel(MAX_QUEUED_QUESTIONS);
        let mut worker = QuestionWorker {
            scheduler,
            view,
            session,
            guild,
            channel,
            last_request_ids: HashMap::new(),
            notified_no_access: HashSet::new(),
        };
        // Ends after the last queued question once the dispatcher is dropped.
        tokio::spawn(async move {
            while let Some(question) = queued.recv().await {
                worker.submit(question).await;
            }
        });
        Self {
            bot_names,
            called_at: HashMap::new(),
            questions,
        }
    }

    /// The question to the bot in a line, if there is one.
    pub(super) fn extract_question(
        &mut self,
        line: &TranscriptLine,
        answers: AnswerMode,
        people: usize,
    ) -> Option<String> {
        if matches!(answers, AnswerMode::Command | AnswerMode::Never) {
            return None;
        }
        let end = Duration::from_millis(line.end_ms);
        let start = Duration::from_millis(line.start_ms);
        if let Some(found) = self.bot_names.find_request(&line.text) {
            if found.request.trim().is_empty() {
                if self.called_at.len() < MAX_TRACKED_USERS {
                    self.called_at.insert(line.author, end);
                }
                return None;
            }
            self.called_at.remove(&line.author);
            return Some(found.request);
        }
        let called_at = self.called_at.remove(&line.author);
        if called_at.is_some_and(|at| start.saturating_sub(at) <= FOLLOW_UP_WINDOW) {
            return Some(line.text.clone());
        }
        let answers_all = match answers {
            AnswerMode::Always => true,
            AnswerMode::Auto => people <= 1,
            AnswerMode::Name | AnswerMode::Command | AnswerMode::Never => false,
        };
        (answers_all && is_request(&line.text)).then(|| line.text.clone())
    }

    /// Queues a question without waiting. It supersedes the user's previous question if that has no
    /// answer yet.
    pub(super) fn enqueue(&self, question: PersonalData<(TranscriptLine, String)>) {
        if self.questions.try_send(question).is_err() {
            tracing::warn!("the question queue is full");
        }
    }
}

impl QuestionWorker {
    async fn check_access(&self, person: u64) -> Option<AccessGrant> {
        let store = &self.scheduler.runner().store;
        let settings = match GuildSettings::load(store, Some(self.guild)).await {
            Ok(settings) => settings,
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "can't read the guild settings, so access is denied"
                );
                return None;
            }
        };
        let member = match settings.required_role {
            Some(_) => self.view.member_access(self.guild, person).await,
            None => MemberAccess::default(),
        };
        member.authorize(&settings)
    }

    async fn submit(&mut self, question: PersonalData<(TranscriptLine, String)>) {
        let grant = question.grant().clone();
        let Some(access) = self.check_access(grant.user_id()).await else {
            // Speech may be taken for a question by mistake, so notify only once.
            if self.notified_no_access.len() < MAX_TRACKED_USERS
                && self.notified_no_access.insert(grant.user_id())
            {
                self.view
                    .post_notice(SessionNotice::QuestionRefused(&SubmitError::NoAccess));
            }
            return;
        };
        let Some((line, question)) = question.into_inner() else {
            return;
        };
        let source = self.view.next_request_id();
        if self.last_request_ids.len() >= MAX_TRACKED_USERS {
            self.last_request_ids.clear();
        }
        if let Some(previous) = self.last_request_ids.insert(line.author, source)
            && let Err(error) = self.scheduler.supersede(previous).await
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a superseded question could not be cancelled"
            );
        }
        let spec = JobSpec {
            output: OutputKind::Answer,
            requester_name: line.name.clone(),
            recordings: Vec::new(),
            question: Some(question),
            conversation: ConversationRef::Call {
                session: self.session.0,
                before: Some(line.number),
            },
            reply_target: ReplyTarget::Spoken,
            referenced: None,
        };
        let submission = JobSubmission {
            source,
            guild: Some(self.guild),
            channel: self.channel,
            author: line.author,
            spec,
            access,
            carried_over: CarriedOver::default(),
        };
        match self.scheduler.submit(grant.wrap(submission)).await {
            Ok(_) => {}
            Err(error) => {
                if let SubmitError::Store(error) = &error {
                    tracing::error!(
                        error = error as &dyn std::error::Error,
                        "a question could not be submitted"
                    );
                }
                self.view
                    .post_notice(SessionNotice::QuestionRefused(&error));
            }
        }
    }
}
