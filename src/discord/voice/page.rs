//! A message of the live transcript.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::super::wire::MAX_CHARS;
use crate::flow::consent::{Stamp, Stamped};

/// Messages of a session that are drawn anew when somebody takes back what they said. Older ones
/// stay as they are.
const MAX_PAGES: usize = 500;

/// A message with some lines, each as long as whose it is lets it be shown.
#[derive(Default)]
pub(super) struct Page {
    pub(super) message: Option<u64>,
    /// What keeps Discord from taking it twice.
    pub(super) nonce: Option<String>,
    lines: Vec<Stamped<String>>,
    pub(super) shown: String,
    pub(super) touched: Option<Instant>,
}

impl Page {
    /// One more line, cut to what a message holds.
    pub(super) fn push(&mut self, line: Stamped<String>) {
        self.lines
            .push(line.map(|line| line.chars().take(MAX_CHARS - 1).collect()));
    }

    /// Whether so many characters still go into it.
    pub(super) fn has_room(&self, characters: usize) -> bool {
        let used = self.text().chars().count();
        used == 0 || used + characters < MAX_CHARS
    }

    /// The lines, each with its line break.
    pub(super) fn text(&self) -> String {
        let lines = self.lines.iter().filter_map(Stamped::look);
        lines.flat_map(|line| [line, "\n"]).collect()
    }

    /// Those whose lines are on it.
    pub(super) fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.lines.iter().map(Stamped::stamp)
    }

    /// Lets go of what may no longer be shown.
    pub(super) fn clear(&mut self) {
        self.lines.retain(|line| line.stamp().holds());
    }
}

/// The pages that are full.
#[derive(Default)]
pub(super) struct Pages(VecDeque<Page>);

impl Pages {
    pub(super) fn push(&mut self, page: Page) {
        if page.message.is_none() || page.lines.is_empty() {
            return;
        }
        if self.0.len() >= MAX_PAGES {
            self.0.pop_front();
        }
        self.0.push_back(page);
    }

    /// Those whose lines are on them.
    pub(super) fn stamps(&self) -> impl Iterator<Item = &Stamp> {
        self.0.iter().flat_map(Page::stamps)
    }

    /// Pages that show what may no longer be shown.
    pub(super) fn stale(&mut self) -> impl Iterator<Item = &mut Page> {
        self.0.iter_mut().filter_map(|page| {
            page.clear();
            (page.text().trim_end() != page.shown).then_some(page)
        })
    }

    /// Lets go of pages on which nothing is left.
    pub(super) fn clear(&mut self) {
        self.0.retain(|page| page.message.is_some());
    }
}
