//! A message of the live transcript.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::super::discord_api::MAX_MESSAGE_CHARS;
use crate::flow::consent::{ConsentGrant, PersonalData};

/// Messages of a session that are drawn anew when somebody takes back what they said. Older ones
/// stay as they are.
const MAX_KEPT_PAGES: usize = 500;

/// A message with some lines, each as long as whose it is lets it be shown.
#[derive(Default)]
pub(super) struct TranscriptPage {
    pub(super) message_id: Option<u64>,
    /// What keeps Discord from taking it twice.
    pub(super) nonce: Option<String>,
    lines: Vec<PersonalData<String>>,
    pub(super) shown_text: String,
    pub(super) edited_at: Option<Instant>,
}

impl TranscriptPage {
    /// One more line, cut to what a message holds.
    pub(super) fn push(&mut self, line: PersonalData<String>) {
        self.lines
            .push(line.map(|line| line.chars().take(MAX_MESSAGE_CHARS - 1).collect()));
    }

    /// Whether so many characters still go into it.
    pub(super) fn fits(&self, characters: usize) -> bool {
        let used = self.text().chars().count();
        used == 0 || used + characters < MAX_MESSAGE_CHARS
    }

    /// The lines, each with its line break.
    pub(super) fn text(&self) -> String {
        let lines = self.lines.iter().filter_map(PersonalData::get);
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// Those whose lines are on it.
    pub(super) fn stamps(&self) -> impl Iterator<Item = &ConsentGrant> {
        self.lines.iter().map(PersonalData::grant)
    }

    /// Lets go of what may no longer be shown.
    pub(super) fn remove_withdrawn_lines(&mut self) {
        self.lines.retain(|line| line.grant().is_active());
    }
}

/// The pages that are full.
#[derive(Default)]
pub(super) struct FullTranscriptPages(VecDeque<TranscriptPage>);

impl FullTranscriptPages {
    pub(super) fn push(&mut self, page: TranscriptPage) {
        if page.message_id.is_none() || page.lines.is_empty() {
            return;
        }
        if self.0.len() >= MAX_KEPT_PAGES {
            self.0.pop_front();
        }
        self.0.push_back(page);
    }

    /// Those whose lines are on them.
    pub(super) fn stamps(&self) -> impl Iterator<Item = &ConsentGrant> {
        self.0.iter().flat_map(TranscriptPage::stamps)
    }

    /// Pages that show what may no longer be shown.
    pub(super) fn outdated_pages(&mut self) -> impl Iterator<Item = &mut TranscriptPage> {
        self.0.iter_mut().filter_map(|page| {
            page.remove_withdrawn_lines();
            (page.text().trim_end() != page.shown_text).then_some(page)
        })
    }

    /// Lets go of pages on which nothing is left.
    pub(super) fn remove_deleted_pages(&mut self) {
        self.0.retain(|page| page.message_id.is_some());
    }
}
