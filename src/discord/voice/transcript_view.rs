//! The live transcript in a channel: messages that are edited in place until they are full.
//!
//! A task shows what is pending, at the pace that the channel's rate limit allows.
//! `transcript_page` holds the lines of one message.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serenity::all::{GuildId, UserId};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use super::super::api_error::ApiError;
use super::super::discord_api::{MAX_MESSAGE_CHARS, OutgoingMessage};
use super::super::guild_cache::EventMember;
use super::super::snowflake;
use super::super::streaming_reply::ReplyContext;
use super::super::text;
use super::result_publisher::SessionResultPublisher;
use super::transcript_page::{FullTranscriptPages, TranscriptPage};
use crate::flow::access::MemberAccess;
use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::session::transcript_view::{
    PartialTranscript, SessionNotice, SessionResult, TranscriptView,
};
use crate::store::{LineKind, SessionId, Timestamp, TranscriptLine};
use crate::ui_text::{bot, transcript_file, voice_session as words};

/// Maximum number of lines waiting to be shown. Lines beyond it are only in the store and in the
/// final transcript file.
const MAX_PENDING_ENTRIES: usize = 2_000;

/// Speakers whose partial transcripts are shown.
const MAX_PARTIALS: usize = 8;

/// Characters of a partial transcript that are shown, counted from its end.
const MAX_PARTIAL_CHARS: usize = 200;

/// After this long without a line, the next one starts a new message.
const NEW_MESSAGE_AFTER: Duration = Duration::from_secs(300);

/// Delay between attempts: doubles from the minimum to the maximum.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// Longest time that `flush` waits for the last lines to be shown.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);

/// A session's live transcript in a channel.
pub(super) struct ChannelTranscriptView {
    shared: Arc<TranscriptViewShared>,
    _view_task: tokio_util::task::AbortOnDropHandle<()>,
}

struct TranscriptViewShared {
    reply_context: Arc<ReplyContext>,
    session_id: i64,
    channel_id: u64,
    started_at: Timestamp,
    /// The session limit, named when it ends the session.
    max_duration: Duration,
    state: Mutex<TranscriptViewState>,
    changed: Notify,
    /// The last attempt to send a message failed for good.
    is_unreachable: AtomicBool,
    /// Part of every nonce, so that no two are equal.
    nonce_counter: AtomicU64,
    last_request_id: AtomicU64,
}

#[derive(Default)]
struct TranscriptViewState {
    pending: VecDeque<PendingEntry>,
    partials: BTreeMap<u64, PersonalData<PartialTranscript>>,
    /// Notified once everything is shown.
    settle_waiters: Vec<oneshot::Sender<()>>,
}

/// Something to show.
enum PendingEntry {
    Line(PersonalData<String>),
    /// Text and nonce of a separate message.
    Notice(String, String),
}

/// How filling a page ended.
#[derive(Clone, Copy, PartialEq)]
enum PageFill {
    /// All pending lines are on the page.
    AllShown,
    /// The page is full; the remaining lines go to the next one.
    PageFull,
    /// A notice follows, which ends the page.
    BeforeNotice,
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
    fn lines(&self, lines: Vec<PersonalData<TranscriptLine>>) {
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
        let person = partial.grant().person();
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

impl TranscriptViewShared {
    fn lock_state(&self) -> std::sync::MutexGuard<'_, TranscriptViewState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        let (mut page, mut pages) = (TranscriptPage::default(), FullTranscriptPages::default());
        let mut delay = MIN_RETRY_DELAY;
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                () = self.wait_for_withdrawal(&page, &pages) => {}
            }
            if page.message_id.is_some() {
                self.reply_context
                    .edit_limiter
                    .wait_for_turn(self.channel_id)
                    .await;
            }
            while let Err(trouble) = self.show_pending(&mut page, &mut pages).await {
                tracing::debug!(session = self.session_id, %trouble, "could not update the transcript");
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(MAX_RETRY_DELAY);
                if trouble.is_permanent() {
                    let gone = matches!(trouble, ApiError::Forbidden(_) | ApiError::NotFound(_));
                    // A deleted message is replaced by a new one, if sending is still allowed.
                    if gone && page.message_id.is_none() {
                        tracing::warn!(session = self.session_id, %trouble, "nothing can be shown");
                        self.is_unreachable.store(true, Ordering::Relaxed);
                    }
                    if let ApiError::Rejected(..) = trouble {
                        // Rejected, for example by AutoMod. Later lines may be accepted.
                        let note = words::LINES_WITHHELD.to_owned();
                        let note = PendingEntry::Notice(note, self.next_nonce());
                        self.lock_state().pending.push_front(note);
                        self.changed.notify_one();
                    } else {
                        // The channel is gone or inaccessible; the lines remain in the store.
                        self.lock_state().pending.clear();
                    }
                    (page, pages) = (TranscriptPage::default(), FullTranscriptPages::default());
                    break;
                }
            }
            delay = MIN_RETRY_DELAY;
            for sender in std::mem::take(&mut self.lock_state().settle_waiters) {
                let _ = sender.send(());
            }
        }
    }

    /// Waits until someone withdraws consent for something that is shown, and drops their partial
    /// transcripts.
    async fn wait_for_withdrawal(&self, page: &TranscriptPage, pages: &FullTranscriptPages) {
        let shown = page.grants().chain(pages.grants()).cloned();
        let mut grants: ConsentGrants = shown.collect();
        for partial in self.lock_state().partials.values() {
            grants.insert(partial.grant());
        }
        grants.any_withdrawn().await;
        self.lock_state()
            .partials
            .retain(|_, it| it.grant().is_active());
    }

    /// Sends everything pending, in as many messages as needed, and removes withdrawn lines.
    async fn show_pending(
        &self,
        page: &mut TranscriptPage,
        pages: &mut FullTranscriptPages,
    ) -> Result<(), ApiError> {
        for outdated in pages.outdated_pages() {
            self.sync_page(outdated, "").await?;
        }
        pages.remove_deleted_pages();
        let outdated = page
            .edited_at
            .is_some_and(|at| at.elapsed() > NEW_MESSAGE_AFTER);
        if outdated && !self.lock_state().pending.is_empty() {
            pages.push(std::mem::take(page));
        }
        loop {
            let fill = self.fill_page(page);
            let partials = match fill {
                PageFill::AllShown => self.render_partials(),
                PageFill::PageFull | PageFill::BeforeNotice => String::new(),
            };
            self.sync_page(page, &partials).await?;
            match fill {
                PageFill::AllShown => return Ok(()),
                PageFill::PageFull => {}
                PageFill::BeforeNotice => self.post_notice().await?,
            }
            pages.push(std::mem::take(page));
        }
    }

    /// Makes the message match its page. If consent is withdrawn during an edit, the edit is
    /// repeated without those lines.
    async fn sync_page(&self, page: &mut TranscriptPage, partials: &str) -> Result<(), ApiError> {
        loop {
            page.remove_withdrawn_lines();
            let grants: ConsentGrants = page.grants().cloned().collect();
            let lines = page.text();
            let remaining_chars = MAX_MESSAGE_CHARS - lines.chars().count();
            let text = if partials.chars().count() < remaining_chars {
                format!("{lines}{partials}")
            } else {
                lines
            };
            let text = text.trim_end();
            if text == page.shown_text {
                return Ok(());
            }
            let discord_api = &self.reply_context.discord_api;
            match page.message_id {
                Some(message_id) if text.is_empty() => {
                    discord_api
                        .delete_message(self.channel_id, message_id)
                        .await?;
                    (page.message_id, page.nonce) = (None, None);
                }
                Some(message_id) => {
                    let message = OutgoingMessage::text(text);
                    let edit = discord_api.edit_message(self.channel_id, message_id, &message);
                    match grants.unless_withdrawn(edit).await {
                        Some(edited) => edited?,
                        None => continue,
                    };
                }
                None => {
                    let message = OutgoingMessage::text(text);
                    let nonce = page.nonce.get_or_insert_with(|| self.next_nonce());
                    let message_id = discord_api
                        .create_message(self.channel_id, None, nonce, &message)
                        .await?;
                    page.message_id = Some(message_id);
                    self.is_unreachable.store(false, Ordering::Relaxed);
                }
            }
            text.clone_into(&mut page.shown_text);
            page.edited_at = Some(Instant::now());
        }
    }

    /// Sends the notice at the front of the queue.
    async fn post_notice(&self) -> Result<(), ApiError> {
        let (text, nonce) = match self.lock_state().pending.front() {
            Some(PendingEntry::Notice(text, nonce)) => (text.clone(), nonce.clone()),
            _ => return Ok(()),
        };
        let message = OutgoingMessage::text(text);
        let discord_api = &self.reply_context.discord_api;
        match discord_api
            .create_message(self.channel_id, None, &nonce, &message)
            .await
        {
            Err(trouble @ ApiError::Rejected(..)) => {
                tracing::warn!(session = self.session_id, %trouble, "Discord rejected a notice");
            }
            done => {
                done?;
            }
        }
        self.lock_state().pending.pop_front();
        Ok(())
    }

    /// Moves pending lines to the page until it is full.
    fn fill_page(&self, page: &mut TranscriptPage) -> PageFill {
        let mut state = self.lock_state();
        loop {
            let line = match state.pending.front() {
                None => return PageFill::AllShown,
                Some(PendingEntry::Notice(..)) => return PageFill::BeforeNotice,
                Some(PendingEntry::Line(line)) => line.clone(),
            };
            let length = line.get().map(|line| line.chars().count() + 1);
            if length.is_some_and(|length| !page.fits(length)) {
                return PageFill::PageFull;
            }
            page.push(line);
            state.pending.pop_front();
        }
    }

    fn render_partials(&self) -> String {
        let state = self.lock_state();
        let partials = state.partials.values().filter_map(PersonalData::get);
        let lines = partials.map(
            |PartialTranscript {
                 speaker_name: name,
                 text: spoken,
             }| {
                let skip = spoken.chars().count().saturating_sub(MAX_PARTIAL_CHARS);
                let end: String = spoken.chars().skip(skip).collect();
                format!("-# {}: {}…\n", text::escape(name), text::escape(&end))
            },
        );
        lines.collect()
    }

    /// A unique nonce, by which Discord recognizes a message that is sent twice. The timestamp
    /// keeps it unique across processes.
    fn next_nonce(&self) -> String {
        let count = self.nonce_counter.fetch_add(1, Ordering::Relaxed);
        format!(
            "v{}.{:x}.{count}",
            self.session_id,
            Timestamp::now().0 & 0xff_ffff
        )
    }
}

/// A line as Markdown, with a timestamp that Discord shows in the reader's time zone.
fn render_line(line: &TranscriptLine, started: Timestamp) -> String {
    let at = started.0 + i64::try_from(line.start_ms).unwrap_or(0);
    let time = format!("<t:{}:t>", at.div_euclid(1_000));
    let name = match line.name.as_str() {
        "" => words::SOMEBODY.to_owned(),
        name => text::escape(name),
    };
    match line.kind {
        LineKind::Speech | LineKind::Answer => {
            let spoken = line.text.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{time} **{name}:** {}", text::escape(&spoken))
        }
        LineKind::AudioLost | LineKind::Interrupted => {
            let plain = TranscriptLine {
                name,
                ..line.clone()
            };
            format!("{time} *{}*", transcript_file::gap_marker(&plain))
        }
    }
}
