//! The live transcript in a channel: messages that are edited in place until they are full.
//!
//! `transcript_task` shows what is pending, at the pace that the channel's rate limit allows;
//! `transcript_page` holds the lines of one message.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serenity::all::{GuildId, UserId};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::super::guild_cache::EventMember;
use super::super::reply_context::ReplyContext;
use super::super::snowflake;
use super::result_publisher::SessionResultPublisher;
use super::transcript_page::render_line;
use super::transcript_task::{PendingEntry, TranscriptViewShared};
use crate::flow::access::MemberAccess;
use crate::flow::consent::PersonalData;
use crate::flow::session::transcript_view::{
    PartialTranscript, SessionNotice, SessionResult, TranscriptView,
};
use crate::store::{SessionId, Timestamp, TranscriptLine};
use crate::ui_text::{bot, voice_session as words};

/// Maximum number of lines waiting to be shown. Lines beyond it are only in the store and in the
/// final transcript file.
const MAX_PENDING_ENTRIES: usize = 2_000;

/// Speakers whose partial transcripts are shown.
const MAX_PARTIALS: usize = 8;

/// Longest time that `flush` waits for the last lines to be shown.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);

/// A session's live transcript in a channel.
pub(super) struct ChannelTranscriptView {
    shared: Arc<TranscriptViewShared>,
    _view_task: tokio_util::task::AbortOnDropHandle<()>,
}

impl ChannelTranscriptView {
    pub(super) fn new(
        reply_context: Arc<ReplyContext>,
        (session, channel): (i64, u64),
        started: Timestamp,
        max_duration: Duration,
    ) -> Arc<Self> {
        let shared = Arc::new(TranscriptViewShared {
            reply_context,
            session_id: session,
            channel_id: channel,
            started_at: started,
            max_duration,
            state: Mutex::default(),
            changed: Notify::new(),
            is_unreachable: AtomicBool::new(false),
            nonce_counter: AtomicU64::new(0),
            last_request_id: AtomicU64::new(0),
        });
        let view_task = tokio::spawn(Arc::clone(&shared).run());
        Arc::new(Self {
            shared,
            _view_task: tokio_util::task::AbortOnDropHandle::new(view_task),
        })
    }

    /// A unique nonce, by which Discord recognizes a message that is sent twice.
    pub(super) fn next_nonce(&self) -> String {
        self.shared.next_nonce()
    }
}

#[async_trait]
impl TranscriptView for ChannelTranscriptView {
    fn append_lines(&self, lines: Vec<PersonalData<TranscriptLine>>) {
        let mut state = self.shared.lock_state();
        for line in lines {
            if state.pending.len() < MAX_PENDING_ENTRIES {
                let line = line.map(|line| render_line(&line, self.shared.started_at));
                state.pending.push_back(PendingEntry::Line(line));
            }
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    fn show_partial(&self, partial: PersonalData<PartialTranscript>) {
        let person = partial.grant().user_id();
        let is_empty = partial.get().is_none_or(|it| it.text.is_empty());
        let mut state = self.shared.lock_state();
        let changed = if is_empty {
            state.partials.remove(&person).is_some()
        } else if state.partials.len() < MAX_PARTIALS || state.partials.contains_key(&person) {
            state.partials.insert(person, partial);
            true
        } else {
            false
        };
        drop(state);
        if changed {
            self.shared.changed.notify_one();
        }
    }

    fn post_notice(&self, notice: SessionNotice<'_>) {
        let text = match notice {
            SessionNotice::TranscriptionFailing => words::TRANSCRIPTION_FAILING.to_owned(),
            SessionNotice::CapReached { person, verdict } => {
                words::member_limit_message(person, verdict)
            }
            SessionNotice::QuestionRefused(refused) => bot::request_refused(refused),
            SessionNotice::CannotHear(why) => words::cannot_hear(why).to_owned(),
            SessionNotice::CanHearAgain => words::CAN_HEAR_AGAIN.to_owned(),
            SessionNotice::Restarting => words::RESTART.to_owned(),
        };
        let notice = PendingEntry::Notice(text, self.shared.next_nonce());
        let mut state = self.shared.lock_state();
        if state.pending.len() < MAX_PENDING_ENTRIES {
            state.pending.push_back(notice);
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    async fn member_access(&self, guild: u64, person: u64) -> MemberAccess {
        let reply_context = &self.shared.reply_context;
        let member = EventMember {
            user: UserId::new(person),
            roles: None,
            permissions: None,
        };
        let guild = Some(GuildId::new(guild));
        reply_context
            .guild_cache
            .resolve_access(&reply_context.discord_api, guild, member)
            .await
    }

    fn is_available(&self) -> bool {
        !self.shared.is_unreachable.load(Ordering::Relaxed)
    }

    async fn flush(&self) {
        let (sender, done) = oneshot::channel();
        self.shared.lock_state().settle_waiters.push(sender);
        self.shared.changed.notify_one();
        if timeout(SETTLE_TIMEOUT, done).await.is_err() {
            tracing::warn!(session = self.shared.session_id, "lines are not shown");
        }
    }

    fn next_request_id(&self) -> u64 {
        let now = snowflake::smallest_id_from(Duration::ZERO);
        let last = self
            .shared
            .last_request_id
            .fetch_max(now, Ordering::Relaxed);
        if last < now {
            return now;
        }
        self.shared.last_request_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn show_result(&self, result: &SessionResult) -> bool {
        self.flush().await;
        let publisher = SessionResultPublisher {
            reply_context: &self.shared.reply_context,
            session_id: SessionId(self.shared.session_id),
            channel_id: self.shared.channel_id,
            started_at: self.shared.started_at,
            max_duration: self.shared.max_duration,
        };
        publisher.publish(result).await
    }
}
