//! Checks a model's answer against the transcript: items without a valid citation are dropped.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{DraftItem, SummaryDraft};
use super::{
    ActionItem, Citation, MAX_CITATIONS, MAX_ITEM_CHARS, MAX_ITEMS, SessionSummary, SummaryItem,
};
use crate::chat::prompt;
use crate::store::{LineKind, TranscriptLine};

/// The lines that a model was shown: number and start in milliseconds.
pub(super) type KnownLines = BTreeMap<u32, u64>;

/// Text before a colon counts as a name only up to this many words.
const MAX_NAME_WORDS: usize = 3;

/// Names of the speakers, as they appear in the prompt.
pub(super) fn speaker_names(lines: &[TranscriptLine]) -> Vec<String> {
    let names: BTreeSet<String> = lines
        .iter()
        .filter(|line| line.kind == LineKind::Speech)
        .filter_map(|line| prompt::sanitize_speaker_name(&line.name))
        .collect();
    names.into_iter().collect()
}

/// Keeps the items that cite a line the model was shown, and counts the rest.
pub(super) fn check_draft(
    draft: SummaryDraft,
    known_lines: &KnownLines,
    speakers: &[String],
) -> SessionSummary {
    let mut summary = SessionSummary::default();
    let mut dropped = 0;
    let mut check = |items: Vec<DraftItem>| -> Vec<(Option<String>, SummaryItem)> {
        let all = items.len();
        let mut kept: Vec<_> = items
            .into_iter()
            .filter_map(|item| check_item(item, known_lines))
            .collect();
        dropped += all - kept.len();
        kept.truncate(MAX_ITEMS);
        kept
    };
    let items =
        |kept: Vec<(Option<String>, SummaryItem)>| kept.into_iter().map(|(_, it)| it).collect();
    summary.topics = items(check(draft.topics));
    summary.decisions = items(check(draft.decisions));
    summary.actions = check(draft.actions)
        .into_iter()
        .map(|(owner, item)| assign_owner(owner, item, speakers))
        .collect();
    summary.dropped = dropped;
    summary
}

fn check_item(draft: DraftItem, known_lines: &KnownLines) -> Option<(Option<String>, SummaryItem)> {
    let cites: BTreeSet<Citation> = draft
        .cites
        .iter()
        .filter_map(|number| {
            let start_ms = *known_lines.get(number)?;
            Some(Citation {
                number: *number,
                start_ms,
            })
        })
        .collect();
    let text = truncate_item(&draft.text);
    let item = SummaryItem {
        text,
        cites: cites.into_iter().collect(),
    };
    let is_valid = !item.cites.is_empty() && item.text.contains(char::is_alphanumeric);
    is_valid.then_some((draft.owner, item))
}

fn truncate_item(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    let plain = plain.trim();
    if plain.chars().count() <= MAX_ITEM_CHARS {
        return plain.to_owned();
    }
    let short: String = plain.chars().take(MAX_ITEM_CHARS - 1).collect();
    format!("{}…", short.trim_end())
}

/// Determines the owner of an action: a field of its own, "Ana: …", or "… (Ana)".
fn assign_owner(owner: Option<String>, item: SummaryItem, speakers: &[String]) -> ActionItem {
    let SummaryItem { text, cites } = item;
    if let Some(owner) = owner {
        let owner = find_speaker(&owner, speakers);
        return ActionItem { owner, text, cites };
    }
    if let Some((name, rest)) = text.split_once([':', '：'])
        && name.split_whitespace().count() <= MAX_NAME_WORDS
        && !rest.trim().is_empty()
    {
        let owner = find_speaker(name, speakers);
        let text = rest.trim().to_owned();
        return ActionItem { owner, text, cites };
    }
    let inner = text
        .strip_suffix(')')
        .and_then(|text| text.rsplit_once('('));
    if let Some((rest, name)) = inner
        && let Some(owner) = find_speaker(name.rsplit(':').next().unwrap_or(name), speakers)
    {
        return ActionItem {
            owner: Some(owner),
            text: rest.trim().to_owned(),
            cites,
        };
    }
    ActionItem {
        owner: None,
        text,
        cites,
    }
}

/// The speaker with this name, or the only one with this first name.
fn find_speaker(name: &str, speakers: &[String]) -> Option<String> {
    let name = name.trim_matches(|c: char| c.is_whitespace() || "*_@\"“”.".contains(c));
    let name = prompt::sanitize_speaker_name(name)?.to_lowercase();
    let whole = speakers
        .iter()
        .find(|speaker| speaker.to_lowercase() == name);
    let mut first = speakers.iter().filter(|speaker| {
        let speaker = speaker.to_lowercase();
        speaker.split_whitespace().next() == Some(name.as_str())
    });
    whole
        .or_else(|| first.next().filter(|_| first.next().is_none()))
        .cloned()
}

/// Concatenates summaries; equal items are merged.
pub(super) fn concatenate(summaries: &[SessionSummary]) -> SessionSummary {
    let mut all = SessionSummary::default();
    for summary in summaries {
        all.dropped += summary.dropped;
        for (to, from) in [
            (&mut all.topics, &summary.topics),
            (&mut all.decisions, &summary.decisions),
        ] {
            for item in from {
                match to.iter_mut().find(|other| other.text == item.text) {
                    Some(other) => merge_citations(&mut other.cites, &item.cites),
                    None => to.push(item.clone()),
                }
            }
        }
        for action in &summary.actions {
            let same =
                |other: &&mut ActionItem| other.text == action.text && other.owner == action.owner;
            match all.actions.iter_mut().find(same) {
                Some(other) => merge_citations(&mut other.cites, &action.cites),
                None => all.actions.push(action.clone()),
            }
        }
    }
    all
}

fn merge_citations(cites: &mut Vec<Citation>, more: &[Citation]) {
    cites.extend(more);
    cites.sort_unstable();
    cites.dedup();
    cites.truncate(MAX_CITATIONS);
}

impl SessionSummary {
    /// All cited lines: number and start in milliseconds.
    pub(super) fn citations(&self) -> impl Iterator<Item = (u32, u64)> {
        let items = self.topics.iter().chain(&self.decisions);
        let actions = self.actions.iter().flat_map(|it| &it.cites);
        items
            .flat_map(|it| &it.cites)
            .chain(actions)
            .map(|it| (it.number, it.start_ms))
    }
}
