//! Who may use the bot in a guild.
//!
//! A guild can require a role. This is the only place that checks it: every request, be it a
//! message, a command, a menu, a button or a sentence in a call, needs an [`AccessGrant`], and only
//! [`MemberAccess::authorize`] creates one.

use super::guild_settings::GuildSettings;

/// A member's roles and rights in the guild where they ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MemberAccess {
    /// The guild; `None` in a direct message, where there are no roles.
    pub guild: Option<u64>,
    /// The member's roles.
    pub roles: Vec<u64>,
    /// Whether they may manage the guild, and so can't be locked out by the role they set.
    pub can_manage_guild: bool,
}

/// Proof that a user may use the bot where they ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccessGrant(());

impl MemberAccess {
    /// Checks whether the member may use the bot.
    #[must_use]
    pub fn authorize(&self, settings: &GuildSettings) -> Option<AccessGrant> {
        let (Some(guild), Some(role)) = (self.guild, settings.required_role) else {
            return Some(AccessGrant(()));
        };
        // The @everyone role has the guild's id, and members don't list it.
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
            // @everyone.
            (Some(1), Some(1), vec![], false, true),
            // A direct message.
            (None, Some(7), vec![], false, true),
        ] {
            let settings = GuildSettings {
                required_role: wanted,
                ..GuildSettings::default()
            };
            let member = MemberAccess {
                guild,
                roles,
                can_manage_guild: manages,
            };
            assert_eq!(member.authorize(&settings).is_some(), may, "{member:?}");
        }
    }
}
