//! Files on the content network: links are signed and expire.

use axum::http::StatusCode;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::world::{AttachmentData, World};
use crate::mock_response::MockResponse;
use crate::recorder::{hex, query_param};

/// A link to a file, good for the world's life of links.
pub(super) fn signed_url(world: &World, channel: u64, attached: &AttachmentData) -> String {
    let now = unix_now();
    let until = now + world.link_lifetime.as_secs();
    let path = format!("/attachments/{channel}/{}/{}", attached.id, attached.name);
    let sum = signature(&path, until, attached.id);
    format!("https://cdn.discordapp.com{path}?ex={until:x}&is={now:x}&hm={sum}&")
}

/// The file behind a link.
pub(super) fn serve_file(world: &World, path: &str, query: &str) -> MockResponse {
    let gone = || {
        let text = "This content is no longer available.";
        MockResponse::new(StatusCode::NOT_FOUND, "text/plain", text.into())
    };
    let mut parts = path.trim_start_matches("/attachments/").split('/');
    let (Some(channel), Some(id)) = (parts.next(), parts.next()) else {
        return gone();
    };
    let (Ok(channel), Ok(id)) = (channel.parse::<u64>(), id.parse::<u64>()) else {
        return gone();
    };
    let in_channel = world
        .messages
        .values()
        .filter(|it| it.channel_id == channel);
    let mut attached = in_channel.flat_map(|it| &it.attachments);
    let known = attached.find(|it| it.id == id);
    let loose = world.command_attachments.get(&id);
    let Some(attached) = known.or(loose) else {
        return gone();
    };
    let until = query_param(query, "ex").and_then(|it| u64::from_str_radix(&it, 16).ok());
    let Some(until) = until else { return gone() };
    let right =
        query_param(query, "hm").is_some_and(|it| it == signature(path, until, attached.id));
    if !right || until < unix_now() || attached.links_expired_before > until {
        return gone();
    }
    let kind = "application/octet-stream";
    MockResponse::new(StatusCode::OK, kind, Bytes::clone(&attached.bytes))
}

pub(super) fn unix_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

fn signature(path: &str, until: u64, id: u64) -> String {
    hex(&Sha256::digest(format!("{path} {until} {id} sandbox")))
}
