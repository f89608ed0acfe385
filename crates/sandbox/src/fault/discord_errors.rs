//! What Discord says when it refuses something for good:
//! <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.

use serde_json::{Value, json};

use super::Fault;

impl Fault {
    /// Discord refuses with this code, in its own words and with the status that comes with it.
    /// Codes that are not known here come as HTTP 400 "Refused".
    pub fn discord_error(code: u32) -> Self {
        let (status, message) = match code {
            10_003 => (404, "Unknown Channel"),
            10_008 => (404, "Unknown Message"),
            10_015 => (404, "Unknown Webhook"),
            10_062 => (404, "Unknown interaction"),
            20_009 => (
                400,
                "Explicit content cannot be sent to the desired recipient(s)",
            ),
            20_016 => (
                429,
                "This action cannot be performed due to slowmode rate limit",
            ),
            20_028 => (
                429,
                "The channel you are writing has hit the write rate limit",
            ),
            30_046 => (
                429,
                "Maximum number of edits to messages older than 1 hour reached. Try again later",
            ),
            40_003 => (429, "You are opening direct messages too fast"),
            40_005 => (413, "Request entity too large"),
            40_060 => (400, "Interaction has already been acknowledged."),
            50_001 => (403, "Missing Access"),
            50_005 => (403, "Cannot edit a message authored by another user"),
            50_006 => (400, "Cannot send an empty message"),
            50_007 => (403, "Cannot send messages to this user"),
            50_008 => (400, "Cannot send messages in a non-text channel"),
            50_013 => (403, "Missing Permissions"),
            50_027 => (401, "Invalid Webhook Token"),
            50_035 => (400, "Invalid Form Body"),
            50_068 => (400, "Invalid message type"),
            50_083 => (400, "Thread is archived"),
            50_278 => (
                403,
                "Cannot send messages to this user due to having no mutual guilds",
            ),
            160_002 => (
                400,
                "Cannot reply without permission to read message history",
            ),
            160_005 => (400, "This thread is locked"),
            200_000 => (400, "Message was blocked by automatic moderation"),
            240_000 => (400, "Message blocked by harmful links filter"),
            _ => (400, "Refused"),
        };
        let mut body = json!({"code": code, "message": message});
        match code {
            50_035 => {
                body["errors"] =
                    field_errors("content", "BASE_TYPE_BAD_LENGTH", "Must be shorter.");
            }
            20_016 => body["retry_after"] = json!(1.5),
            _ => {}
        }
        Self::status(status).body("application/json", body.to_string())
    }

    /// Discord refuses a field of what was sent.
    pub fn discord_field_error(name: &str, code: &str, message: &str) -> Self {
        let errors = field_errors(name, code, message);
        let body = json!({"code": 50_035, "message": "Invalid Form Body", "errors": errors});
        Self::status(400).body("application/json", body.to_string())
    }
}

fn field_errors(name: &str, code: &str, message: &str) -> Value {
    json!({name: {"_errors": [{"code": code, "message": message}]}})
}
