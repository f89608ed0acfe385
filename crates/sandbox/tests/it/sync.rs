//! Sync: a clip and its words in one exchange, and everything it refuses.

use reqwest::multipart::Form;
use serde_json::json;

use crate::support::{
    QUESTION, audio_part, client, config_part, one_second_form, pcm, send_json, start,
    sync_request, wav,
};

#[tokio::test]
async fn a_clip_comes_back_as_words() {
    let (sandbox, stt, _) = start().await;
    stt.set_transcript("Turn left here.");
    let form = one_second_form().part("config", config_part(&json!({"timestamps": true})));
    let (status, body) = send_json(sync_request(&stt, form)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["text"], "Turn left here.");
    assert_eq!(body["audio_duration_ms"], 1_000);
    assert_eq!(body["words"].as_array().map(Vec::len), Some(3));
    assert_eq!(body["words"][2]["text"], "here.");
    assert!(
        body["words"][2]["end"]
            .as_u64()
            .is_some_and(|end| end <= 1_000)
    );
    assert!(body["session_id"].is_string() && body["confidence"].is_number());

    let requests = sandbox.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].method, "POST");
    assert_eq!(requests[0].path, "/v1/transcribe");
    assert_eq!(
        requests[0].header("authorization"),
        Some(stt.key().as_str())
    );
    let audio = requests[0].form_part("audio").expect("an audio part");
    assert_eq!(audio.content_type.as_deref(), Some("audio/wav"));
    assert_eq!(audio.filename.as_deref(), Some("clip.wav"));
    assert_eq!(audio.body, wav(16_000, 1_000));
}

#[tokio::test]
async fn times_come_only_when_asked_for() {
    let (_sandbox, stt, _) = start().await;
    let (_, body) = send_json(sync_request(&stt, one_second_form())).await;
    assert!(body["words"][0]["text"].is_string());
    assert!(body["words"][0].get("start").is_none());
}

#[tokio::test]
async fn clips_are_heard_in_turn() {
    let (_sandbox, stt, _) = start().await;
    stt.set_transcript("always");
    stt.queue_transcripts(["first", "second"]);
    for expected in ["first", "second", "always", "always"] {
        let (_, body) = send_json(sync_request(&stt, one_second_form())).await;
        assert_eq!(body["text"], expected);
    }
    stt.set_transcript("");
    let (status, body) = send_json(sync_request(&stt, one_second_form())).await;
    assert_eq!(
        (status, &body["text"], &body["words"]),
        (200, &json!(""), &json!([]))
    );
}

#[tokio::test]
async fn raw_samples_need_rate_and_channels() {
    let (_sandbox, stt, _) = start().await;
    let form = |config: serde_json::Value| {
        Form::new()
            .part("audio", audio_part(pcm(16_000, 500), "audio/pcm"))
            .part("config", config_part(&config))
    };
    let (status, body) = send_json(sync_request(&stt, form(json!({})))).await;
    assert_eq!((status, &body["title"]), (400, &json!("Bad Audio")));
    let layout = json!({"sample_rate": 16_000, "channels": 1});
    let (status, body) = send_json(sync_request(&stt, form(layout))).await;
    assert_eq!((status, &body["audio_duration_ms"]), (200, &json!(500)));
    let layout = json!({"sample_rate": 12_345, "channels": 1});
    let (status, body) = send_json(sync_request(&stt, form(layout))).await;
    assert_eq!(
        (status, &body["title"]),
        (415, &json!("Unsupported Media Type"))
    );
}

#[tokio::test]
async fn unsuitable_audio_is_refused() {
    let (_sandbox, stt, _) = start().await;
    let mut eight_bit = wav(16_000, 500);
    eight_bit[34] = 8;
    let mut cut = wav(16_000, 500);
    cut.truncate(2_000);
    let table = [
        (wav(16_000, 79), "audio/wav", 400, "Audio Too Short"),
        (wav(16_000, 80), "audio/wav", 200, ""),
        (wav(8_000, 120_000), "audio/wav", 200, ""),
        (wav(8_000, 120_001), "audio/wav", 413, "Audio Too Large"),
        (
            QUESTION.to_vec(),
            "audio/ogg",
            415,
            "Unsupported Media Type",
        ),
        (QUESTION.to_vec(), "audio/wav", 400, "Bad Audio"),
        (Vec::new(), "audio/wav", 400, "Bad Audio"),
        (cut, "audio/wav", 400, "Bad Audio"),
        (eight_bit, "audio/wav", 415, "Unsupported Media Type"),
        (wav(11_025, 500), "audio/wav", 415, "Unsupported Media Type"),
    ];
    for (bytes, media_type, status, code) in table {
        let what = format!("{} bytes of {media_type}", bytes.len());
        let form = Form::new().part("audio", audio_part(bytes, media_type));
        let (got, body) = send_json(sync_request(&stt, form)).await;
        assert_eq!(
            (got, body["title"].as_str().unwrap_or_default()),
            (status, code),
            "{what}"
        );
    }
}

#[tokio::test]
async fn a_wrong_configuration_is_refused() {
    let (_sandbox, stt, _) = start().await;
    let good = [
        json!({"language_codes": ["en", "zh"], "keyterms_prompt": ["Talkback"]}),
        json!({"prompt": "p".repeat(6_000), "conversation_context": ["before"]}),
        json!({"keyterms_prompt": ["t".repeat(8_000)]}),
        json!({"conversation_context": vec!["c".repeat(5_000); 501]}),
        json!({"conversation_context": "before"}),
    ];
    let bad = [
        json!({"language_codes": ["xx"]}),
        json!({"language_codes": ["en_us"]}),
        json!({"language_codes": "en"}),
        json!({"prompt": "p".repeat(6_001)}),
        json!({"keyterms_prompt": ["t".repeat(4_000), "t".repeat(4_001)]}),
        json!({"keyterms_prompt": vec!["t"; 101]}),
        json!({"conversation_context": [1]}),
        json!({"timestamps": "yes"}),
        json!({"keyterms": []}),
        json!([]),
    ];
    for config in good {
        let form = one_second_form().part("config", config_part(&config));
        assert_eq!(send_json(sync_request(&stt, form)).await.0, 200);
    }
    for config in bad {
        let form = one_second_form().part("config", config_part(&config));
        let (status, body) = send_json(sync_request(&stt, form)).await;
        assert_eq!(
            (status, &body["title"]),
            (400, &json!("Bad Request")),
            "{config:.80}"
        );
    }
}

#[tokio::test]
async fn a_wrong_request_is_refused() {
    let (_sandbox, stt, _) = start().await;
    let url = format!("{}/v1/transcribe", stt.sync_url());
    let request = || client().post(&url).multipart(one_second_form());
    let (status, body) = send_json(request().header("X-AAI-Model", "universal-3-5-pro")).await;
    assert_eq!(status, 401);
    assert!(body["detail"].is_string());
    let bearer = request()
        .header("X-AAI-Model", "universal-3-5-pro")
        .bearer_auth(stt.key());
    assert_eq!(send_json(bearer).await.0, 401);
    let no_model = request().header("Authorization", stt.key());
    let (status, body) = send_json(no_model).await;
    assert_eq!((status, &body["title"]), (400, &json!("Bad Request")));
    let (status, _) = send_json(sync_request(&stt, Form::new().text("config", "{}"))).await;
    assert_eq!(status, 400);
    let raw = client()
        .post(&url)
        .header("Authorization", stt.key())
        .header("X-AAI-Model", "universal-3-5-pro")
        .header("Content-Type", "audio/wav")
        .body(wav(16_000, 500));
    assert_eq!(send_json(raw).await.0, 415);

    stt.use_legacy_errors();
    let (status, body) = send_json(sync_request(&stt, Form::new().text("config", "{}"))).await;
    assert_eq!((status, &body["error_code"]), (400, &json!("bad_request")));
}

#[tokio::test]
async fn each_surface_has_its_own_host() {
    let (_sandbox, stt, _) = start().await;
    let warm = |base: String| client().get(format!("{base}/v1/warm"));
    assert_eq!(send_json(warm(stt.sync_url())).await.0, 200);
    assert_eq!(send_json(warm(stt.api_url())).await.0, 404);
    let alias = client().post(format!("{}/transcribe", stt.sync_url()));
    assert_eq!(send_json(alias).await.0, 401);
    let get = client().get(format!("{}/v1/transcribe", stt.sync_url()));
    assert_eq!(send_json(get).await.0, 405);
}
