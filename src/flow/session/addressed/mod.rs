//! Whether something that was said is meant for the bot.
//!
//! People say its name before or behind what they want, and a transcriber that does not know the
//! name writes down what it sounds like: "Top Back", "talk bag". So the name is compared by sound,
//! and by no more than that where it could be ordinary speech.

mod phrases;
mod request;
mod sound;
#[cfg(test)]
mod tests;
mod units;

pub use request::is_request;

use phrases::{ABOUT, FILLERS, GOES_ON, GREETINGS, HONORIFICS, PARTICLES, TAILS};
use sound::Sound;
use units::{Unit, is_one_of, skip, units};

/// The name that the bot answers to wherever it is.
const OWN_NAME: &str = "Talkback";

/// How the own name is known to come back although it sounds otherwise.
const MISHEARD: [&str; 1] = ["Top Back"];

/// Names that a bot may have; more are not listened for.
const MAX_NAMES: usize = 8;

/// Words before the name that say nothing.
const MAX_FILLERS: usize = 4;

/// Words of ordinary speech that are taken together when compared with a name.
const MAX_WORDS: usize = 3;

/// Something that is meant for the bot.
#[derive(Clone, Eq, PartialEq)]
pub struct Addressed {
    /// What is wanted: the text without the name and the greeting. Empty if somebody said no more
    /// than the name.
    pub request: String,
}

impl std::fmt::Debug for Addressed {
    /// Speech never reaches a log: only its size does.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Addressed({} bytes)", self.request.len())
    }
}

/// The names that a bot answers to.
#[derive(Clone, Debug)]
pub struct Names(Vec<Name>);

#[derive(Clone, Debug)]
struct Name {
    /// Its letters as they are compared, without spaces.
    plain: String,
    /// The words it is written with; characters in scripts without spaces.
    units: usize,
    /// How it sounds, if it is long enough to be known by that.
    sound: Option<Sound>,
    /// Whether it is the name itself, not what is heard instead.
    own: bool,
}

/// A name in a text.
#[derive(Clone, Copy, Debug)]
struct Match {
    /// The unit behind it.
    end: usize,
    /// Letters that differ.
    distance: usize,
    /// Whether it can be nothing else: it is written as the name is.
    certain: bool,
}

impl Names {
    /// The names that the bot has here, such as that of the application and the nickname in the
    /// server; "Talkback" is always one of them. Names without a letter are left out.
    pub fn new<I>(names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let own = Name::new(OWN_NAME, true);
        let given = names
            .into_iter()
            .take(MAX_NAMES)
            .filter_map(|name| Name::new(name.as_ref(), true));
        let misheard = MISHEARD.iter().filter_map(|name| Name::new(name, false));
        Self(own.into_iter().chain(given).chain(misheard).collect())
    }

    /// What the bot is asked, if `text`, the words of one utterance, calls it by one of its names:
    /// at the beginning or the end, or in the middle with a greeting ("… hey Talkback, …").
    pub fn addressed(&self, text: &str) -> Option<Addressed> {
        let units = units(text);
        self.at_beginning(text, &units)
            .or_else(|| self.at_end(text, &units))
            .or_else(|| self.called_inside(text, &units))
    }

    fn at_beginning(&self, text: &str, units: &[Unit]) -> Option<Addressed> {
        let mut at = 0;
        for _ in 0..=MAX_FILLERS {
            if let Some(end) = self.call_at(units, at) {
                return Some(behind(text, units, end));
            }
            at = skip(units, at, GREETINGS).or_else(|| skip(units, at, FILLERS))?;
        }
        None
    }

    /// In the middle a name is a call only behind a greeting, and one that merely sounds like it
    /// only where the greeting begins a sentence.
    fn called_inside(&self, text: &str, units: &[Unit]) -> Option<Addressed> {
        (1..units.len()).find_map(|at| {
            let name = skip(units, at, GREETINGS)?;
            let end = self.call_at(units, name)?;
            let certain = self.matches(units, name).any(|it| it.certain);
            (certain || units[at].begins_sentence).then(|| behind(text, units, end))
        })
    }

    /// The end of a name at `at` that is followed by what is wanted.
    fn call_at(&self, units: &[Unit], at: usize) -> Option<usize> {
        let found = self.matches(units, at).min_by_key(Match::rank)?;
        let end = skip(units, found.end, HONORIFICS).unwrap_or(found.end);
        let next = units.get(end).filter(|next| next.joins);
        let is = |words| next.is_some_and(|next| is_one_of(next, words));
        let spoken_of = is(PARTICLES) || (!found.certain && is(GOES_ON));
        (!spoken_of).then_some(end)
    }

    fn at_end(&self, text: &str, units: &[Unit]) -> Option<Addressed> {
        let longest = self.0.iter().map(|name| name.units).max()? + MAX_WORDS;
        let ends = [units.len()].into_iter().chain(before_tail(units));
        let (start, found) = ends
            .flat_map(|end| {
                (end.saturating_sub(longest)..end).flat_map(move |start| {
                    self.matches(units, start)
                        .filter(move |found| found.end == end)
                        .map(move |found| (start, found))
                })
            })
            .min_by_key(|(_, found)| found.rank())?;
        let request = before(text, units, start);
        let apart = !units[start].joins;
        let spoken_of = start
            .checked_sub(1)
            .is_some_and(|before| is_one_of(&units[before], ABOUT));
        let meant = apart || (!spoken_of && (found.certain || is_request(&request)));
        meant.then_some(Addressed { request })
    }

    /// All that begins at `at` and may be a name.
    fn matches<'a>(&'a self, units: &'a [Unit], at: usize) -> impl Iterator<Item = Match> + 'a {
        self.0.iter().filter_map(move |name| name.find(units, at))
    }
}

impl Match {
    /// The better match has the lower rank.
    fn rank(&self) -> (bool, usize) {
        (!self.certain, self.distance)
    }
}

impl Name {
    fn new(name: &str, own: bool) -> Option<Self> {
        let units = units(name);
        let plain: String = units.iter().map(|unit| unit.plain.as_str()).collect();
        (!plain.is_empty()).then(|| Self {
            sound: if own { Sound::of(&plain) } else { None },
            units: units.len(),
            plain,
            own,
        })
    }

    /// This name, or what sounds like it, beginning at `at`.
    fn find(&self, units: &[Unit], at: usize) -> Option<Match> {
        let mut joined = String::new();
        let mut best: Option<Match> = None;
        let most = self.units.saturating_add(1).max(MAX_WORDS);
        for (index, unit) in units.iter().enumerate().skip(at).take(most) {
            if index > at && !unit.joins {
                break;
            }
            joined.push_str(&unit.plain);
            let words = index - at + 1;
            let found = if joined == self.plain {
                Some(Match {
                    end: index + 1,
                    distance: 0,
                    certain: self.own && words == self.units,
                })
            } else {
                let sound = self.sound.as_ref().filter(|_| !unit.owns);
                let distance = sound.and_then(|sound| sound.distance(&joined, words));
                distance.map(|distance| Match {
                    end: index + 1,
                    distance,
                    certain: false,
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
fn before_tail(units: &[Unit]) -> impl Iterator<Item = usize> {
    let last = units.len().saturating_sub(4)..units.len();
    last.filter(|&at| skip(units, at, TAILS) == Some(units.len()))
}

/// What is said behind the name that ends with unit `end`.
fn behind(text: &str, units: &[Unit], end: usize) -> Addressed {
    let rest = units
        .get(end.wrapping_sub(1))
        .and_then(|last| text.get(last.end..))
        .unwrap_or_default();
    let request = rest
        .trim_start_matches(|c: char| {
            c.is_whitespace() || ",.!?:;-–—…、。，．！？：；～~".contains(c)
        })
        .trim_end();
    Addressed {
        request: if units.len() > end { request } else { "" }.to_owned(),
    }
}

/// What is said before the name that begins with unit `start`, with the mark that ends the whole.
fn before(text: &str, units: &[Unit], start: usize) -> String {
    let mut first = 0;
    for _ in 0..MAX_FILLERS {
        let next = skip(units, first, GREETINGS).or_else(|| skip(units, first, FILLERS));
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
