//! Whoever asks sees an end, whatever Discord refuses, and sees it once.

use std::time::Duration;

use sandbox::{Channel, DiscordEndpoint, Fault, Gate, Message, OpenAiEndpoint, TestUser};
use serde_json::json;

use super::harness::{BotFixture, question_recording};
use super::voice::VoiceFixture;

/// Refusals that are for good, and some that pass.
const DISCORD_ERROR_CODES: [u32; 19] = [
    200_000, 240_000, 50_083, 50_006, 50_001, 50_013, 10_003, 10_008, 40_005, 50_035, 160_002,
    30_046, 20_009, 20_016, 50_007, 50_278, 50_008, 50_005, 30_033,
];

/// Whether something is still to come by what a message says.
fn is_pending(message: &Message) -> bool {
    let text = message.text();
    let last = text.lines().last().unwrap_or_default().to_owned();
    let status = ["-# One moment", "-# Listening", "-# Thinking"];
    text.is_empty() || status.iter().any(|it| last.starts_with(it)) || text.ends_with(" …")
}

/// What the bot shows to a person who has asked `asked` times: an end each, or nothing where it
/// was told that its message is gone.
async fn assert_request_concludes(person: &TestUser, channel: &Channel, code: u32, asked: usize) {
    let gone = matches!(code, 10_003 | 10_008);
    let what = format!("{asked} ends after {code}");
    let (direct, told) = (
        person.dm_channel(),
        person.visible_messages(&person.dm_channel()).len(),
    );
    person
        .wait_for_visible(channel, &what, |seen| {
            // Where nothing can be said in the channel, it is said directly.
            let aside = person.visible_messages(&direct).into_iter().skip(told);
            let seen: Vec<Message> = seen.iter().cloned().chain(aside).collect();
            let mine: Vec<&Message> = seen.iter().filter(|it| it.is_by_bot()).collect();
            let ended = mine.len() == asked || (gone && mine.is_empty());
            ended && !mine.iter().any(|it| is_pending(it))
        })
        .await;
}

async fn delete_all_messages(channel: &Channel, person: &TestUser) {
    for message in person.visible_messages(channel) {
        message.delete();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_ends_whatever_its_growing_reply_is_refused_for() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.discord.disable_rate_limits();
    scene.enable_notes().await;
    for code in DISCORD_ERROR_CODES {
        let channel = scene.guild.add_text_channel("notes");
        let gate = Gate::new();
        let llm = scene.sandbox.openai();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        let call = scene.ana.mention_bot(&channel, "What is it?").await;
        scene.ana.wait_for_reply(&call).await;
        gate.wait_until_reached().await;
        let refusal = match code {
            20_016 => Fault::discord_error(code).times(2),
            _ => Fault::discord_error(code).always(),
        };
        scene
            .discord
            .add_fault(DiscordEndpoint::EditMessage, refusal);
        gate.open();
        assert_request_concludes(&scene.ana, &channel, code, 1).await;
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_ends_whatever_a_new_message_is_refused_for() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.discord.disable_rate_limits();
    for code in DISCORD_ERROR_CODES {
        if matches!(code, 10_003 | 10_008) {
            continue;
        }
        let channel = scene.guild.add_text_channel("notes");
        let refusal = Fault::discord_error(code).times(2);
        scene
            .discord
            .add_fault(DiscordEndpoint::CreateMessage, refusal);
        let call = scene.ana.mention_bot(&channel, "What is it?").await;
        assert_request_concludes(&scene.ana, &channel, code, 1).await;
        assert!(!call.is_deleted());
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_ends_whatever_its_response_is_refused_for() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.discord.disable_rate_limits();
    for code in DISCORD_ERROR_CODES {
        // What is gone shows nothing any more.
        if matches!(code, 10_003 | 10_008) {
            continue;
        }
        for private in [false, true] {
            let channel = scene.guild.add_text_channel("commands");
            let gate = Gate::new();
            let llm = scene.sandbox.openai();
            llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
            let options = json!({"question": "What is it?", "private": private});
            let response = scene.ana.run_command(&channel, "/ask", options).await;
            gate.wait_until_reached().await;
            response.wait_for_answer_containing("Thinking").await;
            let refusal = Fault::discord_error(code).times(2);
            scene
                .discord
                .add_fault(DiscordEndpoint::InteractionWebhook, refusal);
            gate.open();
            assert_request_concludes(&scene.ana, &channel, code, 1).await;
            scene.discord.clear_faults();
            delete_all_messages(&channel, &scene.ana).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_and_a_button_end_whatever_is_refused() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.discord.disable_rate_limits();
    scene.enable_notes().await;
    for code in DISCORD_ERROR_CODES {
        let elsewhere = scene.guild.add_text_channel("quiet");
        let note = scene
            .ana
            .send_voice_message(&elsewhere, question_recording())
            .await;
        let refusal = Fault::discord_error(code).times(1);
        scene
            .discord
            .add_fault(DiscordEndpoint::InteractionWebhook, refusal);
        scene.ben.run_message_command(&note, "Answer this").await;
        assert_request_concludes(&scene.ben, &elsewhere, code, 1).await;
        scene.discord.clear_faults();

        let channel = scene.guild.add_text_channel("again");
        let call = scene.ana.mention_bot(&channel, "What is it?").await;
        let reply = scene.ana.wait_for_reply(&call).await;
        reply.wait_until_done().await;
        let gate = Gate::new();
        let llm = scene.sandbox.openai();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        scene.ana.press_button(&reply, "Try again").await;
        gate.wait_until_reached().await;
        let refusal = Fault::discord_error(code).times(2);
        scene
            .discord
            .add_fault(DiscordEndpoint::EditMessage, refusal);
        gate.open();
        assert_request_concludes(&scene.ana, &channel, code, 1).await;
        scene.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_blocks_the_answer_is_said() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.guild.block_word("heron");
    scene.enable_notes().await;
    scene.sandbox.openai().says("It is a heron.");
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    let text = reply.wait_until_done().await;
    insta::assert_snapshot!(text, @"A filter in this server or at Discord blocked my answer. Rephrase your question.");
    let options = json!({"question": "What is it?"});
    let response = scene.ana.run_command(&scene.channel, "/ask", options).await;
    response
        .wait_for_answer_containing("blocked my answer")
        .await;
    assert_eq!(note.bot_replies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_blocks_what_was_said_is_said_too() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.guild.block_word("capital");
    scene.enable_notes().await;
    let note = scene
        .ana
        .send_voice_message(&scene.channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply(&note).await;
    assert!(reply.wait_until_done().await.contains("blocked my answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_long_answer_only_the_blocked_part_is_missing() {
    let mut scene = BotFixture::new().await;
    scene.set("CHAT_MAX_TOKENS", "8000");
    let _bot = scene.start().await;
    scene.guild.block_word("heron");
    let line = "A line that says something, and then says something else.\n";
    let long = format!("{}heron\n{}Done.", line.repeat(40), line.repeat(40));
    scene.sandbox.openai().says(&long);
    let call = scene.ana.mention_bot(&scene.channel, "What is it?").await;
    scene.ana.wait_for_reply(&call).await;
    let end = scene.ana.wait_for_message(&scene.channel, "Done.").await;
    end.wait_until_done().await;
    let texts: Vec<String> = scene.channel.messages().iter().map(Message::text).collect();
    assert_eq!(
        texts
            .iter()
            .filter(|it| it.contains("A part is missing here"))
            .count(),
        1
    );
    assert!(!texts.iter().any(|it| it.contains("heron")), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_archived_thread_the_answer_is_a_new_message() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    for locked in [false, true] {
        let thread = scene.channel.add_thread("old talk");
        let gate = Gate::new();
        let llm = scene.sandbox.openai();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        let call = scene.ana.mention_bot(&thread, "What is it?").await;
        let first = scene.ana.wait_for_reply(&call).await;
        gate.wait_until_reached().await;
        match locked {
            false => thread.archive(),
            true => {
                thread.archive();
                thread.lock();
            }
        }
        gate.open();
        if locked {
            let told = scene
                .ana
                .wait_for_message(&scene.ana.dm_channel(), "I can't write in")
                .await;
            assert!(!told.text().contains("Paris"));
        } else {
            let answer = scene.ana.wait_for_message(&thread, "Paris.").await;
            assert_ne!(answer.id(), first.id());
            first.wait_until_deleted().await;
            assert!(!thread.is_archived());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_refused_leave_the_text() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let words = "Much is said in this one. ".repeat(60);
    scene.sandbox.assemblyai().set_transcript(&words);
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let channel = scene.ana.dm_channel();
    let note = scene
        .ana
        .send_voice_message(&channel, question_recording())
        .await;
    let reply = scene.ana.wait_for_reply_containing(&note, "Thinking").await;
    gate.wait_until_reached().await;
    let too_large = Fault::discord_error(40_005).times(2);
    scene
        .discord
        .add_fault(DiscordEndpoint::EditMessage, too_large);
    gate.open();
    let text = reply.wait_until_done().await;
    assert!(
        text.contains("Paris.") || text.contains("Discord didn't accept"),
        "{text}"
    );
    assert!(text.contains("Discord didn't accept"), "{text}");
    assert!(reply.attachments().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_word_is_said_to_be_none() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let channel = scene.ana.dm_channel();
    for nothing in ["", "  \n ", "** **", "```\n```", "\u{200b}", "> "] {
        scene.sandbox.openai().says(nothing);
        let note = scene
            .ana
            .send_voice_message(&channel, question_recording())
            .await;
        let reply = scene.ana.wait_for_reply(&note).await;
        let text = reply.wait_until_done().await;
        assert_eq!(
            text,
            "> **Ana:** What is the capital of France?\nThe model gave an empty answer. Press “Try \
             again”, or rephrase your question.",
            "{nothing:?}"
        );
        let options = json!({"question": "What is it?"});
        let response = scene.ana.run_command(&scene.channel, "/ask", options).await;
        response
            .wait_for_answer_containing("gave an empty answer")
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_of_somebody_who_brought_the_bot_ends_before_its_token_dies() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.ana.user_install_bot();
    let foreign = scene.guild.add_text_channel("foreign");
    foreign.deny_bot(u64::MAX);
    for private in [false, true] {
        let gate = Gate::new();
        let llm = scene.sandbox.openai();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        let options = json!({"question": "What is it?", "private": private});
        let ago = Duration::from_secs(14 * 60 + 27);
        let response = scene
            .ana
            .run_past_command(&foreign, "/ask", options, ago)
            .await;
        gate.wait_until_reached().await;
        response
            .wait_for_answer_containing("longer than Discord lets me wait")
            .await;
        gate.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_waits_in_line_ends_before_its_token_dies() {
    let mut scene = BotFixture::new().await;
    scene.set("CONCURRENT_JOBS", "1");
    let _bot = scene.start().await;
    scene.ana.user_install_bot();
    let foreign = scene.guild.add_text_channel("foreign");
    foreign.deny_bot(u64::MAX);
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    scene
        .ben
        .says(&scene.ben.dm_channel(), "What takes so long?")
        .await;
    gate.wait_until_reached().await;
    let options = json!({"question": "What is it?"});
    let ago = Duration::from_secs(14 * 60 + 27);
    let response = scene
        .ana
        .run_past_command(&foreign, "/ask", options, ago)
        .await;
    response
        .wait_for_answer_containing("longer than Discord lets me wait")
        .await;
    gate.open();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_presses_again_gives_a_new_token() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    scene.ana.user_install_bot();
    let foreign = scene.guild.add_text_channel("foreign");
    foreign.deny_bot(u64::MAX);
    let options = json!({"question": "What is it?"});
    let response = scene.ana.run_command(&foreign, "/ask", options).await;
    let answer = response.wait_for_answer_containing("Paris.").await;
    answer.wait_until_done().await;
    response.expire_token();
    scene.sandbox.openai().says("Lyon.");
    let pressed = scene.ana.press_button(&answer, "Try again").await;
    answer
        .wait_until("another answer", |text| text == "Lyon.")
        .await;
    answer.wait_until_done().await;
    pressed.expire_token();
    // Nothing else can be deleted by a bot that is no member.
    scene.ana.press_button(&answer, "Delete").await;
    answer.wait_until_deleted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_runs_out_says_where_the_answer_comes() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let options = json!({"question": "What is it?"});
    let ago = Duration::from_secs(14 * 60 + 27);
    let response = scene
        .ana
        .run_past_command(&scene.channel, "/ask", options, ago)
        .await;
    gate.wait_until_reached().await;
    // Nothing new is to be shown, and still it is said.
    response
        .wait_for_answer_containing("will come as a separate message")
        .await;
    scene.discord.set_interaction_token_lifetime(Duration::ZERO);
    gate.open();
    let answer = scene.ana.wait_for_message(&scene.channel, "Paris.").await;
    answer.wait_until_done().await;
    assert_ne!(Some(answer.id()), response.message().map(|it| it.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_session_comes_whatever_is_refused() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.discord.disable_rate_limits();
    // Of a channel that is gone there is nothing left to write to.
    let codes = DISCORD_ERROR_CODES
        .into_iter()
        .filter(|it| !matches!(it, 10_003 | 10_008));
    for (turn, code) in codes.enumerate() {
        if turn > 0 {
            // The last one may just be ending.
            while !lounge
                .run_command("/join", json!({}))
                .await
                .wait_for_answer_containing("I'm")
                .await
                .text()
                .contains("I'm in <#")
            {}
            lounge
                .discord
                .wait_until_bot_receiving(&lounge.lounge)
                .await;
        }
        lounge
            .speak_and_wait(
                &lounge.ana,
                "meeting_a.ogg",
                &format!("Let us ship number {turn}."),
            )
            .await;
        // The summary is asked for once all lines are shown.
        let gate = Gate::new();
        let llm = lounge.sandbox.openai();
        llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
        lounge.run_command("/leave", json!({})).await;
        gate.wait_until_reached().await;
        // Of a thread that nobody may open again, somebody is told directly.
        let times = if code == 50_083 { 1 } else { 2 };
        let refusal = Fault::discord_error(code).times(times);
        lounge
            .discord
            .add_fault(DiscordEndpoint::CreateMessage, refusal);
        gate.open();
        lounge.discord.wait_until_bot_left_call().await;
        let what = format!("the end of a session after {code}");
        let ended = |text: &str| {
            text.contains("The session is over")
                || text.contains("Discord didn't accept")
                || text.contains("blocked")
                || text.contains("gave an empty answer")
        };
        let direct = lounge.ana.dm_channel();
        lounge
            .ana
            .wait_for_visible(&lounge.channel, &what, |seen| {
                let ends = seen.iter().filter(|it| it.is_by_bot() && ended(&it.text()));
                // Where the channel is closed, whoever brought the bot is told directly.
                let told = lounge.ana.visible_messages(&direct);
                let told = told
                    .iter()
                    .filter(|it| it.text().contains("I can't write in"));
                ends.count() + told.count() == turn + 1
            })
            .await;
        lounge.discord.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_reply_that_somebody_deletes_does_not_come_back() {
    let (scene, _bot) = BotFixture::new_with_bot().await;
    let gate = Gate::new();
    let llm = scene.sandbox.openai();
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate(&gate));
    let call = scene.ana.mention_bot(&scene.channel, "What is it?").await;
    let reply = scene.ana.wait_for_reply(&call).await;
    gate.wait_until_reached().await;
    reply.delete();
    gate.open();
    let next = scene.ana.mention_bot(&scene.channel, "And now?").await;
    scene
        .ana
        .wait_for_reply(&next)
        .await
        .wait_until_done()
        .await;
    assert_eq!(call.bot_replies().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_word_in_a_session_costs_neither_its_end_nor_its_other_lines() {
    let (lounge, _bot) = VoiceFixture::new_with_session().await;
    lounge.guild.block_word("heron");
    lounge
        .sandbox
        .openai()
        .says("A summary with a heron in it.");
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    lounge.sandbox.assemblyai().set_transcript("I saw a heron.");
    lounge
        .ana
        .speak(super::harness::sample_bytes("meeting_c.ogg"))
        .await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "blocked them")
        .await;
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", "And go home on Friday.")
        .await;
    lounge.run_command("/summary", json!({})).await;
    lounge.run_command("/leave", json!({})).await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "blocked")
        .await;
    lounge.discord.wait_until_bot_left_call().await;
}
