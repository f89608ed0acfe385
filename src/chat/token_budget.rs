//! Trims a conversation to what a model can read.

use std::convert::Infallible;

use super::{ChatError, ChatRole, ChatTurn, Conversation, prompt};

/// Tokens around a turn, whatever the template.
const TOKENS_PER_TURN: u32 = 5;

/// Drops the oldest turns, so that system prompt and turns have at most `budget` tokens according
/// to `count`. Never cuts within a turn. Fails with [`ChatError::PromptTooLong`] if not even the
/// last turn fits.
pub fn trim_to_budget(
    conversation: &Conversation,
    budget: u32,
    count: impl Fn(&str) -> u32,
) -> Result<Conversation, ChatError> {
    let cost = |text: &str| count(text).saturating_add(TOKENS_PER_TURN);
    let system = cost(&conversation.system);
    let fits = |turns: &[ChatTurn]| {
        let turns = turns
            .iter()
            .map(|turn| cost(&prompt::with_speaker_name(turn)))
            .fold(system, u32::saturating_add);
        Ok::<_, Infallible>(turns <= budget)
    };
    let Ok(kept) = longest_fitting_suffix(&conversation.turns, fits);
    Ok(Conversation {
        system: conversation.system.clone(),
        turns: kept.ok_or(ChatError::PromptTooLong)?.to_vec(),
    })
}

/// Trims to at most `limit` estimated tokens, and to the smaller `preferred` if at least the last
/// turn fits into that.
pub fn trim_to_limit(
    conversation: &Conversation,
    (limit, preferred): (u32, u32),
) -> Result<Conversation, ChatError> {
    let trim_to = |budget| trim_to_budget(conversation, budget, estimate_tokens);
    match trim_to(limit.min(preferred)) {
        Err(ChatError::PromptTooLong) if preferred < limit => {
            trim_to(limit).map(|kept| keep_last_turn(&kept))
        }
        trimmed => trimmed,
    }
}

/// Trims to about half of the tokens, keeping at least the last turn. `None` if there is only one.
pub fn trim_to_half(conversation: &Conversation) -> Option<Conversation> {
    if conversation.turns.len() <= 1 {
        return None;
    }
    let half = trim_to_budget(
        conversation,
        estimate_conversation_tokens(conversation) / 2,
        estimate_tokens,
    );
    Some(half.unwrap_or_else(|_| keep_last_turn(conversation)))
}

fn keep_last_turn(conversation: &Conversation) -> Conversation {
    Conversation {
        system: conversation.system.clone(),
        turns: conversation.turns.last().cloned().into_iter().collect(),
    }
}

/// Estimated tokens of a whole conversation.
pub fn estimate_conversation_tokens(conversation: &Conversation) -> u32 {
    let cost = |text: &str| estimate_tokens(text).saturating_add(TOKENS_PER_TURN);
    conversation
        .turns
        .iter()
        .map(|turn| cost(&prompt::with_speaker_name(turn)))
        .fold(cost(&conversation.system), u32::saturating_add)
}

/// Estimates the tokens of `text` for unknown tokenizers, on the high side: three ASCII characters
/// per token (English has four to five), one token for each other character (Chinese, Japanese and
/// Korean have about one).
pub fn estimate_tokens(text: &str) -> u32 {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    let others = text.chars().filter(|c| !c.is_ascii()).count();
    estimate_tokens_from_counts(ascii, others)
}

/// The estimate for a text with these numbers of ASCII and other characters.
pub(crate) fn estimate_tokens_from_counts(ascii: usize, others: usize) -> u32 {
    u32::try_from(ascii.div_ceil(3).saturating_add(others)).unwrap_or(u32::MAX)
}

/// The longest suffix of `turns` that `fits`. `None` if the last turn doesn't fit alone, or if
/// there is no turn.
///
/// `fits` must be monotonic: if it accepts a suffix, it must accept every shorter one. It is called
/// about log2(turns) times. A leading answer whose question was dropped is dropped too, since many
/// chat templates require a user turn first.
pub(crate) fn longest_fitting_suffix<E>(
    turns: &[ChatTurn],
    mut fits: impl FnMut(&[ChatTurn]) -> Result<bool, E>,
) -> Result<Option<&[ChatTurn]>, E> {
    if turns.is_empty() || !fits(&turns[turns.len() - 1..])? {
        return Ok(None);
    }
    if fits(turns)? {
        return Ok(Some(turns));
    }
    // Invariant: turns[too_long..] does not fit, turns[fitting..] does.
    let (mut too_long, mut fitting) = (0, turns.len() - 1);
    while fitting - too_long > 1 {
        let middle = too_long.midpoint(fitting);
        if fits(&turns[middle..])? {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    while fitting + 1 < turns.len() && turns[fitting].role == ChatRole::Assistant {
        fitting += 1;
    }
    Ok(Some(&turns[fitting..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn turns(lengths: &[usize]) -> Vec<ChatTurn> {
        lengths
            .iter()
            .enumerate()
            .map(|(i, &length)| ChatTurn {
                role: if i % 2 == 0 {
                    ChatRole::User
                } else {
                    ChatRole::Assistant
                },
                speaker_name: None,
                text: "x".repeat(length),
            })
            .collect()
    }

    fn kept(lengths: &[usize], budget: usize) -> Option<usize> {
        let turns = turns(lengths);
        let size = |kept: &[ChatTurn]| kept.iter().map(|turn| turn.text.len()).sum::<usize>();
        let Ok(run) =
            longest_fitting_suffix(&turns, |run| Ok::<_, Infallible>(size(run) <= budget));
        run.map(<[ChatTurn]>::len)
    }

    #[test]
    fn the_oldest_turns_are_dropped_whole() {
        assert_eq!(kept(&[5, 5, 5], 15), Some(3));
        // An answer whose question was dropped is dropped too.
        assert_eq!(kept(&[5, 5, 5], 14), Some(1));
        assert_eq!(kept(&[5, 5, 5, 5, 5], 15), Some(3));
        assert_eq!(kept(&[5, 5, 5], 5), Some(1));
        assert_eq!(kept(&[5, 5, 5], 4), None);
        assert_eq!(kept(&[], 4), None);
    }

    #[test]
    fn the_system_prompt_counts_and_the_last_turn_stays() {
        let conversation = Conversation {
            system: "x".repeat(30),
            turns: turns(&[30, 30, 30]),
        };
        // 10 tokens and 5 around them, four times.
        let left = |budget| {
            trim_to_budget(&conversation, budget, estimate_tokens).map(|kept| kept.turns.len())
        };
        assert!(matches!(left(60), Ok(3)));
        assert!(matches!(left(59), Ok(1)));
        assert!(matches!(left(30), Ok(1)));
        assert!(matches!(left(29), Err(ChatError::PromptTooLong)));
    }

    #[test]
    fn every_script_is_counted() {
        assert_eq!(estimate_tokens(""), 0);
        assert_eq!(estimate_tokens("four"), 2);
        assert_eq!(estimate_tokens("日本語"), 3);
    }

    proptest! {
        #[test]
        fn the_longest_fitting_suffix_is_kept(lengths in prop::collection::vec(0_usize..50, 1..40), budget in 0_usize..400) {
            let last = lengths[lengths.len() - 1];
            match kept(&lengths, budget) {
                None => prop_assert!(last > budget),
                Some(kept) => {
                    let start = lengths.len() - kept;
                    prop_assert!(lengths[start..].iter().sum::<usize>() <= budget);
                    // At most the answer before it could have been kept as well.
                    if start > 1 {
                        prop_assert!(lengths[start - 2..].iter().sum::<usize>() > budget);
                    }
                }
            }
        }
    }
}
