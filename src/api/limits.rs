//! The rate limits that an answer names, in its headers `Ratelimit-Policy` and `Ratelimit`.
//!
//! Both are lists and may stand on several lines: `"burst";q=100;w=60, "default";q=1200;w=300`. They are shown, and
//! compared with the rate of our own; nothing is paced by them, because what is left has been seen not to follow the budget
//! of five minutes.

use std::fmt;

use http::HeaderMap;

use crate::rate::Rate;

/// One limit that an answer names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// As Cloudflare calls it.
    pub name: String,
    /// Requests in a window.
    pub quota: Option<u64>,
    /// The window, in seconds.
    pub window: Option<u64>,
    /// Requests that are left.
    pub remaining: Option<u64>,
    /// When that begins anew, in seconds.
    pub reset: Option<u64>,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.name)?;
        match (self.quota, self.window) {
            (Some(quota), Some(window)) => write!(formatter, " {quota} requests in {window} s")?,
            (Some(quota), None) => write!(formatter, " {quota} requests")?,
            (None, _) => {}
        }
        match (self.remaining, self.reset) {
            (Some(left), Some(reset)) => write!(formatter, " ({left} left for {reset} s)"),
            (Some(left), None) => write!(formatter, " ({left} left)"),
            (None, _) => Ok(()),
        }
    }
}

impl RateLimit {
    /// Whether so many requests in so long a window, sent as early as that allows, can go over it.
    pub fn is_exceeded_by(&self, rate: Rate) -> bool {
        let (Some(quota), Some(window)) = (self.quota, self.window) else {
            return false;
        };
        let windows = (window as f64 / rate.window.as_secs_f64()).ceil().max(1.0);
        rate.requests as f64 * windows > quota as f64
    }
}

/// Every limit that the headers of an answer name, in the order of the policies.
pub fn rate_limits(headers: &HeaderMap) -> Vec<RateLimit> {
    let mut limits: Vec<RateLimit> = Vec::new();
    for item in items(headers, "ratelimit-policy") {
        limits.push(RateLimit {
            quota: item.number("q"),
            window: item.number("w"),
            name: item.name,
            ..RateLimit::default()
        });
    }
    for item in items(headers, "ratelimit") {
        let (remaining, reset) = (item.number("r"), item.number("t"));
        match limits.iter_mut().find(|limit| limit.name == item.name) {
            Some(limit) => (limit.remaining, limit.reset) = (remaining, reset),
            None => limits.push(RateLimit {
                name: item.name,
                remaining,
                reset,
                ..RateLimit::default()
            }),
        }
    }
    limits
}

/// An item of a list: `"default";q=1200;w=300`.
struct Item {
    name: String,
    parameters: Vec<(String, String)>,
}

impl Item {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = split_outside_quotes(text, ';');
        let name = parts.next()?.trim().trim_matches('"').to_owned();
        let parameters = parts.filter_map(|part| {
            let (key, value) = part.split_once('=')?;
            Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
        });
        let parameters = parameters.collect();
        (!name.is_empty()).then_some(Self { name, parameters })
    }

    fn number(&self, key: &str) -> Option<u64> {
        let (_, value) = self.parameters.iter().find(|(name, _)| name == key)?;
        value.parse().ok()
    }
}

/// The items of every line of a header.
fn items(headers: &HeaderMap, name: &str) -> Vec<Item> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| split_outside_quotes(line, ','))
        .filter_map(Item::parse)
        .collect()
}

fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn limits(policies: &[&str], left: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, lines) in [("ratelimit-policy", policies), ("ratelimit", left)] {
            for line in lines {
                headers.append(name, line.parse().unwrap());
            }
        }
        rate_limits(&headers)
            .iter()
            .map(RateLimit::to_string)
            .collect()
    }

    #[test]
    fn every_policy_of_every_line_is_read() {
        assert_eq!(
            limits(
                &["\"burst\";q=100;w=60, \"default\";q=1200;w=300"],
                &["\"default\";r=50;t=30"]
            ),
            [
                "burst: 100 requests in 60 s",
                "default: 1200 requests in 300 s (50 left for 30 s)"
            ]
        );
        assert_eq!(
            limits(
                &["\"a, b; c\" ; Q=1 ; w=2", "default;q=5;qu=\"requests\""],
                &["\"other\";r=3"]
            ),
            [
                "a, b; c: 1 requests in 2 s",
                "default: 5 requests",
                "other: (3 left)"
            ]
        );
        assert_eq!(limits(&["", ",;q=1,x;q=many;w=-1"], &[]), ["x:"]);
        assert_eq!(limits(&[], &[]), [""; 0]);
    }

    #[test]
    fn a_rate_is_compared_with_each() {
        let limit = |quota, window| RateLimit {
            quota: Some(quota),
            window: Some(window),
            ..RateLimit::default()
        };
        let rate = |requests, seconds| Rate {
            requests,
            window: Duration::from_secs(seconds),
        };
        for (quota, window, rate, exceeded) in [
            (1200, 300, rate(1000, 300), false),
            (1200, 300, rate(1201, 300), true),
            // All of a window's requests may go at once.
            (100, 60, rate(1000, 300), true),
            (100, 60, rate(100, 60), false),
            (1200, 300, rate(100, 10), true),
            (1200, 300, rate(40, 10), false),
        ] {
            let got = limit(quota, window).is_exceeded_by(rate);
            assert_eq!(got, exceeded, "{rate} against {quota} in {window} s");
        }
        assert!(!RateLimit::default().is_exceeded_by(rate(1, 1)));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read_or_not(text in "[ -~]{0,60}") {
            let _ = limits(&[&text], &[&text]);
        }
    }
}
