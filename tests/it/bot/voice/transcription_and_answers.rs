//! People talk, and the bot writes down who says what, and answers.

use std::time::Duration;

use serde_json::json;

use super::super::harness::sample_bytes;
use super::{VoiceFixture, attachment_text, with_songbird_too, without_timestamps};

with_songbird_too!(
    who_says_what_is_written_down,
    words_are_shown_while_they_are_spoken,
);

#[tokio::test(flavor = "multi_thread")]
async fn who_says_what_is_written_down() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    let (ana, ben) = (&lounge.ana, &lounge.ben);
    lounge
        .speak_and_wait(ana, "meeting_a.ogg", "I think we should ship on Thursday.")
        .await;
    lounge
        .speak_and_wait(
            ben,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    let transcript = ana
        .wait_for_message(&lounge.channel, "ship on Thursday")
        .await;
    let text = transcript
        .wait_until("both lines", |text| text.contains("release notes"))
        .await;
    insta::assert_snapshot!(without_timestamps(&text), @r"
    12:04 **Ana:** I think we should ship on Thursday.
    12:04 **Ben:** Somebody has to write the release notes.
    ");
    // What a model makes of it has to rest on lines that are there.
    lounge.sandbox.openai().says(
        "Topics:\n- Shipping the new version [1]\n- The weather [9]\n\
         Decisions:\n- Ship on Thursday [1]\n\
         Actions:\n- Ben: write the release notes [2]\n",
    );
    let last = lounge.stop_session().await;
    let files: Vec<String> = last
        .attachments()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        files,
        [
            "transcript.txt",
            "transcript.vtt",
            "transcript.srt",
            "transcript.json"
        ]
    );
    let txt = attachment_text(&last, "transcript.txt");
    assert!(
        txt.contains("Ana: I think we should ship on Thursday."),
        "{txt}"
    );
    assert!(attachment_text(&last, "transcript.vtt").contains("<v Ben>Somebody"));
    let end = last.text();
    assert!(
        end.contains("Ship on Thursday") && end.contains("write the release notes"),
        "{end}"
    );
    assert!(!end.contains("weather"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_alone_is_answered() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.sandbox.openai().says("Paris.");
    lounge
        .speak_and_wait(&lounge.ana, "capital.ogg", "What is the capital of France?")
        .await;
    let answer = lounge.ana.wait_for_message(&lounge.channel, "Paris.").await;
    assert_eq!(
        answer.wait_until_done().await,
        "> **Ana:** What is the capital of France?\nParis."
    );
    // What is no question is not answered.
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_c.ogg",
            "I will write the notes tomorrow.",
        )
        .await;
    let typed = json!({"question": "Who writes the notes?"});
    lounge.sandbox.openai().says("You do.");
    lounge.run_and_wait("/ask", typed, "You do.").await;
    let asked = lounge.sandbox.openai().requests();
    let chats: Vec<_> = asked
        .iter()
        .filter(|it| it.path.ends_with("/completions"))
        .collect();
    let last = chats
        .last()
        .map(|it| it.json().to_string())
        .unwrap_or_default();
    // The question by command knows what was said, and what was answered.
    assert!(last.contains("I will write the notes tomorrow."), "{last}");
    assert!(
        last.contains("What is the capital of France?") && last.contains("Paris."),
        "{last}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn among_several_people_it_is_called_by_name() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge.sandbox.openai().says("On Thursday.");
    lounge
        .speak_and_wait(
            &lounge.ben,
            "meeting_a.ogg",
            "When do we ship the new version?",
        )
        .await;
    // The recognizer does not know how the bot is written.
    lounge
        .speak_and_wait(
            &lounge.ana,
            "wake.ogg",
            "Hey Top Back, remind us what we decided.",
        )
        .await;
    let answer = lounge
        .ana
        .wait_for_message(&lounge.channel, "On Thursday.")
        .await;
    assert_eq!(
        answer.wait_until_done().await,
        "> **Ana:** remind us what we decided.\nOn Thursday."
    );
    let asked = lounge.sandbox.openai().requests();
    let asked = asked
        .last()
        .map(|it| it.json().to_string())
        .unwrap_or_default();
    assert!(
        asked.contains("Ben: When do we ship the new version?"),
        "{asked}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_question_takes_the_place_of_an_older_one() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    let llm = lounge.sandbox.openai();
    llm.set_chunk_delay(Duration::from_millis(400));
    let slowly: Vec<String> = (0..200).map(|it| format!("word{it} ")).collect();
    llm.set_answer_chunks(slowly);
    lounge
        .speak_and_wait(
            &lounge.ana,
            "question.ogg",
            "What would life outside of Earth look like?",
        )
        .await;
    lounge.ana.wait_for_message(&lounge.channel, "word2").await;
    llm.set_chunk_delay(Duration::ZERO);
    llm.says("Paris.");
    lounge
        .speak_and_wait(&lounge.ana, "capital.ogg", "What is the capital of France?")
        .await;
    lounge.ana.wait_for_message(&lounge.channel, "Paris.").await;
    let left = lounge
        .ana
        .wait_for_message(&lounge.channel, "Stopped here for a newer question")
        .await;
    assert!(left.text().contains("word1"), "{}", left.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_shown_while_they_are_spoken() {
    let mut lounge = VoiceFixture::new().await;
    let url = lounge.sandbox.assemblyai().streaming_url();
    lounge
        .set("VOICE_TRANSCRIBER", "streaming")
        .set("ASSEMBLYAI_STREAMING_URL", &url);
    let _bot = lounge.start().await;
    lounge.start_session().await;
    // The service may well hear two turns in it, and nothing is said in the second.
    let stt = lounge.sandbox.assemblyai();
    stt.set_transcript("");
    stt.queue_transcripts(["I think we should ship on Thursday."]);
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    let line = lounge
        .ana
        .wait_for_message(&lounge.channel, "ship on Thursday.")
        .await;
    let whole = line
        .wait_until("the line", |text| text.contains("**Ana:**"))
        .await;
    assert_eq!(
        without_timestamps(&whole),
        "12:04 **Ana:** I think we should ship on Thursday."
    );
    let grew = line.versions().iter().any(|it| it.starts_with("-# Ana: "));
    assert!(grew, "{:?}", line.versions());
    lounge.stop_session().await;
    let sessions = lounge.sandbox.assemblyai().streaming_sessions();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_meanwhile_belongs_to_it() {
    let (lounge, _bot) = VoiceFixture::new_with_both_consenting().await;
    lounge
        .speak_and_wait(
            &lounge.ben,
            "meeting_b.ogg",
            "Somebody has to write the release notes.",
        )
        .await;
    lounge.sandbox.openai().says("The release notes.");
    let asked = lounge
        .ana
        .mention_bot(&lounge.channel, "What is missing?")
        .await;
    let reply = lounge
        .ana
        .wait_for_reply_containing(&asked, "The release notes.")
        .await;
    reply.wait_until_done().await;
    let heard = lounge.sandbox.openai().requests();
    let heard = heard
        .last()
        .map(|it| it.json().to_string())
        .unwrap_or_default();
    assert!(
        heard.contains("Ben: Somebody has to write the release notes."),
        "{heard}"
    );
    let last = lounge.stop_session().await;
    let txt = attachment_text(&last, "transcript.txt");
    assert!(txt.contains("Ana: What is missing?"), "{txt}");
    assert!(txt.contains("The release notes."), "{txt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_tells_how_it_goes() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge
        .speak_and_wait(
            &lounge.ana,
            "meeting_a.ogg",
            "I think we should ship on Thursday.",
        )
        .await;
    let report = lounge
        .run_and_wait("/session", json!({}), "Voice session")
        .await;
    let report = report
        .wait_until("what was heard of Ana", |text| text.contains("Ana"))
        .await;
    assert!(report.contains("about 0.000"), "{report}");

    let shown = lounge.run_and_wait("/session", json!({}), "Ana").await;
    lounge.sandbox.assemblyai().set_transcript("One two three.");
    let pressed = lounge.ana.press_button(&shown, "Can you hear me?").await;
    pressed
        .wait_for_answer_containing("Say something now")
        .await;
    lounge.ana.speak(sample_bytes("numbers.ogg")).await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "One two three.")
        .await;
    pressed.wait_for_answer_containing("I heard").await;
    assert_eq!(
        pressed.wait_for_answer().await.text(),
        "I heard: “One two three.”"
    );

    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    lounge
        .run_and_wait("/summary", json!({}), "Ship on Thursday")
        .await;
}

/// Whoever listens while people speak knows what the assistant has just said, and knows it no longer
/// once that is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_helps_to_hear_what_is_said_next() {
    let mut lounge = VoiceFixture::new().await;
    lounge.set("VOICE_TRANSCRIBER", "streaming");
    let _bot = lounge.start().await;
    lounge.start_session().await;
    lounge.sandbox.openai().says("Shall I write that down?");
    let question = "What is the capital of France?";
    lounge
        .speak_and_wait(&lounge.ana, "capital.ogg", question)
        .await;
    let answer = "Shall I write that down?";
    let shown = lounge.ana.wait_for_message(&lounge.channel, answer).await;
    shown.wait_until_done().await;
    let words = "I think we should ship on Thursday.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", words)
        .await;
    let told = || {
        let sessions = lounge.sandbox.assemblyai().streaming_sessions();
        let told = sessions.iter().map(|it| it.query_param("agent_context"));
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(), [None, Some(answer.to_owned())]);
    let forgetting = lounge
        .ana
        .run_command(&lounge.channel, "/forget-me", json!({}));
    forgetting.await.wait_for_answer_containing("Done: ").await;
    lounge.agrees(&lounge.ana).await;
    let words = "I will write the notes tomorrow.";
    lounge
        .speak_and_wait(&lounge.ana, "meeting_c.ogg", words)
        .await;
    assert_eq!(told()[2..], [None]);
}
