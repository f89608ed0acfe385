//! What was said in a session so far: the lines of the call, and the messages and recordings in its
//! channel.

use crate::flow::consent::{ConsentRegistry, PersonalData};
use crate::store::{
    LineKind, SessionId, SessionRecord, Store, StoreError, StoredTurn, Timestamp, TranscriptLine,
    TurnRole,
};

/// Turns of the channel that are read for the complete transcript.
const MAX_CHANNEL_TURNS: u32 = 2_000;

/// Turns of the channel that are searched for the assistant's last answer.
const ANSWER_SEARCH_TURNS: u32 = 4;

/// The lines of the call whose grants are active, with the numbers from the ledger.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn spoken_lines(
    consents: &ConsentRegistry,
    store: &Store,
    session: &SessionRecord,
) -> Result<Vec<PersonalData<TranscriptLine>>, StoreError> {
    let lines = store.lines(session.id).await?;
    let permitted = lines.into_iter().filter_map(|line| {
        let at = line_timestamp(&line, session);
        let grant = consents.grant_for_stored_speech(session.details.guild, line.author, at)?;
        Some(grant.wrap(line))
    });
    Ok(permitted.collect())
}

/// The lines of the call and the turns of the channel, by time, as far as their grants are active.
/// Numbered anew from 1.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn all_lines(
    consents: &ConsentRegistry,
    store: &Store,
    session: &SessionRecord,
    bot: &str,
) -> Result<Vec<PersonalData<TranscriptLine>>, StoreError> {
    let mut lines = spoken_lines(consents, store, session).await?;
    let turns = store
        .latest_turns(session.details.text_channel, MAX_CHANNEL_TURNS)
        .await?;
    let end = session.ended.map_or(i64::MAX, |at| at.0);
    let turns = turns
        .iter()
        .filter(|turn| (session.started.0..=end).contains(&turn.at.0));
    lines.extend(turns.filter_map(|turn| {
        let grant = consents.grant_for_stored(turn.author, turn.at)?;
        Some(grant.wrap(turn_to_line(turn, session, bot)))
    }));
    lines.sort_by_cached_key(|line| line.get().map(|line| (line.start_ms, line.number)));
    Ok((1..)
        .zip(lines)
        .map(|(number, line)| line.map(|line| TranscriptLine { number, ..line }))
        .collect())
}

/// The latest turns before a line, oldest first, from the call and its channel. `before` is a line
/// number; `None` means all lines.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn turns_before(
    consents: &ConsentRegistry,
    store: &Store,
    session: SessionId,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<PersonalData<StoredTurn>>, StoreError> {
    let Some(session) = store.session(session).await? else {
        return Ok(Vec::new());
    };
    let lines = spoken_lines(consents, store, &session).await?;
    let call_turns = lines
        .into_iter()
        .filter(|line| {
            line.get().is_some_and(|line| {
                line.kind == LineKind::Speech && before.is_none_or(|before| line.number < before)
            })
        })
        .map(|line| line.map(|line| line_to_turn(&line, &session)));
    let channel_turns = store
        .latest_turns(session.details.text_channel, limit)
        .await?;
    let mut turns: Vec<PersonalData<StoredTurn>> = channel_turns
        .into_iter()
        .filter(|turn| turn.at >= session.started)
        .filter_map(|turn| Some(consents.grant_for_stored(turn.author, turn.at)?.wrap(turn)))
        .chain(call_turns)
        .collect();
    turns.sort_by_key(|turn| turn.get().map(|turn| turn.at));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let excess = turns.len().saturating_sub(limit);
    Ok(turns.split_off(excess))
}

/// The assistant's last answer in the session, with its message id. `None` if the user whom it
/// answered has withdrawn consent.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn last_answer(
    consents: &ConsentRegistry,
    store: &Store,
    session: &SessionRecord,
) -> Result<Option<(u64, PersonalData<String>)>, StoreError> {
    let turns = store
        .latest_turns(session.details.text_channel, ANSWER_SEARCH_TURNS)
        .await?;
    let mut answers = turns.into_iter().rev().filter(|turn| {
        turn.role == TurnRole::Assistant && turn.at >= session.started && !turn.text.is_empty()
    });
    Ok(answers.next().and_then(|turn| {
        let grant = consents.grant_for_stored(turn.author, turn.at)?;
        Some((turn.message, grant.wrap(turn.text)))
    }))
}

/// The lines whose grants are active.
pub(super) fn permitted_lines(lines: &[PersonalData<TranscriptLine>]) -> Vec<TranscriptLine> {
    lines
        .iter()
        .filter_map(PersonalData::get)
        .cloned()
        .collect()
}

/// When a line begins, as wall-clock time.
fn line_timestamp(line: &TranscriptLine, session: &SessionRecord) -> Timestamp {
    let start = i64::try_from(line.start_ms).unwrap_or(0);
    Timestamp(session.started.0.saturating_add(start))
}

fn line_to_turn(line: &TranscriptLine, session: &SessionRecord) -> StoredTurn {
    StoredTurn {
        message: 0,
        parent: None,
        guild: Some(session.details.guild),
        channel: session.details.text_channel,
        author: line.author,
        role: TurnRole::User,
        name: line.name.clone(),
        text: line.text.clone(),
        at: line_timestamp(line, session),
    }
}

fn turn_to_line(turn: &StoredTurn, session: &SessionRecord, bot: &str) -> TranscriptLine {
    let at = u64::try_from(turn.at.0 - session.started.0).unwrap_or(0);
    let (name, kind) = match turn.role {
        TurnRole::User => (turn.name.clone(), LineKind::Speech),
        TurnRole::Assistant => (bot.to_owned(), LineKind::Answer),
    };
    TranscriptLine {
        number: u32::MAX,
        author: turn.author,
        name,
        start_ms: at,
        end_ms: at,
        kind,
        text: turn.text.clone(),
    }
}
