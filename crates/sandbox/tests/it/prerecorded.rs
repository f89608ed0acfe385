//! Pre-recorded: upload, transcribe, ask until it is done.

use reqwest::RequestBuilder;
use sandbox::{AssemblyAi, AssemblyAiEndpoint, Fault};
use serde_json::{Value, json};

use crate::support::{QUESTION, client, send_json, start};

fn upload(stt: &AssemblyAi, bytes: &'static [u8]) -> RequestBuilder {
    client()
        .post(format!("{}/v2/upload", stt.api_url()))
        .header("Authorization", stt.key())
        .header("Content-Type", "application/octet-stream")
        .body(bytes)
}

fn create(stt: &AssemblyAi, body: &Value) -> RequestBuilder {
    client()
        .post(format!("{}/v2/transcript", stt.api_url()))
        .header("Authorization", stt.key())
        .json(body)
}

fn get(stt: &AssemblyAi, rest: &str) -> RequestBuilder {
    client()
        .get(format!("{}/v2/transcript/{rest}", stt.api_url()))
        .header("Authorization", stt.key())
}

fn delete(stt: &AssemblyAi, id: &str) -> RequestBuilder {
    client()
        .delete(format!("{}/v2/transcript/{id}", stt.api_url()))
        .header("Authorization", stt.key())
}

async fn upload_ok(stt: &AssemblyAi, bytes: &'static [u8]) -> String {
    let (status, body) = send_json(upload(stt, bytes)).await;
    assert_eq!(status, 200, "{body}");
    body["upload_url"].as_str().expect("a URL").to_owned()
}

async fn create_ok(stt: &AssemblyAi, more: Value) -> String {
    let mut body = json!({
        "audio_url": upload_ok(stt, QUESTION).await,
        "speech_models": ["assemblyai-stt-3-7", "universal-2"],
    });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    let (status, body) = send_json(create(stt, &body)).await;
    assert_eq!((status, &body["status"]), (200, &json!("queued")), "{body}");
    body["id"].as_str().expect("an id").to_owned()
}

async fn poll_status(stt: &AssemblyAi, id: &str) -> String {
    let (status, body) = send_json(get(stt, id)).await;
    assert_eq!(status, 200, "{body}");
    body["status"].as_str().expect("a status").to_owned()
}

#[tokio::test]
async fn a_job_is_queued_processed_and_completed() {
    let (_sandbox, stt, _) = start().await;
    stt.set_transcript("What would it look like?");
    stt.set_polls_before_done(3);
    let id = create_ok(&stt, json!({"language_detection": true})).await;
    for expected in ["queued", "processing", "processing", "completed"] {
        assert_eq!(poll_status(&stt, &id).await, expected);
    }
    let (_, body) = send_json(get(&stt, &id)).await;
    assert_eq!(body["text"], "What would it look like?");
    assert_eq!(body["words"].as_array().map(Vec::len), Some(5));
    assert_eq!(body["language_code"], "en");
    assert_eq!(body["audio_duration"], 4);
    assert_eq!(body["speech_model_used"], "assemblyai-stt-3-7");
    assert_eq!(body["words"][0]["speaker"], Value::Null);
    let required = [
        "id",
        "speech_model",
        "language_model",
        "acoustic_model",
        "status",
        "audio_url",
        "webhook_auth",
        "auto_highlights",
        "redact_pii",
        "summarization",
        "language_confidence_threshold",
        "language_confidence",
    ];
    for field in required {
        assert!(
            body.get(field).is_some(),
            "{field} is required by the specification"
        );
    }
    let upload = &stt.requests()[0];
    assert_eq!(
        (upload.method.as_str(), upload.path.as_str()),
        ("POST", "/v2/upload")
    );
    assert_eq!(upload.body, QUESTION);
}

#[tokio::test]
async fn speakers_are_told_apart_on_request() {
    let (_sandbox, stt, _) = start().await;
    stt.set_speaker_transcript([("A", "Shall we?"), ("B", "Yes, let us.")]);
    let id = create_ok(&stt, json!({"speaker_labels": true})).await;
    let (_, body) = send_json(get(&stt, &id)).await;
    assert_eq!(body["text"], "Shall we? Yes, let us.");
    assert_eq!(body["utterances"][1]["speaker"], "B");
    assert_eq!(body["utterances"][1]["text"], "Yes, let us.");
    assert_eq!(body["words"][0]["speaker"], "A");
}

#[tokio::test]
async fn deleting_removes_the_words_and_the_upload() {
    let (_sandbox, stt, _) = start().await;
    let id = create_ok(&stt, json!({})).await;
    assert_eq!(poll_status(&stt, &id).await, "completed");
    assert_eq!((stt.stored_uploads(), stt.stored_transcripts()), (1, 1));
    let (status, body) = send_json(delete(&stt, &id)).await;
    assert_eq!((status, &body["text"]), (200, &json!("Deleted by user.")));
    assert_eq!((stt.stored_uploads(), stt.stored_transcripts()), (0, 0));
    let (_, body) = send_json(get(&stt, &id)).await;
    assert_eq!(body["text"], "Deleted by user.");
    assert_eq!(body["words"], Value::Null);
    assert_eq!(body["audio_url"], "http://deleted_by_user");
}

#[tokio::test]
async fn a_failed_job_is_an_answer_not_an_error() {
    let (_sandbox, stt, _) = start().await;
    stt.add_fault(
        AssemblyAiEndpoint::Transcript,
        Fault::job_error("no speech found"),
    );
    let id = create_ok(&stt, json!({})).await;
    let (status, body) = send_json(get(&stt, &id)).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&body["status"], &body["error"]),
        (&json!("error"), &json!("no speech found"))
    );

    stt.set_polls_before_done(5);
    let id = create_ok(&stt, json!({})).await;
    assert_eq!(poll_status(&stt, &id).await, "queued");
    stt.add_fault(AssemblyAiEndpoint::Poll, Fault::job_error("worker lost"));
    assert_eq!(poll_status(&stt, &id).await, "error");
    assert_eq!(poll_status(&stt, &id).await, "error");
}

#[tokio::test]
async fn a_file_without_sound_fails_as_a_job() {
    let (_sandbox, stt, _) = start().await;
    let audio_url = upload_ok(&stt, b"Dear diary, nothing happened today.").await;
    let (_, body) = send_json(create(&stt, &json!({"audio_url": audio_url}))).await;
    let (status, body) = send_json(get(&stt, body["id"].as_str().expect("an id"))).await;
    assert_eq!((status, &body["status"]), (200, &json!("error")));
    assert!(
        body["error"]
            .as_str()
            .is_some_and(|error| error.contains("does not appear to contain audio"))
    );
    let (status, _) = send_json(upload(&stt, b"")).await;
    assert_eq!(status, 422);
}

#[tokio::test]
async fn wrong_parameters_are_refused() {
    let (_sandbox, stt, _) = start().await;
    let audio_url = upload_ok(&stt, QUESTION).await;
    let url = &audio_url;
    let table = [
        (400, json!({})),
        (400, json!({"audio_url": "not a url"})),
        (400, json!({"audio_url": url, "speech_models": []})),
        (
            400,
            json!({"audio_url": url, "speech_models": ["universal-3-pro"]}),
        ),
        (400, json!({"audio_url": url, "speech_model": "best"})),
        (400, json!({"audio_url": url, "word_boost": ["x"]})),
        (400, json!({"audio_url": url, "language_code": "xx"})),
        (
            400,
            json!({"audio_url": url, "language_code": "en", "language_detection": true}),
        ),
        (400, json!({"audio_url": url, "speaker_labels": "yes"})),
        (
            400,
            json!({"audio_url": url, "keyterms_prompt": ["one two three four five six seven"]}),
        ),
        (400, json!({"audio_url": url, "made_up": 1})),
        (
            403,
            json!({"audio_url": "https://cdn.assemblyai.com/upload/never-uploaded"}),
        ),
        (
            200,
            json!({"audio_url": url, "language_code": "en_us", "keyterms_prompt": ["Talkback"]}),
        ),
    ];
    for (expected, params) in table {
        let (status, body) = send_json(create(&stt, &params)).await;
        assert_eq!(status, expected, "{params}");
        assert_eq!(body["error"].is_string(), expected != 200, "{body}");
    }
    let (status, body) = send_json(get(&stt, "no-such-transcript")).await;
    assert_eq!(status, 400);
    assert!(body["error"].is_string());
    let bare = client().get(format!("{}/v2/transcript/x", stt.api_url()));
    let (status, body) = send_json(bare).await;
    assert_eq!(status, 401);
    assert_eq!(
        body["error"],
        "Authentication error, API token missing/invalid"
    );
}

#[tokio::test]
async fn a_transcript_has_other_forms() {
    let (_sandbox, stt, _) = start().await;
    stt.set_transcript("One two. Three four.");
    let id = create_ok(&stt, json!({})).await;
    assert_eq!(poll_status(&stt, &id).await, "completed");
    let (_, srt) = send_json(get(&stt, &format!("{id}/srt?chars_per_caption=11"))).await;
    let srt = srt.as_str().expect("text");
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    assert!(
        srt.contains("\n\n2\n") && srt.contains("\nThree four.\n"),
        "{srt}"
    );
    let (_, vtt) = send_json(get(&stt, &format!("{id}/vtt"))).await;
    assert!(
        vtt.as_str()
            .is_some_and(|vtt| vtt.starts_with("WEBVTT\n\n00:00:00."))
    );
    let (_, sentences) = send_json(get(&stt, &format!("{id}/sentences"))).await;
    assert_eq!(sentences["sentences"][1]["text"], "Three four.");
    let list = client()
        .get(format!("{}/v2/transcript?limit=5", stt.api_url()))
        .header("Authorization", stt.key());
    let (_, list) = send_json(list).await;
    assert_eq!(list["page_details"]["result_count"], 1);
    assert_eq!(list["transcripts"][0]["status"], "completed");
}
