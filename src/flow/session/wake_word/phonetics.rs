//! Whether words sound like a name.

use rphonetic::DoubleMetaphone;

/// Shorter names are known by their letters only: too much sounds like them.
const MIN_NAME_LETTERS: usize = 6;

/// The same for the consonants that are left of a name.
const MIN_KEY_CONSONANTS: usize = 4;

/// From so many consonants on one of them may be misheard.
const TOLERANT_KEY_CONSONANTS: usize = 5;

/// Letters of a name of which one may differ.
const LETTERS_PER_ERROR: usize = 4;

/// Ordinary speech that sounds like the bot's own name.
const ORDINARY_SOUNDALIKES: &[&str] = &[
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
pub(super) struct PhoneticName {
    letters: String,
    /// Its consonants by the Double Metaphone algorithm.
    metaphone_key: String,
}

impl PhoneticName {
    /// How `plain` sounds; none if it is too short, or not written with Latin letters.
    pub(super) fn from_normalized(plain: &str) -> Option<Self> {
        let key = metaphone_key(plain)?;
        (plain.len() >= MIN_NAME_LETTERS && key.len() >= MIN_KEY_CONSONANTS).then(|| Self {
            letters: plain.to_owned(),
            metaphone_key: key,
        })
    }

    /// How many letters of `joined`, which are `words` words, differ from the name; none if it
    /// does not sound like it. First and last consonant must be those of the name: they are what
    /// people hear best, and what tells "talk back" from "call back" and "talk about".
    pub(super) fn letter_distance(&self, joined: &str, words: usize) -> Option<usize> {
        let most = self.letters.len() / LETTERS_PER_ERROR;
        if joined.len().abs_diff(self.letters.len()) > most
            || ORDINARY_SOUNDALIKES.contains(&joined)
        {
            return None;
        }
        let distance = strsim::levenshtein(joined, &self.letters);
        if distance > most {
            return None;
        }
        let heard = metaphone_key(joined)?;
        let ends = |key: &str| (key.chars().next(), key.chars().next_back());
        // What is patched together from many words must at least sound the same.
        let slips = usize::from(self.metaphone_key.len() >= TOLERANT_KEY_CONSONANTS && words < 3);
        let alike = ends(&heard) == ends(&self.metaphone_key)
            && strsim::levenshtein(&heard, &self.metaphone_key) <= slips;
        alike.then_some(distance)
    }
}

fn metaphone_key(letters: &str) -> Option<String> {
    let latin = letters.bytes().all(|byte| byte.is_ascii_lowercase());
    latin.then(|| {
        DoubleMetaphone::new(None)
            .double_metaphone(letters)
            .primary()
    })
}
