//! A short clip goes to AssemblyAI Sync, and what happens when that goes wrong.

use std::sync::Arc;
use std::time::Duration;

use audio::Clip;
use sandbox::{AssemblyAiEndpoint, Fault, Sandbox};
use serde_json::json;
use talkback::speech::assemblyai::AssemblyAiSettings;
use talkback::speech::{Failover, FailoverSettings, Hints, SpeechError, Transcriber};

use crate::assemblyai::{
    SHORT_TIMEOUT, USER_AGENT, count_requests, error_kind, settings, sync, tone, utterance,
};

#[tokio::test]
async fn a_clip_goes_out_as_wav_and_comes_back_as_words() {
    let sandbox = Sandbox::start().await;
    sandbox
        .assemblyai()
        .set_transcript("Hello there. How are you?");
    let hints = Hints {
        key_terms: vec!["Talkback".to_owned(), "talkback".to_owned()],
        languages: vec!["en-GB".to_owned(), "xx".to_owned(), "de".to_owned()],
        context: vec!["Good morning.".to_owned()],
        word_timestamps: true,
        ..Hints::default()
    };

    let transcript = sync(&settings(&sandbox))
        .transcribe(&utterance(), &hints, &())
        .await
        .expect("it is heard");

    assert_eq!(transcript.text, "Hello there. How are you?");
    assert_eq!(transcript.provider, "AssemblyAI Sync");
    assert_eq!(transcript.words.len(), 5);
    let segments: Vec<&str> = transcript
        .segments
        .iter()
        .map(|one| one.text.as_str())
        .collect();
    assert_eq!(segments, ["Hello there.", "How are you?"]);

    let requests = sandbox.assemblyai().requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/v1/transcribe");
    assert_eq!(
        request.header("authorization"),
        Some(&*sandbox.assemblyai().key())
    );
    assert_eq!(request.header("x-aai-model"), Some("universal-3-5-pro"));
    assert_eq!(request.header("user-agent"), Some(USER_AGENT));
    let audio = request.form_part("audio").expect("an audio part");
    assert_eq!(audio.content_type.as_deref(), Some("audio/wav"));
    assert_eq!(audio.filename.as_deref(), Some("clip.wav"));
    assert_eq!(audio.body, tone(8_000).to_wav());
    let config = request.form_part("config").expect("a config part");
    assert_eq!(config.content_type.as_deref(), Some("application/json"));
    let config: serde_json::Value = serde_json::from_slice(&config.body).expect("JSON");
    assert_eq!(
        config,
        json!({
            "keyterms_prompt": ["Talkback"],
            "conversation_context": ["Good morning."],
            "language_codes": ["en", "de"],
            "timestamps": true,
        })
    );
}

#[tokio::test]
async fn without_word_times_the_clip_is_one_segment() {
    let sandbox = Sandbox::start().await;
    sandbox
        .assemblyai()
        .set_transcript("Hello there. How are you?");
    let transcript = sync(&settings(&sandbox))
        .transcribe(&utterance(), &Hints::default(), &())
        .await
        .expect("it is heard");
    assert!(transcript.words.is_empty());
    assert_eq!(transcript.segments.len(), 1);
    let segment = &transcript.segments[0];
    assert_eq!(segment.text, transcript.text);
    assert_eq!(segment.end, Duration::from_millis(500));
}

#[tokio::test]
async fn silence_is_an_empty_transcript() {
    let sandbox = Sandbox::start().await;
    sandbox.assemblyai().set_transcript("");
    let transcript = sync(&settings(&sandbox))
        .transcribe(&utterance(), &Hints::default(), &())
        .await
        .expect("no error");
    assert_eq!(transcript.text, "");
    assert!(transcript.segments.is_empty() && transcript.words.is_empty());
}

/// What each fault comes to, and after how many requests.
#[tokio::test]
async fn every_fault_has_its_error_and_its_number_of_tries() {
    let balance = "Your current account balance is negative. Please top up to continue.";
    let table: Vec<(&str, Fault, &str, usize)> = vec![
        ("400", Fault::status(400).code("bad_audio"), "bad audio", 1),
        (
            "400 bad_request",
            Fault::status(400).code("bad_request"),
            "the request",
            1,
        ),
        (
            "400 no money",
            Fault::status(400).message(balance),
            "quota spent",
            1,
        ),
        ("401", Fault::status(401), "key refused", 1),
        ("402", Fault::status(402), "quota spent", 1),
        ("403", Fault::status(403), "key refused", 1),
        ("404", Fault::status(404), "unavailable", 1),
        ("413", Fault::status(413), "bad audio", 1),
        ("415", Fault::status(415), "bad audio", 1),
        ("422", Fault::status(422), "the request", 1),
        ("429", Fault::status(429).retry_after(0), "busy", 3),
        (
            "429 for long",
            Fault::status(429).retry_after(60),
            "busy",
            1,
        ),
        ("500", Fault::status(500), "unavailable", 2),
        ("503", Fault::status(503).retry_after(0), "busy", 3),
        ("504", Fault::status(504), "unavailable", 2),
        ("closed", Fault::close_connection(), "unavailable", 3),
        ("cut mid-body", Fault::close_mid_body(), "unavailable", 3),
        ("malformed", Fault::malformed_json(), "unavailable", 1),
        ("empty", Fault::empty_body(), "unavailable", 1),
        ("no text", Fault::replace_body("{}"), "unavailable", 1),
        ("endless", Fault::endless_body(), "unavailable", 1),
        (
            "moved",
            Fault::status(302).header("location", "http://127.0.0.1:1/"),
            "unavailable",
            1,
        ),
    ];
    for (name, fault, expected, tries) in table {
        let sandbox = Sandbox::start().await;
        sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, fault.always());
        let error = sync(&settings(&sandbox))
            .transcribe(&utterance(), &Hints::default(), &())
            .await
            .expect_err(name);
        assert_eq!(
            error_kind(&error, &sandbox.assemblyai().key()),
            expected,
            "{name}"
        );
        assert_eq!(sandbox.assemblyai().requests().len(), tries, "{name}");
    }
}

#[tokio::test]
async fn a_passing_fault_goes_unnoticed() {
    let table: Vec<(&str, Fault)> = vec![
        ("429", Fault::status(429).retry_after(0).times(2)),
        ("500", Fault::status(500)),
        ("503", Fault::status(503).retry_after(0).times(2)),
        ("504", Fault::status(504)),
        ("cut mid-body", Fault::close_mid_body()),
        ("reset", Fault::reset_mid_body()),
    ];
    for (name, fault) in table {
        let sandbox = Sandbox::start().await;
        sandbox.assemblyai().set_transcript("Hello.");
        sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, fault);
        let transcript = sync(&settings(&sandbox))
            .transcribe(&utterance(), &Hints::default(), &())
            .await
            .expect(name);
        assert_eq!(transcript.text, "Hello.");
        // Every try carries the whole clip.
        for request in sandbox.assemblyai().requests() {
            let audio = request.form_part("audio").expect("an audio part");
            assert_eq!(audio.body, tone(8_000).to_wav(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_more_is_not_waited_for() {
    for fault in [
        Fault::hang(),
        Fault::hang_after_headers(),
        Fault::hang_after_bytes(5),
    ] {
        let sandbox = Sandbox::start().await;
        sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, fault.always());
        let settings = AssemblyAiSettings {
            sync_request_timeout: SHORT_TIMEOUT,
            ..settings(&sandbox)
        };
        let error = sync(&settings)
            .transcribe(&utterance(), &Hints::default(), &())
            .await
            .expect_err("nothing comes");
        assert_eq!(error_kind(&error, &sandbox.assemblyai().key()), "timed out");
    }
}

#[tokio::test]
async fn all_tries_together_have_a_limit_too() {
    let sandbox = Sandbox::start().await;
    let busy = Fault::status(429).retry_after(10).always();
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, busy);
    let settings = AssemblyAiSettings {
        sync_total_timeout: SHORT_TIMEOUT,
        ..settings(&sandbox)
    };
    let error = sync(&settings)
        .transcribe(&utterance(), &Hints::default(), &())
        .await
        .expect_err("the server asks for a longer wait");
    assert!(matches!(error, SpeechError::TimedOut(after) if after == SHORT_TIMEOUT));
}

#[tokio::test]
async fn errors_are_read_in_every_published_shape() {
    let shapes = [
        json!({"status": 400, "title": "Bad Audio", "detail": "the reason"}),
        json!({"error_code": "bad_audio", "message": "the reason"}),
        json!({"detail": "the reason"}),
        json!({"error": "the reason"}),
    ];
    for shape in shapes {
        let sandbox = Sandbox::start().await;
        let fault = Fault::status(400).body("application/json", shape.to_string());
        sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Sync, fault);
        let error = sync(&settings(&sandbox))
            .transcribe(&utterance(), &Hints::default(), &())
            .await
            .expect_err("400");
        assert!(
            matches!(&error, SpeechError::BadAudio { reason } if reason.expose_to_user() == "the reason"),
            "{shape}: {error}"
        );
    }
}

#[tokio::test]
async fn clip_of_unsupported_length_is_not_sent() {
    let sandbox = Sandbox::start().await;
    let sync = sync(&settings(&sandbox));
    for samples in [1_279, 120 * 16_000 + 1] {
        let error = sync
            .transcribe(&Clip::from_pcm(tone(samples)), &Hints::default(), &())
            .await
            .expect_err("too short or too long");
        assert!(matches!(error, SpeechError::UnsupportedClip));
    }
    assert!(sandbox.assemblyai().requests().is_empty());
    let shortest = Clip::from_pcm(tone(1_280));
    sync.transcribe(&shortest, &Hints::default(), &())
        .await
        .expect("80 ms are enough");
}

#[tokio::test]
async fn a_key_that_no_header_can_carry_is_refused_without_asking() {
    let sandbox = Sandbox::start().await;
    let settings = AssemblyAiSettings {
        key: "two\nlines".into(),
        ..settings(&sandbox)
    };
    let sync = sync(&settings);
    let error = sync
        .transcribe(&utterance(), &Hints::default(), &())
        .await
        .expect_err("no key");
    assert_eq!(error_kind(&error, "two\nlines"), "key refused");
    assert!(matches!(
        sync.probe().await,
        Err(SpeechError::KeyRefused(_))
    ));
    assert!(sandbox.assemblyai().requests().is_empty());
}

#[tokio::test]
async fn a_probe_checks_the_key_and_sends_no_audio() {
    let sandbox = Sandbox::start().await;
    sync(&settings(&sandbox))
        .probe()
        .await
        .expect("all is well");
    let requests = sandbox.assemblyai().requests();
    assert_eq!(requests[0].path, "/v1/transcribe");
    assert!(requests[0].form_part("audio").is_none());

    let wrong = AssemblyAiSettings {
        key: "not the key".into(),
        ..settings(&sandbox)
    };
    let error = sync(&wrong).probe().await.expect_err("a wrong key");
    assert_eq!(error_kind(&error, "not the key"), "key refused");

    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::status(503));
    let error = sync(&settings(&sandbox)).probe().await.expect_err("busy");
    assert_eq!(error_kind(&error, &sandbox.assemblyai().key()), "busy");
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let sandbox = Sandbox::start().await;
    let settings = AssemblyAiSettings {
        sync_base: unused_url().await,
        ..settings(&sandbox)
    };
    let sync = sync(&settings);
    let error = sync
        .transcribe(&utterance(), &Hints::default(), &())
        .await
        .expect_err("nobody listens");
    assert_eq!(
        error_kind(&error, &sandbox.assemblyai().key()),
        "unavailable"
    );
    assert!(sync.probe().await.is_err());
    // Nothing can be done about it.
    sync.prewarm().await;
}

/// An address where nobody listens.
async fn unused_url() -> url::Url {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let address = socket
        .and_then(|socket| socket.local_addr())
        .expect("a free port");
    format!("http://{address}").parse().expect("a URL")
}

#[tokio::test]
async fn warming_opens_the_connection_without_the_key() {
    let sandbox = Sandbox::start().await;
    let stt = sandbox.assemblyai();
    // Any answer will do.
    stt.add_fault(AssemblyAiEndpoint::Warm, Fault::status(500));
    let sync = sync(&settings(&sandbox));
    for _ in 0..3 {
        sync.prewarm().await;
    }
    let requests = stt.requests();
    assert_eq!(requests.len(), 1, "it is warm for a while");
    assert_eq!(
        (requests[0].method.as_str(), requests[0].path.as_str()),
        ("GET", "/v1/warm")
    );
    assert_eq!(requests[0].header("authorization"), None);
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_not_waited_for_when_warming() {
    let sandbox = Sandbox::start().await;
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Warm, Fault::hang());
    let settings = AssemblyAiSettings {
        request_timeout: SHORT_TIMEOUT,
        ..settings(&sandbox)
    };
    sync(&settings).prewarm().await;
    assert_eq!(sandbox.assemblyai().requests().len(), 1);
}

#[tokio::test]
async fn of_several_providers_the_first_healthy_one_is_warmed() {
    let (first, second) = (Sandbox::start().await, Sandbox::start().await);
    first
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::status(401).always());
    let providers: Vec<Arc<dyn Transcriber>> = vec![
        Arc::new(sync(&settings(&first))),
        Arc::new(sync(&settings(&second))),
    ];
    let failover = Failover::new(providers, FailoverSettings::default());
    failover.prewarm().await;
    failover
        .transcribe(&utterance(), &Hints::default(), &())
        .await
        .expect("the second hears it");
    failover.prewarm().await;
    let warmed =
        |sandbox: &Sandbox| count_requests(&sandbox.assemblyai().requests(), "GET /v1/warm");
    assert_eq!((warmed(&first), warmed(&second)), (1, 1));
}
