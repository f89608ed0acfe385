//! What the bot knows of a server's roles: messages name them by number only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serenity::all::{GuildId, PartialGuild, Permissions, RoleId, UserId};

use super::wire::Wire;
use crate::flow::access::Standing;

/// How long a server is taken to be as it was.
const FRESH: Duration = Duration::from_secs(60);

/// The same after it could not be looked at.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Servers that are remembered.
const MAX_SERVERS: usize = 2_000;

/// When a server was looked at, and what was found.
type Looked = (Instant, Option<Arc<PartialGuild>>);

/// The servers that have been asked for.
#[derive(Default)]
pub(super) struct Servers {
    known: Mutex<HashMap<GuildId, Looked>>,
}

/// Somebody in a server, as far as an event tells of them.
pub(super) struct Member<'a> {
    pub(super) user: UserId,
    /// None: they have to be asked for.
    pub(super) roles: Option<&'a [RoleId]>,
    /// Those in the channel. None: they follow from the roles.
    pub(super) permissions: Option<Permissions>,
}

impl Servers {
    /// The role that Discord made for the bot when it was added.
    pub(super) async fn own_role(&self, wire: &Wire, guild: GuildId) -> Option<RoleId> {
        let server = self.server(wire, guild).await?;
        let mut roles = server.roles.values();
        let own = roles.find(|role| role.tags.bot_id == Some(wire.me));
        own.map(|role| role.id)
    }

    /// What somebody is in a server. What can't be found out, they are not.
    pub(super) async fn standing(
        &self,
        wire: &Wire,
        guild: Option<GuildId>,
        member: Member<'_>,
    ) -> Standing {
        let Some(guild) = guild else {
            return Standing::default();
        };
        let asked;
        let roles = match member.roles {
            Some(roles) => roles,
            None => match wire.roles(guild, member.user).await {
                Ok(roles) => {
                    asked = roles;
                    asked.as_slice()
                }
                Err(trouble) => {
                    tracing::warn!(guild = guild.get(), %trouble, "roles unknown");
                    &[]
                }
            },
        };
        let manages = match member.permissions {
            Some(permissions) => manages(permissions),
            None => match self.server(wire, guild).await {
                Some(server) => manages(permissions(&server, member.user, roles)),
                None => false,
            },
        };
        Standing {
            guild: Some(guild.get()),
            roles: roles.iter().map(|role| role.get()).collect(),
            manages,
        }
    }

    async fn server(&self, wire: &Wire, guild: GuildId) -> Option<Arc<PartialGuild>> {
        if let Some((at, server)) = self.map().get(&guild) {
            let fresh = if server.is_some() { FRESH } else { UNKNOWN_FOR };
            if at.elapsed() < fresh {
                return server.clone();
            }
        }
        let found = match wire.guild(guild).await {
            Ok(found) => Some(Arc::new(found)),
            Err(trouble) => {
                tracing::warn!(guild = guild.get(), %trouble, "roles of the server unknown");
                None
            }
        };
        let mut map = self.map();
        if map.len() >= MAX_SERVERS {
            map.clear();
        }
        map.insert(guild, (Instant::now(), found.clone()));
        found
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<GuildId, Looked>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether these are those of somebody who manages the server.
pub(super) fn manages(permissions: Permissions) -> bool {
    permissions.intersects(Permissions::MANAGE_GUILD | Permissions::ADMINISTRATOR)
}

/// What these roles allow in the server as a whole.
fn permissions(server: &PartialGuild, user: UserId, roles: &[RoleId]) -> Permissions {
    if server.owner_id == user {
        return Permissions::all();
    }
    roles
        .iter()
        .filter_map(|role| server.roles.get(role))
        .fold(Permissions::empty(), |all, role| all | role.permissions)
}
