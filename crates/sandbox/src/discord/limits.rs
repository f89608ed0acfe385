//! Rate limits as clients meet them: <https://discord.com/developers/docs/topics/rate-limits>.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::json;

use super::rest::DiscordEndpoint;
use crate::answer::Answer;

const PER_CHANNEL: u32 = 5;
const WINDOW: Duration = Duration::from_secs(5);
const GLOBAL: u32 = 50;
const GLOBAL_WINDOW: Duration = Duration::from_secs(1);

/// Buckets that are remembered.
const MAX_BUCKETS: usize = 50_000;

#[derive(Debug)]
struct Bucket {
    left: u32,
    reset: Instant,
}

/// What has been asked for lately.
#[derive(Debug, Default)]
pub(super) struct Limits {
    pub(super) off: bool,
    pub(super) refused: usize,
    buckets: HashMap<(DiscordEndpoint, u64), Bucket>,
    global: Option<Bucket>,
}

/// The headers of an answer within the limits.
pub(super) type Headers = Vec<(&'static str, String)>;

impl Limits {
    /// Counts a request. Too many get the 429 instead.
    pub(super) fn count(
        &mut self,
        endpoint: DiscordEndpoint,
        major: u64,
    ) -> Result<Headers, Box<Answer>> {
        if self.off {
            return Ok(Headers::new());
        }
        let now = Instant::now();
        if !endpoint.is_exempt() {
            let global = self.global.get_or_insert(Bucket {
                left: GLOBAL,
                reset: now + GLOBAL_WINDOW,
            });
            refill(global, now, GLOBAL, GLOBAL_WINDOW);
            if global.left == 0 {
                let wait = global.reset - now;
                self.refused += 1;
                return Err(Box::new(too_many(wait, "global", &Headers::new())));
            }
            global.left -= 1;
        }
        if !endpoint.is_bucketed() {
            return Ok(Headers::new());
        }
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, bucket| bucket.reset > now);
        }
        let bucket = self.buckets.entry((endpoint, major)).or_insert(Bucket {
            left: PER_CHANNEL,
            reset: now + WINDOW,
        });
        refill(bucket, now, PER_CHANNEL, WINDOW);
        let wait = bucket.reset - now;
        if bucket.left == 0 {
            self.refused += 1;
            let headers = headers(endpoint, major, 0, wait);
            return Err(Box::new(too_many(wait, "user", &headers)));
        }
        bucket.left -= 1;
        Ok(headers(endpoint, major, bucket.left, wait))
    }
}

fn refill(bucket: &mut Bucket, now: Instant, limit: u32, window: Duration) {
    if bucket.reset <= now {
        bucket.left = limit;
        bucket.reset = now + window;
    }
}

fn headers(endpoint: DiscordEndpoint, major: u64, left: u32, wait: Duration) -> Headers {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let reset = now.unwrap_or_default() + wait;
    vec![
        ("X-RateLimit-Limit", PER_CHANNEL.to_string()),
        ("X-RateLimit-Remaining", left.to_string()),
        ("X-RateLimit-Reset", format!("{:.3}", reset.as_secs_f64())),
        (
            "X-RateLimit-Reset-After",
            format!("{:.3}", wait.as_secs_f64()),
        ),
        (
            "X-RateLimit-Bucket",
            format!("{endpoint:?}-{major}").to_lowercase(),
        ),
    ]
}

fn too_many(wait: Duration, scope: &str, headers: &Headers) -> Answer {
    let wait = wait.as_secs_f64();
    let body = json!({
        "message": "You are being rate limited.",
        "retry_after": wait,
        "global": scope == "global",
    });
    let mut answer = Answer::json(StatusCode::TOO_MANY_REQUESTS, &body)
        .header("Retry-After", &format!("{}", wait.ceil()))
        .header("X-RateLimit-Scope", scope);
    if scope == "global" {
        answer = answer.header("X-RateLimit-Global", "true");
    }
    for (name, value) in headers {
        answer = answer.header(name, value);
    }
    answer
}
