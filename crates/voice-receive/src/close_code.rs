//! What a closed connection means
//! (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>).

/// What is done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CloseAction {
    /// The session is taken up again on a new connection.
    Resume,
    /// A new session is begun with the same token.
    Identify,
    /// Nothing: whoever tries again is closed again, or worse.
    GiveUp,
}

/// What was going on when the connection was closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HandshakePhase {
    /// A new session was being begun.
    Identifying,
    /// A session was being taken up again.
    Resuming,
    /// A session was going on.
    Established,
}

/// What to do about a close code; none is a connection that ended without one.
pub(super) fn close_action(code: Option<u16>, during: HandshakePhase) -> CloseAction {
    let next = match code {
        // Token refused; server not found; taken out, moved or channel deleted; end-to-end
        // encryption wanted that we can't do; rate limited; call over.
        Some(4_004 | 4_011 | 4_014 | 4_017 | 4_021 | 4_022) => CloseAction::GiveUp,
        // The session is no longer valid. A new one may begin with the same token, once.
        Some(4_006) if during == HandshakePhase::Identifying => CloseAction::GiveUp,
        // We have said something wrong, or at a wrong time: what is to be resumed is not well.
        Some(4_001..=4_003 | 4_005 | 4_006 | 4_012 | 4_016 | 4_020) => CloseAction::Identify,
        // Session timed out, server crashed, going away, unknown, nothing at all.
        _ => CloseAction::Resume,
    };
    match (next, during) {
        (CloseAction::Resume, HandshakePhase::Identifying) => CloseAction::Identify,
        // Whoever refuses to take up a session with a code will not do it a second time.
        (CloseAction::Resume, HandshakePhase::Resuming) if code.is_some() => CloseAction::Identify,
        _ => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_answer() {
        use CloseAction::{GiveUp, Identify, Resume};
        for (code, session, resume, identify) in [
            (None, Resume, Resume, Identify),
            (Some(1_000), Resume, Identify, Identify),
            (Some(1_001), Resume, Identify, Identify),
            (Some(1_006), Resume, Identify, Identify),
            (Some(4_001), Identify, Identify, Identify),
            (Some(4_002), Identify, Identify, Identify),
            (Some(4_003), Identify, Identify, Identify),
            (Some(4_004), GiveUp, GiveUp, GiveUp),
            (Some(4_005), Identify, Identify, Identify),
            (Some(4_006), Identify, Identify, GiveUp),
            (Some(4_009), Resume, Identify, Identify),
            (Some(4_011), GiveUp, GiveUp, GiveUp),
            (Some(4_012), Identify, Identify, Identify),
            (Some(4_014), GiveUp, GiveUp, GiveUp),
            (Some(4_015), Resume, Identify, Identify),
            (Some(4_016), Identify, Identify, Identify),
            (Some(4_017), GiveUp, GiveUp, GiveUp),
            (Some(4_020), Identify, Identify, Identify),
            (Some(4_021), GiveUp, GiveUp, GiveUp),
            (Some(4_022), GiveUp, GiveUp, GiveUp),
            (Some(4_999), Resume, Identify, Identify),
        ] {
            assert_eq!(
                close_action(code, HandshakePhase::Established),
                session,
                "{code:?}"
            );
            assert_eq!(
                close_action(code, HandshakePhase::Resuming),
                resume,
                "{code:?}"
            );
            assert_eq!(
                close_action(code, HandshakePhase::Identifying),
                identify,
                "{code:?}"
            );
        }
    }
}
