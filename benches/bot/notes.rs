//! Whether voice messages are answered, and how often.

use std::time::{Duration, Instant};

use sandbox::Message;

use super::{BenchResult, WAIT_TIMEOUT};

pub(crate) fn is_answered_completely(note: &Message) -> bool {
    note.bot_reply()
        .is_some_and(|reply| reply.text().contains("Paris.") && !reply.buttons().is_empty())
}

pub(crate) async fn wait_until_answered(notes: &[Message], count: usize) -> BenchResult<Instant> {
    let deadline = Instant::now() + WAIT_TIMEOUT;
    let mut seen = 0;
    loop {
        while seen < notes.len() && is_answered_completely(&notes[seen]) {
            seen += 1;
        }
        let answered = seen
            + notes[seen..]
                .iter()
                .filter(|note| is_answered_completely(note))
                .count();
        if answered >= count {
            return Ok(Instant::now());
        }
        if Instant::now() > deadline {
            return Err(format!("{answered} of {count} answered in {WAIT_TIMEOUT:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many notes were lost, answered twice or left half-finished.
pub(crate) struct NoteOutcomes {
    notes: usize,
    lost: usize,
    answered_twice: usize,
    half_finished: usize,
}

impl NoteOutcomes {
    pub(crate) fn from_notes(notes: &[Message]) -> Self {
        let count = |fits: fn(&&Message) -> bool| notes.iter().filter(fits).count();
        Self {
            notes: notes.len(),
            lost: count(|note| note.bot_replies().is_empty()),
            answered_twice: count(|note| note.bot_replies().len() > 1),
            half_finished: count(|note| {
                !note.bot_replies().is_empty() && !is_answered_completely(note)
            }),
        }
    }
}

impl std::fmt::Display for NoteOutcomes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} notes: {} lost, {} doubled, {} left half-finished",
            self.notes, self.lost, self.answered_twice, self.half_finished
        )
    }
}

/// Fails unless each note has exactly one reply, and a complete one.
pub(crate) fn check_answered_exactly_once(notes: &[Message]) -> BenchResult<()> {
    for note in notes {
        let replies = note.bot_replies();
        if replies.len() != 1 || !is_answered_completely(note) {
            let texts: Vec<_> = replies.iter().map(Message::text).collect();
            return Err(format!("note {} has the replies {texts:?}", note.id()).into());
        }
    }
    Ok(())
}
