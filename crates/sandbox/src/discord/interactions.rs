//! Responses to interactions:
//! <https://discord.com/developers/docs/interactions/receiving-and-responding>.

use std::time::Instant;

use axum::http::Method;
use bytes::Bytes;
use serde_json::{Value, json};

use super::errors::DiscordError;
use super::messages::{self, MessagePayload};
use super::rest_api::DiscordState;
use super::world::{EPHEMERAL, InteractionData, LOADING, MessageData, World};
use crate::mock_response::MockResponse;

/// The first response. It has to come in time, and once.
pub(super) fn callback(
    state: &DiscordState,
    id: u64,
    token: &str,
    payload: &MessagePayload,
) -> Result<(), DiscordError> {
    let unknown = || DiscordError::unknown(10_062, "interaction");
    let mut told = None;
    {
        let mut world = state.world();
        let limit = world.interaction_deadline;
        let Some(interaction) = world.interactions.get_mut(&id) else {
            return Err(unknown());
        };
        if interaction.token != token || interaction.created.elapsed() > limit {
            return Err(unknown());
        }
        if interaction.is_acknowledged {
            let text = "Interaction has already been acknowledged.";
            return Err(DiscordError::new(400, 40_060, text));
        }
        interaction.is_acknowledged = true;
        let interaction = interaction.clone();
        let data = MessagePayload {
            json: payload.json["data"].clone(),
            files: payload.files.clone(),
        };
        let private = data.json["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
        match payload.json["type"].as_u64() {
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
                return Err(DiscordError::invalid_form(
                    "type",
                    "BASE_TYPE_CHOICES",
                    text,
                ));
            }
        }
    }
    dispatch_response(state, told);
    Ok(())
}

/// Private messages are told to nobody but their reader.
fn dispatch_response(state: &DiscordState, told: Option<(&str, u64)>) {
    let Some((event, id)) = told else {
        return state.notify_changed();
    };
    let private = state
        .world()
        .messages
        .get(&id)
        .is_some_and(|it| it.visible_only_to.is_some());
    if private {
        state.notify_changed();
    } else {
        state.dispatch_message(event, id);
    }
}

fn respond(
    world: &mut World,
    interaction: &InteractionData,
    private: bool,
    data: Option<&MessagePayload>,
) -> Result<u64, DiscordError> {
    let id = world.next_id();
    let mut message = MessageData::new(id, interaction.channel_id, world.bot_id, "");
    message.kind = 20;
    message.interaction_and_user = Some((interaction.id, interaction.user_id));
    match data {
        Some(data) => messages::apply_payload(world, &mut message, data, true)?,
        None => message.flags |= LOADING,
    }
    if private {
        message.flags |= EPHEMERAL;
        message.visible_only_to = Some(interaction.user_id);
    }
    message.versions = vec![(Instant::now(), message.content.clone())];
    message.is_edited = false;
    world.insert_message(message);
    // Also of a button: its own message is the original only where that is what is changed.
    if let Some(known) = world.interactions.get_mut(&interaction.id) {
        known.original = Some(id);
        known.is_private = private;
    }
    Ok(id)
}

/// Further messages, and changes of the first one.
pub(super) fn handle_followup(
    state: &DiscordState,
    method: &Method,
    parts: &[&str],
    payload: &MessagePayload,
) -> Result<MockResponse, DiscordError> {
    let token = parts.get(2).copied().unwrap_or_default();
    let interaction = {
        let world = state.world();
        let known = world.interactions.values().find(|it| it.token == token);
        let Some(known) = known.cloned() else {
            return Err(DiscordError::unknown(10_015, "Webhook"));
        };
        if known.created.elapsed() > world.interaction_token_lifetime {
            return Err(DiscordError::new(401, 50_027, "Invalid Webhook Token"));
        }
        known
    };
    // A webhook there is only once the interaction is acknowledged.
    if !interaction.is_acknowledged {
        return Err(DiscordError::unknown(10_015, "Webhook"));
    }
    let shown = |id: u64| {
        let world = state.world();
        MockResponse::ok(&world.message_json(id, true, true).unwrap_or(Value::Null))
    };
    let target = match parts.get(4) {
        Some(&"@original") => interaction.original,
        Some(id) => id.parse().ok(),
        None => None,
    };
    let unknown = || DiscordError::unknown(10_008, "Message");
    match (method.as_str(), parts.get(3), target) {
        ("POST", None, _) => {
            let private = payload.json["flags"].as_u64().unwrap_or(0) & EPHEMERAL != 0;
            let id = {
                let mut world = state.world();
                let id = world.next_id();
                let mut message = MessageData::new(id, interaction.channel_id, world.bot_id, "");
                message.interaction_and_user = Some((interaction.id, interaction.user_id));
                messages::apply_payload(&mut world, &mut message, payload, true)?;
                if private {
                    message.flags |= EPHEMERAL;
                    message.visible_only_to = Some(interaction.user_id);
                }
                world.insert_message(message)
            };
            dispatch_response(state, Some(("MESSAGE_CREATE", id)));
            Ok(shown(id))
        }
        ("GET", Some(_), Some(id)) => {
            state.world().message(id).ok_or_else(unknown)?;
            Ok(shown(id))
        }
        ("PATCH", Some(_), Some(id)) => {
            messages::edit(&mut state.world(), id, payload)?;
            dispatch_response(state, Some(("MESSAGE_UPDATE", id)));
            Ok(shown(id))
        }
        ("DELETE", Some(_), Some(id)) => {
            state.world().message(id).ok_or_else(unknown)?;
            state.delete_message(id);
            let mut answer = MockResponse::new(
                axum::http::StatusCode::NO_CONTENT,
                "application/json",
                Bytes::new(),
            );
            answer.content_length = None;
            answer.steps.clear();
            Ok(answer)
        }
        _ => Err(unknown()),
    }
}

/// An interaction as the gateway tells of it.
pub(super) fn event_json(
    world: &World,
    interaction: &InteractionData,
    kind: u8,
    data: &Value,
) -> Value {
    let guild = world.guild_id_of(interaction.channel_id);
    let locale = world.users.get(&interaction.user_id);
    let locale = locale.map_or("en-US", |user| user.locale.as_str());
    let mut value = json!({
        "id": interaction.id.to_string(),
        "application_id": world.application_id.to_string(),
        "type": kind,
        "data": data,
        "channel_id": interaction.channel_id.to_string(),
        "channel": world.channel_json(interaction.channel_id),
        "token": interaction.token,
        "version": 1,
        "app_permissions": world.bot_permissions(interaction.channel_id).to_string(),
        "locale": locale,
        "entitlements": [],
        "authorizing_integration_owners": match world.user_installs.contains(&interaction.user_id) {
            true => json!({"1": interaction.user_id.to_string()}),
            false => json!({"0": guild.unwrap_or(0).to_string()}),
        },
        "context": if guild.is_some() { 0 } else { 1 },
        "attachment_size_limit": 10_485_760,
    });
    match guild {
        Some(guild) => {
            let mut member = world.member_json(guild, interaction.user_id);
            member["user"] = world.user_json(interaction.user_id);
            member["permissions"] = json!(
                world
                    .member_permissions(guild, interaction.user_id)
                    .to_string()
            );
            value["member"] = member;
            value["guild_id"] = json!(guild.to_string());
            value["guild_locale"] = json!("en-US");
            value["guild"] = json!({"id": guild.to_string(), "locale": "en-US", "features": []});
        }
        None => value["user"] = world.user_json(interaction.user_id),
    }
    value
}
