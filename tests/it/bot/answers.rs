//! Commands and buttons answer once, although nobody knows what Discord has heard of it.

use sandbox::{DiscordEndpoint, Fault};
use serde_json::json;

use super::running::Scene;

/// What may become of the first response while Discord takes it.
fn lost() -> [(&'static str, Fault); 5] {
    [
        ("reset", Fault::reset().once_done()),
        ("closed", Fault::close().once_done()),
        ("503", Fault::status(503).once_done()),
        ("hangs", Fault::hang().once_done()),
        ("already acknowledged", Fault::discord(40_060).once_done()),
    ]
}

/// What may become of it without Discord taking it.
fn failed() -> [(&'static str, Fault); 3] {
    [
        ("reset", Fault::reset()),
        ("503", Fault::status(503)),
        ("hangs", Fault::hang()),
    ]
}

const COMMANDS: [&str; 9] = [
    "/usage",
    "/session",
    "/summary",
    "/leave",
    "/reset",
    "/settings show",
    "/forget-me",
    "/help",
    "/privacy",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_is_answered_though_the_first_response_is_lost() {
    let (scene, _bot) = Scene::with_bot().await;
    scene.ana.may_manage_server();
    for (what, fault) in lost().into_iter().chain(failed()) {
        for command in COMMANDS {
            scene
                .discord
                .fault(DiscordEndpoint::Callback, fault.clone());
            let response = scene.ana.runs(&scene.channel, command, json!({})).await;
            let answer = response.answer().await;
            assert!(answer.is_private(), "{command}, {what}: {}", answer.text());
            let seen = scene.ana.sees_in(&scene.channel);
            let mine = seen.iter().filter(|it| it.is_by_bot());
            assert_eq!(mine.count(), 1, "{command}, {what}");
            answer.delete();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_once_though_the_first_response_is_lost() {
    let (scene, _bot) = Scene::with_bot().await;
    for (_, fault) in lost().into_iter().chain(failed()) {
        scene.discord.fault(DiscordEndpoint::Callback, fault);
        let options = json!({"question": "What is it?"});
        let response = scene.ana.runs(&scene.channel, "/ask", options).await;
        let answer = response.answer_with("Paris.").await;
        answer.until_done().await;
        let seen = scene.ana.sees_in(&scene.channel);
        assert_eq!(seen.iter().filter(|it| it.is_by_bot()).count(), 1);
        answer.delete();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_work_though_the_first_response_is_lost() {
    let (scene, _bot) = Scene::with_bot().await;
    for (what, fault) in lost().into_iter().chain(failed()) {
        let call = scene.ana.calls_bot(&scene.channel, "What is it?").await;
        let reply = scene.ana.sees_reply_to(&call).await;
        let text = reply.until_done().await;
        // Who may not press it is told so, and the answer stays as it is.
        scene
            .discord
            .fault(DiscordEndpoint::Callback, fault.clone());
        let refused = scene.ben.presses(&reply, "Delete").await;
        let sentence = refused.answer_with("Only whoever asked").await;
        assert!(sentence.is_private(), "{what}");
        assert_eq!(reply.text(), text);
        scene.discord.fault(DiscordEndpoint::Callback, fault);
        scene.ana.presses(&reply, "Delete").await;
        reply.until_deleted().await;
        sentence.delete();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_tells_twice_is_done_once() {
    let (scene, _bot) = Scene::with_bot().await;
    let direct = scene.ana.direct();
    for _ in 0..2 {
        let call = scene.ana.says(&direct, "What is it?").await;
        call.is_told_again();
        let reply = scene.ana.sees_reply_to(&call).await;
        reply.until_done().await;
        call.is_told_again();
        // Of one person, one thing after the other is done.
        let next = scene.ana.says(&direct, "And now?").await;
        scene.ana.sees_reply_to(&next).await.until_done().await;
        assert_eq!(call.replies().len(), 1);
    }
    let forgotten = scene
        .ana
        .runs(&scene.channel, "/forget-me", json!({}))
        .await;
    let text = forgotten.answer_with("Done: 4 requests").await;
    forgotten.is_told_again();
    let options = json!({"question": "What is it?"});
    let asked = scene.ana.runs(&scene.channel, "/ask", options).await;
    asked.is_told_again();
    asked.answer_with("Paris.").await.until_done().await;
    assert!(text.text().starts_with("Done: 4 requests"));
    let shown = scene.ana.sees_in(&scene.channel);
    assert_eq!(shown.iter().filter(|it| it.is_by_bot()).count(), 2);
}
