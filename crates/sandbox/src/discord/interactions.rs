//! Responses to interactions:
//! <https://discord.com/developers/docs/interactions/receiving-and-responding>.

use std::time::Instant;

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::messages::{self, Payload};
use super::rest::State;
use super::world::{EPHEMERAL, Interaction, LOADING, Message, World};
use crate::answer::Answer;

/// The first response. It has to come in time, and once.
pub(super) fn callback(
    state: &State,
    id: u64,
    token: &str,
    payload: &Payload,
) -> Result<(), ApiError> {
    let unknown = || ApiError::unknown(10_062, "interaction");
    let mut told = None;
    {
        let mut world = state.world();
        let limit = world.interaction_limit;
        let Some(interaction) = world.interactions.get_mut(&id) else {
            return Err(unknown());
        };
        if interaction.token != token || interaction.created.elapsed() > limit {
            return Err(unknown());
        }
        if interaction.acknowledged {
            let text = "Interaction has already been acknowledged.";
            return Err(ApiError::new(400, 40_060, text));
        }
        interaction.acknowledged = true;
        let interaction = interaction.clone();
        let data = Payload {
            value: payload.value["data"].clone(),
            files: payload.files.clone(),
        };
        let private = data.value["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
        match payload.value["type"].as_u64() {
            Some(4) => {
                let message = respond(&mut world, &interaction, private, Some(&data))?;
                told = Some(("MESSAGE_CREATE", message));
            }
            Some(5) => {
                let message = respond(&mut world, &interaction, private, None)?;
                told = Some(("MESSAGE_CREATE", message));
            }
            Some(6) if interaction.is_component => {}
            Some(7) if interaction.is_component => {
                if let Some(original) = interaction.original {
                    messages::edit(&mut world, original, &data)?;
                    told = Some(("MESSAGE_UPDATE", original));
                }
            }
            _ => {
                let text = "This kind of response is not for this interaction.";
                return Err(ApiError::form("type", "BASE_TYPE_CHOICES", text));
            }
        }
    }
    tell(state, told);
    Ok(())
}

/// Private messages are told to nobody but their reader.
fn tell(state: &State, told: Option<(&str, u64)>) {
    let Some((event, id)) = told else {
        return state.touch();
    };
    let private = state
        .world()
        .messages
        .get(&id)
        .is_some_and(|it| it.only_for.is_some());
    if private {
        state.touch();
    } else {
        state.dispatch_message(event, id);
    }
}

fn respond(
    world: &mut World,
    interaction: &Interaction,
    private: bool,
    data: Option<&Payload>,
) -> Result<u64, ApiError> {
    let id = world.id();
    let mut message = Message::new(id, interaction.channel, world.bot, "");
    message.kind = 20;
    message.interaction = Some((interaction.id, interaction.user));
    match data {
        Some(data) => messages::fill(world, &mut message, data, true)?,
        None => message.flags |= LOADING,
    }
    if private {
        message.flags |= EPHEMERAL;
        message.only_for = Some(interaction.user);
    }
    message.versions = vec![(Instant::now(), message.content.clone())];
    message.edited = false;
    world.post(message);
    // Also of a button: its own message is the original only where that is what is changed.
    if let Some(known) = world.interactions.get_mut(&interaction.id) {
        known.original = Some(id);
        known.private = private;
    }
    Ok(id)
}

/// Further messages, and changes of the first one.
pub(super) fn response(
    state: &State,
    method: &Method,
    parts: &[&str],
    payload: &Payload,
) -> Result<Answer, ApiError> {
    let token = parts.get(2).copied().unwrap_or_default();
    let interaction = {
        let world = state.world();
        let known = world.interactions.values().find(|it| it.token == token);
        let Some(known) = known.cloned() else {
            return Err(ApiError::unknown(10_015, "Webhook"));
        };
        if known.created.elapsed() > world.token_life {
            return Err(ApiError::new(401, 50_027, "Invalid Webhook Token"));
        }
        known
    };
    // A webhook there is only once the interaction is acknowledged.
    if !interaction.acknowledged {
        return Err(ApiError::unknown(10_015, "Webhook"));
    }
    let shown = |id: u64| {
        let world = state.world();
        Answer::ok(&world.message_json(id, true, true).unwrap_or(Value::Null))
    };
    let target = match parts.get(4) {
        Some(&"@original") => interaction.original,
        Some(id) => id.parse().ok(),
        None => None,
    };
    let unknown = || ApiError::unknown(10_008, "Message");
    match (method.as_str(), parts.get(3), target) {
        ("POST", None, _) => {
            let private = payload.value["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
            let id = {
                let mut world = state.world();
                let id = world.id();
                let mut message = Message::new(id, interaction.channel, world.bot, "");
                message.interaction = Some((interaction.id, interaction.user));
                messages::fill(&mut world, &mut message, payload, true)?;
                if private {
                    message.flags |= EPHEMERAL;
                    message.only_for = Some(interaction.user);
                }
                world.post(message)
            };
            tell(state, Some(("MESSAGE_CREATE", id)));
            Ok(shown(id))
        }
        ("GET", Some(_), Some(id)) => {
            state.world().message(id).ok_or_else(unknown)?;
            Ok(shown(id))
        }
        ("PATCH", Some(_), Some(id)) => {
            messages::edit(&mut state.world(), id, payload)?;
            tell(state, Some(("MESSAGE_UPDATE", id)));
            Ok(shown(id))
        }
        ("DELETE", Some(_), Some(id)) => {
            state.world().message(id).ok_or_else(unknown)?;
            state.delete_message(id);
            let mut answer = Answer::new(
                axum::http::StatusCode::NO_CONTENT,
                "application/json",
                Bytes::new(),
            );
            answer.declared_length = None;
            answer.steps.clear();
            Ok(answer)
        }
        _ => Err(unknown()),
    }
}

/// An interaction as the gateway tells of it.
pub(super) fn event(world: &World, interaction: &Interaction, kind: u8, data: &Value) -> Value {
    let guild = world.guild_of(interaction.channel);
    let locale = world.users.get(&interaction.user);
    let locale = locale.map_or("en-US", |user| user.locale.as_str());
    let mut value = json!({
        "id": interaction.id.to_string(),
        "application_id": world.application.to_string(),
        "type": kind,
        "data": data,
        "channel_id": interaction.channel.to_string(),
        "channel": world.channel_json(interaction.channel),
        "token": interaction.token,
        "version": 1,
        "app_permissions": world.bot_may(interaction.channel).to_string(),
        "locale": locale,
        "entitlements": [],
        "authorizing_integration_owners": match world.bringers.contains(&interaction.user) {
            true => json!({"1": interaction.user.to_string()}),
            false => json!({"0": guild.unwrap_or(0).to_string()}),
        },
        "context": if guild.is_some() { 0 } else { 1 },
        "attachment_size_limit": 10_485_760,
    });
    match guild {
        Some(guild) => {
            let mut member = world.member_json(guild, interaction.user);
            member["user"] = world.user_json(interaction.user);
            member["permissions"] = json!(world.may(guild, interaction.user).to_string());
            value["member"] = member;
            value["guild_id"] = json!(guild.to_string());
            value["guild_locale"] = json!("en-US");
            value["guild"] = json!({"id": guild.to_string(), "locale": "en-US", "features": []});
        }
        None => value["user"] = world.user_json(interaction.user),
    }
    value
}
