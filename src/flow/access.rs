//! Who may use the bot in a server.
//!
//! A server can name a role without which nobody may. That is decided here and nowhere else:
//! whatever asks for something, a message, a command, a menu, a button or a sentence in a call,
//! has to show a [`AccessGrant`], and only [`MemberAccess::clear`] makes one.

use super::guild_settings::GuildSettings;

/// What somebody is in the server where they ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MemberAccess {
    /// The server; none in a direct message, where there are no roles.
    pub guild: Option<u64>,
    /// Their roles.
    pub roles: Vec<u64>,
    /// Whether they may manage the server: who sets the role is not locked out by it.
    pub can_manage_guild: bool,
}

/// Somebody may use the bot where they ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessGrant(());

impl MemberAccess {
    /// Decides whether they may use the bot.
    #[must_use]
    pub fn authorize(&self, settings: &GuildSettings) -> Option<AccessGrant> {
        let (Some(guild), Some(role)) = (self.guild, settings.required_role) else {
            return Some(AccessGrant(()));
        };
        // The role of everybody has the server's number, and no member lists it.
        let has = role == guild || self.roles.contains(&role);
        (has || self.can_manage_guild).then_some(AccessGrant(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_role_or_manage_guild_grants_access() {
        for (guild, wanted, roles, manages, may) in [
            (Some(1), None, vec![], false, true),
            (Some(1), Some(7), vec![], false, false),
            (Some(1), Some(7), vec![8], false, false),
            (Some(1), Some(7), vec![8, 7], false, true),
            (Some(1), Some(7), vec![], true, true),
            // Everybody.
            (Some(1), Some(1), vec![], false, true),
            // A direct message.
            (None, Some(7), vec![], false, true),
        ] {
            let settings = GuildSettings {
                required_role: wanted,
                ..GuildSettings::default()
            };
            let standing = MemberAccess {
                guild,
                roles,
                can_manage_guild: manages,
            };
            assert_eq!(standing.authorize(&settings).is_some(), may, "{standing:?}");
        }
    }
}
