//! Compares the registered application commands with those of this version.

use serde_json::Value;
use serenity::all::{LightMethod, Request, Route};

use super::super::command_definitions;
use super::super::rest::request_json;
use super::{Diagnostics, DiagnosticsError, with_timeout};

/// How the registered commands differ from those of this version.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandDiff {
    /// How many commands this version has.
    pub own_count: usize,
    /// Commands that are not registered.
    pub missing: Vec<String>,
    /// Commands that are registered differently.
    pub changed: Vec<String>,
    /// Registered commands that this version does not have.
    pub unknown: Vec<String>,
}

impl Diagnostics {
    /// Compares the registered commands with those of this version. Call [`account`](Self::account)
    /// first: it sets the application id.
    ///
    /// # Errors
    ///
    /// See [`DiagnosticsError`].
    pub async fn check_commands(&self) -> Result<CommandDiff, DiagnosticsError> {
        let id = self.http.application_id();
        let Some(application_id) = id else {
            return Err(DiagnosticsError::Refused("no application".into()));
        };
        let request = async {
            let route = Route::Commands { application_id };
            let request = Request::new(route, LightMethod::Get)
                .params(Some(vec![("with_localizations", true.to_string())]));
            request_json(&self.http, request).await
        };
        let registered = with_timeout(request).await?;
        let registered = registered.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(diff_commands(
            &command_definitions::registration_json(),
            registered,
        ))
    }
}

fn diff_commands(own: &[Value], registered: &[Value]) -> CommandDiff {
    let kind = |command: &Value| command["type"].as_u64().unwrap_or(1);
    let same = |a: &Value, b: &Value| a["name"] == b["name"] && kind(a) == kind(b);
    let name = |command: &Value| command["name"].as_str().unwrap_or("?").to_owned();
    let mut diff = CommandDiff {
        own_count: own.len(),
        ..CommandDiff::default()
    };
    for command in own {
        match registered.iter().find(|it| same(command, it)) {
            None => diff.missing.push(name(command)),
            Some(known) if !json_contains(command, known) => diff.changed.push(name(command)),
            Some(_) => {}
        }
    }
    let unknown = registered
        .iter()
        .filter(|it| !own.iter().any(|command| same(command, it)));
    diff.unknown = unknown.map(name).collect();
    diff
}

/// Whether everything in `sent` is also in `registered`. Discord adds ids and defaults, omits empty
/// values and writes some numbers as strings.
fn json_contains(sent: &Value, registered: &Value) -> bool {
    match (sent, registered) {
        (Value::Null | Value::Bool(false), Value::Null | Value::Bool(false)) => true,
        (Value::Array(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Null) => sent.is_empty(),
        (Value::Object(sent), Value::Object(registered)) => sent.iter().all(|(name, value)| {
            json_contains(value, registered.get(name).unwrap_or(&Value::Null))
        }),
        (Value::Array(sent), Value::Array(registered)) if sent.iter().all(Value::is_number) => {
            sent.len() == registered.len() && sent.iter().all(|it| registered.contains(it))
        }
        (Value::Array(sent), Value::Array(registered)) => {
            sent.len() == registered.len()
                && sent
                    .iter()
                    .zip(registered)
                    .all(|(a, b)| json_contains(a, b))
        }
        (Value::Number(sent), Value::Number(registered)) => sent.as_f64() == registered.as_f64(),
        (Value::Number(sent), Value::String(registered)) => sent.to_string() == *registered,
        (sent, registered) => sent == registered,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_are_compared_in_the_form_discord_returns() {
        let ours = command_definitions::registration_json();
        let mut theirs = ours.clone();
        for command in &mut theirs {
            command["id"] = json!("1");
            command["version"] = json!("2");
            let permissions = &mut command["default_member_permissions"];
            if let Some(bits) = permissions.as_u64() {
                *permissions = json!(bits.to_string());
            }
            if let Some(contexts) = command["contexts"].as_array_mut() {
                contexts.reverse();
            }
        }
        let all_well = CommandDiff {
            own_count: ours.len(),
            ..CommandDiff::default()
        };
        assert_eq!(diff_commands(&ours, &theirs), all_well);

        theirs[0]["description"] = json!("As it was once");
        theirs[1]["name"] = json!("transcribe-old");
        let diff = diff_commands(&ours, &theirs);
        assert_eq!(diff.changed, ["ask"]);
        assert_eq!(diff.missing, ["transcribe"]);
        assert_eq!(diff.unknown, ["transcribe-old"]);
    }
}
