//! Hints for the recognizer, limited to what consent allows at the time of the request.

use crate::flow::consent::{ConsentGrants, PersonalData};
use crate::flow::guild_settings::MAX_KEY_TERMS;
use crate::speech::Hints;

/// Context that improves recognition. Names and previous lines belong to other users, so they are
/// sent only while those users' grants are active.
pub(super) struct RecognitionContext {
    /// Languages, and the terms of the configuration.
    pub(super) hints: Hints,
    /// The guild's key terms.
    pub(super) terms: Vec<String>,
    /// Names of the members in the call.
    pub(super) speaker_names: Vec<PersonalData<String>>,
    /// The latest transcript lines.
    pub(super) previous_lines: Vec<PersonalData<String>>,
    /// The assistant's last answer, with its message id.
    pub(super) last_answer: Option<(u64, PersonalData<String>)>,
}

impl RecognitionContext {
    /// The hints that may be sent now, and the grants that they depend on.
    pub(super) fn permitted_hints(&self) -> (Hints, ConsentGrants) {
        let mut hints = self.hints.clone();
        let last_answer = self.last_answer.as_ref().map(|(_, text)| text);
        let personal_hints = self
            .speaker_names
            .iter()
            .chain(&self.previous_lines)
            .chain(last_answer);
        let grants = personal_hints
            .filter(|hint| hint.get().is_some())
            .map(|hint| hint.grant().clone())
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
        hints.last_answer = last_answer.and_then(PersonalData::get).cloned();
        (hints, grants)
    }
}
