//! Which turns a model still gets to see.

use crate::chat::{Role, Turn};

/// The longest run of whole turns, ending with the last one, that `fits`. None if not even the
/// last turn fits alone, or if there is none.
///
/// `fits` must not say yes to a run and no to a shorter one; it is asked about log2(turns) times.
/// An answer whose question had to go goes too, since many chat templates want a person first.
pub(super) fn keep_last<E>(
    turns: &[Turn],
    mut fits: impl FnMut(&[Turn]) -> Result<bool, E>,
) -> Result<Option<&[Turn]>, E> {
    if turns.is_empty() || !fits(&turns[turns.len() - 1..])? {
        return Ok(None);
    }
    if fits(turns)? {
        return Ok(Some(turns));
    }
    // turns[too_long..] does not fit, turns[fitting..] does.
    let (mut too_long, mut fitting) = (0, turns.len() - 1);
    while fitting - too_long > 1 {
        let middle = too_long.midpoint(fitting);
        if fits(&turns[middle..])? {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
    while fitting + 1 < turns.len() && turns[fitting].role == Role::Assistant {
        fitting += 1;
    }
    Ok(Some(&turns[fitting..]))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn turns(lengths: &[usize]) -> Vec<Turn> {
        lengths
            .iter()
            .enumerate()
            .map(|(i, &length)| Turn {
                role: if i % 2 == 0 {
                    Role::User
                } else {
                    Role::Assistant
                },
                speaker: None,
                text: "x".repeat(length),
            })
            .collect()
    }

    fn cut(lengths: &[usize], budget: usize) -> Option<usize> {
        let turns = turns(lengths);
        let size = |kept: &[Turn]| kept.iter().map(|turn| turn.text.len()).sum::<usize>();
        let Ok(kept) = keep_last(&turns, |kept| Ok::<_, Infallible>(size(kept) <= budget));
        kept.map(<[Turn]>::len)
    }

    #[test]
    fn whole_turns_go_from_the_oldest() {
        assert_eq!(cut(&[5, 5, 5], 15), Some(3));
        // The answer left without its question goes with it.
        assert_eq!(cut(&[5, 5, 5], 14), Some(1));
        assert_eq!(cut(&[5, 5, 5, 5, 5], 15), Some(3));
        assert_eq!(cut(&[5, 5, 5], 5), Some(1));
        assert_eq!(cut(&[5, 5, 5], 4), None);
        assert_eq!(cut(&[], 4), None);
    }

    proptest! {
        #[test]
        fn as_much_as_fits_and_no_more(lengths in prop::collection::vec(0_usize..50, 1..40), budget in 0_usize..400) {
            let last = lengths[lengths.len() - 1];
            match cut(&lengths, budget) {
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
