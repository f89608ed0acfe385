//! What calls cost: judged while people speak, and booked to the end.

use sandbox::{AssemblyAiEndpoint, Fault, Gate, OpenAiEndpoint};
use serde_json::json;

use super::super::cost_limits::{PRICES, as_millis, booked_usage};
use super::super::harness::{RunningBot, sample_bytes};
use super::VoiceFixture;

async fn scene_with_prices(more: &[(&str, &str)]) -> (VoiceFixture, RunningBot) {
    let mut lounge = VoiceFixture::new().await;
    for (variable, value) in PRICES.iter().chain(more) {
        lounge.set(variable, value);
    }
    let bot = lounge.start().await;
    lounge.start_session().await;
    (lounge, bot)
}

const STREAMING_SETTING: (&str, &str) = ("VOICE_TRANSCRIBER", "streaming");

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_paid_by_whoever_asks_for_it() {
    let (lounge, _bot) = scene_with_prices(&[("PRICE_OUTPUT_MILLION", "10000")]).await;
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let asked = lounge
        .ben
        .run_command(&lounge.channel, "/summary", json!({}))
        .await;
    asked.wait_for_answer_containing("Ship on Thursday").await;
    let usage = lounge
        .ben
        .run_command(&lounge.channel, "/usage", json!({}))
        .await;
    let usage = usage.wait_for_answer_containing("The last").await.text();
    assert!(
        usage.contains(&format!("<@{}>", lounge.ben.id())),
        "{usage}"
    );
    assert!(!usage.contains("about 0.0000"), "{usage}");
    let usage = lounge
        .ana
        .run_command(&lounge.channel, "/usage", json!({}))
        .await;
    let usage = usage.wait_for_answer_containing("The last").await.text();
    assert!(usage.contains(" 0 tokens"), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_held_to_the_caps() {
    let (lounge, _bot) = scene_with_prices(&[
        ("PRICE_OUTPUT_MILLION", "1000000"),
        ("DAILY_COST_PER_MEMBER", "0.1"),
    ])
    .await;
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let first = lounge
        .ben
        .run_command(&lounge.channel, "/summary", json!({}))
        .await;
    first.wait_for_answer_containing("Ship on Thursday").await;
    let second = lounge
        .ben
        .run_command(&lounge.channel, "/summary", json!({}))
        .await;
    let text = second
        .wait_for_answer_containing("There's no summary")
        .await
        .text();
    assert!(text.contains("You've reached today's limit."), "{text}");
    // Others have not.
    lounge
        .run_and_wait("/summary", json!({}), "Ship on Thursday")
        .await;
    // The end belongs to Ana, who began it, and has nothing left now either.
    let last = lounge.stop_session().await.text();
    assert!(last.contains("reached today's limit"), "{last}");
    let asked = lounge.sandbox.openai().requests();
    let asked = asked.iter().filter(|it| it.path.ends_with("/completions"));
    assert_eq!(asked.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn utterances_are_booked_whatever_comes_of_them() {
    let (lounge, bot) = scene_with_prices(&[]).await;
    let ears = lounge.sandbox.assemblyai();
    lounge
        .speak_and_wait(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    // Nothing is understood.
    ears.set_transcript("");
    lounge.ana.speak(sample_bytes("meeting_b.ogg")).await;
    ears.wait_until(|it| it.iter().filter(|it| it.body_bytes > 600).count() >= 2)
        .await;
    // It is refused, and heard by nobody.
    ears.add_fault(AssemblyAiEndpoint::SyncLive, Fault::status(400));
    ears.add_fault(AssemblyAiEndpoint::Sync, Fault::status(400));
    lounge.ana.speak(sample_bytes("meeting_c.ogg")).await;
    ears.wait_until(|it| it.iter().filter(|it| it.body_bytes > 600).count() >= 4)
        .await;
    // The process ends in the middle.
    let gate = Gate::new();
    ears.add_fault(AssemblyAiEndpoint::SyncLive, Fault::gate(&gate));
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    gate.wait_until_reached().await;
    let billed = as_millis(ears.billed_audio());
    let used = booked_usage(bot, &lounge).await;
    gate.open();
    assert!(used.audio_ms.abs_diff(billed) <= 4, "{used:?} {billed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_booked_to_its_end_when_its_speaker_leaves() {
    let (lounge, bot) = scene_with_prices(&[STREAMING_SETTING]).await;
    let ears = lounge.sandbox.assemblyai();
    ears.set_transcript("We should ship on Thursday.");
    lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "ship on Thursday.")
        .await;
    lounge.ana.leave_voice().await;
    let sessions = ears
        .wait_for_streaming_sessions(|it| it.iter().all(|it| it.end.is_some()))
        .await;
    assert_eq!(sessions.len(), 1);
    // What they said is not written down a second time because they are gone.
    assert_eq!(as_millis(ears.billed_audio()), 0);
    let billed = as_millis(ears.billed_streaming());
    let used = booked_usage(bot, &lounge).await;
    let open = used.micros * 10;
    assert!(
        open + 400 >= billed && open <= billed + 1_000,
        "{used:?} {billed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_cap_while_somebody_speaks() {
    // Twelve seconds: room for one slice and not for two.
    let (lounge, bot) =
        scene_with_prices(&[STREAMING_SETTING, ("DAILY_COST_PER_MEMBER", "0.0012")]).await;
    let ears = lounge.sandbox.assemblyai();
    ears.set_transcript("One two three and so on.");
    let whole = sample_bytes("numbers.ogg");
    for _ in 0..4 {
        lounge.ana.speak(&whole).await;
    }
    lounge.wait_for_cap_message(&lounge.ana).await;
    ears.wait_for_streaming_sessions(|it| it.iter().all(|it| it.end.is_some()))
        .await;
    let billed = as_millis(ears.billed_streaming()) + as_millis(ears.billed_audio());
    assert!(billed <= 12_500, "{billed}");
    let used = booked_usage(bot, &lounge).await;
    assert!(used.micros <= 1_250, "{used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_superseded_is_booked() {
    let (lounge, bot) = scene_with_prices(&[]).await;
    let llm = lounge.sandbox.openai();
    let gate = Gate::new();
    llm.says(&"word ".repeat(60));
    llm.add_fault(OpenAiEndpoint::Chat, Fault::gate_after_chunks(&gate, 50));
    lounge
        .speak_and_wait(
            &lounge.ana,
            "question.ogg",
            "What would life outside of Earth look like?",
        )
        .await;
    gate.wait_until_reached().await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "word word")
        .await;
    llm.says("Paris.");
    lounge
        .speak_and_wait(&lounge.ana, "capital.ogg", "What is the capital of France?")
        .await;
    lounge
        .ana
        .wait_for_message(&lounge.channel, "Stopped here for a newer question")
        .await;
    lounge.ana.wait_for_message(&lounge.channel, "Paris.").await;
    gate.open();
    let used = booked_usage(bot, &lounge).await;
    // The first fifty words of the older answer are among them.
    assert!(used.tokens_out > 50, "{used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_paid_to_listen_where_nothing_can_be_shown() {
    const SEND_MESSAGES: u64 = 1 << 11;
    for how in [("VOICE_TRANSCRIBER", "utterance"), STREAMING_SETTING] {
        let (lounge, mut bot) = scene_with_prices(&[how]).await;
        let ears = lounge.sandbox.assemblyai();
        lounge.channel.deny_bot(SEND_MESSAGES);
        // Nobody knows before the first line.
        lounge.ana.speak(sample_bytes("meeting_a.ogg")).await;
        bot.wait_for_log("nothing can be shown").await;
        let heard = (ears.billed_audio(), ears.streaming_sessions().len());
        ears.wait_for_streaming_sessions(|it| it.iter().all(|it| it.end.is_some()))
            .await;
        lounge.ana.speak(sample_bytes("meeting_b.ogg")).await;
        lounge.run_and_wait("/leave", json!({}), "I've left").await;
        lounge.discord.wait_until_bot_left_call().await;
        bot.wait_for_log("session ends").await;
        assert_eq!(
            (ears.billed_audio(), ears.streaming_sessions().len()),
            heard,
            "{how:?}"
        );
        let asked = lounge.sandbox.openai().requests();
        assert!(asked.iter().all(|it| !it.path.ends_with("/completions")));
    }
}
