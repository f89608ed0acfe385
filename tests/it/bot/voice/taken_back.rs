//! From the moment somebody takes their word back, nothing of theirs goes anywhere, wherever it is
//! just then.

use std::time::Duration;

use sandbox::{Endpoint, Fault, Gate, OpenAiEndpoint, Person};
use serde_json::json;

use super::super::running::{Bot, recording};
use super::{Lounge, file};

const SECRET: &str = "The secret word is herring.";

/// Ana and Ben are in the channel, and everybody is written down who does not say no.
async fn with_everybody() -> (Lounge, Bot) {
    let mut lounge = Lounge::new().await;
    let bot = lounge.start().await;
    lounge.ana.may_manage_server();
    let everybody = json!({"consent": "notice"});
    lounge
        .answered(
            "/settings voice",
            everybody,
            "everybody but who has declined",
        )
        .await;
    lounge.ana.joins_voice(&lounge.lounge).await;
    lounge.ben.joins_voice(&lounge.lounge).await;
    lounge.answered("/join", json!({}), "I am in").await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    (lounge, bot)
}

async fn is_forgotten(lounge: &Lounge, person: &Person) {
    let forgetting = person.runs(&lounge.channel, "/forget-me", json!({}));
    forgetting.await.answer_with("Done: ").await;
}

/// What was sent to be written down, once nothing more comes: Ana says one more thing.
async fn sent_until_ana_speaks(lounge: &Lounge) -> usize {
    // Never the same words twice, which would be seen before they are said.
    let words = format!("I will write note number {} tomorrow.", sent(lounge));
    lounge.says(&lounge.ana, "meeting_c.ogg", &words).await;
    sent(lounge)
}

/// What was sent to be written down so far.
fn sent(lounge: &Lounge) -> usize {
    let sent = lounge.sandbox.assemblyai().requests();
    let sync = sent.iter().filter(|it| it.path.contains("transcribe"));
    sync.count()
}

fn configs(lounge: &Lounge) -> String {
    let sent = lounge.sandbox.assemblyai().requests();
    let configs = sent.iter().filter_map(|it| it.part("config"));
    let texts = configs.map(|it| String::from_utf8_lossy(&it.body).into_owned());
    texts.collect::<Vec<_>>().join("\n")
}

/// What of all questions to the model since then holds these words.
fn asked_with(lounge: &Lounge, before: usize, words: &str) -> usize {
    let asked = lounge.sandbox.openai().requests();
    let since = asked.iter().skip(before);
    since.filter(|it| it.text().contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_be_recognized_is_not_sent_after_the_no() {
    let (lounge, _bot) = Lounge::with_both().await;
    let stt = lounge.sandbox.assemblyai();
    let gate = Gate::new();
    // What is said is sent when it is whole.
    stt.fault(Endpoint::SyncLive, Fault::status(404));
    lounge
        .says(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    let before = sent(&lounge);
    stt.fault(Endpoint::Sync, Fault::gate(&gate).always());
    // Six places are taken, and what comes then waits for one.
    for _ in 0..7 {
        lounge.ben.speaks_fast(recording("capital.ogg"), 3.0).await;
        tokio::time::sleep(Duration::from_millis(900)).await;
    }
    gate.reached_times(6).await;
    lounge.says_no(&lounge.ben).await;
    stt.clear_faults();
    gate.open();
    let sent = sent_until_ana_speaks(&lounge).await;
    assert_eq!(sent - before, 6 + 1);
    assert!(!lounge.shown().contains("Ben:"), "{}", lounge.shown());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_live_line_is_not_sent_after_the_no() {
    let mut lounge = Lounge::new().await;
    let url = lounge.sandbox.assemblyai().streaming_url();
    lounge
        .set("VOICE_TRANSCRIBER", "streaming")
        .set("ASSEMBLYAI_STREAMING_URL", &url);
    let _bot = lounge.start().await;
    lounge.begins().await;
    let stt = lounge.sandbox.assemblyai();
    let gate = Gate::new();
    stt.fault(Endpoint::Streaming, Fault::gate(&gate));
    let speech = lounge.ana.begins_to_speak(recording("numbers.ogg"));
    gate.reached().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    lounge.says_no(&lounge.ana).await;
    gate.open();
    speech.ends().await;
    let ben = &lounge.ben;
    ben.joins_voice(&lounge.lounge).await;
    lounge.agrees(ben).await;
    stt.hears("I will write the notes tomorrow.");
    ben.speaks(recording("meeting_c.ogg")).await;
    ben.sees(&lounge.channel, "tomorrow").await;
    let sessions = stt.sessions();
    let (of_ben, of_ana) = sessions.split_last().expect("sessions");
    let sent: usize = of_ana.iter().map(|it| it.audio.len()).sum();
    assert_eq!(sent, 0, "bytes that went out after the no");
    assert!(!of_ben.audio.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_holds_when_it_cannot_be_written_down() {
    let mut lounge = Lounge::new().await;
    let Some(mut bot) = lounge.launch_on_a_small_disk() else {
        return;
    };
    bot.until_it_says("is connected").await;
    bot.until_it_says_times("works", 2).await;
    lounge.begins().await;
    lounge.ben.joins_voice(&lounge.lounge).await;
    lounge.agrees(&lounge.ben).await;
    let filler = bot.file(&lounge.data()).join("filler");
    let fill = || {
        use std::io::Write;
        let mut file = std::fs::File::create(&filler).expect("a file");
        while file.write_all(&[1; 4_096]).is_ok() {}
    };
    fill();
    let pressed = lounge.ben.presses(&lounge.notice().await, "Don't").await;
    pressed.answer_with("I could not write that down").await;
    let before = sent(&lounge);
    lounge.ben.speaks(recording("meeting_b.ogg")).await;
    assert_eq!(sent_until_ana_speaks(&lounge).await - before, 1);
    // It holds in the next session, although the ledger still says yes.
    std::fs::remove_file(&filler).expect("removed");
    lounge.ends().await;
    fill();
    let response = lounge.runs("/join", json!({})).await;
    response.answer().await;
    std::fs::remove_file(&filler).expect("removed");
    lounge.runs("/join", json!({})).await.answer().await;
    lounge.discord.until_bot_hears(&lounge.lounge).await;
    let before = sent(&lounge);
    lounge.ben.speaks(recording("meeting_b.ogg")).await;
    assert_eq!(sent_until_ana_speaks(&lounge).await - before, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_forgotten_while_the_end_is_written_is_in_no_file() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge.says(&lounge.ben, "meeting_b.ogg", SECRET).await;
    lounge
        .says(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let llm = lounge.sandbox.openai();
    let before = llm.requests().len();
    let gate = Gate::new();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    llm.says("Topics:\n- Herrings [1]\nDecisions:\n- Ship on Thursday [1]\n");
    let leaving = lounge.runs("/leave", json!({})).await;
    gate.reached().await;
    is_forgotten(&lounge, &lounge.ben).await;
    gate.open();
    leaving.answer_with("I have left").await;
    let last = lounge.is_over("").await;
    for name in ["txt", "vtt", "srt", "json"] {
        let text = file(&last, &format!("transcript.{name}"));
        assert!(!text.contains("herring") && !text.contains("Ben"), "{text}");
        assert!(text.contains("Thursday"), "{text}");
    }
    assert!(!last.text().contains("Ben"), "{}", last.text());
    // The question that had their words was taken back, and another one asked without them.
    assert_eq!(asked_with(&lounge, before, "Thursday"), 2);
    assert_eq!(asked_with(&lounge, before, "herring"), 1);
}

/// Ben's words are with the recognizer when this happens, and come back.
async fn in_flight(lounge: &Lounge, happens: impl AsyncFn(&Lounge)) {
    let stt = lounge.sandbox.assemblyai();
    let gate = Gate::new();
    stt.hears(SECRET);
    stt.fault(Endpoint::SyncLive, Fault::gate(&gate));
    lounge.ben.speaks(recording("meeting_b.ogg")).await;
    gate.reached().await;
    happens(lounge).await;
    gate.open();
    let words = "I will write the notes tomorrow.";
    lounge.says(&lounge.ana, "meeting_c.ogg", words).await;
    assert!(!lounge.shown().contains("herring"), "{}", lounge.shown());
    let text = file(&lounge.ends().await, "transcript.txt");
    assert!(!text.contains("herring"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_recognized_while_somebody_is_forgotten_becomes_no_line() {
    let (lounge, _bot) = with_everybody().await;
    in_flight(&lounge, async |lounge| {
        is_forgotten(lounge, &lounge.ben).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_recognized_is_forgotten_also_with_a_new_yes() {
    let (lounge, _bot) = Lounge::with_both().await;
    in_flight(&lounge, async |lounge| {
        is_forgotten(lounge, &lounge.ben).await;
        lounge.agrees(&lounge.ben).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_after_a_no_brings_nothing_back() {
    let (lounge, _bot) = Lounge::with_both().await;
    in_flight(&lounge, async |lounge| {
        lounge.says_no(&lounge.ben).await;
        lounge.agrees(&lounge.ben).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_a_no_is_in_no_file_and_shown_no_more() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge.says(&lounge.ben, "meeting_b.ogg", SECRET).await;
    let words = "I think we should ship on Thursday.";
    lounge.says(&lounge.ana, "meeting_a.ogg", words).await;
    let shown = lounge.ana.sees(&lounge.channel, "ship on Thursday").await;
    lounge.says_no(&lounge.ben).await;
    shown
        .until("no word of Ben's", |text| !text.contains("herring"))
        .await;
    lounge.agrees(&lounge.ben).await;
    let before = lounge.sandbox.openai().requests().len();
    let text = file(&lounge.ends().await, "transcript.txt");
    assert!(!text.contains("herring"), "{text}");
    assert_eq!(asked_with(&lounge, before, "herring"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_forgotten_do_not_help_to_hear_others() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge.says(&lounge.ben, "meeting_b.ogg", SECRET).await;
    let words = "I think we should ship on Thursday.";
    lounge.says(&lounge.ana, "meeting_a.ogg", words).await;
    assert!(configs(&lounge).contains("herring"));
    is_forgotten(&lounge, &lounge.ben).await;
    let before = configs(&lounge).len();
    let words = "I will write the notes tomorrow.";
    lounge.says(&lounge.ana, "meeting_c.ogg", words).await;
    let since = configs(&lounge).split_off(before);
    assert!(since.contains("Thursday"), "{since}");
    assert!(!since.contains("herring"), "{since}");
    assert!(!since.contains("Ben"), "{since}");
}

#[tokio::test(flavor = "multi_thread")]
async fn words_of_the_forgotten_are_not_sent_with_a_question_that_is_being_answered() {
    let (lounge, _bot) = Lounge::with_both().await;
    lounge.says(&lounge.ben, "meeting_b.ogg", SECRET).await;
    let llm = lounge.sandbox.openai();
    let gate = Gate::new();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate_after_pieces(&gate, 1));
    llm.says_pieces(["Herring", " it is."]);
    let options = json!({"question": "What did Ben say?"});
    let response = lounge.runs("/ask", options).await;
    gate.reached().await;
    llm.says("Nothing that I know of.");
    is_forgotten(&lounge, &lounge.ben).await;
    let answer = response.answer_with("Nothing that I know of.").await;
    gate.open();
    let asked = llm.requests();
    let last = asked.last().expect("a question").text();
    assert!(last.contains("What did Ben say?") && !last.contains("herring"));
    assert!(!answer.text().contains("Herring"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_being_answered_ends_with_the_no() {
    let (lounge, _bot) = Lounge::with_session().await;
    let llm = lounge.sandbox.openai();
    let gate = Gate::new();
    llm.fault(OpenAiEndpoint::Chat, Fault::gate_after_pieces(&gate, 1));
    llm.says_pieces(["Paris", " it is."]);
    lounge
        .says(&lounge.ana, "capital.ogg", "What is the capital of France?")
        .await;
    gate.reached().await;
    let reply = lounge.ana.sees(&lounge.channel, "Paris").await;
    lounge.says_no(&lounge.ana).await;
    reply.until_deleted().await;
    gate.open();
    let text = lounge.ends().await.text();
    assert!(text.contains("Nothing has been written down"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_told_only_of_those_who_agreed() {
    let (lounge, _bot) = Lounge::with_session().await;
    lounge.ben.joins_voice(&lounge.lounge).await;
    let words = "I think we should ship on Thursday.";
    lounge.says(&lounge.ana, "meeting_a.ogg", words).await;
    let told = configs(&lounge);
    assert!(told.contains("Ana") && !told.contains("Ben"), "{told}");
    lounge.agrees(&lounge.ben).await;
    let words = "I will write the notes tomorrow.";
    lounge.says(&lounge.ana, "meeting_c.ogg", words).await;
    assert!(configs(&lounge).contains("Ben"));
}
