//! The buttons under an answer: try again, delete.

use serenity::all::{
    ComponentInteraction, CreateInteractionResponse, CreateInteractionResponseMessage, GuildId,
    Permissions,
};

use super::room::{Room, logged};
use super::servers::Member;
use super::trouble::Trouble;
use super::voice;
use super::wire::{AGAIN, DELETE};
use crate::flow::access::Cleared;
use crate::flow::desk::Refused;
use crate::flow::server::ServerSettings;
use crate::store::{Job, JobId, StoreError};
use crate::words::bot as words;

/// Does what the button says, if whoever pressed it may.
pub(super) async fn press(room: &Room, interaction: &ComponentInteraction) {
    if voice::press(room, interaction).await {
        return;
    }
    let id = interaction.data.custom_id.as_str();
    let number = |prefix| id.strip_prefix(prefix).and_then(|it| it.parse().ok());
    let sentence = if let Some(job) = number(AGAIN) {
        again(room, interaction, JobId(job)).await
    } else if let Some(job) = number(DELETE) {
        delete(room, interaction, JobId(job)).await
    } else {
        Ok(Some(words::NOT_STORED.to_owned()))
    };
    let sentence = sentence.unwrap_or_else(|error| {
        logged(error);
        Some(words::LEDGER.to_owned())
    });
    respond(room, interaction, sentence).await;
}

async fn again(
    room: &Room,
    interaction: &ComponentInteraction,
    id: JobId,
) -> Result<Option<String>, StoreError> {
    let Some(job) = room.means.store.job(id).await? else {
        return Ok(Some(words::NOT_STORED.to_owned()));
    };
    if !may(interaction, Some(&job)) {
        return Ok(Some(words::NOT_YOURS.to_owned()));
    }
    let Some(cleared) = cleared(room, interaction).await? else {
        return Ok(Some(words::NO_ACCESS.to_owned()));
    };
    match room.desk.again(id, cleared).await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(words::AT_WORK.to_owned())),
        Err(Refused::Store(error)) => Err(error),
        Err(refused) => Ok(Some(words::refused(&refused))),
    }
}

/// Whether whoever pressed a button may use the bot.
pub(super) async fn cleared(
    room: &Room,
    interaction: &ComponentInteraction,
) -> Result<Option<Cleared>, StoreError> {
    let guild = interaction.guild_id;
    let means = &room.means;
    let settings = ServerSettings::of(&means.store, guild.map(GuildId::get)).await?;
    let member = interaction.member.as_ref();
    let member = Member {
        user: interaction.user.id,
        roles: Some(member.map_or(&[], |member| member.roles.as_slice())),
        permissions: Some(member.and_then(|it| it.permissions).unwrap_or_default()),
    };
    let standing = means.servers.standing(&means.wire, guild, member).await;
    Ok(standing.clear(&settings))
}

async fn delete(
    room: &Room,
    interaction: &ComponentInteraction,
    id: JobId,
) -> Result<Option<String>, StoreError> {
    let job = room.means.store.job(id).await?;
    if !may(interaction, job.as_ref()) {
        return Ok(Some(words::NOT_YOURS.to_owned()));
    }
    let shown = interaction.message.id.get();
    let channel = interaction.channel_id.get();
    if let Some(job) = job
        && let Some((channel, posts)) = room.desk.withdraw(job.order.source).await?
    {
        room.remove(channel, &posts).await;
        if posts.contains(&shown) {
            return Ok(None);
        }
    }
    room.remove(channel, &[shown]).await;
    Ok(None)
}

/// Whoever asked, or whose words it is about, or who may manage messages here. What is forgotten still shows whom it replies
/// to.
fn may(interaction: &ComponentInteraction, job: Option<&Job>) -> bool {
    let presser = interaction.user.id;
    let message = &interaction.message;
    let asked = match job {
        Some(job) => {
            let borrowed = job.order.borrowed.map(|it| it.author);
            job.order.author == presser.get() || borrowed == Some(presser.get())
        }
        None => {
            let replied_to = message.referenced_message.as_ref();
            replied_to.is_some_and(|parent| parent.author.id == presser)
                || message
                    .interaction_metadata
                    .as_deref()
                    .is_some_and(|metadata| user_of(metadata) == Some(presser))
        }
    };
    let permissions = interaction.member.as_ref().and_then(|it| it.permissions);
    let moderates = permissions.is_some_and(|it| {
        it.contains(Permissions::MANAGE_MESSAGES) || it.contains(Permissions::ADMINISTRATOR)
    });
    asked || moderates
}

fn user_of(metadata: &serenity::all::MessageInteractionMetadata) -> Option<serenity::all::UserId> {
    match metadata {
        serenity::all::MessageInteractionMetadata::Command(command) => Some(command.user.id),
        _ => None,
    }
}

/// Without a sentence, the button has done its work and the message shows it.
async fn respond(room: &Room, interaction: &ComponentInteraction, sentence: Option<String>) {
    let response = match sentence {
        None => CreateInteractionResponse::Acknowledge,
        Some(sentence) => CreateInteractionResponse::Message(
            CreateInteractionResponseMessage::new()
                .content(sentence)
                .ephemeral(true),
        ),
    };
    let http = &room.means.wire.http;
    if let Err(error) = interaction.create_response(http, response).await {
        let trouble = Trouble::from(error);
        tracing::warn!(source = interaction.id.get(), %trouble, "a button was not answered");
    }
}
