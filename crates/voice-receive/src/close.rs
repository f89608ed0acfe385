//! What a closed connection means
//! (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>).

/// What is done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// The session is taken up again on a new connection.
    Resume,
    /// A new session is begun with the same token.
    Identify,
    /// Nothing: whoever tries again is closed again, or worse.
    End,
}

/// What was going on when the connection was closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum During {
    /// A new session was being begun.
    Identify,
    /// A session was being taken up again.
    Resume,
    /// A session was going on.
    Session,
}

/// What to do about a close code; none is a connection that ended without one.
pub(super) fn next(code: Option<u16>, during: During) -> Next {
    let next = match code {
        // Token refused; server not found; taken out, moved or channel deleted; end-to-end
        // encryption wanted that we can't do; rate limited; call over.
        Some(4_004 | 4_011 | 4_014 | 4_017 | 4_021 | 4_022) => Next::End,
        // The session is no longer valid. A new one may begin with the same token, once.
        Some(4_006) if during == During::Identify => Next::End,
        // We have said something wrong, or at a wrong time: what is to be resumed is not well.
        Some(4_001..=4_003 | 4_005 | 4_006 | 4_012 | 4_016 | 4_020) => Next::Identify,
        // Session timed out, server crashed, going away, unknown, nothing at all.
        _ => Next::Resume,
    };
    match (next, during) {
        (Next::Resume, During::Identify) => Next::Identify,
        // Whoever refuses to take up a session with a code will not do it a second time.
        (Next::Resume, During::Resume) if code.is_some() => Next::Identify,
        _ => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_answer() {
        use Next::{End, Identify, Resume};
        for (code, session, resume, identify) in [
            (None, Resume, Resume, Identify),
            (Some(1_000), Resume, Identify, Identify),
            (Some(1_001), Resume, Identify, Identify),
            (Some(1_006), Resume, Identify, Identify),
            (Some(4_001), Identify, Identify, Identify),
            (Some(4_002), Identify, Identify, Identify),
            (Some(4_003), Identify, Identify, Identify),
            (Some(4_004), End, End, End),
            (Some(4_005), Identify, Identify, Identify),
            (Some(4_006), Identify, Identify, End),
            (Some(4_009), Resume, Identify, Identify),
            (Some(4_011), End, End, End),
            (Some(4_012), Identify, Identify, Identify),
            (Some(4_014), End, End, End),
            (Some(4_015), Resume, Identify, Identify),
            (Some(4_016), Identify, Identify, Identify),
            (Some(4_017), End, End, End),
            (Some(4_020), Identify, Identify, Identify),
            (Some(4_021), End, End, End),
            (Some(4_022), End, End, End),
            (Some(4_999), Resume, Identify, Identify),
        ] {
            assert_eq!(next(code, During::Session), session, "{code:?}");
            assert_eq!(next(code, During::Resume), resume, "{code:?}");
            assert_eq!(next(code, During::Identify), identify, "{code:?}");
        }
    }
}
