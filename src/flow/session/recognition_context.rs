//! What a recognizer is told beside the sound, as far as it may be told at that moment.

use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::guild_settings::MAX_KEY_TERMS;
use crate::speech::Hints;

/// What helps to hear right. Names and earlier words are other people's: they go along only as
/// long as those people want it.
pub(super) struct RecognitionContext {
    /// Languages, and the terms of the settings.
    pub(super) hints: Hints,
    /// The terms of the server.
    pub(super) terms: Vec<String>,
    /// The names of those who are there.
    pub(super) speaker_names: Vec<PersonalData<String>>,
    /// What was said before.
    pub(super) previous_lines: Vec<PersonalData<String>>,
    /// What the assistant said last, with its message.
    pub(super) last_answer: Option<(u64, PersonalData<String>)>,
}

impl RecognitionContext {
    /// What may be told now, and on whose leave that rests.
    pub(super) fn permitted_hints(&self) -> (Hints, ConsentGrants) {
        let mut hints = self.hints.clone();
        let answered = self.last_answer.as_ref().map(|(_, answered)| answered);
        let opened = self
            .speaker_names
            .iter()
            .chain(&self.previous_lines)
            .chain(answered);
        let stamps = opened
            .filter(|one| one.get().is_some())
            .map(|one| one.grant().clone())
            .collect();
        let mut terms = self.terms.clone();
        terms.extend(
            self.speaker_names
                .iter()
                .filter_map(PersonalData::get)
                .cloned(),
        );
        terms.append(&mut hints.key_terms);
        terms.truncate(MAX_KEY_TERMS);
        hints.key_terms = terms;
        hints.context = self
            .previous_lines
            .iter()
            .filter_map(PersonalData::get)
            .cloned()
            .collect();
        hints.last_answer = answered.and_then(PersonalData::get).cloned();
        (hints, stamps)
    }
}
