//! How long to wait before the next attempt.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The longest back-off.
pub const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// An answer that is over the rate limit and asks for a longer wait than this ends the asking with its token.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A server that failed and asks for a longer wait than this is not waited for: the account is unread, and says so.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(120);

/// What `Retry-After` asks for, in seconds or as an HTTP date; a date gone by asks for no wait.
/// `None` where the header is absent or says neither.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    parse_retry_after(text, now)
}

/// Reads the value of a `Retry-After` header.
pub fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// What `x-should-retry` says, which Cloudflare's own clients obey; `None` where it is absent or says neither.
pub fn should_retry(headers: &HeaderMap) -> Option<bool> {
    let text = headers.get("x-should-retry")?.to_str().ok()?;
    text.trim().to_ascii_lowercase().parse().ok()
}

/// Exponential back-off with full jitter: anything up to `first` before the second attempt, up to twice
/// that before the third, and so on up to [`LONGEST_DELAY`]. `retry` counts from 0.
pub fn backoff(first: Duration, retry: u32) -> Duration {
    let most = first
        .saturating_mul(2u32.saturating_pow(retry))
        .min(LONGEST_DELAY);
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let at = |text| parse_retry_after(text, now);
        assert_eq!(at(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(
            at("Sun, 06 Nov 1994 08:49:47 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(at("Sun, 06 Nov 1994 08:49:27 GMT"), Some(Duration::ZERO));
        for odd in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(at(odd), None, "{odd}");
        }
    }

    #[test]
    fn should_retry_says_yes_no_or_nothing() {
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-should-retry", text.parse().unwrap());
            should_retry(&headers)
        };
        assert_eq!(said("true"), Some(true));
        assert_eq!(said(" False "), Some(false));
        assert_eq!((said("1"), said("")), (None, None));
        assert_eq!(should_retry(&HeaderMap::new()), None);
    }

    #[test]
    fn backoff_doubles_up_to_a_bound_and_is_spread_over_all_of_it() {
        let first = Duration::from_millis(500);
        for retry in 0..40 {
            let most = LONGEST_DELAY.min(first * 2u32.pow(retry.min(10)));
            assert!(backoff(first, retry) <= most);
        }
        let spread: Vec<_> = (0..64).map(|_| backoff(first, 0)).collect();
        assert!(spread.iter().any(|d| *d < first / 2) && spread.iter().any(|d| *d > first / 2));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_or_not(text in ".{0,60}") {
            let _ = parse_retry_after(&text, SystemTime::now());
        }
    }
}
