//! Detects whether an utterance is meant for the bot.
//!
//! Speakers name the bot before or after their request. A transcriber that does not know the name
//! writes what it sounds like: "Top Back", "talk bag". So names are compared by sound, within
//! bounds that keep ordinary speech from matching.

mod phonetics;
mod phrases;
mod request_detector;
#[cfg(test)]
mod tests;
mod text_units;

pub use request_detector::is_request;

use phonetics::PhoneticName;
use phrases::{
    COURTESIES, FILLERS, GREETINGS, HONORIFICS, MENTION_PREFIXES, PHRASE_CONTINUATIONS,
    TOPIC_PARTICLES,
};
use text_units::{TextUnit, is_one_of, skip_phrase, split_units};

/// The name that the bot always answers to.
const PRODUCT_NAME: &str = "Talkback";

/// Known transcriptions of the product name that its phonetic key does not match.
const MISHEARD_NAMES: [&str; 1] = ["Top Back"];

/// Maximum number of further names.
const MAX_NAMES: usize = 8;

/// Maximum number of greetings and fillers before the name.
const MAX_FILLERS: usize = 4;

/// Maximum number of words that are joined to compare them with a name.
const MAX_NAME_WORDS: usize = 3;

/// A request to the bot.
#[derive(Clone, Eq, PartialEq)]
pub struct WakeWordRequest {
    /// The text without the name and the greeting. Empty if only the name was said.
    pub request: String,
}

impl std::fmt::Debug for WakeWordRequest {
    /// Never prints the text: speech must not reach a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WakeWordRequest({} bytes)", self.request.len())
    }
}

/// The names that the bot answers to.
#[derive(Clone, Debug)]
pub struct BotNames(Vec<BotName>);

#[derive(Clone, Debug)]
struct BotName {
    /// Normalized letters without spaces.
    normalized: String,
    /// Number of words; in scripts without spaces, of characters.
    unit_count: usize,
    /// Phonetic key; `None` if the name is too short for one or not Latin.
    phonetic: Option<PhoneticName>,
    /// False for a known misrecognition of the name.
    is_exact_name: bool,
}

/// A name found in a text.
#[derive(Clone, Copy, Debug)]
struct NameMatch {
    /// Index of the unit after the match.
    end_unit: usize,
    /// Number of letters that differ.
    distance: usize,
    /// Whether it is spelled exactly like the name, and so can't be anything else.
    is_exact: bool,
}

impl BotNames {
    /// The product name and the names given, such as the application's name and the nickname in the
    /// guild. Names without letters are ignored.
    pub fn new<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let product = BotName::new(PRODUCT_NAME, true);
        let given = names
            .into_iter()
            .take(MAX_NAMES)
            .filter_map(|name| BotName::new(name.as_ref(), true));
        let misheard = MISHEARD_NAMES
            .iter()
            .filter_map(|name| BotName::new(name, false));
        Self(product.into_iter().chain(given).chain(misheard).collect())
    }

    /// The request in the text of an utterance, if it names the bot at its beginning or end, or in
    /// the middle after a greeting ("… hey Talkback, …").
    pub fn find_request(&self, text: &str) -> Option<WakeWordRequest> {
        let units = split_units(text);
        self.request_after_leading_name(text, &units)
            .or_else(|| self.request_before_trailing_name(text, &units))
            .or_else(|| self.request_after_greeting(text, &units))
    }

    fn request_after_leading_name(
        &self,
        text: &str,
        units: &[TextUnit],
    ) -> Option<WakeWordRequest> {
        let mut at = 0;
        for _ in 0..=MAX_FILLERS {
            if let Some(end) = self.call_end_at(units, at) {
                return Some(request_after(text, units, end));
            }
            at = skip_phrase(units, at, GREETINGS).or_else(|| skip_phrase(units, at, FILLERS))?;
        }
        None
    }

    /// In the middle, a name counts only after a greeting. If it merely sounds like the name, the
    /// greeting must also begin a sentence.
    fn request_after_greeting(&self, text: &str, units: &[TextUnit]) -> Option<WakeWordRequest> {
        (1..units.len()).find_map(|at| {
            let name = skip_phrase(units, at, GREETINGS)?;
            let end = self.call_end_at(units, name)?;
            let is_exact = self.name_matches(units, name).any(|it| it.is_exact);
            (is_exact || units[at].begins_sentence).then(|| request_after(text, units, end))
        })
    }

    /// If a name at `at` addresses the bot, the unit after it. `None` if the name is only talked
    /// about.
    fn call_end_at(&self, units: &[TextUnit], at: usize) -> Option<usize> {
        let found = self.name_matches(units, at).min_by_key(NameMatch::rank)?;
        let end = skip_phrase(units, found.end_unit, HONORIFICS).unwrap_or(found.end_unit);
        let next = units.get(end).filter(|next| next.joins_previous);
        let is = |words| next.is_some_and(|next| is_one_of(next, words));
        let is_mentioned = is(TOPIC_PARTICLES) || (!found.is_exact && is(PHRASE_CONTINUATIONS));
        (!is_mentioned).then_some(end)
    }

    fn request_before_trailing_name(
        &self,
        text: &str,
        units: &[TextUnit],
    ) -> Option<WakeWordRequest> {
        let longest = self.0.iter().map(|name| name.unit_count).max()? + MAX_NAME_WORDS;
        let ends = [units.len()].into_iter().chain(ends_before_courtesy(units));
        let (start, found) = ends
            .flat_map(|end| {
                (end.saturating_sub(longest)..end).flat_map(move |start| {
                    self.name_matches(units, start)
                        .filter(move |found| found.end_unit == end)
                        .map(move |found| (start, found))
                })
            })
            .min_by_key(|(_, found)| found.rank())?;
        let request = request_before(text, units, start);
        let is_separate = !units[start].joins_previous;
        let is_mentioned = start
            .checked_sub(1)
            .is_some_and(|before| is_one_of(&units[before], MENTION_PREFIXES));
        let is_address = is_separate || (!is_mentioned && (found.is_exact || is_request(&request)));
        is_address.then_some(WakeWordRequest { request })
    }

    /// Everything that begins at `at` and may be a name.
    fn name_matches<'a>(
        &'a self,
        units: &'a [TextUnit],
        at: usize,
    ) -> impl Iterator<Item = NameMatch> + 'a {
        self.0
            .iter()
            .filter_map(move |name| name.find_at(units, at))
    }
}

impl NameMatch {
    /// Sort key: the better match is lower.
    fn rank(&self) -> (bool, usize) {
        (!self.is_exact, self.distance)
    }
}

impl BotName {
    fn new(name: &str, is_exact_name: bool) -> Option<Self> {
        let units = split_units(name);
        let normalized: String = units.iter().map(|unit| unit.normalized.as_str()).collect();
        (!normalized.is_empty()).then(|| Self {
            phonetic: if is_exact_name {
                PhoneticName::from_normalized(&normalized)
            } else {
                None
            },
            unit_count: units.len(),
            normalized,
            is_exact_name,
        })
    }

    /// Finds this name, or something that sounds like it, at `at`.
    fn find_at(&self, units: &[TextUnit], at: usize) -> Option<NameMatch> {
        let mut joined = String::new();
        let mut best: Option<NameMatch> = None;
        let most = self.unit_count.saturating_add(1).max(MAX_NAME_WORDS);
        for (index, unit) in units.iter().enumerate().skip(at).take(most) {
            if index > at && !unit.joins_previous {
                break;
            }
            joined.push_str(&unit.normalized);
            let words = index - at + 1;
            let found = if joined == self.normalized {
                Some(NameMatch {
                    end_unit: index + 1,
                    distance: 0,
                    is_exact: self.is_exact_name && words == self.unit_count,
                })
            } else {
                let sound = self.phonetic.as_ref().filter(|_| !unit.is_possessive);
                let distance = sound.and_then(|sound| sound.letter_distance(&joined, words));
                distance.map(|distance| NameMatch {
                    end_unit: index + 1,
                    distance,
                    is_exact: false,
                })
            };
            if let Some(found) = found
                && best.is_none_or(|best| found.rank() < best.rank())
            {
                best = Some(found);
            }
        }
        best
    }
}

/// Possible ends of the text before a closing courtesy, such as "thank you".
fn ends_before_courtesy(units: &[TextUnit]) -> impl Iterator<Item = usize> {
    let last = units.len().saturating_sub(4)..units.len();
    last.filter(|&at| skip_phrase(units, at, COURTESIES) == Some(units.len()))
}

/// The text after the name that ends before unit `end`.
fn request_after(text: &str, units: &[TextUnit], end: usize) -> WakeWordRequest {
    let rest = units
        .get(end.wrapping_sub(1))
        .and_then(|last| text.get(last.end..))
        .unwrap_or_default();
    let request = rest
        .trim_start_matches(|c: char| {
            c.is_whitespace() || ",.!?:;-–—…、。，．！？：；～~".contains(c)
        })
        .trim_end();
    WakeWordRequest {
        request: if units.len() > end { request } else { "" }.to_owned(),
    }
}

/// The text before the name that begins at unit `start`, with the final punctuation.
fn request_before(text: &str, units: &[TextUnit], start: usize) -> String {
    let mut first = 0;
    for _ in 0..MAX_FILLERS {
        let next =
            skip_phrase(units, first, GREETINGS).or_else(|| skip_phrase(units, first, FILLERS));
        match next.filter(|&next| next < start) {
            Some(next) => first = next,
            None => break,
        }
    }
    let (Some(from), Some(to)) = (units.get(first), units.get(start)) else {
        return String::new();
    };
    // Keep opening punctuation, such as an inverted question mark.
    let from = if first == 0 { 0 } else { from.start };
    let request = text.get(from..to.start).unwrap_or_default();
    let mut request = request
        .trim_matches(|c: char| c.is_whitespace() || ",:;-–—、，：；".contains(c))
        .to_owned();
    let mark = text.trim_end().chars().next_back();
    if let Some(mark) = mark.filter(|c| "?!.？！。".contains(*c))
        && !request.is_empty()
        && !request.ends_with(['?', '!', '.', '？', '！', '。', '…'])
    {
        request.push(mark);
    }
    request
}
