//! Rate limits as clients meet them: <https://discord.com/developers/docs/topics/rate-limits>.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::http::StatusCode;
use serde_json::json;

use super::rest_api::DiscordEndpoint;
use crate::mock_response::MockResponse;

const CHANNEL_LIMIT: u32 = 5;
const CHANNEL_WINDOW: Duration = Duration::from_secs(5);
const GLOBAL_LIMIT: u32 = 50;
const GLOBAL_WINDOW: Duration = Duration::from_secs(1);

/// Buckets that are remembered.
const MAX_BUCKETS: usize = 50_000;

#[derive(Debug)]
struct RateLimitBucket {
    remaining: u32,
    resets_at: Instant,
}

/// What has been asked for lately.
#[derive(Debug, Default)]
pub(super) struct RateLimits {
    pub(super) disabled: bool,
    pub(super) refused_requests: usize,
    buckets: HashMap<(DiscordEndpoint, u64), RateLimitBucket>,
    global: Option<RateLimitBucket>,
}

/// The headers of an answer within the limits.
pub(super) type RateLimitHeaders = Vec<(&'static str, String)>;

impl RateLimits {
    /// Counts a request. Too many get the 429 instead.
    pub(super) fn check_request(
        &mut self,
        endpoint: DiscordEndpoint,
        major: u64,
    ) -> Result<RateLimitHeaders, Box<MockResponse>> {
        if self.disabled {
            return Ok(RateLimitHeaders::new());
        }
        let now = Instant::now();
        if !endpoint.is_exempt_from_global_limit() {
            let global = self.global.get_or_insert(RateLimitBucket {
                remaining: GLOBAL_LIMIT,
                resets_at: now + GLOBAL_WINDOW,
            });
            refill(global, now, GLOBAL_LIMIT, GLOBAL_WINDOW);
            if global.remaining == 0 {
                let wait = global.resets_at - now;
                self.refused_requests += 1;
                return Err(Box::new(too_many_requests(
                    wait,
                    "global",
                    &RateLimitHeaders::new(),
                )));
            }
            global.remaining -= 1;
        }
        if !endpoint.is_channel_limited() {
            return Ok(RateLimitHeaders::new());
        }
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets.retain(|_, bucket| bucket.resets_at > now);
        }
        let bucket = self
            .buckets
            .entry((endpoint, major))
            .or_insert(RateLimitBucket {
                remaining: CHANNEL_LIMIT,
                resets_at: now + CHANNEL_WINDOW,
            });
        refill(bucket, now, CHANNEL_LIMIT, CHANNEL_WINDOW);
        let wait = bucket.resets_at - now;
        if bucket.remaining == 0 {
            self.refused_requests += 1;
            let headers = rate_limit_headers(endpoint, major, 0, wait);
            return Err(Box::new(too_many_requests(wait, "user", &headers)));
        }
        bucket.remaining -= 1;
        Ok(rate_limit_headers(endpoint, major, bucket.remaining, wait))
    }
}

fn refill(bucket: &mut RateLimitBucket, now: Instant, limit: u32, window: Duration) {
    if bucket.resets_at <= now {
        bucket.remaining = limit;
        bucket.resets_at = now + window;
    }
}

fn rate_limit_headers(
    endpoint: DiscordEndpoint,
    major: u64,
    left: u32,
    wait: Duration,
) -> RateLimitHeaders {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let reset = now.unwrap_or_default() + wait;
    vec![
        ("X-RateLimit-Limit", CHANNEL_LIMIT.to_string()),
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

fn too_many_requests(wait: Duration, scope: &str, headers: &RateLimitHeaders) -> MockResponse {
    let wait = wait.as_secs_f64();
    let body = json!({
        "message": "You are being rate limited.",
        "retry_after": wait,
        "global": scope == "global",
    });
    let mut answer = MockResponse::json(StatusCode::TOO_MANY_REQUESTS, &body)
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
