//! One message of the live transcript, and the full ones that can still be redacted.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::super::discord_api::MAX_MESSAGE_CHARS;
use super::super::text;
use crate::flow::consent::{ConsentGrant, PersonalData};
use crate::store::{LineKind, Timestamp, TranscriptLine};
use crate::ui_text::{transcript_file, voice_session as words};

/// Full messages per session that are redacted when someone withdraws consent. Older ones are not
/// edited any more.
const MAX_KEPT_PAGES: usize = 500;

/// A message and its lines. A line is shown as long as its speaker's consent lasts.
#[derive(Default)]
pub(super) struct TranscriptPage {
    pub(super) message_id: Option<u64>,
    /// The nonce for sending the message, kept for retries.
    pub(super) nonce: Option<String>,
    lines: Vec<PersonalData<String>>,
    pub(super) shown_text: String,
    pub(super) edited_at: Option<Instant>,
}

impl TranscriptPage {
    /// Appends a line, truncated to the size of a message.
    pub(super) fn push(&mut self, line: PersonalData<String>) {
        self.lines
            .push(line.map(|line| line.chars().take(MAX_MESSAGE_CHARS - 1).collect()));
    }

    /// Whether a line of this many characters still fits.
    pub(super) fn fits(&self, characters: usize) -> bool {
        let used = self.text().chars().count();
        used == 0 || used + characters < MAX_MESSAGE_CHARS
    }

    /// All lines, each with a line break.
    pub(super) fn text(&self) -> String {
        let lines = self.lines.iter().filter_map(PersonalData::get);
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// The consents that the lines depend on.
    pub(super) fn grants(&self) -> impl Iterator<Item = &ConsentGrant> {
        self.lines.iter().map(PersonalData::grant)
    }

    /// Removes lines whose consent was withdrawn.
    pub(super) fn remove_withdrawn_lines(&mut self) {
        self.lines.retain(|line| line.grant().is_active());
    }
}

/// Full pages, oldest first.
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

    /// The consents that the lines depend on.
    pub(super) fn grants(&self) -> impl Iterator<Item = &ConsentGrant> {
        self.0.iter().flat_map(TranscriptPage::grants)
    }

    /// Pages whose message still shows withdrawn lines.
    pub(super) fn outdated_pages(&mut self) -> impl Iterator<Item = &mut TranscriptPage> {
        self.0.iter_mut().filter_map(|page| {
            page.remove_withdrawn_lines();
            (page.text().trim_end() != page.shown_text).then_some(page)
        })
    }

    /// Removes pages whose message has been deleted.
    pub(super) fn remove_deleted_pages(&mut self) {
        self.0.retain(|page| page.message_id.is_some());
    }
}

/// A line as Markdown, with a timestamp that Discord shows in the reader's time zone.
pub(super) fn render_line(line: &TranscriptLine, started: Timestamp) -> String {
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
