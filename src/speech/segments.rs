//! Groups timed words into segments: sentences, split further at pauses and speaker changes.

use std::time::Duration;

use super::transcript::{Segment, Word};

/// A silence this long between two words ends a segment even within a sentence.
pub const SEGMENT_PAUSE: Duration = Duration::from_millis(1_000);

/// The longest segment: speech without punctuation is cut here.
pub const MAX_SEGMENT_DURATION: Duration = Duration::from_secs(30);

/// Abbreviations, whose full stop does not end a sentence.
const ABBREVIATIONS: [&str; 12] = [
    "mr.", "mrs.", "ms.", "dr.", "prof.", "st.", "vs.", "no.", "nr.", "e.g.", "i.e.", "z.b.",
];

/// Groups timed words into segments, in order of time. No segment is empty.
pub fn segments_from_words(words: &[Word]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut previous: Option<&Word> = None;
    for word in words.iter().filter(|word| !word.text.trim().is_empty()) {
        let open = segments.last_mut().filter(|open| {
            previous.is_some_and(|previous| continues_segment(open, previous, word))
        });
        if let Some(open) = open {
            push_word(&mut open.text, word.text.trim());
            open.end = open.end.max(word.end);
        } else {
            segments.push(Segment {
                start: word.start,
                end: word.end,
                text: word.text.trim().to_owned(),
                speaker: word.speaker.clone(),
            });
        }
        previous = Some(word);
    }
    segments
}

/// Whether `word` continues the segment `open`, whose last word is `previous`.
fn continues_segment(open: &Segment, previous: &Word, word: &Word) -> bool {
    word.speaker == open.speaker
        && word.start.saturating_sub(previous.end) < SEGMENT_PAUSE
        && word.end.saturating_sub(open.start) <= MAX_SEGMENT_DURATION
        && (!ends_sentence(&previous.text) || starts_lowercase(&word.text))
}

/// Whether a sentence can end with this word.
pub(super) fn ends_sentence(word: &str) -> bool {
    let bare = word
        .trim()
        .trim_end_matches(['"', '\'', '”', '’', ')', ']', '»', '」', '』']);
    bare.ends_with(['.', '?', '!', '…', '。', '？', '！', '।', '؟', '۔'])
        && !ABBREVIATIONS.contains(&bare.to_lowercase().as_str())
}

fn starts_lowercase(word: &str) -> bool {
    word.trim().chars().next().is_some_and(char::is_lowercase)
}

/// Appends `word` to `text`, separated by a space unless the script is written without spaces.
pub(super) fn push_word(text: &mut String, word: &str) {
    let unspaced = text.chars().next_back().is_none_or(is_unspaced_script)
        && word.chars().next().is_none_or(is_unspaced_script);
    if !text.is_empty() && !unspaced {
        text.push(' ');
    }
    text.push_str(word);
}

/// Whether the script is written without spaces: Chinese characters, kana, their punctuation, Thai.
pub(crate) fn is_unspaced_script(c: char) -> bool {
    matches!(c,
        '\u{0E00}'..='\u{0E7F}'
        | '\u{3000}'..='\u{30FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{FF00}'..='\u{FF9F}'
        | '\u{20000}'..='\u{2FA1F}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str, start: u64, end: u64, speaker: Option<&str>) -> Word {
        Word {
            text: text.to_owned(),
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
            confidence: None,
            speaker: speaker.map(str::to_owned),
        }
    }

    fn texts(words: &[Word]) -> Vec<String> {
        segments_from_words(words)
            .into_iter()
            .map(|segment| segment.text)
            .collect()
    }

    #[test]
    fn sentences_pauses_and_speakers_end_a_segment() {
        let words = [
            word("Ask", 0, 100, Some("A")),
            word("Dr.", 100, 200, Some("A")),
            word("Smith.", 200, 300, Some("A")),
            word("Why", 300, 400, Some("A")),
            word("\"now?\"", 400, 500, Some("A")),
            word("he", 500, 600, Some("A")),
            word("asked", 600, 700, Some("A")),
            word("later", 1_700, 1_800, Some("A")),
            word("Well", 1_800, 1_900, Some("B")),
            word(" ", 1_900, 1_950, Some("B")),
        ];
        assert_eq!(
            texts(&words),
            ["Ask Dr. Smith.", "Why \"now?\" he asked", "later", "Well"]
        );
        let segments = segments_from_words(&words);
        assert_eq!(segments[1].start, Duration::from_millis(300));
        assert_eq!(segments[1].end, Duration::from_millis(700));
        assert_eq!(segments[3].speaker.as_deref(), Some("B"));
    }

    #[test]
    fn scripts_without_spaces_get_none() {
        let words = [
            word("你好", 0, 100, None),
            word("世界。", 100, 200, None),
            word("한국어", 200, 300, None),
            word("문장", 300, 400, None),
        ];
        assert_eq!(texts(&words), ["你好世界。", "한국어 문장"]);
    }

    #[test]
    fn speech_without_punctuation_is_cut() {
        let words: Vec<Word> = (0..100)
            .map(|n| word("and", n * 1_000, n * 1_000 + 900, None))
            .collect();
        let segments = segments_from_words(&words);
        assert!(segments.len() > 3);
        assert!(
            segments
                .iter()
                .all(|segment| segment.end - segment.start <= MAX_SEGMENT_DURATION)
        );
    }
}
