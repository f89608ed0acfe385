//! Words while somebody is still talking, through AssemblyAI streaming, and what happens when
//! that goes wrong.

use std::time::Duration;

use sandbox::{
    AssemblyAi, AssemblyAiEndpoint, Fault, Gate, Sandbox, StreamingSession, StreamingSessionEnd,
};
use serde_json::json;
use talkback::speech::assemblyai::{AssemblyAiSettings, StreamingTranscriber};
use talkback::speech::{
    Hints, LiveEvent, LiveEventReceiver, LiveTranscriber, LiveTranscription, SpeechError,
    Transcript,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::assemblyai::{SHORT_TIMEOUT, USER_AGENT, error_kind, settings, tone};

/// Longer than anything here takes.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Twenty milliseconds, as Discord sends them.
const FRAME_SAMPLES: usize = 320;

fn start_speaker(settings: &AssemblyAiSettings) -> LiveTranscription {
    StreamingTranscriber::new(settings).start_stream(Hints::default())
}

fn speech(milliseconds: usize) -> Vec<f32> {
    tone(16 * milliseconds).samples().to_vec()
}

fn silence(milliseconds: usize) -> Vec<f32> {
    vec![0.0; 16 * milliseconds]
}

fn push(speaker: &LiveTranscription, utterance: u64, samples: &[f32]) {
    for frame in samples.chunks(FRAME_SAMPLES) {
        assert!(speaker.push(utterance, frame), "there is room");
    }
}

async fn next_event(speaker: &mut LiveTranscription) -> LiveEvent {
    let event = tokio::time::timeout(TEST_TIMEOUT, speaker.next_event()).await;
    event.expect("something is heard").expect("it is not over")
}

/// The next end of an utterance.
async fn wait_for_end(speaker: &mut LiveTranscription) -> (u64, Result<Transcript, SpeechError>) {
    loop {
        match next_event(speaker).await {
            LiveEvent::Partial { .. } => {}
            LiveEvent::Final {
                utterance,
                transcript,
            } => return (utterance, Ok(transcript)),
            LiveEvent::Failed { utterance, error } => return (utterance, Err(error)),
        }
    }
}

async fn wait_for_words(speaker: &mut LiveTranscription) -> (u64, String) {
    let (utterance, transcript) = wait_for_end(speaker).await;
    (utterance, transcript.expect("it is heard").text)
}

async fn wait_for_failure(
    speaker: &mut LiveTranscription,
    stt: &AssemblyAi,
) -> (u64, &'static str) {
    let (utterance, transcript) = wait_for_end(speaker).await;
    let error = transcript.expect_err("it is not heard");
    (utterance, error_kind(&error, &stt.key()))
}

async fn wait_for_sessions(
    stt: &AssemblyAi,
    enough: impl Fn(&[StreamingSession]) -> bool,
) -> Vec<StreamingSession> {
    let sessions = stt.wait_for_streaming_sessions(&enough).await;
    assert!(
        enough(&sessions),
        "waited in vain: {} sessions",
        sessions.len()
    );
    sessions
}

/// Samples as the service gets them.
fn bytes(samples: &[f32]) -> Vec<u8> {
    let pcm: audio::Pcm = samples.to_vec().into();
    let samples = pcm.to_s16();
    samples.iter().flat_map(|one| one.to_le_bytes()).collect()
}

#[tokio::test]
async fn words_come_while_somebody_speaks() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Hello there, you.");
    let mut speaker = start_speaker(&settings(&sandbox));
    assert!(stt.streaming_sessions().is_empty(), "nobody has spoken yet");

    // The first words come 750 ms after somebody begins to speak.
    push(&speaker, 7, &speech(800));
    match next_event(&mut speaker).await {
        LiveEvent::Partial { utterance: 7, text } => assert_eq!(text, "Hello there,"),
        other => panic!("too early: {other:?}"),
    }
    push(&speaker, 7, &speech(100));
    speaker.end_utterance(7);

    let (utterance, transcript) = wait_for_end(&mut speaker).await;
    let transcript = transcript.expect("it is heard");
    assert_eq!((utterance, &*transcript.text), (7, "Hello there, you."));
    assert_eq!(transcript.provider, "AssemblyAI streaming");
    assert_eq!(transcript.segments.len(), 1);
    let starts: Vec<u128> = transcript
        .words
        .iter()
        .map(|word| word.start.as_millis())
        .collect();
    assert_eq!(starts, [0, 300, 600]);
    assert!(transcript.confidence.is_some_and(|it| it > 0.9));

    let request = &stt.requests()[0];
    assert_eq!(request.path, "/v3/ws");
    assert_eq!(request.header("authorization"), Some(&*stt.key()));
    assert_eq!(request.header("assemblyai-version"), Some("2025-05-12"));
    assert_eq!(request.header("user-agent"), Some(USER_AGENT));
    let session = &stt.streaming_sessions()[0];
    assert!(!session.query.contains(&stt.key()));
    for (name, value) in [
        ("speech_model", "universal-3-6-pro"),
        ("sample_rate", "16000"),
        ("encoding", "pcm_s16le"),
        ("inactivity_timeout", "20"),
    ] {
        assert_eq!(session.query_param(name).as_deref(), Some(value), "{name}");
    }
    let said = [bytes(&speech(800)), bytes(&speech(100))].concat();
    assert_eq!(session.audio[..said.len()], said);
    assert_eq!(session.text_messages, [json!({"type": "ForceEndpoint"})]);
}

#[tokio::test]
async fn utterances_share_a_session_and_end_in_their_order() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.queue_transcripts(["First one.", "Second one.", "Third one."]);
    let mut speaker = start_speaker(&settings(&sandbox));
    for utterance in [3, 5, 6] {
        push(&speaker, utterance, &speech(600));
        // The third ends since nothing more comes, the second since the third begins.
        if utterance == 3 {
            speaker.end_utterance(utterance);
        }
    }
    speaker.end_utterance(6);
    for expected in [(3, "First one."), (5, "Second one."), (6, "Third one.")] {
        let (utterance, transcript) = wait_for_end(&mut speaker).await;
        let transcript = transcript.expect("it is heard");
        assert_eq!((utterance, &*transcript.text), expected);
        assert_eq!(transcript.words[0].start, Duration::ZERO, "{utterance}");
    }
    assert_eq!(stt.streaming_sessions().len(), 1);
    assert!(!speaker.push(3, &speech(20)), "that one is over");
}

#[tokio::test]
async fn where_nothing_is_said_the_words_are_empty() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Yes.");
    let mut settings = settings(&sandbox);
    settings.streaming.answer_timeout = SHORT_TIMEOUT;
    let mut speaker = start_speaker(&settings);
    push(&speaker, 0, &silence(300));
    speaker.end_utterance(0);
    let (utterance, transcript) = wait_for_end(&mut speaker).await;
    let transcript = transcript.expect("no error");
    assert_eq!((utterance, &*transcript.text), (0, ""));
    assert!(transcript.segments.is_empty() && transcript.words.is_empty());
    // A very short one is not too short.
    push(&speaker, 1, &speech(20));
    speaker.end_utterance(1);
    assert_eq!(wait_for_words(&mut speaker).await, (1, "Yes.".to_owned()));
    // That the service had nothing to say was sure only when it said so.
    let ends: Vec<_> = stt.streaming_sessions().iter().map(|one| one.end).collect();
    assert_eq!(ends, [Some(StreamingSessionEnd::Terminated), None]);
}

#[tokio::test]
async fn an_utterance_with_pauses_is_one() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.queue_transcripts(["One two.", "Three."]);
    let mut speaker = start_speaker(&settings(&sandbox));
    push(
        &speaker,
        0,
        &[speech(600), silence(500), speech(300)].concat(),
    );
    speaker.end_utterance(0);
    let (_, transcript) = wait_for_end(&mut speaker).await;
    let transcript = transcript.expect("it is heard");
    assert_eq!(transcript.text, "One two. Three.");
    assert_eq!(transcript.segments.len(), 2);
    assert_eq!(transcript.segments[1].start.as_millis(), 1_100);
}

#[tokio::test]
async fn after_a_while_without_speech_the_session_is_terminated() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Yes.");
    let mut settings = settings(&sandbox);
    settings.streaming.inactivity_timeout = SHORT_TIMEOUT;
    let mut speaker = start_speaker(&settings);
    for utterance in 0..2 {
        push(&speaker, utterance, &speech(300));
        speaker.end_utterance(utterance);
        assert_eq!(
            wait_for_words(&mut speaker).await,
            (utterance, "Yes.".to_owned())
        );
        let open = utterance as usize;
        let all = wait_for_sessions(&stt, |all| {
            all.get(open).is_some_and(|one| one.end.is_some())
        })
        .await;
        assert_eq!(all[open].end, Some(StreamingSessionEnd::Terminated));
        assert_eq!(all.len(), open + 1);
    }
    assert!(speaker.session_open_time() >= 2 * SHORT_TIMEOUT);
}

#[tokio::test]
async fn silence_in_mid_utterance_ends_the_session_and_not_the_utterance() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.queue_transcripts(["One", "two."]);
    let mut settings = settings(&sandbox);
    settings.streaming.inactivity_timeout = SHORT_TIMEOUT;
    let mut speaker = start_speaker(&settings);
    push(&speaker, 0, &speech(300));
    wait_for_sessions(&stt, |all| all.first().is_some_and(|one| one.end.is_some())).await;
    push(&speaker, 0, &speech(300));
    wait_for_sessions(&stt, |all| all.get(1).is_some_and(|one| one.end.is_some())).await;
    speaker.end_utterance(0);
    assert_eq!(
        wait_for_words(&mut speaker).await,
        (0, "One two.".to_owned())
    );
    assert_eq!(
        stt.streaming_sessions().len(),
        2,
        "for the end alone none is opened"
    );
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_utterance_loses_nothing() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Nothing of this is lost.");
    let drop = Fault::drop_socket().after_audio(Duration::from_millis(600));
    stt.add_fault(AssemblyAiEndpoint::Streaming, drop);
    let mut speaker = start_speaker(&settings(&sandbox));
    let said = speech(1_500);
    push(&speaker, 0, &said[..FRAME_SAMPLES * 40]);
    wait_for_sessions(&stt, |all| all.len() == 2).await;
    push(&speaker, 0, &said[FRAME_SAMPLES * 40..]);
    speaker.end_utterance(0);
    assert_eq!(
        wait_for_words(&mut speaker).await,
        (0, "Nothing of this is lost.".to_owned())
    );
    let all = stt.streaming_sessions();
    assert_eq!(all[0].end, Some(StreamingSessionEnd::Dropped));
    assert_eq!(all[1].audio[..said.len() * 2], bytes(&said));
}

#[tokio::test]
async fn what_has_its_words_is_not_sent_again() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.queue_transcripts(["One two.", "Three four."]);
    stt.add_fault(
        AssemblyAiEndpoint::Streaming,
        Fault::drop_socket().after_turns(1),
    );
    let mut speaker = start_speaker(&settings(&sandbox));
    push(&speaker, 0, &[speech(600), silence(500)].concat());
    wait_for_sessions(&stt, |all| all.len() == 2).await;
    push(&speaker, 0, &speech(600));
    speaker.end_utterance(0);
    assert_eq!(
        wait_for_words(&mut speaker).await,
        (0, "One two. Three four.".to_owned())
    );
    let again = &stt.streaming_sessions()[1].audio;
    assert!(again.len() < 2 * 16 * 1_300, "{} bytes", again.len());
}

/// What each close code comes to, and after how many sessions.
#[tokio::test]
async fn every_close_code_has_its_error_and_its_number_of_sessions() {
    let closed = |code| Fault::close_code(code).always();
    let key = "Unauthorized Connection: Invalid API key";
    let table = [
        ("1008", closed(1008), "quota spent", 1),
        (
            "1008 key",
            Fault::close_with_reason(1008, key).always(),
            "key refused",
            1,
        ),
        ("1011", closed(1011), "unavailable", 3),
        ("3005", closed(3005), "unavailable", 3),
        ("3006", closed(3006), "failed", 1),
        ("3007", closed(3007), "failed", 1),
        ("3008", closed(3008), "unavailable", 3),
        ("3009", closed(3009), "busy", 1),
        ("dropped", Fault::drop_socket().always(), "unavailable", 3),
    ];
    for (name, fault, expected, tries) in table {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.set_transcript("Yes.");
        stt.add_fault(AssemblyAiEndpoint::Streaming, fault);
        let mut speaker = start_speaker(&settings(&sandbox));
        push(&speaker, 0, &speech(200));
        assert_eq!(
            wait_for_failure(&mut speaker, &stt).await,
            (0, expected),
            "{name}"
        );
        assert_eq!(stt.streaming_sessions().len(), tries, "{name}");
        assert!(!speaker.push(0, &speech(20)), "nobody hears the rest");
        speaker.end_utterance(0);

        // The next one has another chance.
        stt.clear_faults();
        push(&speaker, 1, &speech(300));
        speaker.end_utterance(1);
        assert_eq!(
            wait_for_words(&mut speaker).await,
            (1, "Yes.".to_owned()),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_failure_that_passes_goes_unnoticed() {
    for fault in [
        Fault::close_code(3005),
        Fault::close_code(3008),
        Fault::status(503).retry_after(0),
        Fault::close_connection(),
    ] {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.set_transcript("Yes.");
        stt.add_fault(AssemblyAiEndpoint::Streaming, fault.times(2));
        let mut speaker = start_speaker(&settings(&sandbox));
        push(&speaker, 0, &speech(300));
        speaker.end_utterance(0);
        assert_eq!(wait_for_words(&mut speaker).await, (0, "Yes.".to_owned()));
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_at_once_and_kept_out_of_the_error() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let settings = AssemblyAiSettings {
        key: "0123456789-wrong".into(),
        ..settings(&sandbox)
    };
    let mut speaker = start_speaker(&settings);
    push(&speaker, 0, &speech(200));
    push(&speaker, 1, &speech(200));
    for utterance in 0..2 {
        let (number, transcript) = wait_for_end(&mut speaker).await;
        let error = transcript.expect_err("the key is wrong");
        assert_eq!(
            (number, error_kind(&error, "0123456789-wrong")),
            (utterance, "key refused")
        );
    }
    assert_eq!(stt.streaming_sessions().len(), 1);

    for status in [401, 403] {
        stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::status(status));
        push(&speaker, u64::from(status), &speech(200));
        let failed = (u64::from(status), "key refused");
        assert_eq!(wait_for_failure(&mut speaker, &stt).await, failed);
    }
}

#[tokio::test]
async fn what_is_said_during_a_slow_connect_is_sent_no_faster_than_allowed() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("It took a moment.");
    stt.enforce_real_time();
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::gate(&gate));
    let mut speaker = start_speaker(&settings(&sandbox));
    let said = speech(2_200);
    push(&speaker, 0, &said);
    speaker.end_utterance(0);
    gate.wait_until_reached().await;
    gate.open();
    assert_eq!(
        wait_for_words(&mut speaker).await,
        (0, "It took a moment.".to_owned())
    );
    let session = &stt.streaming_sessions()[0];
    assert_eq!(session.audio[..said.len() * 2], bytes(&said));
    assert_eq!(session.end, None);
}

#[tokio::test]
async fn send_buffer_is_bounded() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Yes.");
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::gate(&gate));
    let mut settings = settings(&sandbox);
    settings.streaming.max_queued_audio = Duration::from_millis(500);
    let mut speaker = start_speaker(&settings);
    push(&speaker, 0, &speech(100));
    gate.wait_until_reached().await;
    // What is being sent is taken already.
    push(&speaker, 0, &speech(500));
    assert!(!speaker.push(0, &speech(20)), "there is no more room");
    gate.open();
    speaker.end_utterance(0);
    assert_eq!(wait_for_words(&mut speaker).await, (0, "Yes.".to_owned()));
    push(&speaker, 1, &speech(500));
}

#[tokio::test]
async fn too_many_utterances_at_once_are_not_taken() {
    let sandbox = Sandbox::start().await;
    let gate = Gate::new();
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Streaming, Fault::gate(&gate));
    let speaker = start_speaker(&settings(&sandbox));
    let taken = (0..100).filter(|number| speaker.push(*number, &speech(20)));
    assert_eq!(
        taken.count(),
        talkback::speech::live::MAX_PENDING_UTTERANCES
    );
}

#[tokio::test]
async fn dropping_the_speaker_terminates_the_session() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let speaker = start_speaker(&settings(&sandbox));
    push(&speaker, 0, &speech(300));
    wait_for_sessions(&stt, |all| {
        all.first().is_some_and(|one| one.audio_messages > 0)
    })
    .await;
    drop(speaker);
    let all = wait_for_sessions(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(all[0].end, Some(StreamingSessionEnd::Terminated));
    assert_eq!(all[0].text_messages, [json!({"type": "Terminate"})]);
}

#[tokio::test]
async fn dropping_the_speaker_while_it_connects_leaves_nothing_open() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::gate(&gate));
    let speaker = start_speaker(&settings(&sandbox));
    push(&speaker, 0, &speech(300));
    gate.wait_until_reached().await;
    drop(speaker);
    gate.open();
    // Whoever comes next is served.
    stt.set_transcript("Yes.");
    let mut speaker = start_speaker(&settings(&sandbox));
    push(&speaker, 0, &speech(300));
    speaker.end_utterance(0);
    assert_eq!(wait_for_words(&mut speaker).await, (0, "Yes.".to_owned()));
}

/// Everything up to the end.
async fn remaining_events(events: &mut LiveEventReceiver) -> Vec<LiveEvent> {
    let mut all = Vec::new();
    while let Some(event) = tokio::time::timeout(TEST_TIMEOUT, events.next_event())
        .await
        .expect("an end")
    {
        all.push(event);
    }
    all
}

#[tokio::test]
async fn whoever_has_said_all_gets_the_last_words_and_the_time_that_is_billed() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("That is all.");
    let speaker = start_speaker(&settings(&sandbox));
    assert_eq!(speaker.session_open_time(), Duration::ZERO);
    push(&speaker, 0, &speech(800));
    let (sender, mut events) = speaker.split();
    // Without an end of its own.
    drop(sender);
    let all = remaining_events(&mut events).await;
    let Some(LiveEvent::Final { transcript, .. }) = all.last() else {
        panic!("no words: {all:?}");
    };
    assert_eq!(transcript.text, "That is all.");
    assert_eq!(
        stt.streaming_sessions()[0].end,
        Some(StreamingSessionEnd::Terminated)
    );
    let open = events.session_open_time();
    assert!(open > Duration::ZERO);
    assert_eq!(events.session_open_time(), open, "it is closed");
}

#[tokio::test]
async fn names_and_terms_reach_the_service() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let hints = Hints {
        key_terms: vec![
            "Talkback".to_owned(),
            "talkback".to_owned(),
            "x".repeat(51),
            "São Paulo & Söhne".to_owned(),
        ],
        languages: ["en-US", "yue", "xx", "EN", "pt_BR"]
            .map(str::to_owned)
            .to_vec(),
        last_answer: Some(format!("{}Shall I book it?", "é".repeat(2_000))),
        ..Hints::default()
    };
    let speaker = StreamingTranscriber::new(&settings(&sandbox)).start_stream(hints);
    push(&speaker, 0, &speech(200));
    let all = wait_for_sessions(&stt, |all| {
        all.first().is_some_and(|one| one.audio_messages > 0)
    })
    .await;
    assert_eq!(
        all[0].query_param("keyterms_prompt").as_deref(),
        Some(r#"["Talkback","São Paulo & Söhne"]"#)
    );
    // What the model does not know would be refused.
    let languages = all[0].query_param("language_codes");
    assert_eq!(languages.as_deref(), Some(r#"["en","yue","pt"]"#));
    let answered = all[0].query_param("agent_context").expect("an answer");
    assert_eq!(answered.chars().count(), 1_500);
    assert!(answered.ends_with("éShall I book it?"));
}

#[tokio::test]
async fn a_service_that_falls_silent_is_left_for_another_session() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Yes.");
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::hang_socket());
    let mut settings = settings(&sandbox);
    settings.streaming.answer_timeout = SHORT_TIMEOUT;
    settings.streaming.terminate_timeout = SHORT_TIMEOUT;
    let mut speaker = start_speaker(&settings);
    push(&speaker, 0, &speech(300));
    speaker.end_utterance(0);
    assert_eq!(wait_for_words(&mut speaker).await, (0, "Yes.".to_owned()));
    assert_eq!(stt.streaming_sessions().len(), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_put_up_with_and_what_is_too_much_is_not() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.set_transcript("Yes.");
    let mut speaker = start_speaker(&settings(&sandbox));
    let surprises = Fault::socket_text("not json")
        .and(Fault::socket_text("[]"))
        .and(Fault::socket_text(
            r#"{"type":"Turn","words":[{"text":"?"}]}"#,
        ))
        .and(Fault::socket_text(r#"{"type":"Turn","end_of_turn":true}"#))
        .and(Fault::socket_text(
            r#"{"type":"Warning","warning_code":1,"warning":"The model is deprecated."}"#,
        ))
        .and(Fault::socket_text(
            r#"{"type":"Warning","warning_code":"x","warning":{}}"#,
        ))
        .and(Fault::socket_text(
            r#"{"type":"SpeakerRevision","revisions":[{"turn_order":9,"words":[]}]}"#,
        ))
        .and(Fault::socket_text(
            r#"{"type":"Silence","start_ms":0,"end_ms":1}"#,
        ))
        .and(Fault::socket_text(
            r#"{"type":"LLMGatewayResponse","data":1}"#,
        ))
        .and(Fault::socket_text(
            r#"{"type":"SpeechStarted","timestamp":1e300}"#,
        ));
    stt.add_fault(AssemblyAiEndpoint::Streaming, surprises);
    push(&speaker, 0, &speech(300));
    speaker.end_utterance(0);
    assert_eq!(wait_for_words(&mut speaker).await, (0, "Yes.".to_owned()));

    let mut garbage = Fault::socket_text("{");
    for _ in 0..20 {
        garbage = garbage.and(Fault::socket_text("{"));
    }
    let endless = json!({
        "type": "Turn", "end_of_turn": true, "transcript": "word ".repeat(60_000), "words": [],
    });
    let table = [
        ("garbage", garbage),
        ("huge", Fault::socket_text(&"x".repeat(2 * 1024 * 1024))),
        (
            "endless",
            Fault::socket_text(&endless.to_string()).after_audio(FRAME_INTERVAL),
        ),
    ];
    for (name, fault) in table {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.add_fault(AssemblyAiEndpoint::Streaming, fault);
        let mut speaker = start_speaker(&settings(&sandbox));
        push(&speaker, 0, &speech(400));
        speaker.end_utterance(0);
        assert_eq!(
            wait_for_failure(&mut speaker, &stt).await,
            (0, "unavailable"),
            "{name}"
        );
    }
}

const FRAME_INTERVAL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_server_of_another_kind_ends_in_an_error() {
    let sandbox = Sandbox::start().await;
    // Silent at the handshake; silent before `Begin`; frames that are none; not HTTP; not TLS.
    for what in ["mute", "no begin", "no frames", "no http", "no tls"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut streams, mut sockets) = (Vec::new(), Vec::new());
            while let Ok((mut stream, _)) = listener.accept().await {
                if what == "no http" || what == "no tls" {
                    let _ = stream.write_all(&[0xFF; 4_096]).await;
                    streams.push(stream);
                } else if what != "mute" {
                    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                        continue;
                    };
                    if what == "no frames" {
                        let _ = socket.get_mut().write_all(&[0xFF; 4_096]).await;
                    }
                    sockets.push(socket);
                } else {
                    streams.push(stream);
                }
            }
        });
        let mut settings = settings(&sandbox);
        let scheme = if what == "no tls" { "wss" } else { "ws" };
        let base = format!("{scheme}://{address}");
        settings.streaming.base = base.parse().expect("a URL");
        settings.streaming.connect_timeout = SHORT_TIMEOUT;
        let mut speaker = start_speaker(&settings);
        push(&speaker, 0, &speech(300));
        assert_eq!(
            wait_for_failure(&mut speaker, &sandbox.assemblyai()).await,
            (0, "unavailable"),
            "{what}"
        );
    }
}
