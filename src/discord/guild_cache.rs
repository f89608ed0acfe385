//! Caches servers and their roles: messages carry only role ids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{GuildId, PartialGuild, Permissions, RoleId, UserId};

use super::discord_api::DiscordApi;
use crate::flow::access::MemberAccess;

/// How long a cached server is used.
const CACHE_TTL: Duration = Duration::from_secs(60);

/// How long a failed fetch is remembered.
const FAILURE_TTL: Duration = Duration::from_secs(10);

/// Servers to cache.
const MAX_CACHED_GUILDS: usize = 2_000;

/// When a server was fetched, and the result.
type CachedGuild = (Instant, Option<Arc<PartialGuild>>);

#[derive(Default)]
pub(super) struct GuildCache {
    entries: Mutex<HashMap<GuildId, CachedGuild>>,
}

/// A server member, as far as an event describes it.
pub(super) struct EventMember<'a> {
    pub(super) user: UserId,
    /// `None`: they have to be fetched.
    pub(super) roles: Option<&'a [RoleId]>,
    /// Permissions in the channel. `None`: they follow from the roles.
    pub(super) permissions: Option<Permissions>,
}

impl GuildCache {
    /// The role that Discord created for the bot when it was added.
    pub(super) async fn bot_role(&self, api: &DiscordApi, guild: GuildId) -> Option<RoleId> {
        let server = self.get_guild(api, guild).await?;
        let mut roles = server.roles.values();
        let own = roles.find(|role| role.tags.bot_id == Some(api.bot_user));
        own.map(|role| role.id)
    }

    /// A member's access. What can't be fetched counts as not held.
    pub(super) async fn resolve_access(
        &self,
        api: &DiscordApi,
        guild: Option<GuildId>,
        member: EventMember<'_>,
    ) -> MemberAccess {
        let Some(guild) = guild else {
            return MemberAccess::default();
        };
        let fetched;
        let roles = match member.roles {
            Some(roles) => roles,
            None => match api.get_member_roles(guild, member.user).await {
                Ok(roles) => {
                    fetched = roles;
                    fetched.as_slice()
                }
                Err(error) => {
                    tracing::warn!(guild = guild.get(), trouble = %error, "roles unknown");
                    &[]
                }
            },
        };
        let can_manage_guild = match member.permissions {
            Some(permissions) => can_manage_guild(permissions),
            None => match self.get_guild(api, guild).await {
                Some(server) => can_manage_guild(guild_permissions(&server, member.user, roles)),
                None => false,
            },
        };
        MemberAccess {
            guild: Some(guild.get()),
            roles: roles.iter().map(|role| role.get()).collect(),
            can_manage_guild,
        }
    }

    async fn get_guild(&self, api: &DiscordApi, guild: GuildId) -> Option<Arc<PartialGuild>> {
        if let Some((at, server)) = self.lock_entries().get(&guild) {
            let fresh = if server.is_some() {
                CACHE_TTL
            } else {
                FAILURE_TTL
            };
            if at.elapsed() < fresh {
                return server.clone();
            }
        }
        let found = match api.get_guild(guild).await {
            Ok(found) => Some(Arc::new(found)),
            Err(error) => {
                tracing::warn!(guild = guild.get(), trouble = %error, "roles of the server unknown");
                None
            }
        };
        let mut map = self.lock_entries();
        if map.len() >= MAX_CACHED_GUILDS {
            map.clear();
        }
        map.insert(guild, (Instant::now(), found.clone()));
        found
    }

    fn lock_entries(&self) -> std::sync::MutexGuard<'_, HashMap<GuildId, CachedGuild>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether these permissions allow managing the server.
pub(super) fn can_manage_guild(permissions: Permissions) -> bool {
    permissions.intersects(Permissions::MANAGE_GUILD | Permissions::ADMINISTRATOR)
}

/// The permissions these roles grant in the whole server.
fn guild_permissions(server: &PartialGuild, user: UserId, roles: &[RoleId]) -> Permissions {
    if server.owner_id == user {
        return Permissions::all();
    }
    roles
        .iter()
        .filter_map(|role| server.roles.get(role))
        .fold(Permissions::empty(), |all, role| all | role.permissions)
}
