//! The JSON messages of a live session. Parsed leniently: what may be missing is optional, unknown
//! messages and fields are ignored.

use serde::Deserialize;

/// Requests the text so far as an ended turn.
pub(super) const FORCE_ENDPOINT: &str = r#"{"type":"ForceEndpoint"}"#;
/// Requests the end of the session; outstanding results are sent first.
pub(super) const TERMINATE: &str = r#"{"type":"Terminate"}"#;

/// A message from the service.
#[derive(Deserialize)]
#[serde(tag = "type")]
pub(super) enum StreamingMessage {
    Begin,
    SpeechStarted {
        /// Position in the session's audio, in ms.
        #[serde(default)]
        timestamp: Option<f64>,
    },
    Turn(StreamingTurn),
    Error {
        #[serde(default)]
        error_code: Option<u16>,
        #[serde(default)]
        error: Option<String>,
    },
    Termination,
    Warning {
        #[serde(default)]
        warning_code: serde_json::Value,
        #[serde(default)]
        warning: serde_json::Value,
    },
    /// `Heartbeat`, `Silence`, `SpeakerRevision`, and types not documented yet.
    #[serde(other)]
    Other,
}

/// A turn: a stretch of speech, as far as it is recognized.
#[derive(Default, Deserialize)]
pub(super) struct StreamingTurn {
    #[serde(default)]
    pub(super) turn_order: u64,
    #[serde(default)]
    pub(super) end_of_turn: bool,
    #[serde(default)]
    pub(super) transcript: String,
    #[serde(default)]
    pub(super) words: Vec<StreamingWord>,
    #[serde(default)]
    pub(super) language_code: Option<String>,
}

/// A word. Times are in ms of the session's audio.
#[derive(Clone, Deserialize)]
pub(super) struct StreamingWord {
    pub(super) text: String,
    #[serde(default)]
    pub(super) start: f64,
    #[serde(default)]
    pub(super) end: f64,
    #[serde(default)]
    pub(super) confidence: Option<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_messages_are_ignored() {
        for text in [
            r#"{"type":"Heartbeat","total_audio_received_ms":5}"#,
            r#"{"type":"Sing","words":3}"#,
        ] {
            let message: StreamingMessage = serde_json::from_str(text).expect("read");
            assert!(matches!(message, StreamingMessage::Other));
        }
        let begin = r#"{"type":"Begin","id":"x","expires_at":1,"new":true}"#;
        assert!(matches!(
            serde_json::from_str(begin),
            Ok(StreamingMessage::Begin)
        ));
        let turn = serde_json::from_str(r#"{"type":"Turn"}"#);
        assert!(
            matches!(turn, Ok(StreamingMessage::Turn(turn)) if turn.words.is_empty() && !turn.end_of_turn)
        );
        assert!(serde_json::from_str::<StreamingMessage>("[]").is_err());
    }
}
