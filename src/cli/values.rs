//! How values on the command line are read, with an example of a good one where they are bad.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::rate::Rate;
use crate::region::Region;

/// Reads `30s`, `500ms`, `5m` or `1h 30m`.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; a duration looks like 30s, 500ms or 5m"))?;
    if duration.is_zero() {
        return Err("must be more than zero; a duration looks like 30s, 500ms or 5m".to_owned());
    }
    if duration > Duration::from_secs(86_400) {
        return Err("is more than a day; a duration looks like 30s, 500ms or 5m".to_owned());
    }
    Ok(duration)
}

/// Reads a duration that may be nothing: `0s`.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_delay(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(delay) if delay.is_zero() => Ok(delay),
        _ => parse_duration(text),
    }
}

/// Reads `1000/300s`: so many requests in so long a window.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_rate(text: &str) -> Result<Rate, String> {
    const EXAMPLE: &str = "a rate looks like 1000/300s: the count, a slash and the window";
    let (requests, window) = text
        .split_once('/')
        .ok_or_else(|| format!("has no slash; {EXAMPLE}"))?;
    let requests: usize = requests
        .trim()
        .parse()
        .map_err(|_| format!("{:?} is not a count; {EXAMPLE}", requests.trim()))?;
    if requests == 0 {
        return Err(format!("must be at least 1 per window; {EXAMPLE}"));
    }
    let window = parse_duration(window.trim())
        .map_err(|error| format!("{:?} is not a window: {error}; {EXAMPLE}", window.trim()))?;
    Ok(Rate { requests, window })
}

/// Reads `public` or `fedramp-high`.
///
/// # Errors
/// What is wrong, with those that there are.
pub fn parse_region(text: &str) -> Result<Region, String> {
    Region::named(text).ok_or_else(|| {
        format!(
            "unknown region {text:?}; use {}",
            Region::ALL.map(Region::as_str).join(" and ")
        )
    })
}

/// Reads `127.0.0.1:8080`.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|error| {
        format!("{error}; an address with its port looks like 127.0.0.1:0 or [::1]:8080")
    })
}

/// Reads `0600` or `640`.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_mode(text: &str) -> Result<u32, String> {
    const EXAMPLE: &str =
        "a mode looks like 0600 (only you), 0640 (your group reads) or 0644 (everyone reads)";
    let mode =
        u32::from_str_radix(text, 8).map_err(|_| format!("is not an octal number; {EXAMPLE}"))?;
    if mode & !0o666 != 0 || mode & 0o600 != 0o600 {
        return Err(format!(
            "must let you read and write, and let nobody execute; {EXAMPLE}"
        ));
    }
    Ok(mode)
}

/// Reads a number that is at least 1.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number @ 1..=1024) => Ok(number),
        _ => Err("must be a number from 1 to 1024, such as 32".to_owned()),
    }
}

/// Reads how many runs are kept.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_keep(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "must be a number of runs, at least 1, such as 30".to_owned())
}

/// Reads a number of retries.
///
/// # Errors
/// What is wrong, with an example.
pub fn parse_retries(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(number @ 0..=20) => Ok(number),
        _ => Err("must be a number from 0 to 20, such as 5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_durations_and_modes_are_read() {
        let rate = parse_rate(" 1000 / 300s ").unwrap();
        assert_eq!(
            (rate.requests, rate.window),
            (1000, Duration::from_secs(300))
        );
        assert_eq!(rate.to_string(), "1000/300s");
        assert_eq!(parse_rate("1/500ms").unwrap().to_string(), "1/0.5s");
        assert_eq!(parse_delay("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_mode("0640"), Ok(0o640));
    }

    #[test]
    fn bad_ones_are_told_with_an_example_of_a_good_one() {
        for bad in [
            "", "1000", "0/1s", "x/1s", "1/0s", "1/x", "-1/1s", "1/300", "1/2days",
        ] {
            assert!(parse_rate(bad).unwrap_err().contains("1000/300s"), "{bad}");
        }
        for bad in ["", "30", "x", "0s", "-1s", "25h"] {
            assert!(parse_duration(bad).unwrap_err().contains("30s"), "{bad}");
        }
        for bad in ["", "rw", "0777", "0440", "8"] {
            assert!(parse_mode(bad).unwrap_err().contains("0600"), "{bad}");
        }
        for bad in ["", "0", "-1", "1.5", "x"] {
            assert!(parse_keep(bad).unwrap_err().contains("30"), "{bad}");
        }
        for bad in ["0", "-1", "x", "100000"] {
            assert!(parse_concurrency(bad).unwrap_err().contains("32"), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = (parse_rate(&text), parse_duration(&text), parse_delay(&text), parse_mode(&text));
        }
    }
}
