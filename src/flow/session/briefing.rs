//! What a recognizer is told beside the sound, as far as it may be told at that moment.

use crate::flow::consent::{Stamped, Stamps};
use crate::flow::server::MAX_TERMS;
use crate::speech::Hints;

/// What helps to hear right. Names and earlier words are other people's: they go along only as
/// long as those people want it.
pub(super) struct Briefing {
    /// Languages, and the terms of the settings.
    pub(super) hints: Hints,
    /// The terms of the server.
    pub(super) terms: Vec<String>,
    /// The names of those who are there.
    pub(super) names: Vec<Stamped<String>>,
    /// What was said before.
    pub(super) said: Vec<Stamped<String>>,
    /// What the assistant said last, with its message.
    pub(super) answered: Option<(u64, Stamped<String>)>,
}

impl Briefing {
    /// What may be told now, and on whose leave that rests.
    pub(super) fn open(&self) -> (Hints, Stamps) {
        let mut hints = self.hints.clone();
        let answered = self.answered.as_ref().map(|(_, answered)| answered);
        let opened = self.names.iter().chain(&self.said).chain(answered);
        let stamps = opened
            .filter(|one| one.look().is_some())
            .map(|one| one.stamp().clone())
            .collect();
        let mut terms = self.terms.clone();
        terms.extend(self.names.iter().filter_map(Stamped::look).cloned());
        terms.append(&mut hints.key_terms);
        terms.truncate(MAX_TERMS);
        hints.key_terms = terms;
        hints.context = self
            .said
            .iter()
            .filter_map(Stamped::look)
            .cloned()
            .collect();
        hints.answered = answered.and_then(Stamped::look).cloned();
        (hints, stamps)
    }
}
