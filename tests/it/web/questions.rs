//! What the page is told when it asks.

use std::time::Duration;

use sandbox::{AssemblyAiEndpoint, Fault, Gate, OpenAiEndpoint};

use super::harness::{WebFixture, conversation_form, file_form, recording_form};
#[cfg(feature = "local")]
use crate::support::TalkbackCommand;
use crate::support::sample_path;

/// What happens to a recording with words in it.
const EXPECTED_EVENTS: [&str; 6] = [
    "decoding",
    "transcribing",
    "heard",
    "answering",
    "partial",
    "answered",
];

#[tokio::test]
async fn a_recording_is_heard_and_answered() {
    let page = WebFixture::start().await;

    let told = page.ask(recording_form("question.ogg")).await;

    assert_eq!(told.event_names(), EXPECTED_EVENTS);
    assert_eq!(told.text("heard"), "What is the capital of France?");
    assert_eq!(told.event("heard")["by"], "AssemblyAI Sync");
    assert!(told.event("heard")["took_seconds"].as_f64().expect("time") > 0.0);
    assert!(
        told.event("heard")["duration_seconds"]
            .as_f64()
            .expect("time")
            > 1.0
    );
    assert_eq!(told.answer_text(), "Paris.");
    assert_eq!(told.text("answered"), "Paris.");
    assert_eq!(told.event("answered")["finish"], "complete");
    let by = told.event("answered")["by"].as_str().expect("who");
    assert!(by.starts_with("sandbox-1 at 127.0.0.1"), "{by}");
}

#[tokio::test]
async fn a_conversation_goes_on() {
    let page = WebFixture::start().await;
    let form = conversation_form(&[("user", "Name a country."), ("assistant", "France.")]);

    let told = page.ask(form.text("text", "And its capital?")).await;

    assert_eq!(told.event_names(), ["answering", "partial", "answered"]);
    let requests = page.sandbox.openai().requests();
    let asked = requests.iter().rfind(|it| it.method == "POST");
    let body = asked.expect("asked").json();
    let said: Vec<&str> = body["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .skip(1)
        .filter_map(|message| message["content"].as_str())
        .collect();
    assert_eq!(said, ["Name a country.", "France.", "And its capital?"]);
}

#[tokio::test]
async fn a_typed_question_goes_along_with_a_recording() {
    let page = WebFixture::start().await;
    let form = recording_form("question.ogg").text("text", "Is that a question?");

    page.ask(form).await;

    let requests = page.sandbox.openai().requests();
    let asked = requests.iter().rfind(|it| it.method == "POST");
    let body = asked.expect("asked").text();
    assert!(body.contains("Is that a question?") && body.contains("capital of France"));
}

#[tokio::test]
async fn each_failure_gets_its_sentence() {
    let page = WebFixture::start().await;
    let told = page.ask(file_form(silence(), "recording.wav")).await;
    insta::assert_snapshot!(told.text("failed"), @"I couldn't hear any speech in the recording.");
    assert_eq!(told.event("failed")["stage"], "hearing");

    let told = page.ask(file_form(b"words".to_vec(), "notes.txt")).await;
    insta::assert_snapshot!(told.text("failed"), @"notes.txt is not a recording in a format I know. Use Ogg, WebM, MP3, M4A, MP4, WAV, FLAC, AIFF or CAF.");

    let sandbox = &page.sandbox;
    sandbox
        .openai()
        .add_fault(OpenAiEndpoint::Chat, Fault::status(401).always());
    let told = page.ask(recording_form("question.ogg")).await;
    assert_eq!(told.text("heard"), "What is the capital of France?");
    assert_eq!(told.event("failed")["stage"], "answering");
    insta::assert_snapshot!(told.text("failed"));

    sandbox
        .assemblyai()
        .add_fault(AssemblyAiEndpoint::Sync, Fault::status(401).always());
    let told = page.ask(recording_form("question.ogg")).await;
    assert_eq!(told.event("failed")["stage"], "hearing");
    insta::assert_snapshot!(told.text("failed"));
}

#[tokio::test]
async fn the_page_keeps_to_the_caps_of_a_day() {
    // Room for one recording of three seconds.
    let page =
        WebFixture::start_with(&[("PRICE_SPEECH_HOUR", "0.36"), ("DAILY_COST", "0.0004")]).await;
    let told = page.ask(recording_form("question.ogg")).await;
    assert_eq!(told.event_names(), EXPECTED_EVENTS);
    let billed = page.sandbox.assemblyai().billed_audio();

    let told = page.ask(recording_form("question.ogg")).await;
    assert_eq!(told.event("failed")["stage"], "hearing");
    insta::assert_snapshot!(told.text("failed"), @"Today's limit is reached. Try again after midnight UTC, or raise DAILY_COST or DAILY_MINUTES and restart.");
    assert_eq!(page.sandbox.assemblyai().billed_audio(), billed);
}

#[tokio::test]
async fn a_recording_comes_while_it_is_made() {
    let page = WebFixture::start().await;
    let bytes = std::fs::read(sample_path("question.ogg")).expect("a sample");
    let mut recording = page.start_recording().await;
    for piece in bytes.chunks(1_000) {
        assert_eq!(recording.send_chunk(piece, false).await, 204);
    }
    assert_eq!(recording.send_chunk(&[], true).await, 204);

    let told = recording.finish().await;

    assert_eq!(
        told.event_names(),
        [&["coming"], &EXPECTED_EVENTS[..]].concat()
    );
    assert_eq!(told.text("heard"), "What is the capital of France?");
    let duration = told.event("heard")["duration_seconds"].as_f64();
    assert!((3.8..3.9).contains(&duration.expect("time")));
}

#[tokio::test]
async fn a_recording_is_uploaded_while_it_is_made_and_only_once() {
    let page = WebFixture::start().await;
    let stt = page.sandbox.assemblyai();
    let bytes = std::fs::read(sample_path("question.ogg")).expect("a sample");
    let mut recording = page.start_recording().await;
    for piece in bytes[..bytes.len() * 3 / 4].chunks(1_000) {
        assert_eq!(recording.send_chunk(piece, false).await, 204);
    }
    let has_come = |all: &[sandbox::SyncLiveUpload]| {
        all.first()
            .is_some_and(|it| it.end.is_none() && it.audio_bytes > 48_000)
    };
    let coming = stt.wait_for_live_uploads(has_come).await;
    assert!(has_come(&coming), "{coming:?}");
    let rest = bytes[recording.sent_bytes..].to_vec();
    assert_eq!(recording.send_chunk(&rest, true).await, 204);

    let told = recording.finish().await;
    assert_eq!(
        told.event_names(),
        [&["coming"], &EXPECTED_EVENTS[..]].concat()
    );
    assert_eq!(told.text("heard"), "What is the capital of France?");
    let duration = told.event("heard")["duration_seconds"].as_f64();
    let billed = stt.billed_audio().as_secs_f64();
    assert!((duration.expect("time") - billed).abs() < 0.002, "{billed}");
    // Whoever only looks whether the key is right sends no recording.
    let asked = stt.requests().into_iter().filter(|it| it.body_bytes > 600);
    let asked: Vec<String> = asked.map(|it| it.path).collect();
    assert_eq!(asked, ["/v1/transcribe/live"]);
}

/// Nobody is paid to listen to nothing, nor beyond the caps, nor twice for what was refused.
#[tokio::test]
async fn a_recording_is_uploaded_only_where_that_is_of_use() {
    let page = WebFixture::start().await;
    let stt = page.sandbox.assemblyai();
    let mut recording = page.start_recording().await;
    assert_eq!(recording.send_chunk(&silence(), true).await, 204);
    let told = recording.finish().await;
    assert_eq!(told.event("failed")["stage"], "hearing");
    assert_eq!(stt.billed_audio(), Duration::ZERO);
    assert_eq!(stt.live_uploads().len(), 0);

    // An older service takes only what is whole.
    stt.add_fault(AssemblyAiEndpoint::SyncLive, Fault::status(404));
    let bytes = std::fs::read(sample_path("question.ogg")).expect("a sample");
    for _ in 0..2 {
        let mut recording = page.start_recording().await;
        assert_eq!(recording.send_chunk(&bytes, true).await, 204);
        let told = recording.finish().await;
        assert_eq!(told.text("heard"), "What is the capital of France?");
    }
    assert_eq!(stt.live_uploads().len(), 1);

    // Room for three seconds, which is less than what is said.
    let page =
        WebFixture::start_with(&[("PRICE_SPEECH_HOUR", "0.36"), ("DAILY_COST", "0.0003")]).await;
    let mut recording = page.start_recording().await;
    assert_eq!(recording.send_chunk(&bytes, true).await, 204);
    let told = recording.finish().await;
    assert_eq!(told.event("failed")["stage"], "hearing");
    assert_eq!(page.sandbox.assemblyai().billed_audio(), Duration::ZERO);
}

#[tokio::test]
async fn a_piece_that_belongs_nowhere_is_refused() {
    let page = WebFixture::start_with(&[("MAX_AUDIO_BYTES", "2000")]).await;
    let mut recording = page.start_recording().await;
    assert_eq!(recording.send_chunk(b"OggS", false).await, 204);
    recording.sent_bytes += 1;
    assert_eq!(recording.send_chunk(b"a gap before it", false).await, 404);
    recording.sent_bytes = 4;
    assert_eq!(
        recording.send_chunk(&[0; 3_000], false).await,
        413,
        "too large"
    );
    assert_eq!(
        recording.send_chunk(b"and more", false).await,
        404,
        "it is gone"
    );
    let told = recording.finish().await;
    assert_eq!(told.event_names(), ["coming", "decoding", "failed"]);
    insta::assert_snapshot!(told.text("failed"));

    let mut other = page.start_recording().await;
    other.id = "0123456789abcdef".to_owned();
    assert_eq!(other.send_chunk(b"OggS", false).await, 404, "nobody's");
}

/// Whoever goes away while they speak is not listened to any longer.
#[tokio::test]
async fn a_recording_whose_maker_goes_away_is_dropped() {
    let page = WebFixture::start().await;
    let mut gone = page.start_recording().await;
    assert_eq!(gone.send_chunk(b"OggS", false).await, 204);
    let (place, sent) = (gone.id.clone(), gone.sent_bytes);
    drop(gone);
    let path = format!("/recordings/{place}/{sent}");
    let refused = async {
        loop {
            let request = page.browser.post(page.url(&path)).body("");
            let response = request.send().await.expect("an answer");
            if response.status() == 404 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, refused).await.expect("dropped");
}

/// A second of nothing, as WAV of 16 kHz and 16 bits.
fn silence() -> Vec<u8> {
    let samples = 16_000_u32;
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + 2 * samples).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(samples.to_le_bytes());
    wav.extend((2 * samples).to_le_bytes());
    wav.extend(b"\x02\0\x10\0data");
    wav.extend((2 * samples).to_le_bytes());
    wav.resize(44 + 2 * samples as usize, 0);
    wav
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let page = WebFixture::start().await;
    insta::assert_debug_snapshot!(page.ask_rejected(conversation_form(&[])).await);
    insta::assert_debug_snapshot!(
        page.ask_rejected(conversation_form(&[]).text("text", " \n"))
            .await
    );
    let garbled = reqwest::multipart::Form::new().text("turns", "[{}]");
    insta::assert_debug_snapshot!(page.ask_rejected(garbled).await);
    let long = conversation_form(&[]).text("text", "a".repeat(40_000));
    insta::assert_debug_snapshot!(page.ask_rejected(long).await);

    let request = page.browser.post(page.url("/ask")).body("hello");
    let response = request.send().await.expect("an answer");
    assert_eq!(response.status(), 415);
    assert_eq!(page.get("/nothing").await.status(), 404);
}

#[tokio::test]
async fn a_recording_that_is_too_large_is_refused() {
    let page = WebFixture::start_with(&[("MAX_AUDIO_BYTES", "2000")]).await;
    insta::assert_debug_snapshot!(page.ask_rejected(recording_form("question.ogg")).await);
}

/// Eight at a time; whoever goes away gives their place to another.
#[tokio::test]
async fn places_are_few_and_free_again() {
    let page = WebFixture::start().await;
    page.sandbox
        .openai()
        .set_first_chunk_delay(Duration::from_secs(600));
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let question = page.question_request(conversation_form(&[]).text("text", "Hm?"));
        waiting.push(question.send().await.expect("begun"));
    }
    page.sandbox.openai().wait_until(|all| all.len() >= 8).await;
    insta::assert_debug_snapshot!(
        page.ask_rejected(conversation_form(&[]).text("text", "Hm?"))
            .await
    );

    waiting.clear();
    page.sandbox.openai().set_first_chunk_delay(Duration::ZERO);
    // The program learns by and by that nobody listens any more.
    let free = async {
        loop {
            let question = page.question_request(conversation_form(&[]).text("text", "And now?"));
            let response = question.send().await.expect("an answer");
            if response.status() == 200 {
                return response.text().await.expect("lines");
            }
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(20);
    let lines = tokio::time::timeout(limit, free).await.expect("a place");
    assert!(lines.contains("answered"), "{lines}");
}

/// While a model thinks for long, the page is told that the connection lives.
#[tokio::test]
async fn a_long_wait_is_told_to_be_one() {
    let page = WebFixture::start().await;
    let gate = Gate::new();
    let openai = page.sandbox.openai();
    openai.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let question = page.question_request(conversation_form(&[]).text("text", "Hm?"));
    let mut response = question.send().await.expect("begun");
    let mut lines = String::new();
    let mut opened = false;
    while let Some(piece) = response.chunk().await.expect("lines") {
        lines += std::str::from_utf8(&piece).expect("text");
        if !opened && lines.contains("{\"event\":\"alive\"}") {
            assert!(!lines.contains("partial"), "{lines}");
            gate.open();
            opened = true;
        }
    }
    assert!(opened && lines.contains("answered"), "{lines}");
}

#[cfg(unix)]
#[tokio::test]
async fn it_ends_well_when_somebody_ends_it() {
    let mut page = WebFixture::start().await;
    let id = page.child.id().expect("it runs").to_string();
    let ended = std::process::Command::new("kill").arg(&id).status();
    assert!(ended.expect("kill runs").success());
    let status = page.child.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn the_page_says_who_listens_and_answers() {
    let page = WebFixture::start().await;
    let about: serde_json::Value = page.get("/about").await.json().await.expect("JSON");
    assert_eq!(about["hears"], serde_json::json!(["AssemblyAI Sync"]));
    assert_eq!(about["stays_here"], false);
    assert_eq!(about["longest_seconds"], 3_600);
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let page = WebFixture::start().await;
    let (_sandbox, mut talkback) = crate::support::sandbox_with_keys().await;
    talkback
        .set("SPEECH_PROVIDERS", "sync")
        .set("WEB_ADDRESS", &page.address);
    let screen = talkback.run(&["web"]).await;
    assert_eq!(screen.exit_code, Some(2), "{screen:?}");
    assert!(screen.stderr.contains("WEB_ADDRESS"), "{screen:?}");
    assert!(screen.stderr.contains("Choose another port."), "{screen:?}");
}

#[cfg(feature = "local")]
#[tokio::test]
async fn without_models_it_says_how_to_fetch_them() {
    let mut talkback = TalkbackCommand::new();
    talkback.set("WEB_ADDRESS", "127.0.0.1:0");
    let screen = talkback.run(&["web"]).await;
    assert_eq!(screen.exit_code, Some(6), "{screen:?}");
    assert!(
        screen.stderr.contains("talkback models fetch"),
        "{screen:?}"
    );
}
