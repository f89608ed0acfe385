//! The buttons of a voice session: whether one is written down, and whether one is heard.

use serenity::all::ComponentInteraction;

use super::super::buttons::cleared;
use super::super::responder::Responder;
use super::super::room::{Room, logged};
use super::super::text;
use super::super::wire::{AGREE, CHECK, DECLINE, MAX_CHARS, Post};
use crate::flow::session::call::{CHECK_LIMIT, Message};
use crate::store::Consent;
use crate::words::{bot, voice as words};

/// Does what a button says, if it is one of ours.
pub(in crate::discord) async fn press(room: &Room, interaction: &ComponentInteraction) -> bool {
    let decision = match interaction.data.custom_id.as_str() {
        AGREE => Some(Consent::Yes),
        DECLINE => Some(Consent::No),
        CHECK => None,
        _ => return false,
    };
    match decision {
        Some(consent) => decide(room, interaction, consent).await,
        None => check(room, interaction).await,
    }
    true
}

async fn decide(room: &Room, interaction: &ComponentInteraction, consent: Consent) {
    let Some(guild) = interaction.guild_id else {
        return respond(room, interaction, bot::ONLY_IN_SERVERS).await;
    };
    // A no is always heard.
    if consent == Consent::Yes
        && let Some(sentence) = refusal(room, interaction).await
    {
        return respond(room, interaction, sentence).await;
    }
    let person = interaction.user.id.get();
    let decided = room.sessions.decide(guild.get(), person, consent).await;
    let sentence = match (decided, consent) {
        (Ok(()), Consent::Yes) => words::AGREED,
        (Ok(()), Consent::No) => words::DECLINED,
        (Err(error), Consent::Yes) => {
            logged(error);
            bot::LEDGER
        }
        (Err(error), Consent::No) => {
            logged(error);
            words::DECLINED_UNWRITTEN
        }
    };
    respond(room, interaction, sentence).await;
}

/// Why whoever pressed a button may not use the bot, if they may not.
async fn refusal(room: &Room, interaction: &ComponentInteraction) -> Option<&'static str> {
    match cleared(room, interaction).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(bot::NO_ACCESS),
        Err(error) => {
            logged(error);
            Some(bot::LEDGER)
        }
    }
}

async fn check(room: &Room, interaction: &ComponentInteraction) {
    if let Some(sentence) = refusal(room, interaction).await {
        return respond(room, interaction, sentence).await;
    }
    let running = interaction
        .guild_id
        .and_then(|guild| room.sessions.of(guild.get()));
    let Some(running) = running else {
        return respond(room, interaction, words::NO_SESSION).await;
    };
    respond(room, interaction, words::SAY_SOMETHING).await;
    let person = interaction.user.id.get();
    let asked = running.ask(|reply| Message::Check { person, reply });
    let checked = tokio::time::timeout(CHECK_LIMIT, asked).await;
    let mut checked = checked.ok().flatten();
    if let Some(crate::flow::session::call::Checked::Heard(said)) = &mut checked {
        *said = text::escape(said);
    }
    let sentence: String = words::checked(checked.as_ref())
        .chars()
        .take(MAX_CHARS)
        .collect();
    let responder = Responder::of_button(&room.means.wire, interaction);
    responder.finish(&Post::text(sentence)).await;
}

async fn respond(room: &Room, interaction: &ComponentInteraction, sentence: &str) {
    let responder = Responder::of_button(&room.means.wire, interaction);
    responder.say(&Post::text(sentence)).await;
}
