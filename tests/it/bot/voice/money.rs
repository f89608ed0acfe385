//! What calls cost: judged while people speak, and booked to the end.

use sandbox::{Endpoint, Fault, Gate, OpenAiEndpoint};
use serde_json::json;

use super::super::money::{PRICES, booked, millis};
use super::super::running::{Bot, recording};
use super::Lounge;

async fn priced(more: &[(&str, &str)]) -> (Lounge, Bot) {
    let mut lounge = Lounge::new().await;
    for (variable, value) in PRICES.iter().chain(more) {
        lounge.set(variable, value);
    }
    let bot = lounge.start().await;
    lounge.begins().await;
    (lounge, bot)
}

const STREAMING: (&str, &str) = ("VOICE_TRANSCRIBER", "streaming");

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_paid_by_whoever_asks_for_it() {
    let (lounge, _bot) = priced(&[("PRICE_OUTPUT_MILLION", "10000")]).await;
    lounge
        .says(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let asked = lounge
        .ben
        .runs(&lounge.channel, "/summary", json!({}))
        .await;
    asked.answer_with("Ship on Thursday").await;
    let usage = lounge.ben.runs(&lounge.channel, "/usage", json!({})).await;
    let usage = usage.answer_with("The last").await.text();
    assert!(
        usage.contains(&format!("<@{}>", lounge.ben.id())),
        "{usage}"
    );
    assert!(!usage.contains("about 0.0000"), "{usage}");
    let usage = lounge.ana.runs(&lounge.channel, "/usage", json!({})).await;
    let usage = usage.answer_with("The last").await.text();
    assert!(usage.contains(" 0 tokens"), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_held_to_the_caps() {
    let (lounge, _bot) = priced(&[
        ("PRICE_OUTPUT_MILLION", "1000000"),
        ("DAILY_COST_PER_MEMBER", "0.1"),
    ])
    .await;
    lounge
        .says(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    lounge
        .sandbox
        .openai()
        .says("Decisions:\n- Ship on Thursday [1]\n");
    let first = lounge
        .ben
        .runs(&lounge.channel, "/summary", json!({}))
        .await;
    first.answer_with("Ship on Thursday").await;
    let second = lounge
        .ben
        .runs(&lounge.channel, "/summary", json!({}))
        .await;
    let text = second.answer_with("There is no summary").await.text();
    assert!(
        text.contains("You have used up what a day allows."),
        "{text}"
    );
    // Others have not.
    lounge
        .answered("/summary", json!({}), "Ship on Thursday")
        .await;
    // The end belongs to Ana, who began it, and has nothing left now either.
    let last = lounge.ends().await.text();
    assert!(last.contains("used up what a day allows"), "{last}");
    let asked = lounge.sandbox.openai().requests();
    let asked = asked.iter().filter(|it| it.path.ends_with("/completions"));
    assert_eq!(asked.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn utterances_are_booked_whatever_comes_of_them() {
    let (lounge, bot) = priced(&[]).await;
    let ears = lounge.sandbox.assemblyai();
    lounge
        .says(&lounge.ana, "meeting_a.ogg", "We should ship on Thursday.")
        .await;
    // Nothing is understood.
    ears.hears("");
    lounge.ana.speaks(recording("meeting_b.ogg")).await;
    ears.wait_until(|it| it.iter().filter(|it| it.body_bytes > 600).count() >= 2)
        .await;
    // It is refused, and heard by nobody.
    ears.fault(Endpoint::SyncLive, Fault::status(400));
    ears.fault(Endpoint::Sync, Fault::status(400));
    lounge.ana.speaks(recording("meeting_c.ogg")).await;
    ears.wait_until(|it| it.iter().filter(|it| it.body_bytes > 600).count() >= 4)
        .await;
    // The process ends in the middle.
    let gate = Gate::new();
    ears.fault(Endpoint::SyncLive, Fault::gate(&gate));
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    gate.reached().await;
    let billed = millis(ears.billed());
    let used = booked(bot, &lounge).await;
    gate.open();
    assert!(used.audio_ms.abs_diff(billed) <= 4, "{used:?} {billed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_booked_to_its_end_when_its_speaker_leaves() {
    let (lounge, bot) = priced(&[STREAMING]).await;
    let ears = lounge.sandbox.assemblyai();
    ears.hears("We should ship on Thursday.");
    lounge.ana.speaks(recording("meeting_a.ogg")).await;
    lounge.ana.sees(&lounge.channel, "ship on Thursday.").await;
    lounge.ana.leaves_voice().await;
    let sessions = ears
        .wait_for_sessions(|it| it.iter().all(|it| it.end.is_some()))
        .await;
    assert_eq!(sessions.len(), 1);
    // What they said is not written down a second time because they are gone.
    assert_eq!(millis(ears.billed()), 0);
    let billed = millis(ears.billed_live());
    let used = booked(bot, &lounge).await;
    let open = used.micros * 10;
    assert!(
        open + 400 >= billed && open <= billed + 1_000,
        "{used:?} {billed}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_at_the_cap_while_somebody_speaks() {
    // Twelve seconds: room for one slice and not for two.
    let (lounge, bot) = priced(&[STREAMING, ("DAILY_COST_PER_MEMBER", "0.0012")]).await;
    let ears = lounge.sandbox.assemblyai();
    ears.hears("One two three and so on.");
    let whole = recording("numbers.ogg");
    for _ in 0..4 {
        lounge.ana.speaks(&whole).await;
    }
    lounge.is_told_of_the_cap(&lounge.ana).await;
    ears.wait_for_sessions(|it| it.iter().all(|it| it.end.is_some()))
        .await;
    let billed = millis(ears.billed_live()) + millis(ears.billed());
    assert!(billed <= 12_500, "{billed}");
    let used = booked(bot, &lounge).await;
    assert!(used.micros <= 1_250, "{used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_is_superseded_is_booked() {
    let (lounge, bot) = priced(&[]).await;
    let llm = lounge.sandbox.openai();
    let gate = Gate::new();
    llm.says(&"word ".repeat(60));
    llm.fault(OpenAiEndpoint::Chat, Fault::gate_after_pieces(&gate, 50));
    lounge
        .says(
            &lounge.ana,
            "question.ogg",
            "What would life outside of Earth look like?",
        )
        .await;
    gate.reached().await;
    lounge.ana.sees(&lounge.channel, "word word").await;
    llm.says("Paris.");
    lounge
        .says(&lounge.ana, "capital.ogg", "What is the capital of France?")
        .await;
    lounge
        .ana
        .sees(&lounge.channel, "Left here for a newer question")
        .await;
    lounge.ana.sees(&lounge.channel, "Paris.").await;
    gate.open();
    let used = booked(bot, &lounge).await;
    // The first fifty words of the older answer are among them.
    assert!(used.tokens_out > 50, "{used:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_paid_to_listen_where_nothing_can_be_shown() {
    const SEND_MESSAGES: u64 = 1 << 11;
    for how in [("VOICE_TRANSCRIBER", "utterance"), STREAMING] {
        let (lounge, mut bot) = priced(&[how]).await;
        let ears = lounge.sandbox.assemblyai();
        lounge.channel.denies_bot(SEND_MESSAGES);
        // Nobody knows before the first line.
        lounge.ana.speaks(recording("meeting_a.ogg")).await;
        bot.until_it_says("nothing can be shown").await;
        let heard = (ears.billed(), ears.sessions().len());
        ears.wait_for_sessions(|it| it.iter().all(|it| it.end.is_some()))
            .await;
        lounge.ana.speaks(recording("meeting_b.ogg")).await;
        lounge.answered("/leave", json!({}), "I have left").await;
        lounge.discord.until_bot_out_of_call().await;
        bot.until_it_says("session ends").await;
        assert_eq!((ears.billed(), ears.sessions().len()), heard, "{how:?}");
        let asked = lounge.sandbox.openai().requests();
        assert!(asked.iter().all(|it| !it.path.ends_with("/completions")));
    }
}
