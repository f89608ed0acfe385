//! Several servers at once: none waits for another one.

use sandbox::{DiscordEndpoint, Fault, Gate};
use serde_json::json;

use super::super::running::recording;
use super::Lounge;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_server_holds_up_no_other_one() {
    let mut lounge = Lounge::new().await;
    let park = lounge.discord.guild("Park");
    let (bench, talk) = (park.voice_channel("Bench"), park.channel("talk"));
    let (cy, dee) = (park.member("Cy"), park.member("Dee"));
    lounge.discord.hides_names_in_voice();
    let _bot = lounge.start().await;
    lounge.begins().await;
    cy.joins_voice(&bench).await;
    let response = cy.runs(&talk, "/join", json!({})).await;
    response.answer_with("I am in <#").await;
    lounge.discord.until_bot_hears(&bench).await;
    let notice = cy.sees(&talk, "asked me to listen").await;
    let pressed = cy.presses(&notice, "Transcribe me").await;
    pressed.answer_with("From now on I write down").await;
    let stt = lounge.sandbox.assemblyai();
    stt.hears("I think we should ship on Thursday.");
    cy.speaks(recording("meeting_a.ogg")).await;
    cy.sees(&talk, "**Cy:** I think").await;
    // In one server Discord does not tell who Ben is.
    let gate = Gate::new();
    lounge
        .discord
        .fault(DiscordEndpoint::Member, Fault::gate(&gate));
    lounge.ben.begins_to_join_voice(&lounge.lounge);
    gate.reached().await;
    // In the other one somebody comes, agrees and is written down by name.
    dee.joins_voice(&bench).await;
    let pressed = dee.presses(&notice, "Transcribe me").await;
    pressed.answer_with("From now on I write down").await;
    lounge.discord.until_bot_hears(&bench).await;
    stt.hears("Somebody has to write the release notes.");
    dee.speaks(recording("meeting_b.ogg")).await;
    let line = dee.sees(&talk, "release notes").await;
    assert!(line.text().contains("**Dee:**"), "{}", line.text());
    // Whoever sends it away there is obeyed too, and so is who does here.
    park.disconnects_bot();
    dee.sees(&talk, "The session is over").await;
    lounge.guild.disconnects_bot();
    lounge.is_over(": I was taken out of the call").await;
    gate.open();
}
