//! Answers without words, and words that are no answer: whoever asks sees an end all the same.

use sandbox::{Fault, OpenAiEndpoint};

use super::harness::BotFixture;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_is_told_why_there_is_no_answer() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let server = scene.sandbox.openai();
    let direct = scene.ana.dm_channel();
    let mut told = Vec::new();
    for (name, answer, fault) in [
        ("nothing", "", Fault::default()),
        ("blanks", " \n\u{200b}", Fault::default()),
        ("only thoughts", "", Fault::reasoning("Hm.")),
        (
            "only thoughts between tags",
            "<think>Hm.</think>",
            Fault::default(),
        ),
        ("only a call of a tool", "", Fault::tool_call("search")),
        (
            "out of tokens",
            "",
            Fault::reasoning("Hm.").and(Fault::finish_reason("length")),
        ),
        ("filtered", "", Fault::finish_reason("content_filter")),
        (
            "an error as a sentence",
            "x",
            Fault::status(200).body("application/json", r#"{"error":"odd"}"#),
        ),
        (
            "a web page",
            "x",
            Fault::status(200).body("text/html", "<html>Welcome</html>"),
        ),
        (
            "moved",
            "x",
            Fault::status(308).header("location", "https://answers.example/v1/chat/completions"),
        ),
        (
            "a failure in the middle",
            "Par is.",
            Fault::error_after_chunks(1, "out of memory"),
        ),
    ] {
        server.says(answer);
        server.add_fault(OpenAiEndpoint::Chat, fault);
        let question = scene.ana.says(&direct, "What is it?").await;
        let text = scene
            .ana
            .wait_for_reply(&question)
            .await
            .wait_until_done()
            .await;
        told.push(format!("{name}: {text}"));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn thoughts_without_an_opening_tag_are_gone_in_the_end() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let server = scene.sandbox.openai();
    let direct = scene.ana.dm_channel();
    // From the second answer on it is known how the model thinks.
    for _ in 0..2 {
        server.set_answer_chunks(["Hm. Let me see.", "</think>", "Par", "is."]);
        let question = scene.ana.says(&direct, "What is it?").await;
        let reply = scene.ana.wait_for_reply(&question).await;
        assert_eq!(reply.wait_until_done().await, "Paris.");
    }
}
