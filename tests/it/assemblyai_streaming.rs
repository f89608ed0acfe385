//! Words while somebody is still talking, through AssemblyAI streaming, and what happens when
//! that goes wrong.

use std::time::Duration;

use sandbox::{AssemblyAi, Endpoint, Fault, Gate, LiveSession, Sandbox, SessionEnd};
use serde_json::json;
use talkback::speech::assemblyai::{Settings, StreamingTranscriber};
use talkback::speech::{
    Hints, LiveEvent, LiveEvents, LiveSpeaker, LiveTranscriber, SpeechError, Transcript,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::assemblyai::{SHORT, USER_AGENT, kind, settings, tone};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Twenty milliseconds, as Discord sends them.
const FRAME: usize = 320;

fn listen(settings: &Settings) -> LiveSpeaker {
    StreamingTranscriber::new(settings).listen(Hints::default())
}

fn speech(milliseconds: usize) -> Vec<f32> {
    tone(16 * milliseconds).samples().to_vec()
}

fn silence(milliseconds: usize) -> Vec<f32> {
    vec![0.0; 16 * milliseconds]
}

fn push(speaker: &LiveSpeaker, utterance: u64, samples: &[f32]) {
    for frame in samples.chunks(FRAME) {
        assert!(speaker.push(utterance, frame), "there is room");
    }
}

async fn next(speaker: &mut LiveSpeaker) -> LiveEvent {
    let event = tokio::time::timeout(PATIENCE, speaker.next()).await;
    event.expect("something is heard").expect("it is not over")
}

/// The next end of an utterance.
async fn end(speaker: &mut LiveSpeaker) -> (u64, Result<Transcript, SpeechError>) {
    loop {
        match next(speaker).await {
            LiveEvent::Partial { .. } => {}
            LiveEvent::Final {
                utterance,
                transcript,
            } => return (utterance, Ok(transcript)),
            LiveEvent::Failed { utterance, error } => return (utterance, Err(error)),
        }
    }
}

async fn words(speaker: &mut LiveSpeaker) -> (u64, String) {
    let (utterance, transcript) = end(speaker).await;
    (utterance, transcript.expect("it is heard").text)
}

async fn failure(speaker: &mut LiveSpeaker, stt: &AssemblyAi) -> (u64, &'static str) {
    let (utterance, transcript) = end(speaker).await;
    let error = transcript.expect_err("it is not heard");
    (utterance, kind(&error, &stt.key()))
}

async fn sessions(stt: &AssemblyAi, enough: impl Fn(&[LiveSession]) -> bool) -> Vec<LiveSession> {
    let sessions = stt.wait_for_sessions(&enough).await;
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
    stt.hears("Hello there, you.");
    let mut speaker = listen(&settings(&sandbox));
    assert!(stt.sessions().is_empty(), "nobody has spoken yet");

    // The first words come 750 ms after somebody begins to speak.
    push(&speaker, 7, &speech(800));
    match next(&mut speaker).await {
        LiveEvent::Partial { utterance: 7, text } => assert_eq!(text, "Hello there,"),
        other => panic!("too early: {other:?}"),
    }
    push(&speaker, 7, &speech(100));
    speaker.end(7);

    let (utterance, transcript) = end(&mut speaker).await;
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
    let session = &stt.sessions()[0];
    assert!(!session.query.contains(&stt.key()));
    for (name, value) in [
        ("speech_model", "universal-3-6-pro"),
        ("sample_rate", "16000"),
        ("encoding", "pcm_s16le"),
        ("inactivity_timeout", "20"),
    ] {
        assert_eq!(session.query_value(name).as_deref(), Some(value), "{name}");
    }
    let said = [bytes(&speech(800)), bytes(&speech(100))].concat();
    assert_eq!(session.audio[..said.len()], said);
    assert_eq!(session.texts, [json!({"type": "ForceEndpoint"})]);
}

#[tokio::test]
async fn utterances_share_a_session_and_end_in_their_order() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears_in_turn(["First one.", "Second one.", "Third one."]);
    let mut speaker = listen(&settings(&sandbox));
    for utterance in [3, 5, 6] {
        push(&speaker, utterance, &speech(600));
        // The third ends since nothing more comes, the second since the third begins.
        if utterance == 3 {
            speaker.end(utterance);
        }
    }
    speaker.end(6);
    for expected in [(3, "First one."), (5, "Second one."), (6, "Third one.")] {
        let (utterance, transcript) = end(&mut speaker).await;
        let transcript = transcript.expect("it is heard");
        assert_eq!((utterance, &*transcript.text), expected);
        assert_eq!(transcript.words[0].start, Duration::ZERO, "{utterance}");
    }
    assert_eq!(stt.sessions().len(), 1);
    assert!(!speaker.push(3, &speech(20)), "that one is over");
}

#[tokio::test]
async fn where_nothing_is_said_the_words_are_empty() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("Yes.");
    let mut settings = settings(&sandbox);
    settings.streaming.answer = SHORT;
    let mut speaker = listen(&settings);
    push(&speaker, 0, &silence(300));
    speaker.end(0);
    let (utterance, transcript) = end(&mut speaker).await;
    let transcript = transcript.expect("no error");
    assert_eq!((utterance, &*transcript.text), (0, ""));
    assert!(transcript.segments.is_empty() && transcript.words.is_empty());
    // A very short one is not too short.
    push(&speaker, 1, &speech(20));
    speaker.end(1);
    assert_eq!(words(&mut speaker).await, (1, "Yes.".to_owned()));
    // That the service had nothing to say was sure only when it said so.
    let ends: Vec<_> = stt.sessions().iter().map(|one| one.end).collect();
    assert_eq!(ends, [Some(SessionEnd::Terminated), None]);
}

#[tokio::test]
async fn an_utterance_with_pauses_is_one() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears_in_turn(["One two.", "Three."]);
    let mut speaker = listen(&settings(&sandbox));
    push(
        &speaker,
        0,
        &[speech(600), silence(500), speech(300)].concat(),
    );
    speaker.end(0);
    let (_, transcript) = end(&mut speaker).await;
    let transcript = transcript.expect("it is heard");
    assert_eq!(transcript.text, "One two. Three.");
    assert_eq!(transcript.segments.len(), 2);
    assert_eq!(transcript.segments[1].start.as_millis(), 1_100);
}

#[tokio::test]
async fn after_a_while_without_speech_the_session_is_terminated() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("Yes.");
    let mut settings = settings(&sandbox);
    settings.streaming.inactivity = SHORT;
    let mut speaker = listen(&settings);
    for utterance in 0..2 {
        push(&speaker, utterance, &speech(300));
        speaker.end(utterance);
        assert_eq!(words(&mut speaker).await, (utterance, "Yes.".to_owned()));
        let open = utterance as usize;
        let all = sessions(&stt, |all| {
            all.get(open).is_some_and(|one| one.end.is_some())
        })
        .await;
        assert_eq!(all[open].end, Some(SessionEnd::Terminated));
        assert_eq!(all.len(), open + 1);
    }
    assert!(speaker.open_time() >= 2 * SHORT);
}

#[tokio::test]
async fn silence_in_mid_utterance_ends_the_session_and_not_the_utterance() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears_in_turn(["One", "two."]);
    let mut settings = settings(&sandbox);
    settings.streaming.inactivity = SHORT;
    let mut speaker = listen(&settings);
    push(&speaker, 0, &speech(300));
    sessions(&stt, |all| all.first().is_some_and(|one| one.end.is_some())).await;
    push(&speaker, 0, &speech(300));
    sessions(&stt, |all| all.get(1).is_some_and(|one| one.end.is_some())).await;
    speaker.end(0);
    assert_eq!(words(&mut speaker).await, (0, "One two.".to_owned()));
    assert_eq!(stt.sessions().len(), 2, "for the end alone none is opened");
}

#[tokio::test]
async fn a_connection_that_breaks_in_mid_utterance_loses_nothing() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("Nothing of this is lost.");
    let drop = Fault::drop_socket().after_audio(Duration::from_millis(600));
    stt.fault(Endpoint::Streaming, drop);
    let mut speaker = listen(&settings(&sandbox));
    let said = speech(1_500);
    push(&speaker, 0, &said[..FRAME * 40]);
    sessions(&stt, |all| all.len() == 2).await;
    push(&speaker, 0, &said[FRAME * 40..]);
    speaker.end(0);
    assert_eq!(
        words(&mut speaker).await,
        (0, "Nothing of this is lost.".to_owned())
    );
    let all = stt.sessions();
    assert_eq!(all[0].end, Some(SessionEnd::Dropped));
    assert_eq!(all[1].audio[..said.len() * 2], bytes(&said));
}

#[tokio::test]
async fn what_has_its_words_is_not_sent_again() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears_in_turn(["One two.", "Three four."]);
    stt.fault(Endpoint::Streaming, Fault::drop_socket().after_turns(1));
    let mut speaker = listen(&settings(&sandbox));
    push(&speaker, 0, &[speech(600), silence(500)].concat());
    sessions(&stt, |all| all.len() == 2).await;
    push(&speaker, 0, &speech(600));
    speaker.end(0);
    assert_eq!(
        words(&mut speaker).await,
        (0, "One two. Three four.".to_owned())
    );
    let again = &stt.sessions()[1].audio;
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
            Fault::close_with(1008, key).always(),
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
        stt.hears("Yes.");
        stt.fault(Endpoint::Streaming, fault);
        let mut speaker = listen(&settings(&sandbox));
        push(&speaker, 0, &speech(200));
        assert_eq!(failure(&mut speaker, &stt).await, (0, expected), "{name}");
        assert_eq!(stt.sessions().len(), tries, "{name}");
        assert!(!speaker.push(0, &speech(20)), "nobody hears the rest");
        speaker.end(0);

        // The next one has another chance.
        stt.clear_faults();
        push(&speaker, 1, &speech(300));
        speaker.end(1);
        assert_eq!(words(&mut speaker).await, (1, "Yes.".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn a_failure_that_passes_goes_unnoticed() {
    for fault in [
        Fault::close_code(3005),
        Fault::close_code(3008),
        Fault::status(503).retry_after(0),
        Fault::close(),
    ] {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.hears("Yes.");
        stt.fault(Endpoint::Streaming, fault.times(2));
        let mut speaker = listen(&settings(&sandbox));
        push(&speaker, 0, &speech(300));
        speaker.end(0);
        assert_eq!(words(&mut speaker).await, (0, "Yes.".to_owned()));
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_at_once_and_kept_out_of_the_error() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let settings = Settings {
        key: "0123456789-wrong".into(),
        ..settings(&sandbox)
    };
    let mut speaker = listen(&settings);
    push(&speaker, 0, &speech(200));
    push(&speaker, 1, &speech(200));
    for utterance in 0..2 {
        let (number, transcript) = end(&mut speaker).await;
        let error = transcript.expect_err("the key is wrong");
        assert_eq!(
            (number, kind(&error, "0123456789-wrong")),
            (utterance, "key refused")
        );
    }
    assert_eq!(stt.sessions().len(), 1);

    for status in [401, 403] {
        stt.fault(Endpoint::Streaming, Fault::status(status));
        push(&speaker, u64::from(status), &speech(200));
        let failed = (u64::from(status), "key refused");
        assert_eq!(failure(&mut speaker, &stt).await, failed);
    }
}

#[tokio::test]
async fn what_is_said_during_a_slow_connect_is_sent_no_faster_than_allowed() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("It took a moment.");
    stt.in_real_time_only();
    let gate = Gate::new();
    stt.fault(Endpoint::Streaming, Fault::gate(&gate));
    let mut speaker = listen(&settings(&sandbox));
    let said = speech(2_200);
    push(&speaker, 0, &said);
    speaker.end(0);
    gate.reached().await;
    gate.open();
    assert_eq!(
        words(&mut speaker).await,
        (0, "It took a moment.".to_owned())
    );
    let session = &stt.sessions()[0];
    assert_eq!(session.audio[..said.len() * 2], bytes(&said));
    assert_eq!(session.end, None);
}

#[tokio::test]
async fn what_waits_has_a_bound() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("Yes.");
    let gate = Gate::new();
    stt.fault(Endpoint::Streaming, Fault::gate(&gate));
    let mut settings = settings(&sandbox);
    settings.streaming.room = Duration::from_millis(500);
    let mut speaker = listen(&settings);
    push(&speaker, 0, &speech(100));
    gate.reached().await;
    // What is being sent is taken already.
    push(&speaker, 0, &speech(500));
    assert!(!speaker.push(0, &speech(20)), "there is no more room");
    gate.open();
    speaker.end(0);
    assert_eq!(words(&mut speaker).await, (0, "Yes.".to_owned()));
    push(&speaker, 1, &speech(500));
}

#[tokio::test]
async fn too_many_utterances_at_once_are_not_taken() {
    let sandbox = Sandbox::start().await;
    let gate = Gate::new();
    sandbox
        .assemblyai()
        .fault(Endpoint::Streaming, Fault::gate(&gate));
    let speaker = listen(&settings(&sandbox));
    let taken = (0..100).filter(|number| speaker.push(*number, &speech(20)));
    assert_eq!(taken.count(), talkback::speech::live::MAX_UTTERANCES);
}

#[tokio::test]
async fn dropping_the_speaker_terminates_the_session() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let speaker = listen(&settings(&sandbox));
    push(&speaker, 0, &speech(300));
    sessions(&stt, |all| all.first().is_some_and(|one| one.chunks > 0)).await;
    drop(speaker);
    let all = sessions(&stt, |all| all[0].end.is_some()).await;
    assert_eq!(all[0].end, Some(SessionEnd::Terminated));
    assert_eq!(all[0].texts, [json!({"type": "Terminate"})]);
}

#[tokio::test]
async fn dropping_the_speaker_while_it_connects_leaves_nothing_open() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    let gate = Gate::new();
    stt.fault(Endpoint::Streaming, Fault::gate(&gate));
    let speaker = listen(&settings(&sandbox));
    push(&speaker, 0, &speech(300));
    gate.reached().await;
    drop(speaker);
    gate.open();
    // Whoever comes next is served.
    stt.hears("Yes.");
    let mut speaker = listen(&settings(&sandbox));
    push(&speaker, 0, &speech(300));
    speaker.end(0);
    assert_eq!(words(&mut speaker).await, (0, "Yes.".to_owned()));
}

/// Everything up to the end.
async fn rest(events: &mut LiveEvents) -> Vec<LiveEvent> {
    let mut all = Vec::new();
    while let Some(event) = tokio::time::timeout(PATIENCE, events.next())
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
    stt.hears("That is all.");
    let speaker = listen(&settings(&sandbox));
    assert_eq!(speaker.open_time(), Duration::ZERO);
    push(&speaker, 0, &speech(800));
    let (sender, mut events) = speaker.split();
    // Without an end of its own.
    drop(sender);
    let all = rest(&mut events).await;
    let Some(LiveEvent::Final { transcript, .. }) = all.last() else {
        panic!("no words: {all:?}");
    };
    assert_eq!(transcript.text, "That is all.");
    assert_eq!(stt.sessions()[0].end, Some(SessionEnd::Terminated));
    let open = events.open_time();
    assert!(open > Duration::ZERO);
    assert_eq!(events.open_time(), open, "it is closed");
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
        answered: Some(format!("{}Shall I book it?", "é".repeat(2_000))),
        ..Hints::default()
    };
    let speaker = StreamingTranscriber::new(&settings(&sandbox)).listen(hints);
    push(&speaker, 0, &speech(200));
    let all = sessions(&stt, |all| all.first().is_some_and(|one| one.chunks > 0)).await;
    assert_eq!(
        all[0].query_value("keyterms_prompt").as_deref(),
        Some(r#"["Talkback","São Paulo & Söhne"]"#)
    );
    // What the model does not know would be refused.
    let languages = all[0].query_value("language_codes");
    assert_eq!(languages.as_deref(), Some(r#"["en","yue","pt"]"#));
    let answered = all[0].query_value("agent_context").expect("an answer");
    assert_eq!(answered.chars().count(), 1_500);
    assert!(answered.ends_with("éShall I book it?"));
}

#[tokio::test]
async fn a_service_that_falls_silent_is_left_for_another_session() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("Yes.");
    stt.fault(Endpoint::Streaming, Fault::hang_socket());
    let mut settings = settings(&sandbox);
    settings.streaming.answer = SHORT;
    settings.streaming.goodbye = SHORT;
    let mut speaker = listen(&settings);
    push(&speaker, 0, &speech(300));
    speaker.end(0);
    assert_eq!(words(&mut speaker).await, (0, "Yes.".to_owned()));
    assert_eq!(stt.sessions().len(), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_put_up_with_and_what_is_too_much_is_not() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    stt.hears("Yes.");
    let mut speaker = listen(&settings(&sandbox));
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
    stt.fault(Endpoint::Streaming, surprises);
    push(&speaker, 0, &speech(300));
    speaker.end(0);
    assert_eq!(words(&mut speaker).await, (0, "Yes.".to_owned()));

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
            Fault::socket_text(&endless.to_string()).after_audio(FRAMES),
        ),
    ];
    for (name, fault) in table {
        let sandbox = Sandbox::start().await;
        let stt = sandbox.assemblyai();
        stt.fault(Endpoint::Streaming, fault);
        let mut speaker = listen(&settings(&sandbox));
        push(&speaker, 0, &speech(400));
        speaker.end(0);
        assert_eq!(
            failure(&mut speaker, &stt).await,
            (0, "unavailable"),
            "{name}"
        );
    }
}

const FRAMES: Duration = Duration::from_millis(100);

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
        settings.streaming.connect = SHORT;
        let mut speaker = listen(&settings);
        push(&speaker, 0, &speech(300));
        assert_eq!(
            failure(&mut speaker, &sandbox.assemblyai()).await,
            (0, "unavailable"),
            "{what}"
        );
    }
}
