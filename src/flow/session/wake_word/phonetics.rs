//! Compares words with a name by sound.

use rphonetic::DoubleMetaphone;

/// Shorter names must match exactly: too many words sound like them.
const MIN_NAME_LETTERS: usize = 6;

/// Names with fewer consonants in their key must match exactly.
const MIN_KEY_CONSONANTS: usize = 4;

/// Keys with at least this many consonants may differ in one.
const TOLERANT_KEY_CONSONANTS: usize = 5;

/// One letter may differ for each of these letters of the name.
const LETTERS_PER_ERROR: usize = 4;

/// Ordinary speech that sounds like the product name.
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

/// A name by sound.
#[derive(Clone, Debug)]
pub(super) struct PhoneticName {
    letters: String,
    /// Consonants by the Double Metaphone algorithm.
    metaphone_key: String,
}

impl PhoneticName {
    /// The phonetic form of a normalized name; `None` if it is too short or not Latin.
    pub(super) fn from_normalized(normalized: &str) -> Option<Self> {
        let key = metaphone_key(normalized)?;
        (normalized.len() >= MIN_NAME_LETTERS && key.len() >= MIN_KEY_CONSONANTS).then(|| Self {
            letters: normalized.to_owned(),
            metaphone_key: key,
        })
    }

    /// Number of letters by which `joined`, made of this number of words, differs from the name;
    /// `None` if it does not sound like it. The first and last consonants must match: people hear
    /// them best, and they distinguish "talk back" from "call back" and "talk about".
    pub(super) fn letter_distance(&self, joined: &str, words: usize) -> Option<usize> {
        let max_distance = self.letters.len() / LETTERS_PER_ERROR;
        if joined.len().abs_diff(self.letters.len()) > max_distance
            || ORDINARY_SOUNDALIKES.contains(&joined)
        {
            return None;
        }
        let distance = strsim::levenshtein(joined, &self.letters);
        if distance > max_distance {
            return None;
        }
        let joined_key = metaphone_key(joined)?;
        let ends = |key: &str| (key.chars().next(), key.chars().next_back());
        // Three or more joined words must sound exactly the same.
        let max_key_distance =
            usize::from(self.metaphone_key.len() >= TOLERANT_KEY_CONSONANTS && words < 3);
        let is_match = ends(&joined_key) == ends(&self.metaphone_key)
            && strsim::levenshtein(&joined_key, &self.metaphone_key) <= max_key_distance;
        is_match.then_some(distance)
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
