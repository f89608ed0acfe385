//! What was said in a session so far: the lines of the call, and what was written or recorded in
//! its channel meanwhile.

use crate::store::{
    Line, LineKind, Session, SessionId, Speaker, Store, StoreError, Timestamp, Turn,
};

/// Turns of the channel that are looked at.
const MAX_TURNS: u32 = 2_000;

/// Everything, in order of time. Numbers are given anew, from 1.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn all(store: &Store, session: &Session, bot: &str) -> Result<Vec<Line>, StoreError> {
    let mut lines = store.lines(session.id).await?;
    let turns = store.last_turns(session.of.text, MAX_TURNS).await?;
    let end = session.ended.map_or(i64::MAX, |at| at.0);
    lines.extend(
        turns
            .iter()
            .filter(|turn| (session.started.0..=end).contains(&turn.at.0))
            .map(|turn| line(turn, session, bot)),
    );
    lines.sort_by_key(|line| (line.start_ms, line.number));
    for (number, line) in (1..).zip(&mut lines) {
        line.number = number;
    }
    Ok(lines)
}

/// What was said before a line, oldest first, as turns of a conversation.
///
/// # Errors
///
/// If the ledger can't be read.
pub async fn past(
    store: &Store,
    session: SessionId,
    before: Option<u32>,
    limit: u32,
) -> Result<Vec<Turn>, StoreError> {
    let Some(session) = store.session(session).await? else {
        return Ok(Vec::new());
    };
    let lines = store.lines(session.id).await?;
    let spoken = lines
        .iter()
        .filter(|line| line.kind == LineKind::Speech)
        .filter(|line| before.is_none_or(|before| line.number < before))
        .map(|line| turn(line, &session));
    let written = store.last_turns(session.of.text, limit).await?;
    let mut turns: Vec<Turn> = written
        .into_iter()
        .filter(|turn| turn.at >= session.started)
        .chain(spoken)
        .collect();
    turns.sort_by_key(|turn| turn.at);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = turns.len().saturating_sub(limit);
    Ok(turns.split_off(more))
}

fn turn(line: &Line, session: &Session) -> Turn {
    let start = i64::try_from(line.start_ms).unwrap_or(0);
    Turn {
        message: 0,
        parent: None,
        guild: Some(session.of.guild),
        channel: session.of.text,
        author: line.author,
        role: Speaker::User,
        name: line.name.clone(),
        text: line.text.clone(),
        at: Timestamp(session.started.0 + start),
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
