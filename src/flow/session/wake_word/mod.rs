//! Whether something that was said is meant for the bot.
//!
//! People say its name before or behind what they want, and a transcriber that does not know the
//! name writes down what it sounds like: "Top Back", "talk bag". So the name is compared by sound,
//! and by no more than that where it could be ordinary speech.

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

/// The name that the bot answers to wherever it is.
const PRODUCT_NAME: &str = "Talkback";

/// How the own name is known to come back although it sounds otherwise.
const MISHEARD_NAMES: [&str; 1] = ["Top Back"];

/// Names that a bot may have; more are not listened for.
const MAX_NAMES: usize = 8;

/// Words before the name that say nothing.
const MAX_FILLERS: usize = 4;

/// Words of ordinary speech that are taken together when compared with a name.
const MAX_NAME_WORDS: usize = 3;

/// Something that is meant for the bot.
#[derive(Clone, Eq, PartialEq)]
pub struct WakeWordRequest {
    /// What is wanted: the text without the name and the greeting. Empty if somebody said no more
    /// than the name.
    pub request: String,
}

impl std::fmt::Debug for WakeWordRequest {
    /// Speech never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Addressed({} bytes)", self.request.len())
    }
}

/// The names that a bot answers to.
#[derive(Clone, Debug)]
pub struct BotNames(Vec<BotName>);

#[derive(Clone, Debug)]
struct BotName {
    /// Its letters as they are compared, without spaces.
    normalized: String,
    /// The words it is written with; characters in scripts without spaces.
    unit_count: usize,
    /// How it sounds, if it is long enough to be known by that.
    phonetic: Option<PhoneticName>,
    /// Whether it is the name itself, not what is heard instead.
    is_exact_name: bool,
}

/// A name in a text.
#[derive(Clone, Copy, Debug)]
struct NameMatch {
    /// The unit behind it.
    end_unit: usize,
    /// Letters that differ.
    distance: usize,
    /// Whether it can be nothing else: it is written as the name is.
    is_exact: bool,
}

impl BotNames {
    /// The names that the bot has here, such as that of the application and the nickname in the
    /// server; "Talkback" is always one of them. Names without a letter are left out.
    pub fn new<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let own = BotName::new(PRODUCT_NAME, true);
        let given = names
            .into_iter()
            .take(MAX_NAMES)
            .filter_map(|name| BotName::new(name.as_ref(), true));
        let misheard = MISHEARD_NAMES
            .iter()
            .filter_map(|name| BotName::new(name, false));
        Self(own.into_iter().chain(given).chain(misheard).collect())
    }

    /// What the bot is asked, if `text`, the words of one utterance, calls it by one of its names:
    /// at the beginning or the end, or in the middle with a greeting ("… hey Talkback, …").
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

    /// In the middle a name is a call only behind a greeting, and one that merely sounds like it
    /// only where the greeting begins a sentence.
    fn request_after_greeting(&self, text: &str, units: &[TextUnit]) -> Option<WakeWordRequest> {
        (1..units.len()).find_map(|at| {
            let name = skip_phrase(units, at, GREETINGS)?;
            let end = self.call_end_at(units, name)?;
            let certain = self.name_matches(units, name).any(|it| it.is_exact);
            (certain || units[at].begins_sentence).then(|| request_after(text, units, end))
        })
    }

    /// The end of a name at `at` that is followed by what is wanted.
    fn call_end_at(&self, units: &[TextUnit], at: usize) -> Option<usize> {
        let found = self.name_matches(units, at).min_by_key(NameMatch::rank)?;
        let end = skip_phrase(units, found.end_unit, HONORIFICS).unwrap_or(found.end_unit);
        let next = units.get(end).filter(|next| next.joins_previous);
        let is = |words| next.is_some_and(|next| is_one_of(next, words));
        let spoken_of = is(TOPIC_PARTICLES) || (!found.is_exact && is(PHRASE_CONTINUATIONS));
        (!spoken_of).then_some(end)
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
        let apart = !units[start].joins_previous;
        let spoken_of = start
            .checked_sub(1)
            .is_some_and(|before| is_one_of(&units[before], MENTION_PREFIXES));
        let meant = apart || (!spoken_of && (found.is_exact || is_request(&request)));
        meant.then_some(WakeWordRequest { request })
    }

    /// All that begins at `at` and may be a name.
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
    /// The better match has the lower rank.
    fn rank(&self) -> (bool, usize) {
        (!self.is_exact, self.distance)
    }
}

impl BotName {
    fn new(name: &str, own: bool) -> Option<Self> {
        let units = split_units(name);
        let plain: String = units.iter().map(|unit| unit.normalized.as_str()).collect();
        (!plain.is_empty()).then(|| Self {
            phonetic: if own {
                PhoneticName::from_normalized(&plain)
            } else {
                None
            },
            unit_count: units.len(),
            normalized: plain,
            is_exact_name: own,
        })
    }

    /// This name, or what sounds like it, beginning at `at`.
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

/// The ends of the text without one or two words of courtesy.
fn ends_before_courtesy(units: &[TextUnit]) -> impl Iterator<Item = usize> {
    let last = units.len().saturating_sub(4)..units.len();
    last.filter(|&at| skip_phrase(units, at, COURTESIES) == Some(units.len()))
}

/// What is said behind the name that ends with unit `end`.
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

/// What is said before the name that begins with unit `start`, with the mark that ends the whole.
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
    // What opens the text, such as an inverted question mark, goes on opening it.
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
