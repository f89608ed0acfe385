//! The link that adds the bot to a server.

use serenity::all::Permissions;

/// The permissions the bot needs: see channels, write in them and their threads, read the message
/// it replies to, attach long answers, join voice channels, and mark its nickname while it
/// transcribes.
pub const REQUIRED_PERMISSIONS: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::SEND_MESSAGES_IN_THREADS)
    .union(Permissions::READ_MESSAGE_HISTORY)
    .union(Permissions::ATTACH_FILES)
    .union(Permissions::CONNECT)
    .union(Permissions::CHANGE_NICKNAME);

/// The invite link of the application with this id.
#[must_use]
pub fn invite_url(application: u64) -> String {
    format!(
        "https://discord.com/oauth2/authorize?client_id={application}\
         &scope=bot%20applications.commands&permissions={}",
        REQUIRED_PERMISSIONS.bits()
    )
}

/// The application id in a bot token, whose first part is the id in Base64.
#[must_use]
pub fn application_id_from_token(token: &str) -> Option<u64> {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let first = token.split('.').next()?.trim_end_matches('=');
    let bytes = STANDARD_NO_PAD.decode(first).ok()?;
    std::str::from_utf8(&bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_invite_requests_only_required_permissions() {
        assert_eq!(
            invite_url(42),
            "https://discord.com/oauth2/authorize?client_id=42\
             &scope=bot%20applications.commands&permissions=274946165760"
        );
    }

    #[test]
    fn a_token_contains_the_application_id() {
        assert_eq!(
            application_id_from_token("MTIzNDU2Nzg5MDEyMzQ1Njc4.abc.def"),
            Some(123_456_789_012_345_678)
        );
        assert_eq!(application_id_from_token("nonsense"), None);
        assert_eq!(application_id_from_token(""), None);
    }
}
