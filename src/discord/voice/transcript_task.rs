//! The task behind a live transcript: sends and edits messages until everything pending is shown.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use net::Backoff;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::super::api_error::ApiError;
use super::super::discord_api::{MAX_MESSAGE_CHARS, OutgoingMessage};
use super::super::reply_context::ReplyContext;
use super::super::text;
use super::transcript_page::{FullTranscriptPages, TranscriptPage};
use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::session::transcript_view::PartialTranscript;
use crate::store::Timestamp;
use crate::ui_text::voice_session as words;

/// Characters of a partial transcript that are shown, counted from its end.
const MAX_PARTIAL_CHARS: usize = 200;

/// After this long without a line, the next one starts a new message.
const NEW_MESSAGE_AFTER: Duration = Duration::from_secs(300);

/// Delay between attempts: doubles from the minimum to the maximum.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(30);

/// What the view and its task share.
pub(super) struct TranscriptViewShared {
    pub(super) reply_context: Arc<ReplyContext>,
    pub(super) session_id: i64,
    pub(super) channel_id: u64,
    pub(super) started_at: Timestamp,
    /// The session limit, named when it ends the session.
    pub(super) max_duration: Duration,
    pub(super) state: Mutex<TranscriptViewState>,
    pub(super) changed: Notify,
    /// The last attempt to send a message failed for good.
    pub(super) is_unreachable: AtomicBool,
    /// Part of every nonce, so that no two are equal.
    pub(super) nonce_counter: AtomicU64,
    pub(super) last_request_id: AtomicU64,
}

#[derive(Default)]
pub(super) struct TranscriptViewState {
    pub(super) pending: VecDeque<PendingEntry>,
    pub(super) partials: BTreeMap<u64, PersonalData<PartialTranscript>>,
    /// Notified once everything is shown.
    pub(super) settle_waiters: Vec<oneshot::Sender<()>>,
}

/// Something to show.
pub(super) enum PendingEntry {
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

impl TranscriptViewShared {
    pub(super) fn lock_state(&self) -> std::sync::MutexGuard<'_, TranscriptViewState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is pending whenever something changes. Runs until it is aborted.
    pub(super) async fn run(self: Arc<Self>) {
        let (mut page, mut pages) = (TranscriptPage::default(), FullTranscriptPages::default());
        let mut backoff = Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY);
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
                tokio::time::sleep(backoff.next_delay()).await;
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
            backoff.reset();
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
    pub(super) fn next_nonce(&self) -> String {
        let count = self.nonce_counter.fetch_add(1, Ordering::Relaxed);
        format!(
            "v{}.{:x}.{count}",
            self.session_id,
            Timestamp::now().0 & 0xff_ffff
        )
    }
}
