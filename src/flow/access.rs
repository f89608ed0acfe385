//! Who may use the bot in a server.
//!
//! A server can name a role without which nobody may. That is decided here and nowhere else:
//! whatever asks for something, a message, a command, a menu, a button or a sentence in a call,
//! has to show a [`Cleared`], and only [`Standing::clear`] makes one.

use super::server::ServerSettings;

/// What somebody is in the server where they ask.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Standing {
    /// The server; none in a direct message, where there are no roles.
    pub guild: Option<u64>,
    /// Their roles.
    pub roles: Vec<u64>,
    /// Whether they may manage the server: who sets the role is not locked out by it.
    pub manages: bool,
}

/// Somebody may use the bot where they ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cleared(());

impl Standing {
    /// Decides whether they may use the bot.
    #[must_use]
    pub fn clear(&self, settings: &ServerSettings) -> Option<Cleared> {
        let (Some(guild), Some(role)) = (self.guild, settings.role) else {
            return Some(Cleared(()));
        };
        // The role of everybody has the server's number, and no member lists it.
        let has = role == guild || self.roles.contains(&role);
        (has || self.manages).then_some(Cleared(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_lets_in_who_has_it_or_manages_the_server() {
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
            let settings = ServerSettings {
                role: wanted,
                ..ServerSettings::default()
            };
            let standing = Standing {
                guild,
                roles,
                manages,
            };
            assert_eq!(standing.clear(&settings).is_some(), may, "{standing:?}");
        }
    }
}
