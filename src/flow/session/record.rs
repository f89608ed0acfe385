//! What was said in a session so far: the lines of the call, and what was written or recorded in
//! its channel meanwhile.

use crate::flow::consent::{Consents, Stamped};
use crate::store::{
    Line, LineKind, Session, SessionId, Speaker, Store, StoreError, Timestamp, Turn,
};

/// Turns of the channel that are looked at.
const MAX_TURNS: u32 = 2_000;

/// Turns of the channel among which the assistant's last one is looked for.
const LATEST: u32 = 4;

/// What was said in the call, as far as those who said it let it be used. Numbers are the ledger's.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn spoken(
    consents: &Consents,
    store: &Store,
    session: &Session,
) -> Result<Vec<Stamped<Line>>, StoreError> {
    let lines = store.lines(session.id).await?;
    let stamped = lines.into_iter().filter_map(|line| {
        let at = said_at(&line, session);
        let stamp = consents.kept_in_call(session.of.guild, line.author, at)?;
        Some(stamp.on(line))
    });
    Ok(stamped.collect())
}

/// Everything, in order of time, as far as those whose words it is let it be used. Numbers are
/// given anew, from 1.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn all(
    consents: &Consents,
    store: &Store,
    session: &Session,
    bot: &str,
) -> Result<Vec<Stamped<Line>>, StoreError> {
    let mut lines = spoken(consents, store, session).await?;
    let turns = store.last_turns(session.of.text, MAX_TURNS).await?;
    let end = session.ended.map_or(i64::MAX, |at| at.0);
    let turns = turns
        .iter()
        .filter(|turn| (session.started.0..=end).contains(&turn.at.0));
    lines.extend(turns.filter_map(|turn| {
        let stamp = consents.kept(turn.author, turn.at)?;
        Some(stamp.on(line(turn, session, bot)))
    }));
    lines.sort_by_cached_key(|line| line.look().map(|line| (line.start_ms, line.number)));
    Ok((1..)
        .zip(lines)
        .map(|(number, line)| line.map(|line| Line { number, ..line }))
        .collect())
}

/// What was said before a line, oldest first, as turns of a conversation.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn past(
    consents: &Consents,
    store: &Store,
    session: SessionId,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<Stamped<Turn>>, StoreError> {
    let Some(session) = store.session(session).await? else {
        return Ok(Vec::new());
    };
    let lines = spoken(consents, store, &session).await?;
    let spoken = lines
        .into_iter()
        .filter(|line| {
            line.look().is_some_and(|line| {
                line.kind == LineKind::Speech && before.is_none_or(|before| line.number < before)
            })
        })
        .map(|line| line.map(|line| turn(&line, &session)));
    let written = store.last_turns(session.of.text, limit).await?;
    let mut turns: Vec<Stamped<Turn>> = written
        .into_iter()
        .filter(|turn| turn.at >= session.started)
        .filter_map(|turn| Some(consents.kept(turn.author, turn.at)?.on(turn)))
        .chain(spoken)
        .collect();
    turns.sort_by_key(|turn| turn.look().map(|turn| turn.at));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = turns.len().saturating_sub(limit);
    Ok(turns.split_off(more))
}

/// What the assistant said last in the session, with the message it stands in, as far as whom it
/// answered lets it be used.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn last_answer(
    consents: &Consents,
    store: &Store,
    session: &Session,
) -> Result<Option<(u64, Stamped<String>)>, StoreError> {
    let turns = store.last_turns(session.of.text, LATEST).await?;
    let mut answers = turns.into_iter().rev().filter(|turn| {
        turn.role == Speaker::Assistant && turn.at >= session.started && !turn.text.is_empty()
    });
    Ok(answers.next().and_then(|turn| {
        let stamp = consents.kept(turn.author, turn.at)?;
        Some((turn.message, stamp.on(turn.text)))
    }))
}

/// When a line was begun.
fn said_at(line: &Line, session: &Session) -> Timestamp {
    let start = i64::try_from(line.start_ms).unwrap_or(0);
    Timestamp(session.started.0.saturating_add(start))
}

fn turn(line: &Line, session: &Session) -> Turn {
    Turn {
        message: 0,
        parent: None,
        guild: Some(session.of.guild),
        channel: session.of.text,
        author: line.author,
        role: Speaker::User,
        name: line.name.clone(),
        text: line.text.clone(),
        at: said_at(line, session),
    }
}

fn line(turn: &Turn, session: &Session, bot: &str) -> Line {
    let at = u64::try_from(turn.at.0 - session.started.0).unwrap_or(0);
    let (name, kind) = match turn.role {
        Speaker::User => (turn.name.clone(), LineKind::Speech),
        Speaker::Assistant => (bot.to_owned(), LineKind::Answer),
    };
    Line {
        number: u32::MAX,
        author: turn.author,
        name,
        start_ms: at,
        end_ms: at,
        kind,
        text: turn.text.clone(),
    }
}
