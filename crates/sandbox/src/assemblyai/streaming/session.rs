//! A live session as a state machine: messages in, messages out, no clock and no socket.
//!
//! Between turns, the first chunk with sound opens one (`SpeechStarted`). One scripted word is heard
//! per 300 ms of sound. How they come is the model's way ([`Turns`](super::turn)): of the Pro models
//! not one by one.

use serde_json::{Value, json};

use super::super::transcript_script::ScriptedSpeech;
use super::CloseReason;
use super::session_config::StreamingConfig;
use super::turn::ScriptedTurn;
use super::vad::is_voiced;

const MIN_CHUNK_MS: u64 = 50;
const MAX_CHUNK_MS: u64 = 1_000;

/// How often silence is acknowledged to whoever asks for that, in milliseconds of audio.
const SILENCE_ACK_INTERVAL_MS: u64 = 1_000;

/// What a session has to say, and whether that was all.
#[derive(Debug, Default)]
pub(super) struct SessionOutput {
    pub(super) messages: Vec<Value>,
    pub(super) terminated: bool,
}

#[derive(Debug)]
pub(super) struct SessionStateMachine {
    settings: StreamingConfig,
    samples: u64,
    turns_ended: usize,
    turn: Option<ScriptedTurn>,
    /// Since when nobody speaks, if that is not told yet.
    unreported_silence_start: Option<u64>,
    /// Who really spoke in the turns so far, where that is not who was named.
    speaker_revisions: Vec<Value>,
}

impl SessionStateMachine {
    pub(super) fn new(settings: StreamingConfig) -> Self {
        Self {
            settings,
            samples: 0,
            turns_ended: 0,
            turn: None,
            unreported_silence_start: None,
            speaker_revisions: Vec::new(),
        }
    }

    pub(super) fn settings(&self) -> &StreamingConfig {
        &self.settings
    }

    pub(super) fn turns_ended(&self) -> usize {
        self.turns_ended
    }

    /// The audio so far in milliseconds.
    pub(super) fn audio_ms(&self) -> u64 {
        self.samples * 1_000 / u64::from(self.settings.sample_rate)
    }

    /// A chunk of audio. `next` tells what is said when somebody begins to speak.
    pub(super) fn push_audio(
        &mut self,
        chunk: &[u8],
        next: impl FnOnce() -> ScriptedSpeech,
    ) -> Result<Vec<Value>, CloseReason> {
        let bytes = self.settings.encoding.bytes_per_sample();
        if !chunk.len().is_multiple_of(bytes) {
            return Err(CloseReason::invalid("Invalid Message: misaligned samples"));
        }
        let samples = (chunk.len() / bytes) as u64;
        let rate = u64::from(self.settings.sample_rate);
        // Exact at both ends.
        if samples * 1_000 < MIN_CHUNK_MS * rate || samples * 1_000 > MAX_CHUNK_MS * rate {
            let duration = samples as f64 * 1_000.0 / rate as f64;
            return Err(CloseReason::new(
                3007,
                format!(
                    "Input Duration Violation: {duration:.1} ms. Expected between 50 and 1000 ms"
                ),
            ));
        }
        let before = self.audio_ms();
        self.samples += samples;
        let duration = self.audio_ms() - before;
        if is_voiced(chunk, self.settings.encoding) {
            Ok(self.on_speech(before, duration, next))
        } else {
            Ok(self.on_silence(before, duration))
        }
    }

    fn on_speech(
        &mut self,
        at: u64,
        duration: u64,
        next: impl FnOnce() -> ScriptedSpeech,
    ) -> Vec<Value> {
        self.unreported_silence_start = None;
        let mut messages = Vec::new();
        let turn = self.turn.get_or_insert_with(|| {
            let turn = ScriptedTurn::start(at, &next());
            if !turn.is_empty() {
                messages.push(json!({
                    "type": "SpeechStarted", "timestamp": at, "confidence": 0.98,
                }));
            }
            turn
        });
        turn.add_speech(duration);
        if turn.has_new_words(&self.settings) && self.settings.include_partial_turns {
            messages.push(turn.partial_message(self.turns_ended, &self.settings));
        }
        messages
    }

    fn on_silence(&mut self, at: u64, duration: u64) -> Vec<Value> {
        let Some(turn) = &mut self.turn else {
            return self.acknowledge_silence(at);
        };
        turn.add_silence(duration);
        if turn.is_finished(&self.settings) {
            return self.end_turn();
        }
        if turn.has_new_words(&self.settings) && self.settings.include_partial_turns {
            return vec![turn.partial_message(self.turns_ended, &self.settings)];
        }
        Vec::new()
    }

    /// Silence, told to whoever asks for that.
    fn acknowledge_silence(&mut self, at: u64) -> Vec<Value> {
        if !self.settings.acknowledge_silence {
            return Vec::new();
        }
        let (since, now) = (
            *self.unreported_silence_start.get_or_insert(at),
            self.audio_ms(),
        );
        if now - since < SILENCE_ACK_INTERVAL_MS {
            return Vec::new();
        }
        self.unreported_silence_start = Some(now);
        vec![json!({"type": "Silence", "start_ms": since, "end_ms": now})]
    }

    fn end_turn(&mut self) -> Vec<Value> {
        let Some(turn) = self.turn.take().filter(|turn| !turn.is_empty()) else {
            return Vec::new();
        };
        let order = self.turns_ended;
        self.turns_ended += 1;
        self.speaker_revisions.extend(turn.speaker_revision(order));
        turn.final_messages(order, &self.settings)
    }

    /// A text message.
    pub(super) fn handle_text(&mut self, text: &str) -> Result<SessionOutput, CloseReason> {
        let message: Value = serde_json::from_str(text)
            .map_err(|_| CloseReason::invalid(format!("Invalid JSON: {text:.60}")))?;
        let Some(kind) = message.get("type").and_then(Value::as_str) else {
            return Err(CloseReason::invalid(format!("Invalid Message: {text:.60}")));
        };
        let mut reaction = SessionOutput::default();
        match kind {
            "ForceEndpoint" => reaction.messages = self.end_turn(),
            "UpdateConfiguration" => self.settings.update(&message)?,
            "KeepAlive" => {}
            "Terminate" => {
                reaction.messages = self.end_turn();
                if self.settings.speaker_labels && !self.speaker_revisions.is_empty() {
                    let revisions = std::mem::take(&mut self.speaker_revisions);
                    let revision = json!({"type": "SpeakerRevision", "revisions": revisions});
                    reaction.messages.push(revision);
                }
                reaction.terminated = true;
            }
            other => {
                return Err(CloseReason::invalid(format!(
                    "Invalid Message Type: {other:.60}"
                )));
            }
        }
        Ok(reaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEECH: [u8; 3_200] = [0x20; 3_200];
    const SILENCE: [u8; 3_200] = [0; 3_200];

    fn session(query: &str) -> SessionStateMachine {
        SessionStateMachine::new(StreamingConfig::from_query(query).expect("a right query"))
    }

    fn feed(session: &mut SessionStateMachine, chunk: &[u8], times: usize) -> Vec<Value> {
        (0..times)
            .flat_map(|_| {
                session
                    .push_audio(chunk, || ScriptedSpeech::from_text("Hello there, you."))
                    .expect("a right chunk")
            })
            .collect()
    }

    #[test]
    fn words_come_with_the_sound_and_the_end_with_silence() {
        let mut session = session("speech_model=universal-streaming-english&min_turn_silence=300");
        assert!(feed(&mut session, &SILENCE, 5).is_empty());
        let first = feed(&mut session, &SPEECH, 3);
        assert_eq!(first[0]["type"], "SpeechStarted");
        assert_eq!(first[0]["timestamp"], 500);
        assert_eq!(first[1]["transcript"], "Hello");
        assert_eq!(first[1]["words"][0]["word_is_final"], false);
        let more = feed(&mut session, &SPEECH, 6);
        assert_eq!(more[1]["transcript"], "Hello there, you.");
        assert!(feed(&mut session, &SILENCE, 2).is_empty());
        let end = feed(&mut session, &SILENCE, 1);
        assert_eq!(end[0]["end_of_turn"], true);
        assert_eq!(session.turns_ended(), 1);
    }

    /// The transcripts of what is said while this goes on.
    fn texts(messages: &[Value]) -> Vec<&str> {
        messages
            .iter()
            .filter_map(|it| it["transcript"].as_str())
            .collect()
    }

    #[test]
    fn the_newest_models_tell_words_late_at_pauses_and_every_few_seconds() {
        let mut session = session("");
        let long = (0..30)
            .map(|n| format!("w{n}"))
            .collect::<Vec<_>>()
            .join(" ");
        let mut feed = |chunk: &[u8], times| -> Vec<Value> {
            let chunks =
                (0..times).map(|_| session.push_audio(chunk, || ScriptedSpeech::from_text(&long)));
            chunks.flat_map(|it| it.expect("a right chunk")).collect()
        };
        let before = feed(&SPEECH, 7);
        assert_eq!(
            (before.len(), &before[0]["type"]),
            (1, &json!("SpeechStarted"))
        );
        assert_eq!(texts(&feed(&SPEECH, 1)), ["w0 w1"], "after 750 ms");
        assert_eq!(feed(&SPEECH, 29).len(), 0, "nothing is told word by word");
        assert_eq!(feed(&SPEECH, 1).len(), 1, "3 s later");
        assert_eq!(feed(&SPEECH, 6).len(), 0);
        let pause = feed(&SILENCE, 1);
        assert_eq!(pause.len(), 1, "at a pause");
        assert_eq!(pause[0]["end_of_turn"], false, "they are not done");
        assert_eq!(feed(&SILENCE, 8).len(), 0, "once in a pause");
        let end = feed(&SILENCE, 1);
        assert_eq!(end[0]["end_of_turn"], true, "after 1,000 ms");
        assert_eq!(end[0]["utterance"], end[0]["transcript"]);
    }

    #[test]
    fn a_turn_that_is_complete_ends_with_a_short_silence() {
        let mut session = session("");
        assert_eq!(texts(&feed(&mut session, &SPEECH, 9)), ["Hello there,"]);
        let end = feed(&mut session, &SILENCE, 1);
        assert_eq!(texts(&end), ["Hello there, you."]);
        assert_eq!(end[0]["end_of_turn"], true);
        assert_eq!(end[0]["turn_is_formatted"], true);
        assert_eq!(session.turns_ended(), 1);
    }

    #[test]
    fn a_long_silence_ends_a_turn_half_heard() {
        let mut session = session("max_turn_silence=500");
        feed(&mut session, &SPEECH, 1);
        assert!(feed(&mut session, &SILENCE, 4).is_empty());
        let end = feed(&mut session, &SILENCE, 1);
        assert_eq!(end[0]["transcript"], "Hello there, you.");
    }

    #[test]
    fn an_older_model_formats_on_request_in_a_second_message() {
        let mut session = session("speech_model=universal-streaming-english&format_turns=true");
        feed(&mut session, &SPEECH, 1);
        let end = session
            .handle_text(r#"{"type":"ForceEndpoint"}"#)
            .expect("right");
        assert_eq!(end.messages[0]["transcript"], "hello there you");
        assert_eq!(end.messages[0]["turn_is_formatted"], false);
        assert_eq!(end.messages[1]["transcript"], "Hello there, you.");
        assert!(!end.terminated);
    }

    #[test]
    fn chunk_length_is_limited() {
        let mut session = session("");
        for (bytes, fits) in [
            (0, false),
            (1_598, false),
            (1_600, true),
            (32_000, true),
            (32_002, false),
        ] {
            let code = session
                .push_audio(&vec![0; bytes], || ScriptedSpeech::from_text("x"))
                .map_err(|close| close.code);
            assert_eq!(code.is_ok(), fits, "{bytes}");
            assert!(fits || code == Err(3007));
        }
    }

    #[test]
    fn parameters_and_messages_are_checked() {
        for query in [
            "format_turns=True&continuous_partials=False",
            "language_codes=%5B%22en%22,%22yue%22%5D",
            "speech_model=universal-3-5-pro&language_codes=%5B%22en%22%5D",
            "agent_context=Paris.&prompt=A+call&max_speakers=10",
        ] {
            assert!(StreamingConfig::from_query(query).is_ok(), "{query}");
        }
        let long = "x".repeat(1_501);
        for query in [
            &*format!("agent_context={long}"),
            "format_turns=yes",
            "language_codes=en",
            "language_codes=%5B%22yue%22%5D&speech_model=universal-3-5-pro",
            "max_speakers=11",
            "speech_model=nova",
            "sample_rate=0",
            "encoding=opus",
            "inactivity_timeout=4",
            "keyterms_prompt=x",
            "keyterms_prompt=[1]",
            "made_up=1",
        ] {
            assert_eq!(
                StreamingConfig::from_query(query).map_err(|close| close.code),
                Err(3006),
                "{query}"
            );
        }
        for text in [
            "{",
            "[]",
            "{}",
            r#"{"type":"Sing"}"#,
            r#"{"type":"UpdateConfiguration","x":1}"#,
        ] {
            let code = session("")
                .handle_text(text)
                .map(|_| ())
                .map_err(|close| close.code);
            assert_eq!(code, Err(3006), "{text}");
        }
        let mut session = session("");
        let update =
            r#"{"type":"UpdateConfiguration","max_turn_silence":100,"min_turn_silence":100}"#;
        session.handle_text(update).expect("right");
        feed(&mut session, &SPEECH, 1);
        assert_eq!(feed(&mut session, &SILENCE, 1).len(), 1);
    }

    /// One thing a client does.
    #[derive(Clone, Debug)]
    enum ClientAction {
        Speech,
        Silence,
        Force,
    }

    proptest::proptest! {
        #[test]
        fn every_turn_begins_grows_and_ends_once(
            acts in proptest::collection::vec(
                proptest::prop_oneof![
                    proptest::strategy::Just(ClientAction::Speech),
                    proptest::strategy::Just(ClientAction::Silence),
                    proptest::strategy::Just(ClientAction::Force),
                ],
                0..200,
            ),
        ) {
            let mut session = session("");
            let mut messages = Vec::new();
            for act in acts {
                messages.extend(match act {
                    ClientAction::Speech => feed(&mut session, &SPEECH, 1),
                    ClientAction::Silence => feed(&mut session, &SILENCE, 1),
                    ClientAction::Force => session.handle_text(r#"{"type":"ForceEndpoint"}"#).expect("right").messages,
                });
            }
            messages.extend(session.handle_text(r#"{"type":"Terminate"}"#).expect("right").messages);
            let (mut open, mut ended, mut words) = (false, 0, 0);
            for message in messages {
                if message["type"] == "SpeechStarted" {
                    assert!(!open);
                    (open, words) = (true, 0);
                    continue;
                }
                assert!(open);
                assert_eq!(message["turn_order"], ended);
                let now = message["words"].as_array().map_or(0, Vec::len);
                if message["end_of_turn"] == true {
                    assert_eq!(now, 3);
                    (open, ended) = (false, ended + 1);
                } else {
                    assert!(now > words);
                    words = now;
                }
            }
            assert!(!open);
            assert_eq!(session.turns_ended(), ended);
        }
    }
}
