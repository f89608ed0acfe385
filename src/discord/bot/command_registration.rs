//! Registers the application commands with Discord.

use std::sync::Arc;

use serenity::all::{Http, LightMethod, Request, Route};

use super::super::api_error::ApiError;
use super::super::{command_definitions, rest};
use super::{INITIAL_BACKOFF, MAX_BACKOFF};
use net::Backoff;

/// Replaces all commands that Discord has registered for the application.
pub(super) async fn register_commands(http: &Http) -> Result<(), ApiError> {
    let application_id = http.application_id();
    let application_id =
        application_id.ok_or_else(|| ApiError::Transient("no application".into()))?;
    let commands = serde_json::Value::from(command_definitions::registration_json());
    let request = Request::new(Route::Commands { application_id }, LightMethod::Put)
        .body(Some(commands.to_string().into_bytes()));
    rest::send_request(http, request).await
}

/// Registers the commands once Discord answers again. A rejection is final: the same commands would
/// be rejected again.
pub(super) async fn retry_register_commands(http: Arc<Http>, mut error: ApiError) {
    let mut backoff = Backoff::new(INITIAL_BACKOFF, MAX_BACKOFF);
    while let ApiError::Transient(_) = error {
        tokio::time::sleep(backoff.next_delay()).await;
        match register_commands(&http).await {
            Ok(()) => return tracing::info!("the commands are registered"),
            Err(next) => error = next,
        }
    }
    tracing::error!(trouble = %error, "the commands are not registered");
}
