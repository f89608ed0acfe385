//! Word error rate: how many words of what was said were heard wrong.

/// What was said in each of `samples/`: its name without the ending, and the words.
pub(crate) fn said() -> Vec<(&'static str, &'static str)> {
    include_str!("../../samples/transcripts.tsv")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect()
}

/// Words without case and punctuation, and numbers as they are said: `320` is three hundred and
/// twenty; longer ones are said digit by digit.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut plain = String::new();
    for c in text.chars() {
        match c {
            '\'' | '’' => {}
            _ if c.is_alphanumeric() => plain.extend(c.to_lowercase()),
            _ => plain.push(' '),
        }
    }
    plain.split_whitespace().flat_map(spoken_form).collect()
}

/// A word as it is said.
fn spoken_form(word: &str) -> Vec<String> {
    if !word.bytes().all(|byte| byte.is_ascii_digit()) {
        return vec![word.to_owned()];
    }
    let names = match (word.len(), word.parse()) {
        (..=3, Ok(number)) => number_words(number),
        _ => word
            .bytes()
            .map(|digit| NUMBERS_BELOW_TWENTY[usize::from(digit - b'0')])
            .collect(),
    };
    names.into_iter().map(str::to_owned).collect()
}

/// A number below 1000.
fn number_words(number: usize) -> Vec<&'static str> {
    let mut names = Vec::new();
    let (hundreds, rest) = (number / 100, number % 100);
    if hundreds > 0 {
        names.extend([NUMBERS_BELOW_TWENTY[hundreds], "hundred"]);
        if rest > 0 {
            names.push("and");
        }
    }
    if rest >= 20 {
        names.push(TENS[rest / 10 - 2]);
        if rest % 10 > 0 {
            names.push(NUMBERS_BELOW_TWENTY[rest % 10]);
        }
    } else if rest > 0 || hundreds == 0 {
        names.push(NUMBERS_BELOW_TWENTY[rest]);
    }
    names
}

const NUMBERS_BELOW_TWENTY: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

const TENS: [&str; 8] = [
    "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety",
];

/// The fewest words to put in, take out or change to turn `heard` into `said`.
pub(crate) fn word_errors(said: &[String], heard: &[String]) -> usize {
    // Levenshtein's distance, one row at a time.
    let mut row: Vec<usize> = (0..=heard.len()).collect();
    for (i, right) in said.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, word) in heard.iter().enumerate() {
            let change = diagonal + usize::from(right != word);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[heard.len()]
}

#[test]
fn errors_are_counted_in_words() {
    for (said, heard, errors) in [
        ("one two three", "One, two three.", 0),
        ("one two three", "one three", 1),
        ("one two three", "one too three", 1),
        ("one two three", "", 3),
        ("", "you", 1),
        ("four seven one two", "4712", 0),
        ("three hundred and twenty dollars", "320 dollars", 0),
        ("it is seventeen or forty-five", "it's 17 or 45", 2),
        ("a b c d", "b c d e", 2),
    ] {
        assert_eq!(word_errors(&words(said), &words(heard)), errors, "{heard}");
    }
}
