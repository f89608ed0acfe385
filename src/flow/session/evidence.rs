//! Whether words were really said.
//!
//! Recognizers make up words for near-silence, the same ones again and again. The evidence is how
//! long there was speech beyond doubt: nobody says ten words in half a second. The usual phantoms
//! need more of it than other words do.

use std::time::Duration;

/// The fastest that people speak, in words a second of sure speech. Fast talkers reach six.
const FASTEST: f32 = 9.0;

/// Less sure speech than this is none, whatever the words.
const LEAST: Duration = Duration::from_millis(100);

/// The least sure speech for words that recognizers are known to make up.
const LEAST_FOR_PHANTOMS: Duration = Duration::from_millis(280);

/// What recognizers make up, without punctuation.
const PHANTOMS: [&str; 20] = [
    "you",
    "thank you",
    "thanks",
    "thank you very much",
    "thanks for watching",
    "thank you for watching",
    "please subscribe",
    "bye",
    "bye bye",
    "okay",
    "so",
    "oh",
    "uh",
    "um",
    "hmm",
    "the",
    "i",
    "vielen dank",
    "merci",
    "gracias",
];

/// Whether there is enough `speech`, speech beyond doubt, for `text` to have been said.
#[must_use]
pub fn was_said(text: &str, speech: Duration) -> bool {
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| {
            word.chars()
                .filter(|letter| letter.is_alphanumeric())
                .flat_map(char::to_lowercase)
                .collect::<String>()
        })
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() || speech < LEAST {
        return false;
    }
    // Languages without spaces: some five signs are a word.
    let letters: usize = words.iter().map(|word| word.chars().count()).sum();
    let count = words.len().max(letters / 12);
    let count = f32::from(u16::try_from(count).unwrap_or(u16::MAX));
    if count > FASTEST * speech.as_secs_f32() + 1.0 {
        return false;
    }
    let plain = words.join(" ");
    let phantom = PHANTOMS.contains(&plain.as_str()) || repeats(&words);
    !phantom || speech >= LEAST_FOR_PHANTOMS
}

/// The same word over and over is what recognizers fall into.
fn repeats(words: &[String]) -> bool {
    words.len() >= 4 && words.iter().all(|word| *word == words[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_need_speech() {
        let cases = [
            ("What is the capital of France?", 1_500, true),
            ("What is the capital of France?", 300, false),
            ("Thank you.", 150, false),
            ("Thank you.", 400, true),
            ("Yes.", 160, true),
            ("Yes.", 60, false),
            ("You", 120, false),
            ("la la la la la", 200, false),
            ("  … ", 900, false),
            ("フランスの首都はどこですか", 1_200, true),
            ("我们决定了发布日期", 1_000, true),
        ];
        for (text, millis, said) in cases {
            assert_eq!(
                was_said(text, Duration::from_millis(millis)),
                said,
                "{text} in {millis} ms"
            );
        }
    }
}
