//! Classifies failed requests by what the bot can do next. No other module knows Discord's error
//! codes.

use serenity::all::{DiscordJsonSingleError, GatewayError, HttpError, StatusCode};

use net::ErrorCause;

/// Why a request failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum ApiError {
    /// May succeed later: a network failure, an outage, a rate limit.
    #[error("for now: {0}")]
    Transient(ErrorCause),
    /// The interaction's token has expired or is unknown.
    #[error("the interaction is over: {0}")]
    InteractionExpired(ErrorCause),
    /// The interaction already has a response.
    #[error("answered before")]
    AlreadyAcknowledged,
    /// The bot lacks the permission.
    #[error("forbidden: {0}")]
    Forbidden(ErrorCause),
    /// The thread is archived: its messages can't be edited, but a new message reopens it.
    #[error("archived: {0}")]
    ThreadArchived(ErrorCause),
    /// The message or channel was deleted.
    #[error("gone: {0}")]
    NotFound(ErrorCause),
    /// The bot's token is invalid.
    #[error("unauthorized")]
    Unauthorized,
    /// Discord does not accept the content, here or anywhere.
    #[error("refused ({0:?}): {1}")]
    Rejected(RejectionReason, ErrorCause),
}

/// What Discord rejects in a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum RejectionReason {
    /// The reply: the bot may not reply to that message.
    Reference,
    /// The files: too large or of a forbidden type.
    Files,
    /// The text: the server's or Discord's filter blocks it.
    ContentFilter,
    /// The message is empty.
    EmptyMessage,
    /// The edit: the message can't be edited, or no longer.
    NotEditable,
    /// Anything else in the request.
    InvalidForm,
}

impl ApiError {
    /// The cause without its classification.
    pub(super) fn cause(&self) -> ErrorCause {
        match self {
            Self::Transient(cause)
            | Self::InteractionExpired(cause)
            | Self::Forbidden(cause)
            | Self::ThreadArchived(cause)
            | Self::NotFound(cause)
            | Self::Rejected(_, cause) => cause.clone(),
            Self::AlreadyAcknowledged => "answered before".into(),
            Self::Unauthorized => "unauthorized".into(),
        }
    }

    /// Whether the same request would fail again.
    pub(super) fn is_permanent(&self) -> bool {
        !matches!(self, Self::Transient(_) | Self::InteractionExpired(_))
    }
}

/// The request succeeded, but its response can't be decoded.
pub(super) fn unreadable_response() -> ApiError {
    ApiError::Transient("the answer can't be read".into())
}

/// The code serenity sets when the response is not JSON, which means that it is not from Discord.
const NON_JSON_CODE: isize = -1;

/// Classifies an error code; `None` if only the HTTP status counts. Codes:
/// <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.
fn classify_code(code: isize, cause: ErrorCause) -> Option<ApiError> {
    use RejectionReason as Reason;
    let rejected = |reason| ApiError::Rejected(reason, cause.clone());
    Some(match code {
        // Unknown webhook, unknown interaction, invalid webhook token.
        10_015 | 10_062 | 50_027 => ApiError::InteractionExpired(cause),
        40_060 => ApiError::AlreadyAcknowledged,
        // Unknown channel, server, message.
        10_003 | 10_004 | 10_008 => ApiError::NotFound(cause),
        50_083 => ApiError::ThreadArchived(cause),
        // Slow mode and write rate limits; sending temporarily disabled; too many direct messages;
        // overload; Cloudflare.
        20_016 | 20_022 | 20_028 | 20_029 | 40_003 | 40_004 | 40_006 | 40_062 | 40_333
        | 130_000 => ApiError::Transient(cause),
        // Blocked, or no mutual server; not a text channel; locked; the server requires verified
        // members.
        40_001 | 50_001 | 50_007 | 50_008 | 50_009 | 50_013 | 50_024 | 50_278 | 160_005 => {
            ApiError::Forbidden(cause)
        }
        50_014 | 50_025 => ApiError::Unauthorized,
        // No permission to read the replied-to message; a message that can't be replied to.
        50_068 | 160_002 => rejected(Reason::Reference),
        // Too large; invalid; explicit.
        40_005 | 50_045 | 50_046 | 50_146 | 20_009 => rejected(Reason::Files),
        // Banned words, the server's AutoMod, harmful links.
        20_031 | 200_000 | 200_001 | 240_000 => rejected(Reason::ContentFilter),
        50_006 => rejected(Reason::EmptyMessage),
        // Another author's message; too many edits of an old message.
        30_046 | 50_005 | 50_021 => rejected(Reason::NotEditable),
        _ => return None,
    })
}

/// Maps the paths of invalid fields to a reason.
fn classify_fields(paths: &[&str]) -> RejectionReason {
    let about = |field: &str| paths.iter().any(|path| path.starts_with(field));
    if about("message_reference") {
        RejectionReason::Reference
    } else if about("attachments") || about("files") {
        RejectionReason::Files
    } else {
        RejectionReason::InvalidForm
    }
}

impl From<serenity::Error> for ApiError {
    /// Keeps only status and codes: the URL may contain a token, and Discord's message may repeat
    /// what was sent.
    fn from(error: serenity::Error) -> Self {
        match error {
            serenity::Error::Http(HttpError::UnsuccessfulRequest(response)) => {
                let (status, code) = (response.status_code, response.error.code);
                let cause = ErrorCause::from_http_status(status.as_u16(), code);
                if let Some(known) = classify_code(code, cause.clone()) {
                    return known;
                }
                match status {
                    StatusCode::UNAUTHORIZED => Self::Unauthorized,
                    StatusCode::FORBIDDEN if code == NON_JSON_CODE => Self::Transient(cause),
                    StatusCode::FORBIDDEN => Self::Forbidden(cause),
                    StatusCode::NOT_FOUND => Self::NotFound(cause),
                    StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                        Self::Transient(cause)
                    }
                    StatusCode::PAYLOAD_TOO_LARGE => Self::Rejected(RejectionReason::Files, cause),
                    status if status.is_server_error() => Self::Transient(cause),
                    _ => {
                        let errors = &response.error.errors;
                        let cause = match known_form_error(errors) {
                            Some(known) => cause.with_detail(known),
                            None => cause,
                        };
                        let paths: Vec<&str> =
                            errors.iter().map(|error| error.path.as_str()).collect();
                        Self::Rejected(classify_fields(&paths), cause)
                    }
                }
            }
            serenity::Error::Http(HttpError::Request(error)) => {
                Self::Transient(ErrorCause::from_error(&error))
            }
            serenity::Error::Http(_) => {
                Self::Rejected(RejectionReason::InvalidForm, "it can't be sent".into())
            }
            serenity::Error::Io(error) => Self::Transient(ErrorCause::from_error(&error)),
            // The response is malformed; the request may have succeeded.
            serenity::Error::Json(_) => unreadable_response(),
            serenity::Error::Model(_) => Self::Rejected(
                RejectionReason::InvalidForm,
                "the library won't send it".into(),
            ),
            serenity::Error::Gateway(error) => Self::Transient(describe_gateway_error(&error)),
            serenity::Error::Tungstenite(error) => {
                Self::Transient(ErrorCause::with_variant_name("WebSocket", &error))
            }
            _ => Self::Transient("an error of the library".into()),
        }
    }
}

/// What ended a gateway connection, without the reason text that Discord sent.
fn describe_gateway_error(error: &GatewayError) -> ErrorCause {
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

/// Names of form errors that may be logged
/// (<https://discord.com/developers/docs/reference#error-messages>). Their paths may not: keys can
/// contain user input.
const FORM_ERROR_CODES: &[&str] = &[
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

/// The first form error with a known name.
fn known_form_error(errors: &[DiscordJsonSingleError]) -> Option<&'static str> {
    errors.iter().find_map(|error| {
        FORM_ERROR_CODES
            .iter()
            .copied()
            .find(|known| *known == error.code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_do_not_contain_request_content() {
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
            let error = ApiError::from(error);
            assert!(!format!("{error} {error:?}").contains(word), "{error}");
        }
        let single = |code: &str| DiscordJsonSingleError {
            code: code.to_owned(),
            message: word.to_owned(),
            path: word.to_owned(),
        };
        assert_eq!(known_form_error(&[single(word)]), None);
        let known = [single(word), single("BASE_TYPE_REQUIRED")];
        assert_eq!(known_form_error(&known), Some("BASE_TYPE_REQUIRED"));
    }

    #[test]
    fn codes_are_classified() {
        let kinds: Vec<String> = [
            10_003, 10_008, 10_062, 20_009, 20_016, 30_046, 40_005, 40_060, 50_001, 50_006, 50_007,
            50_013, 50_035, 50_083, 50_278, 160_002, 200_000, 240_000,
        ]
        .into_iter()
        .map(|code| match classify_code(code, "".into()) {
            Some(error) => format!("{code} {error:?}"),
            None => format!("{code} as the status says"),
        })
        .collect();
        insta::assert_snapshot!(kinds.join("\n").replace("(ErrorCause(\"\"))", "").replace(", ErrorCause(\"\")", ""), @r#"
        10003 NotFound
        10008 NotFound
        10062 InteractionExpired
        20009 Rejected(Files)
        20016 Transient
        30046 Rejected(NotEditable)
        40005 Rejected(Files)
        40060 AlreadyAcknowledged
        50001 Forbidden
        50006 Rejected(EmptyMessage)
        50007 Forbidden
        50013 Forbidden
        50035 as the status says
        50083 ThreadArchived
        50278 Forbidden
        160002 Rejected(Reference)
        200000 Rejected(ContentFilter)
        240000 Rejected(ContentFilter)
        "#);
    }

    #[test]
    fn form_errors_are_classified_by_field() {
        let field = |path: &str| classify_fields(&[path]);
        assert_eq!(field("message_reference"), RejectionReason::Reference);
        assert_eq!(field("attachments.0.filename"), RejectionReason::Files);
        assert_eq!(field("content"), RejectionReason::InvalidForm);
    }
}
