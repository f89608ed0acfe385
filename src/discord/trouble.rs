//! What a failed request to Discord means for us.

use serenity::all::{DiscordJsonSingleError, GatewayError, HttpError, StatusCode};

use crate::net::Cause;

/// Why Discord did not do it. Codes: <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Trouble {
    /// It may work in a moment: the network, Discord itself, a limit.
    #[error("for now: {0}")]
    Later(Cause),
    /// The interaction's token has expired or was never known.
    #[error("the interaction is over: {0}")]
    TokenDead(Cause),
    /// The bot may not do this here.
    #[error("forbidden: {0}")]
    Forbidden(Cause),
    /// The message or channel is gone.
    #[error("gone: {0}")]
    Gone(Cause),
    /// The bot's token is refused.
    #[error("unauthorized")]
    Unauthorized,
    /// Discord does not take what was sent.
    #[error("refused: {0}")]
    Refused(Cause),
}

impl Trouble {
    /// Whether it makes no sense to try again.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Forbidden(_) | Self::Gone(_) | Self::Refused(_) | Self::Unauthorized
        )
    }
}

/// It was done, and what was told of it can't be read.
pub(super) fn unreadable() -> Trouble {
    Trouble::Later("the answer can't be read".into())
}

const UNKNOWN_CHANNEL: isize = 10_003;
const UNKNOWN_GUILD: isize = 10_004;
const UNKNOWN_MESSAGE: isize = 10_008;
const UNKNOWN_WEBHOOK: isize = 10_015;
const UNKNOWN_INTERACTION: isize = 10_062;
const INVALID_WEBHOOK_TOKEN: isize = 50_027;
const THREAD_ARCHIVED: isize = 50_083;

impl From<serenity::Error> for Trouble {
    /// Only status and codes are kept: the address may hold a token, and what Discord says may repeat
    /// what was sent.
    fn from(error: serenity::Error) -> Self {
        match error {
            serenity::Error::Http(HttpError::UnsuccessfulRequest(response)) => {
                let (status, code) = (response.status_code, response.error.code);
                let said = Cause::http(status.as_u16(), code);
                match code {
                    UNKNOWN_WEBHOOK | UNKNOWN_INTERACTION | INVALID_WEBHOOK_TOKEN => {
                        return Self::TokenDead(said);
                    }
                    UNKNOWN_CHANNEL | UNKNOWN_GUILD | UNKNOWN_MESSAGE => return Self::Gone(said),
                    THREAD_ARCHIVED => return Self::Forbidden(said),
                    _ => {}
                }
                match status {
                    StatusCode::UNAUTHORIZED => Self::Unauthorized,
                    StatusCode::FORBIDDEN => Self::Forbidden(said),
                    StatusCode::NOT_FOUND => Self::Gone(said),
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                        Self::Later(said)
                    }
                    status if status.is_server_error() => Self::Later(said),
                    _ => Self::Refused(match fault(&response.error.errors) {
                        Some(fault) => said.and(fault),
                        None => said,
                    }),
                }
            }
            serenity::Error::Http(HttpError::Request(error)) => Self::Later(Cause::of(&error)),
            serenity::Error::Http(_) => Self::Refused("it can't be sent".into()),
            serenity::Error::Io(error) => Self::Later(Cause::of(&error)),
            // The answer made no sense; the request may have been done.
            serenity::Error::Json(_) => unreadable(),
            serenity::Error::Model(_) => Self::Refused("the library won't send it".into()),
            serenity::Error::Gateway(error) => Self::Later(gateway(&error)),
            serenity::Error::Tungstenite(error) => Self::Later(Cause::named("WebSocket", &error)),
            _ => Self::Later("an error of the library".into()),
        }
    }
}

/// What ended a connection to the gateway, without the words that came with it.
fn gateway(error: &GatewayError) -> Cause {
    match error {
        GatewayError::Closed(Some(_)) => "the gateway closed the connection and said why",
        GatewayError::Closed(None) => "the gateway closed the connection",
        GatewayError::ExpectedHello | GatewayError::InvalidHandshake => "no greeting",
        GatewayError::HeartbeatFailed => "no heartbeat could be sent",
        GatewayError::InvalidShardData => "the shards are numbered wrongly",
        GatewayError::NoSessionId => "no session to resume",
        GatewayError::OverloadedShard => "a shard has too many servers",
        GatewayError::ReconnectFailure => "no connection again",
        GatewayError::InvalidGatewayIntents => "the intents are not valid",
        GatewayError::DisallowedGatewayIntents => "the intents are not allowed",
        _ => "no connection",
    }
    .into()
}

/// Faults of a form that Discord names
/// (<https://discord.com/developers/docs/reference#error-messages>). Where in the form they are is
/// not told: keys may be anybody's.
const FAULTS: &[&str] = &[
    "APPLICATION_COMMAND_INVALID_NAME",
    "APPLICATION_COMMAND_OPTIONS_NAME_INVALID",
    "BASE_TYPE_BAD_LENGTH",
    "BASE_TYPE_BAD_TYPE",
    "BASE_TYPE_CHOICES",
    "BASE_TYPE_MAX_LENGTH",
    "BASE_TYPE_MIN_LENGTH",
    "BASE_TYPE_REQUIRED",
    "BUTTON_COMPONENT_DUPLICATE_CUSTOM_ID",
    "BUTTON_COMPONENT_INVALID_EMOJI",
    "COMPONENT_CUSTOM_ID_DUPLICATED",
    "CONTENT_TYPE_INVALID",
    "DICT_TYPE_CONVERT",
    "ENUM_TYPE_COERCE",
    "LIST_TYPE_CONVERT",
    "LIST_ITEM_VALUE_REQUIRED",
    "MESSAGE_REFERENCE_UNKNOWN_MESSAGE",
    "MODEL_TYPE_CONVERT",
    "NUMBER_TYPE_COERCE",
    "NUMBER_TYPE_MAX",
    "NUMBER_TYPE_MIN",
    "REPLIES_CANNOT_REPLY_TO_SYSTEM_MESSAGE",
    "REPLIES_UNKNOWN_MESSAGE",
    "SET_TYPE_ALREADY_CONTAINS_VALUE",
    "STRING_TYPE_REGEX",
    "UNION_TYPE_CHOICES",
];

/// The first fault that we know by name.
fn fault(errors: &[DiscordJsonSingleError]) -> Option<&'static str> {
    errors
        .iter()
        .find_map(|error| FAULTS.iter().copied().find(|fault| *fault == error.code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_trouble_repeats_what_was_sent() {
        let word = "zebrafinch";
        let gateway = serenity::Error::Gateway(GatewayError::Closed(None));
        let json = serde_json::from_str::<bool>(&format!("\"{word}\"")).expect_err("no");
        let errors = [
            gateway,
            serenity::Error::Json(json),
            serenity::Error::Decode("it", word.into()),
            serenity::Error::Url(word.to_owned()),
            serenity::Error::Io(std::io::Error::other(word)),
            serenity::Error::ExceededLimit(word.to_owned(), 1),
        ];
        for error in errors {
            let trouble = Trouble::from(error);
            assert!(
                !format!("{trouble} {trouble:?}").contains(word),
                "{trouble}"
            );
        }
        let single = |code: &str| DiscordJsonSingleError {
            code: code.to_owned(),
            message: word.to_owned(),
            path: word.to_owned(),
        };
        assert_eq!(fault(&[single(word)]), None);
        let known = [single(word), single("BASE_TYPE_REQUIRED")];
        assert_eq!(fault(&known), Some("BASE_TYPE_REQUIRED"));
    }
}
