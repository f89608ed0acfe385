//! Cuts hints down to the limits that AssemblyAI publishes.

use std::collections::HashSet;

/// The most key terms in a Sync request.
const MAX_SYNC_KEY_TERMS: usize = 100;
/// The most characters in all key terms of a Sync request together.
const MAX_SYNC_KEY_TERM_CHARS: usize = 8_000;
/// The most turns in `conversation_context`.
const MAX_CONTEXT_TURNS: usize = 500;
/// The most characters in `conversation_context`.
const MAX_CONTEXT_CHARS: usize = 16_000;
/// The most key terms in a job: the limit of the smaller of the two default models.
const MAX_JOB_KEY_TERMS: usize = 200;
/// The most words in a key term of a job.
const MAX_JOB_KEY_TERM_WORDS: usize = 6;
/// The most key terms in a live session.
const MAX_LIVE_KEY_TERMS: usize = 100;
/// The most languages in a live session.
pub(super) const MAX_LIVE_LANGUAGES: usize = 10;
/// The most characters in `agent_context`.
const MAX_AGENT_CONTEXT_CHARS: usize = 1_500;
/// The most characters in a key term of a live session.
const MAX_LIVE_KEY_TERM_CHARS: usize = 50;

/// The key terms for a Sync request: as many whole ones as fit into the limits.
pub(super) fn sync_key_terms(terms: &[String]) -> Vec<String> {
    let mut remaining = MAX_SYNC_KEY_TERM_CHARS;
    let mut kept = Vec::new();
    for term in distinct_terms(terms) {
        let chars = term.chars().count();
        if chars <= remaining && kept.len() < MAX_SYNC_KEY_TERMS {
            remaining -= chars;
            kept.push(term);
        }
    }
    kept
}

/// The key terms for a job: at most 200, of at most six words each.
pub(super) fn job_key_terms(terms: &[String]) -> Vec<String> {
    distinct_terms(terms)
        .filter(|term| term.split(' ').count() <= MAX_JOB_KEY_TERM_WORDS)
        .take(MAX_JOB_KEY_TERMS)
        .collect()
}

/// The key terms for a live session: at most 100, of at most 50 characters each.
pub(super) fn live_key_terms(terms: &[String]) -> Vec<String> {
    distinct_terms(terms)
        .filter(|term| term.chars().count() <= MAX_LIVE_KEY_TERM_CHARS)
        .take(MAX_LIVE_KEY_TERMS)
        .collect()
}

/// The end of the assistant's last answer, at most 1500 characters.
pub(super) fn agent_context(last_answer: &str) -> String {
    let last_answer = last_answer.trim();
    let surplus = last_answer
        .chars()
        .count()
        .saturating_sub(MAX_AGENT_CONTEXT_CHARS);
    last_answer.chars().skip(surplus).collect()
}

/// The newest turns that fit into the limits, oldest first. If the last turn alone exceeds them,
/// its end is kept.
pub(super) fn conversation_context(turns: &[String]) -> Vec<String> {
    let mut remaining = MAX_CONTEXT_CHARS;
    let mut kept = Vec::new();
    for turn in turns.iter().rev().map(|turn| turn.trim()) {
        if turn.is_empty() {
            continue;
        }
        let chars = turn.chars().count();
        if chars > remaining && kept.is_empty() {
            kept.push(turn.chars().skip(chars - remaining).collect());
        }
        if chars > remaining || kept.len() == MAX_CONTEXT_TURNS {
            break;
        }
        remaining -= chars;
        kept.push(turn.to_owned());
    }
    kept.reverse();
    kept
}

/// The codes of `languages` that are in `known`, or all of them if `known` is empty. `en-US` and
/// `EN` count as `en`.
pub(super) fn supported_languages(languages: &[String], known: &[&str]) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for language in languages {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        let code = primary.trim().to_ascii_lowercase();
        let is_known = known.is_empty() || known.contains(&code.as_str());
        if is_known && !code.is_empty() && !kept.contains(&code) {
            kept.push(code);
        }
    }
    kept
}

/// The terms with whitespace normalized, without blank and repeated ones.
fn distinct_terms(terms: &[String]) -> impl Iterator<Item = String> + '_ {
    let mut seen = HashSet::new();
    terms.iter().filter_map(move |term| {
        let term = term.split_whitespace().collect::<Vec<_>>().join(" ");
        (!term.is_empty() && seen.insert(term.to_lowercase())).then_some(term)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn key_terms_are_cleaned_and_kept_whole() {
        let long = "x".repeat(7_992);
        let terms = strings(&[" Kubernetes ", "", "kubernetes", "etc\n d", &long, "ab"]);
        assert_eq!(
            sync_key_terms(&terms),
            ["Kubernetes", "etc d", "ab"],
            "the long one does not fit beside the first two, the short one still does"
        );
        let many: Vec<String> = (0..300).map(|n| format!("term {n}")).collect();
        assert_eq!(sync_key_terms(&many).len(), 100);
        assert_eq!(job_key_terms(&many).len(), 200);
        assert!(job_key_terms(&strings(&["one two three four five six seven"])).is_empty());
        assert_eq!(live_key_terms(&many).len(), 100);
        assert!(live_key_terms(&["é".repeat(51)]).is_empty());
        assert_eq!(live_key_terms(&["é".repeat(50)]).len(), 1);
    }

    #[test]
    fn the_end_of_an_overlong_last_turn_is_kept() {
        let turns = strings(&["first", &format!("{}end", "a".repeat(20_000))]);
        let kept = conversation_context(&turns);
        assert_eq!(kept.len(), 1);
        assert_eq!(kept[0].chars().count(), 16_000);
        assert!(kept[0].ends_with("end"));
    }

    #[test]
    fn the_newest_five_hundred_turns_are_kept() {
        let turns: Vec<String> = (0..550).map(|n| n.to_string()).collect();
        assert_eq!(conversation_context(&turns), turns[50..]);
    }

    #[test]
    fn only_known_languages_are_sent() {
        let asked = strings(&["en-US", "EN", "pl", "pt_br", "", "english"]);
        assert_eq!(
            supported_languages(&asked, &["en", "pt", "de"]),
            ["en", "pt"]
        );
        assert_eq!(
            supported_languages(&asked, &[]),
            ["en", "pl", "pt", "english"]
        );
    }

    proptest! {
        #[test]
        fn trimmed_hints_are_within_the_limits(
            items in prop::collection::vec("[a-zé ]{0,400}", 0..600),
        ) {
            let terms = sync_key_terms(&items);
            prop_assert!(terms.iter().map(|term| term.chars().count()).sum::<usize>() <= 8_000);
            prop_assert!(terms.len() <= 100);
            let turns = conversation_context(&items);
            prop_assert!(turns.len() <= 500);
            prop_assert!(turns.iter().map(|turn| turn.chars().count()).sum::<usize>() <= 16_000);
            // The newest turns are kept, in order.
            let non_blank: Vec<&str> =
                items.iter().map(|item| item.trim()).filter(|item| !item.is_empty()).collect();
            prop_assert_eq!(&turns[..], &non_blank[non_blank.len() - turns.len()..]);
        }
    }
}
