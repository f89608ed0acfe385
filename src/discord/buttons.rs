//! The buttons under an answer: try again, delete.

use serenity::all::{ComponentInteraction, GuildId, Permissions};

use super::responder::Responder;
use super::room::{Room, logged};
use super::servers::Member;
use super::trouble::Trouble;
use super::voice;
use super::wire::{AGAIN, DELETE, Post};
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
    let responder = Responder::of_button(&room.means.wire, interaction);
    let id = interaction.data.custom_id.as_str();
    let number = |prefix| id.strip_prefix(prefix).and_then(|it| it.parse().ok());
    let sentence = if let Some(job) = number(AGAIN) {
        again(room, interaction, JobId(job), &responder).await
    } else if let Some(job) = number(DELETE) {
        delete(room, interaction, JobId(job), &responder).await
    } else {
        Ok(Some(words::NOT_STORED.to_owned()))
    };
    let sentence = sentence.unwrap_or_else(|error| {
        logged(error);
        Some(words::LEDGER.to_owned())
    });
    // Without a sentence, the button has done its work and the message shows it.
    match sentence {
        Some(sentence) => responder.say(&Post::text(sentence)).await,
        None => acknowledge(&responder).await,
    }
}

async fn acknowledge(responder: &Responder<'_>) {
    if let Err(trouble) = responder.acknowledge().await {
        tracing::warn!(%trouble, "a button was not answered");
    }
}

async fn again(
    room: &Room,
    interaction: &ComponentInteraction,
    id: JobId,
    responder: &Responder<'_>,
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
    // Its token edits the message only from here on.
    acknowledge(responder).await;
    let pressed = (interaction.id.get(), interaction.token.as_str());
    match room.desk.again(id, cleared, pressed).await {
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
    responder: &Responder<'_>,
) -> Result<Option<String>, StoreError> {
    let job = room.means.store.job(id).await?;
    if !may(interaction, job.as_ref()) {
        return Ok(Some(words::NOT_YOURS.to_owned()));
    }
    // What is being sent at the moment is waited for, and may take longer than Discord waits.
    acknowledge(responder).await;
    let shown = interaction.message.id.get();
    let channel = interaction.channel_id.get();
    if let Some(job) = job
        && let Some((channel, posts)) = room.desk.withdraw(job.order.source).await?
    {
        let others: Vec<u64> = posts.into_iter().filter(|it| *it != shown).collect();
        room.remove(channel, &others).await;
    }
    let wire = &room.means.wire;
    match wire.delete(channel, shown).await {
        // Where the bot is no member, the pressed button still lets it take its message away.
        Err(Trouble::Forbidden(_)) => {
            if let Err(trouble) = wire.delete_original(&interaction.token).await {
                tracing::warn!(channel, message = shown, %trouble, "not deleted");
            }
        }
        Ok(()) => {}
        Err(_) => room.remove(channel, &[shown]).await,
    }
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
