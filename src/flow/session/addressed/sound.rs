//! Whether words sound like a name.

use rphonetic::DoubleMetaphone;

/// Shorter names are known by their letters only: too much sounds like them.
const SHORTEST_NAME: usize = 6;

/// The same for the consonants that are left of a name.
const SHORTEST_KEY: usize = 4;

/// From so many consonants on one of them may be misheard.
const LONG_KEY: usize = 5;

/// Letters of a name of which one may differ.
const LETTERS_PER_SLIP: usize = 4;

/// Ordinary speech that sounds like the bot's own name.
const ORDINARY: &[&str] = &[
    "darkback",
    "tailback",
    "tailbacks",
    "takeback",
    "takenback",
    "takesback",
    "takingback",
    "talkbook",
    "talkedback",
    "talksback",
    "tellback",
    "tieback",
    "toldback",
    "tookback",
    "trackback",
];

/// How a name sounds.
#[derive(Clone, Debug)]
pub(super) struct Sound {
    letters: String,
    /// Its consonants by the Double Metaphone algorithm.
    key: String,
}

impl Sound {
    /// How `plain` sounds; none if it is too short, or not written with Latin letters.
    pub(super) fn of(plain: &str) -> Option<Self> {
        let key = key(plain)?;
        (plain.len() >= SHORTEST_NAME && key.len() >= SHORTEST_KEY).then(|| Self {
            letters: plain.to_owned(),
            key,
        })
    }

    /// How many letters of `joined`, which are `words` words, differ from the name; none if it
    /// does not sound like it. First and last consonant must be those of the name: they are what
    /// people hear best, and what tells "talk back" from "call back" and "talk about".
    pub(super) fn distance(&self, joined: &str, words: usize) -> Option<usize> {
        let most = self.letters.len() / LETTERS_PER_SLIP;
        if joined.len().abs_diff(self.letters.len()) > most || ORDINARY.contains(&joined) {
            return None;
        }
        let distance = strsim::levenshtein(joined, &self.letters);
        if distance > most {
            return None;
        }
        let heard = key(joined)?;
        let ends = |key: &str| (key.chars().next(), key.chars().next_back());
        // What is patched together from many words must at least sound the same.
        let slips = usize::from(self.key.len() >= LONG_KEY && words < 3);
        let alike =
            ends(&heard) == ends(&self.key) && strsim::levenshtein(&heard, &self.key) <= slips;
        alike.then_some(distance)
    }
}

fn key(letters: &str) -> Option<String> {
    let latin = letters.bytes().all(|byte| byte.is_ascii_lowercase());
    latin.then(|| {
        DoubleMetaphone::new(None)
            .double_metaphone(letters)
            .primary()
    })
}
