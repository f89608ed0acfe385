//! Commands and buttons answer once, although nobody knows what Discord has heard of it.

use sandbox::{DiscordEndpoint, Fault};
use serde_json::json;

use super::harness::BotFixture;

/// What may become of the first response while Discord takes it.
fn lost_response_faults() -> [(&'static str, Fault); 5] {
    [
        ("reset", Fault::reset_connection().after_processing()),
        ("closed", Fault::close_connection().after_processing()),
        ("503", Fault::status(503).after_processing()),
        ("hangs", Fault::hang().after_processing()),
        (
            "already acknowledged",
            Fault::discord_error(40_060).after_processing(),
        ),
    ]
}

/// What may become of it without Discord taking it.
fn failed_response_faults() -> [(&'static str, Fault); 3] {
    [
        ("reset", Fault::reset_connection()),
        ("503", Fault::status(503)),
        ("hangs", Fault::hang()),
    ]
}

const ALL_COMMANDS: [&str; 9] = [
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
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.ana.grant_manage_guild();
    for (what, fault) in lost_response_faults()
        .into_iter()
        .chain(failed_response_faults())
    {
        for command in ALL_COMMANDS {
            scene
                .discord
                .add_fault(DiscordEndpoint::InteractionCallback, fault.clone());
            let response = scene
                .ana
                .run_command(&scene.channel, command, json!({}))
                .await;
            let answer = response.wait_for_answer().await;
            assert!(answer.is_private(), "{command}, {what}: {}", answer.text());
            let seen = scene.ana.visible_messages(&scene.channel);
            let mine = seen.iter().filter(|it| it.is_by_bot());
            assert_eq!(mine.count(), 1, "{command}, {what}");
            answer.delete();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_once_though_the_first_response_is_lost() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    for (_, fault) in lost_response_faults()
        .into_iter()
        .chain(failed_response_faults())
    {
        scene
            .discord
            .add_fault(DiscordEndpoint::InteractionCallback, fault);
        let options = json!({"question": "What is it?"});
        let response = scene.ana.run_command(&scene.channel, "/ask", options).await;
        let answer = response.wait_for_answer_containing("Paris.").await;
        answer.wait_until_done().await;
        let seen = scene.ana.visible_messages(&scene.channel);
        assert_eq!(seen.iter().filter(|it| it.is_by_bot()).count(), 1);
        answer.delete();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_work_though_the_first_response_is_lost() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    for (what, fault) in lost_response_faults()
        .into_iter()
        .chain(failed_response_faults())
    {
        let call = scene.ana.mention_bot(&scene.channel, "What is it?").await;
        let reply = scene.ana.wait_for_reply(&call).await;
        let text = reply.wait_until_done().await;
        // Who may not press it is told so, and the answer stays as it is.
        scene
            .discord
            .add_fault(DiscordEndpoint::InteractionCallback, fault.clone());
        let refused = scene.ben.press_button(&reply, "Delete").await;
        let sentence = refused
            .wait_for_answer_containing("Only the person who asked")
            .await;
        assert!(sentence.is_private(), "{what}");
        assert_eq!(reply.text(), text);
        scene
            .discord
            .add_fault(DiscordEndpoint::InteractionCallback, fault);
        scene.ana.press_button(&reply, "Delete").await;
        reply.wait_until_deleted().await;
        sentence.delete();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_tells_twice_is_done_once() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let direct = scene.ana.dm_channel();
    for _ in 0..2 {
        let call = scene.ana.says(&direct, "What is it?").await;
        call.redispatch();
        let reply = scene.ana.wait_for_reply(&call).await;
        reply.wait_until_done().await;
        call.redispatch();
        // Of one person, one thing after the other is done.
        let next = scene.ana.says(&direct, "And now?").await;
        scene
            .ana
            .wait_for_reply(&next)
            .await
            .wait_until_done()
            .await;
        assert_eq!(call.bot_replies().len(), 1);
    }
    let forgotten = scene
        .ana
        .run_command(&scene.channel, "/forget-me", json!({}))
        .await;
    let text = forgotten
        .wait_for_answer_containing("Done: I deleted 4 requests")
        .await;
    forgotten.redispatch();
    let options = json!({"question": "What is it?"});
    let asked = scene.ana.run_command(&scene.channel, "/ask", options).await;
    asked.redispatch();
    asked
        .wait_for_answer_containing("Paris.")
        .await
        .wait_until_done()
        .await;
    assert!(text.text().starts_with("Done: I deleted 4 requests"));
    let shown = scene.ana.visible_messages(&scene.channel);
    assert_eq!(shown.iter().filter(|it| it.is_by_bot()).count(), 2);
}
