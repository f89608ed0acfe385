//! State that all replies share.

use std::sync::Arc;

use super::discord_api::DiscordApi;
use super::edit_limiter::EditLimiter;
use super::guild_cache::GuildCache;
use crate::store::Store;
use crate::ui_text::bot::DataHandling;

/// State that all replies share.
pub(super) struct ReplyContext {
    pub(super) discord_api: Arc<DiscordApi>,
    pub(super) edit_limiter: EditLimiter,
    pub(super) store: Store,
    pub(super) guild_cache: GuildCache,
    /// How data is handled, for the notice in a server's first reply.
    pub(super) data_handling: DataHandling,
}
