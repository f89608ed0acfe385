//! Application commands, with the rules that Discord checks:
//! <https://discord.com/developers/docs/interactions/application-commands>.

use serde_json::{Value, json};

use super::errors::DiscordError;
use super::world::World;

/// Replaces all commands.
pub(super) fn overwrite_commands(
    world: &mut World,
    commands: &Value,
) -> Result<Value, DiscordError> {
    let Some(commands) = commands.as_array() else {
        return Err(DiscordError::new(400, 50_035, "Invalid Form Body"));
    };
    for command in commands {
        validate_command(command)?;
    }
    let known = world.commands.clone();
    world.commands = commands
        .iter()
        .map(|command| {
            let same = known.iter().find(|it| {
                it["name"] == command["name"] && command_type(it) == command_type(command)
            });
            let id = same
                .and_then(|it| it["id"].as_str().map(str::to_owned))
                .unwrap_or_else(|| world.next_id().to_string());
            let mut command = command.clone();
            command["id"] = json!(id);
            command["application_id"] = json!(world.application_id.to_string());
            command["version"] = json!(id);
            command["type"] = json!(command_type(&command));
            command["nsfw"] = json!(false);
            if command["description"].is_null() {
                command["description"] = json!("");
            }
            if command["default_member_permissions"].is_null() {
                command["default_member_permissions"] = Value::Null;
            }
            command
        })
        .collect();
    Ok(json!(world.commands))
}

fn command_type(command: &Value) -> u64 {
    command["type"].as_u64().unwrap_or(1)
}

fn validate_command(command: &Value) -> Result<(), DiscordError> {
    let slash = command_type(command) == 1;
    let mut names = vec![&command["name"]];
    names.extend(
        command["name_localizations"]
            .as_object()
            .into_iter()
            .flat_map(|it| it.values()),
    );
    for name in names {
        let name = name.as_str().unwrap_or_default();
        let letters = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        let fits = !slash || (name.chars().all(letters) && name == name.to_lowercase());
        if !fits || !(1..=32).contains(&name.chars().count()) {
            let code = "APPLICATION_COMMAND_INVALID_NAME";
            return Err(DiscordError::invalid_form("name", code, name));
        }
    }
    if slash {
        let description = command["description"].as_str().unwrap_or_default();
        if !(1..=100).contains(&description.chars().count()) {
            let text = "Must be between 1 and 100 in length.";
            return Err(DiscordError::invalid_form(
                "description",
                "BASE_TYPE_BAD_LENGTH",
                text,
            ));
        }
    }
    let options = command["options"].as_array().map_or(&[][..], Vec::as_slice);
    if options.len() > 25 {
        let text = "Must be 25 or fewer in length.";
        return Err(DiscordError::invalid_form(
            "options",
            "BASE_TYPE_MAX_LENGTH",
            text,
        ));
    }
    for option in options {
        let mut option = option.clone();
        // An option is checked like a slash command; its type means something else.
        option["type"] = json!(1);
        validate_command(&option)?;
    }
    Ok(())
}
