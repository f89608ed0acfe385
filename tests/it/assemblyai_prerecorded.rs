//! A recording is uploaded to AssemblyAI, waited for, fetched and forgotten there.

use std::time::Duration;

use audio::{AudioError, Clip, Recording};
use sandbox::{AssemblyAiEndpoint, Fault, RecordedRequest, Sandbox};
use serde_json::json;
use talkback::speech::assemblyai::AssemblyAiSettings;
use talkback::speech::{Hints, SpeechError, Transcriber};

use crate::assemblyai::{
    LONG_TIMEOUT, ObserverLog, SHORT_TIMEOUT, count_requests, error_kind, prerecorded, question,
    settings, tone, upload_and_transcribe, utterance,
};
use crate::support::sample_path;

const NO_SPEECH: &str = "language_detection cannot be performed on files with no spoken audio.";

/// `POST /v2/upload` and so on; ids become `{id}`.
fn request_steps(requests: &[RecordedRequest]) -> Vec<String> {
    let mut steps: Vec<String> = requests
        .iter()
        .map(|request| {
            let path = match request.path.strip_prefix("/v2/transcript/") {
                Some(_) => "/v2/transcript/{id}",
                None => &request.path,
            };
            format!("{} {path}", request.method)
        })
        .collect();
    // How often a job is asked for depends on the clock.
    steps.dedup();
    steps
}

#[tokio::test]
async fn a_recording_goes_up_as_it_is_and_comes_back_as_words() {
    let sandbox = Sandbox::start().await;
    let server = sandbox.assemblyai();
    server.set_transcript("What is the capital of France?");
    server.set_polls_before_done(3);
    let journal = ObserverLog::default();

    let transcript = prerecorded(&settings(&sandbox))
        .transcribe(&question(), &Hints::default(), &journal)
        .await
        .expect("it is heard");

    assert_eq!(transcript.text, "What is the capital of France?");
    assert_eq!(transcript.provider, "AssemblyAI upload");
    assert_eq!(transcript.words.len(), 6);
    assert_eq!(transcript.segments.len(), 1);
    assert_eq!(transcript.language.as_deref(), Some("en"));
    assert!(transcript.confidence.is_some());

    let requests = server.requests();
    assert_eq!(
        request_steps(&requests),
        [
            "POST /v2/upload",
            "POST /v2/transcript",
            "GET /v2/transcript/{id}",
            "DELETE /v2/transcript/{id}",
        ]
    );
    for request in &requests {
        assert_eq!(request.header("authorization"), Some(&*server.key()));
    }
    let file = std::fs::read(sample_path("question.ogg")).expect("readable");
    let upload = &requests[0];
    assert_eq!(
        upload.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(
        upload.header("content-length"),
        Some(&*file.len().to_string())
    );
    assert_eq!(upload.header("transfer-encoding"), None);
    assert_eq!(upload.body, file);
    let mut job = requests[1].json();
    let audio_url = job["audio_url"].take();
    assert!(audio_url.as_str().is_some_and(|url| !url.is_empty()));
    assert_eq!(
        job,
        json!({
            "audio_url": null,
            "speech_models": ["assemblyai-stt-3-7", "universal-2"],
            "language_detection": true,
        })
    );

    let lines = journal.lines();
    assert_eq!(lines[0], "AssemblyAI upload has it");
    assert_eq!(lines[1], format!("sent 0 of {}", file.len()));
    assert!(lines.contains(&format!("sent {0} of {0}", file.len())));
    assert!(lines.contains(&"Queued".to_owned()));
}

#[tokio::test]
async fn an_utterance_that_never_was_a_file_goes_up_as_wav() {
    let sandbox = Sandbox::start().await;
    sandbox.assemblyai().set_transcript("Hello.");
    let transcript = upload_and_transcribe(&settings(&sandbox), &utterance())
        .await
        .expect("heard");
    assert_eq!(transcript.text, "Hello.");
    assert_eq!(
        sandbox.assemblyai().requests()[0].body,
        tone(8_000).to_wav()
    );
}

#[tokio::test]
async fn hints_become_fields_of_the_job() {
    let cases = [
        (vec!["de-AT"], json!({"language_code": "de"})),
        (vec!["xx"], json!({"language_detection": true})),
        (
            vec!["en", "de"],
            json!({
                "language_detection": true,
                "language_detection_options": {"expected_languages": ["en", "de"]},
            }),
        ),
    ];
    for (languages, expected) in cases {
        let sandbox = Sandbox::start().await;
        let hints = Hints {
            key_terms: vec!["Talkback".to_owned()],
            languages: languages.iter().map(|&code| code.to_owned()).collect(),
            ..Hints::default()
        };
        prerecorded(&settings(&sandbox))
            .transcribe(&utterance(), &hints, &())
            .await
            .expect("heard");
        let mut job = sandbox.assemblyai().requests()[1].json();
        assert_eq!(job["keyterms_prompt"], json!(["Talkback"]));
        let fields = job.as_object_mut().expect("an object");
        for known in ["audio_url", "speech_models", "keyterms_prompt"] {
            fields.remove(known);
        }
        assert_eq!(job, expected, "{languages:?}");
    }
}

/// What each fault comes to at each step, after how many requests of that step, and whether a
/// job has to be deleted.
#[tokio::test]
async fn every_fault_at_every_step_has_its_error() {
    let upload = (AssemblyAiEndpoint::Upload, "POST /v2/upload", false);
    let create = (AssemblyAiEndpoint::Transcript, "POST /v2/transcript", false);
    let poll = (AssemblyAiEndpoint::Poll, "GET /v2/transcript/", true);
    let balance = "Your current account balance is negative. Please top up to continue.";
    let table: Vec<(_, &str, Fault, &str, usize)> = vec![
        (upload, "400", Fault::status(400), "bad audio", 1),
        (upload, "401", Fault::status(401), "key refused", 1),
        (
            upload,
            "401 at once",
            Fault::status(401).before_body(),
            "key refused",
            1,
        ),
        (upload, "403", Fault::status(403), "key refused", 1),
        (upload, "413", Fault::status(413), "bad audio", 1),
        (upload, "422", Fault::status(422), "bad audio", 3),
        (upload, "429", Fault::status(429).retry_after(0), "busy", 3),
        (
            upload,
            "429 for long",
            Fault::status(429).retry_after(60),
            "busy",
            1,
        ),
        (upload, "500", Fault::status(500), "unavailable", 3),
        (upload, "503", Fault::status(503), "busy", 3),
        (upload, "cut", Fault::close_mid_body(), "unavailable", 3),
        (
            upload,
            "malformed",
            Fault::malformed_json(),
            "unavailable",
            1,
        ),
        (upload, "hang", Fault::hang(), "timed out", 1),
        (create, "400", Fault::status(400), "the request", 1),
        (
            create,
            "400 no money",
            Fault::status(400).message(balance),
            "quota spent",
            1,
        ),
        (create, "401", Fault::status(401), "key refused", 1),
        (create, "403", Fault::status(403), "key refused", 1),
        (create, "413", Fault::status(413), "the request", 1),
        (create, "422", Fault::status(422), "the request", 1),
        (create, "429", Fault::status(429).retry_after(0), "busy", 3),
        (create, "500", Fault::status(500), "unavailable", 3),
        (create, "503", Fault::status(503), "busy", 3),
        (create, "cut", Fault::close_mid_body(), "unavailable", 3),
        (
            create,
            "malformed",
            Fault::malformed_json(),
            "unavailable",
            1,
        ),
        (create, "hang", Fault::hang(), "timed out", 1),
        (poll, "400", Fault::status(400), "the request", 1),
        (poll, "401", Fault::status(401), "key refused", 1),
        (poll, "403", Fault::status(403), "key refused", 1),
        (poll, "404", Fault::status(404), "unavailable", 1),
        (poll, "413", Fault::status(413), "the request", 1),
        (poll, "422", Fault::status(422), "the request", 1),
        (poll, "429", Fault::status(429).retry_after(0), "busy", 3),
        (poll, "500", Fault::status(500), "unavailable", 3),
        (poll, "503", Fault::status(503), "busy", 3),
        (poll, "cut", Fault::close_mid_body(), "unavailable", 3),
        (poll, "malformed", Fault::malformed_json(), "unavailable", 1),
        (
            poll,
            "no status",
            Fault::replace_body("{}"),
            "unavailable",
            1,
        ),
        (
            poll,
            "job error",
            Fault::job_error("Server error."),
            "failed",
            1,
        ),
        (poll, "no speech", Fault::job_error(NO_SPEECH), "heard", 1),
        (
            poll,
            "not audio",
            Fault::job_error("Transcoding failed."),
            "bad audio",
            1,
        ),
    ];
    for ((endpoint, step, deletes), name, fault, expected, tries) in table {
        let sandbox = Sandbox::start().await;
        let server = sandbox.assemblyai();
        server.add_fault(endpoint, fault.always());
        let mut settings = settings(&sandbox);
        if expected == "timed out" {
            // Only a hang needs a limit that is reached.
            match endpoint {
                AssemblyAiEndpoint::Upload => settings.upload_stall_timeout = SHORT_TIMEOUT,
                _ => settings.request_timeout = LONG_TIMEOUT,
            }
        }
        let outcome = match upload_and_transcribe(&settings, &question()).await {
            Ok(_) => "heard",
            Err(error) => error_kind(&error, &server.key()),
        };
        assert_eq!(outcome, expected, "{step}: {name}");
        let requests = server.requests();
        assert_eq!(count_requests(&requests, step), tries, "{step}: {name}");
        let deleted = count_requests(&requests, "DELETE /v2/transcript/") == 1;
        assert_eq!(deleted, deletes, "{step}: {name}");
    }
}

#[tokio::test]
async fn a_passing_fault_goes_unnoticed() {
    let endpoints = [
        AssemblyAiEndpoint::Upload,
        AssemblyAiEndpoint::Transcript,
        AssemblyAiEndpoint::Poll,
        AssemblyAiEndpoint::Delete,
    ];
    for endpoint in endpoints {
        for (name, fault) in [
            ("429", Fault::status(429).retry_after(0).times(2)),
            ("500", Fault::status(500).times(2)),
            ("503", Fault::status(503)),
            ("cut", Fault::close_mid_body()),
            ("reset", Fault::reset_mid_body()),
        ] {
            let sandbox = Sandbox::start().await;
            sandbox.assemblyai().set_transcript("Hello.");
            sandbox.assemblyai().add_fault(endpoint, fault);
            let transcript = upload_and_transcribe(&settings(&sandbox), &question())
                .await
                .expect(name);
            assert_eq!(transcript.text, "Hello.", "{endpoint:?} {name}");
            // Every upload begins with its first byte.
            let requests = sandbox.assemblyai().requests();
            let uploads: Vec<_> = requests
                .iter()
                .filter(|one| one.path == "/v2/upload")
                .collect();
            assert!(uploads.iter().all(|one| one.body == uploads[0].body));
        }
    }
}

#[tokio::test]
async fn a_poll_that_hangs_is_asked_again() {
    let sandbox = Sandbox::start().await;
    sandbox.assemblyai().set_transcript("Hello.");
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Poll, Fault::hang());
    let settings = AssemblyAiSettings {
        request_timeout: LONG_TIMEOUT,
        ..settings(&sandbox)
    };
    let transcript = upload_and_transcribe(&settings, &question())
        .await
        .expect("heard");
    assert_eq!(transcript.text, "Hello.");
}

#[tokio::test]
async fn an_upload_that_nobody_takes_is_given_up() {
    let sandbox = Sandbox::start().await;
    let stuck = Fault::hang().before_body();
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Upload, stuck);
    let settings = AssemblyAiSettings {
        upload_stall_timeout: SHORT_TIMEOUT,
        ..settings(&sandbox)
    };
    let (_file, clip) = sparse_clip(32 * 1024 * 1024);
    let error = upload_and_transcribe(&settings, &clip)
        .await
        .expect_err("nobody takes it");
    assert_eq!(error_kind(&error, &sandbox.assemblyai().key()), "timed out");
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_a_large_upload_is_heard() {
    let sandbox = Sandbox::start().await;
    let refusal = Fault::status(401).before_body().always();
    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Upload, refusal);
    let (_file, clip) = sparse_clip(32 * 1024 * 1024);
    let error = upload_and_transcribe(&settings(&sandbox), &clip)
        .await
        .expect_err("the key is refused");
    assert_eq!(
        error_kind(&error, &sandbox.assemblyai().key()),
        "key refused"
    );
}

/// A file of this many zeros, more than the sockets' buffers hold, that takes no room.
fn sparse_clip(bytes: u64) -> (tempfile::NamedTempFile, Clip) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    file.as_file().set_len(bytes).expect("a sparse file");
    let recording = Recording::from_path(file.path());
    let clip = Clip::from_recording(recording, Duration::from_secs(4), None);
    (file, clip)
}

#[tokio::test]
async fn a_strange_id_leads_nowhere() {
    for id in ["../upload", "a/b", "", "x?y"] {
        let sandbox = Sandbox::start().await;
        let answer = json!({"id": id, "status": "queued"}).to_string();
        sandbox
            .assemblyai()
            .add_fault(AssemblyAiEndpoint::Transcript, Fault::replace_body(answer));
        let error = upload_and_transcribe(&settings(&sandbox), &question())
            .await
            .expect_err(id);
        assert_eq!(
            error_kind(&error, &sandbox.assemblyai().key()),
            "unavailable"
        );
        let requests = sandbox.assemblyai().requests();
        assert_eq!(
            request_steps(&requests),
            ["POST /v2/upload", "POST /v2/transcript"]
        );
    }
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_the_providers_fault() {
    let sandbox = Sandbox::start().await;
    let recording = Recording::from_path("/no/such/file.ogg");
    let clip = Clip::from_recording(recording, Duration::from_secs(4), None);
    let error = upload_and_transcribe(&settings(&sandbox), &clip)
        .await
        .expect_err("no file");
    assert!(matches!(
        error,
        SpeechError::Audio(AudioError::Unreadable(_))
    ));
    assert!(sandbox.assemblyai().requests().is_empty());
}

#[tokio::test]
async fn recording_of_unsupported_length_is_not_sent() {
    let sandbox = Sandbox::start().await;
    let recording = question().recording().cloned().expect("a file");
    let ten_hours = Duration::from_secs(10 * 3_600);
    for duration in [
        Duration::from_millis(159),
        ten_hours + Duration::from_millis(1),
    ] {
        let clip = Clip::from_recording(recording.clone(), duration, None);
        let error = upload_and_transcribe(&settings(&sandbox), &clip)
            .await
            .expect_err("unsuitable");
        assert!(matches!(error, SpeechError::UnsupportedClip));
    }
    assert!(sandbox.assemblyai().requests().is_empty());
}

#[tokio::test]
async fn a_file_beyond_the_published_size_is_not_begun() {
    let sandbox = Sandbox::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    // Sparse: nothing is written.
    file.as_file()
        .set_len(2_200_000_001)
        .expect("a sparse file");
    let recording = Recording::from_path(file.path());
    let clip = Clip::from_recording(recording, Duration::from_secs(4), None);
    let error = upload_and_transcribe(&settings(&sandbox), &clip)
        .await
        .expect_err("too large");
    assert!(matches!(error, SpeechError::UnsupportedClip));
    assert!(sandbox.assemblyai().requests().is_empty());
}

#[tokio::test]
async fn a_probe_lists_one_transcript() {
    let sandbox = Sandbox::start().await;
    prerecorded(&settings(&sandbox))
        .probe()
        .await
        .expect("all is well");
    let requests = sandbox.assemblyai().requests();
    assert_eq!(requests[0].method, "GET");
    assert_eq!(requests[0].path, "/v2/transcript");
    assert_eq!(requests[0].query, "limit=1");

    let wrong = AssemblyAiSettings {
        key: "not the key".into(),
        ..settings(&sandbox)
    };
    let error = prerecorded(&wrong).probe().await.expect_err("a wrong key");
    assert_eq!(error_kind(&error, "not the key"), "key refused");
}
