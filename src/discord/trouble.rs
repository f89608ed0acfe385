//! What a failed request to Discord means for us.

use serenity::all::{HttpError, StatusCode};

/// Why Discord did not do it. Codes: <https://discord.com/developers/docs/topics/opcodes-and-status-codes#json>.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Trouble {
    /// It may work in a moment: the network, Discord itself, a limit.
    #[error("for now: {0}")]
    Later(String),
    /// The interaction's token has expired or was never known.
    #[error("the interaction is over: {0}")]
    TokenDead(String),
    /// The bot may not do this here.
    #[error("forbidden: {0}")]
    Forbidden(String),
    /// The message or channel is gone.
    #[error("gone: {0}")]
    Gone(String),
    /// The bot's token is refused.
    #[error("unauthorized")]
    Unauthorized,
    /// Discord does not take what was sent.
    #[error("refused: {0}")]
    Refused(String),
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
    Trouble::Later("the answer can't be read".to_owned())
}

const UNKNOWN_CHANNEL: isize = 10_003;
const UNKNOWN_GUILD: isize = 10_004;
const UNKNOWN_MESSAGE: isize = 10_008;
const UNKNOWN_WEBHOOK: isize = 10_015;
const UNKNOWN_INTERACTION: isize = 10_062;
const INVALID_WEBHOOK_TOKEN: isize = 50_027;
const THREAD_ARCHIVED: isize = 50_083;

impl From<serenity::Error> for Trouble {
    /// Only status, code and Discord's own message are kept: the address may hold a token.
    fn from(error: serenity::Error) -> Self {
        match error {
            serenity::Error::Http(HttpError::UnsuccessfulRequest(response)) => {
                let (status, code) = (response.status_code, response.error.code);
                let said = format!("HTTP {}, code {code}", status.as_u16());
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
                    _ => {
                        let paths: Vec<String> = response
                            .error
                            .errors
                            .iter()
                            .map(|error| format!("{} {}", error.path, error.code))
                            .collect();
                        Self::Refused(format!("{said}: {}", paths.join(", ")))
                    }
                }
            }
            serenity::Error::Http(HttpError::Request(error)) => {
                Self::Later(error.without_url().to_string())
            }
            serenity::Error::Http(error) => Self::Refused(error.to_string()),
            serenity::Error::Io(error) => Self::Later(error.to_string()),
            // The answer made no sense; the request may have been done.
            serenity::Error::Json(_) => unreadable(),
            serenity::Error::Model(error) => Self::Refused(error.to_string()),
            _ => Self::Later("an error of the library".to_owned()),
        }
    }
}
