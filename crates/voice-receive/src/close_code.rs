//! What to do after the voice gateway closed a connection
//! (<https://discord.com/developers/docs/topics/opcodes-and-status-codes#voice-voice-close-event-codes>).

/// The next step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CloseAction {
    /// Resume the session on a new connection.
    Resume,
    /// Begin a new session with the same token.
    Identify,
    /// Stay disconnected: another attempt would be closed again, or be rate limited.
    GiveUp,
}

/// How far the handshake had come when the connection was closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum HandshakePhase {
    /// Beginning a new session.
    Identifying,
    /// Resuming a session.
    Resuming,
    /// The session was established.
    Established,
}

/// What to do after this close code; `None` is a connection that ended without one.
pub(super) fn close_action(code: Option<u16>, phase: HandshakePhase) -> CloseAction {
    let next = match code {
        // 4004 authentication failed, 4011 server not found, 4014 disconnected (kicked, moved or
        // channel deleted), 4017 DAVE required, 4021 rate limited, 4022 call
        // terminated.
        Some(4_004 | 4_011 | 4_014 | 4_017 | 4_021 | 4_022) => CloseAction::GiveUp,
        // 4006 session no longer valid: a new one may begin with the same token, once.
        Some(4_006) if phase == HandshakePhase::Identifying => CloseAction::GiveUp,
        // We sent something invalid or at the wrong time; the same session may fail again.
        Some(4_001..=4_003 | 4_005 | 4_006 | 4_012 | 4_016 | 4_020) => CloseAction::Identify,
        // 4009 session timeout, 4015 server crashed, going away, an unknown code, or none.
        _ => CloseAction::Resume,
    };
    match (next, phase) {
        (CloseAction::Resume, HandshakePhase::Identifying) => CloseAction::Identify,
        // A resume that was refused with a code will be refused again.
        (CloseAction::Resume, HandshakePhase::Resuming) if code.is_some() => CloseAction::Identify,
        _ => next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_has_its_action() {
        use CloseAction::{GiveUp, Identify, Resume};
        for (code, established, resuming, identifying) in [
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
                established,
                "{code:?}"
            );
            assert_eq!(
                close_action(code, HandshakePhase::Resuming),
                resuming,
                "{code:?}"
            );
            assert_eq!(
                close_action(code, HandshakePhase::Identifying),
                identifying,
                "{code:?}"
            );
        }
    }
}
