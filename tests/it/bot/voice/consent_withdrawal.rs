//! From the moment somebody takes their word back, nothing of theirs goes anywhere, wherever it is
//! just then.

use std::time::Duration;

use sandbox::{AssemblyAiEndpoint, Fault, Gate, OpenAiEndpoint, TestUser};
use serde_json::json;

use super::super::harness::{RunningBot, sample_bytes};
use super::{VoiceFixture, attachment_text};

const SECRET: &str = "The secret word is herring.";

/// Ana and Ben are in the channel, and everybody is written down who does not say no.
async fn new_with_all_consenting() -> (VoiceFixture, RunningBot) {
    let mut lounge = VoiceFixture::new().await;
    let bot = lounge.start().await;
    lounge.ana.grant_manage_guild();
    let everybody = json!({"consent": "notice"});
    lounge
        .run_and_wait(
            "/settings voice",
            everybody,
            "everyone except people who have declined",
        )
        .await;
    lounge.ana.join_voice(&lounge.lounge).await;
    lounge.ben.join_voice(&lounge.lounge).await;
    lounge.run_and_wait("/join", json!({}), "I'm in").await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    (lounge, bot)
}

async fn forget_user(lounge: &VoiceFixture, person: &TestUser) {
    let forgetting = person.run_command(&lounge.channel, "/forget-me", json!({}));
    forgetting.await.wait_for_answer_containing("Done: ").await;
}

/// What was sent to be written down, once nothing more comes: Ana says one more thing.
async fn requests_before_speech(lounge: &VoiceFixture) -> usize {
    // Never the same words twice, which would be seen before they are said.
    let words = format!(
        "I will write note number {} tomorrow.",
        provider_request_count(lounge)
    );
    lounge
        .speak_and_wait(&lounge.ana, "meeting_c.ogg", &words)
        .await;
    provider_request_count(lounge)
}

/// What was sent to be written down so far.
fn provider_request_count(lounge: &VoiceFixture) -> usize {
    let sent = lounge.sandbox.assemblyai().requests();
    let sync = sent.iter().filter(|it| it.path.contains("transcribe"));
    sync.count()
}

fn sent_configs(lounge: &VoiceFixture) -> String {
    let sent = lounge.sandbox.assemblyai().requests();
    let configs = sent.iter().filter_map(|it| it.form_part("config"));
    let texts = configs.map(|it| String::from_utf8_lossy(&it.body).into_owned());
    texts.collect::<Vec<_>>().join("\n")
}

/// What of all questions to the model since then holds these words.
fn chat_requests_containing(lounge: &VoiceFixture, before: usize, words: &str) -> usize {
    let asked = lounge.sandbox.openai().requests();
    let since = asked.iter().skip(before);
    since.filter(|it| it.text().contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_recognized_is_not_sent_after_the_no() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    let stt = lounge.sandbox.assemblyai();
    let gate = Gate::new();
    // What is said is sent when it is whole.
    stt.add_fault(AssemblyAiEndpoint::SyncLive, Fault::status(404));
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    let before = provider_request_count(&lounge);
    stt.add_fault(AssemblyAiEndpoint::Sync, Fault::gate(&gate).always());
    // Six places are taken, and what comes then waits for one.
    for _ in 0..7 {
        lounge
            .ben
            .speak_fast(sample_bytes("capital.ogg"), 3.0)
            .await;
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    gate.wait_until_reached_times(6).await;
    lounge.withdraw_consent(&lounge.ben).await;
    stt.clear_faults();
    gate.open();
    let sent = requests_before_speech(&lounge).await;
    assert_eq!(sent - before, 6 + 1);
    assert!(
        !lounge.transcript_text().contains("Ben:"),
        "{}",
        lounge.transcript_text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_live_line_is_not_sent_after_the_no() {
    let mut lounge = VoiceFixture::new().await;
    let url = lounge.sandbox.assemblyai().streaming_url();
    lounge
        .set("VOICE_TRANSCRIBER", "streaming")
        .set("ASSEMBLYAI_STREAMING_URL", &url);
    let _bot = lounge.start().await;
    lounge.start_session().await;
    let stt = lounge.sandbox.assemblyai();
    let gate = Gate::new();
    stt.add_fault(AssemblyAiEndpoint::Streaming, Fault::gate(&gate));
    let speech = lounge.ana.start_speaking(sample_bytes("numbers.ogg"));
    gate.wait_until_reached().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    lounge.withdraw_consent(&lounge.ana).await;
    gate.open();
    speech.wait_until_sent().await;
    let ben = &lounge.ben;
    ben.join_voice(&lounge.lounge).await;
    lounge.agrees(ben).await;
    stt.set_transcript("I will write the notes tomorrow.");
    ben.speak(sample_bytes("meeting_c.ogg")).await;
    ben.wait_for_message(&lounge.channel, "tomorrow").await;
    let sessions = stt.streaming_sessions();
    let (of_ben, of_ana) = sessions.split_last().expect("sessions");
    let sent: usize = of_ana.iter().map(|it| it.audio.len()).sum();
    assert_eq!(sent, 0, "bytes that went out after the no");
    assert!(!of_ben.audio.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_holds_when_it_cannot_be_written_down() {
    let mut lounge = VoiceFixture::new().await;
    let Some(mut bot) = lounge.launch_on_a_small_disk() else {
        return;
    };
    bot.wait_for_log("is connected").await;
    bot.wait_for_log_times("works", 2).await;
    lounge.start_session().await;
    lounge.ben.join_voice(&lounge.lounge).await;
    lounge.agrees(&lounge.ben).await;
    let filler = bot.data_file(&lounge.data()).join("filler");
    let fill = || {
        use std::io::Write;
        let mut file = std::fs::File::create(&filler).expect("a file");
        while file.write_all(&[1; 4_096]).is_ok() {}
    };
    fill();
    let pressed = lounge
        .ben
        .press_button(&lounge.wait_for_notice().await, "Don't")
        .await;
    pressed
        .wait_for_answer_containing("I couldn't save your choice")
        .await;
    let before = provider_request_count(&lounge);
    lounge.ben.speak(sample_bytes("meeting_b.ogg")).await;
    assert_eq!(requests_before_speech(&lounge).await - before, 1);
    // It holds in the next session, although the ledger still says yes.
    std::fs::remove_file(&filler).expect("removed");
    lounge.stop_session().await;
    fill();
    let response = lounge.run_command("/join", json!({})).await;
    response.wait_for_answer().await;
    std::fs::remove_file(&filler).expect("removed");
    lounge
        .run_command("/join", json!({}))
        .await
        .wait_for_answer()
        .await;
    lounge
        .discord
        .wait_until_bot_receiving(&lounge.lounge)
        .await;
    let before = provider_request_count(&lounge);
    lounge.ben.speak(sample_bytes("meeting_b.ogg")).await;
    assert_eq!(requests_before_speech(&lounge).await - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_forgotten_while_the_end_is_written_is_in_no_file() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(&lounge.ben, "meeting_b.ogg", SECRET)
        .await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let llm = lounge.sandbox.openai();
    let before = llm.requests().len();
    let gate = Gate::new();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    llm.says("Topics:\n- Herrings [1]\nDecisions:\n- Ship on Thursday [1]\n");
    let leaving = lounge.run_command("/leave", json!({})).await;
    gate.wait_until_reached().await;
    forget_user(&lounge, &lounge.ben).await;
    gate.open();
    leaving.wait_for_answer_containing("I've left").await;
    let last = lounge.wait_for_session_end("").await;
    for name in ["txt", "vtt", "srt", "json"] {
        let text = attachment_text(&last, &format!("transcript.{name}"));
        assert!(!text.contains("herring") && !text.contains("Ben"), "{text}");
        assert!(text.contains("Thursday"), "{text}");
    }
    assert!(!last.text().contains("Ben"), "{}", last.text());
    // The question that had their words was taken back, and another one asked without them.
    assert_eq!(chat_requests_containing(&lounge, before, "Thursday"), 2);
    assert_eq!(chat_requests_containing(&lounge, before, "herring"), 1);
}

/// Ben's words are with the recognizer when this happens, and come back.
async fn in_flight(lounge: &VoiceFixture, happens: impl AsyncFn(&VoiceFixture)) {
    let stt = lounge.sandbox.assemblyai();
    let gate = Gate::new();
    stt.set_transcript(SECRET);
    stt.add_fault(AssemblyAiEndpoint::SyncLive, Fault::gate(&gate));
    lounge.ben.speak(sample_bytes("meeting_b.ogg")).await;
    gate.wait_until_reached().await;
    happens(lounge).await;
    gate.open();
    let words = "I will write the notes tomorrow.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_c.ogg", words)
        .await;
    assert!(
        !lounge.transcript_text().contains("herring"),
        "{}",
        lounge.transcript_text()
    );
    let text = attachment_text(&lounge.stop_session().await, "transcript.txt");
    assert!(!text.contains("herring"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_recognized_while_somebody_is_forgotten_becomes_no_line() {
    let (lounge, _bot) = new_with_all_consenting().await;
    in_flight(&lounge, async |lounge| {
        forget_user(lounge, &lounge.ben).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_recognized_is_forgotten_also_with_a_new_yes() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    in_flight(&lounge, async |lounge| {
        forget_user(lounge, &lounge.ben).await;
        lounge.agrees(&lounge.ben).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_after_a_no_brings_nothing_back() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    in_flight(&lounge, async |lounge| {
        lounge.withdraw_consent(&lounge.ben).await;
        lounge.agrees(&lounge.ben).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_no_is_in_no_file_and_shown_no_more() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(&lounge.ben, "meeting_b.ogg", SECRET)
        .await;
    let words = "I think we should ship on Thursday.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", words)
        .await;
    let shown = lounge
        .ana
        .wait_for_message(&lounge.channel, "ship on Thursday")
        .await;
    lounge.withdraw_consent(&lounge.ben).await;
    shown
        .wait_until("no word of Ben's", |text| !text.contains("herring"))
        .await;
    lounge.agrees(&lounge.ben).await;
    let before = lounge.sandbox.openai().requests().len();
    let text = attachment_text(&lounge.stop_session().await, "transcript.txt");
    assert!(!text.contains("herring"), "{text}");
    assert_eq!(chat_requests_containing(&lounge, before, "herring"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_forgotten_do_not_help_to_hear_others() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(&lounge.ben, "meeting_b.ogg", SECRET)
        .await;
    let words = "I think we should ship on Thursday.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", words)
        .await;
    assert!(sent_configs(&lounge).contains("herring"));
    forget_user(&lounge, &lounge.ben).await;
    let before = sent_configs(&lounge).len();
    let words = "I will write the notes tomorrow.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_c.ogg", words)
        .await;
    let since = sent_configs(&lounge).split_off(before);
    assert!(since.contains("Thursday"), "{since}");
    assert!(!since.contains("herring"), "{since}");
    assert!(!since.contains("Ben"), "{since}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_forgotten_are_not_sent_with_a_question_that_is_being_answered() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(&lounge.ben, "meeting_b.ogg", SECRET)
        .await;
    let llm = lounge.sandbox.openai();
    let gate = Gate::new();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 1));
    llm.set_answer_chunks(["Herring", " it is."]);
    let options = json!({"question": "What did Ben say?"});
    let response = lounge.run_command("/ask", options).await;
    gate.wait_until_reached().await;
    llm.says("Nothing that I know of.");
    forget_user(&lounge, &lounge.ben).await;
    let answer = response
        .wait_for_answer_containing("Nothing that I know of.")
        .await;
    gate.open();
    let asked = llm.requests();
    let last = asked.last().expect("a question").text();
    assert!(last.contains("What did Ben say?") && !last.contains("herring"));
    assert!(!answer.text().contains("Herring"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_being_answered_ends_with_the_no() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let llm = lounge.sandbox.openai();
    let gate = Gate::new();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 1));
    llm.set_answer_chunks(["Paris", " it is."]);
    lounge
        .speak_and_wait(&lounge.ana, "capital.ogg", "What is the capital of France?")
        .await;
    gate.wait_until_reached().await;
    let reply = lounge.ana.wait_for_message(&lounge.channel, "Paris").await;
    lounge.withdraw_consent(&lounge.ana).await;
    reply.wait_until_deleted().await;
    gate.open();
    let text = lounge.stop_session().await.text();
    assert!(text.contains("Nothing has been written down"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_told_only_of_those_who_agreed() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.ben.join_voice(&lounge.lounge).await;
    let words = "I think we should ship on Thursday.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", words)
        .await;
    let told = sent_configs(&lounge);
    assert!(told.contains("Ana") && !told.contains("Ben"), "{told}");
    lounge.agrees(&lounge.ben).await;
    let words = "I will write the notes tomorrow.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_c.ogg", words)
        .await;
    assert!(sent_configs(&lounge).contains("Ben"));
}
