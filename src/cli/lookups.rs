//! Whether and how TXT records are looked up: what `audit` and `render` share.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::Failure;
use super::progress::{LINE_EVERY, Shown, When, line};
use super::values::{parse_duration, parse_rate};
use crate::audit::LookupWatcher;
use crate::clock::Clock;
use crate::dns::resolver::system_resolvers;
use crate::dns::{Asker, AskerOptions};
use crate::rate::Rate;
use crate::text::count;

/// The port of a resolver where none is said.
const PORT: u16 = 53;
/// Attempts at a question that gets no answer.
const ATTEMPTS: u32 = 3;

/// Whether and how TXT records are looked up.
#[derive(Debug, Args)]
#[command(next_help_heading = "DNS")]
pub struct LookupArgs {
    /// Check in DNS that each connector's TXT record is published at its e-mail domain
    #[arg(long)]
    pub check_dns: bool,
    /// Resolver to query instead of the system's; repeatable. With two, a record is absent only if both say so
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_resolver, requires = "check_dns")]
    pub resolver: Vec<SocketAddr>,
    /// Maximum DNS queries per window across all resolvers, evenly spaced
    #[arg(long, value_name = "N/DURATION", default_value = "200/1s", value_parser = parse_rate)]
    dns_rate: Rate,
    /// How long to wait for a resolver, in each of three attempts
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    dns_timeout: Duration,
}

impl LookupArgs {
    /// Who is asked, and how; `None` where nothing is looked up. `demo` is the demo's own resolver.
    pub fn asker(&self, clock: Clock, demo: Option<SocketAddr>) -> Result<Option<Asker>, Failure> {
        let mut nobody = None;
        let mut resolvers = match demo {
            Some(resolver) => vec![resolver],
            None if !self.check_dns => return Ok(None),
            None if self.resolver.is_empty() => system_resolvers().unwrap_or_else(|cause| {
                nobody = Some(format!(
                    "the system's resolvers are unknown ({cause}); give one with --resolver"
                ));
                Vec::new()
            }),
            None => self.resolver.clone(),
        };
        // Twice the same one is no second opinion.
        let mut seen = Vec::new();
        resolvers.retain(|resolver| {
            let is_new = !seen.contains(resolver);
            seen.push(*resolver);
            is_new
        });
        let options = AskerOptions {
            resolvers,
            nobody,
            simulated: demo.is_some(),
            timeout: self.dns_timeout,
            attempts: ATTEMPTS,
            rate: self.dns_rate,
            clock,
        };
        Asker::new(options).map(Some).map_err(Failure::failed)
    }
}

/// Reads `192.0.2.53`, `192.0.2.53:5353`, `2001:db8::53` or `[2001:db8::53]:5353`.
///
/// # Errors
/// What is wrong, with an example.
fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    const EXAMPLE: &str = "a resolver looks like 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53";
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: Result<SocketAddr, _> = match bare.unwrap_or(text).parse::<IpAddr>() {
        Ok(ip) => Ok(SocketAddr::new(ip, PORT)),
        Err(_) => text.parse(),
    };
    let address = address.map_err(|_| {
        format!(
            "is not the address of a resolver (a host name would have to be looked up itself); {EXAMPLE}"
        )
    })?;
    let is_broadcast = matches!(address.ip(), IpAddr::V4(ip) if ip.is_broadcast());
    let is_nobodys = address.ip().is_unspecified() || address.ip().is_multicast();
    if address.port() == 0 || is_nobodys || is_broadcast {
        return Err(format!("cannot be queried; {EXAMPLE}"));
    }
    Ok(address)
}

/// Shows how many names were asked for, on stderr.
pub struct LookupProgress {
    asked: usize,
    unanswered: usize,
    began: Instant,
    shown: Shown,
}

impl LookupProgress {
    /// Begins to show it.
    pub fn new(when: When, quiet: bool) -> Self {
        Self {
            asked: 0,
            unanswered: 0,
            began: Instant::now(),
            shown: Shown::new(when, quiet, spinner),
        }
    }

    fn figures(&self) -> String {
        format!(
            "{} looked up in DNS, {} unanswered",
            count(self.asked, "name"),
            self.unanswered
        )
    }
}

/// How many names there will be is not known beforehand.
fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {wide_msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

impl LookupWatcher for LookupProgress {
    fn looked_up(&mut self, is_answered: bool) {
        self.asked += 1;
        self.unanswered += usize::from(!is_answered);
    }

    fn tick(&mut self) {
        let figures = self.figures();
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.tick();
                bar.set_message(figures);
            }
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                line(&figures);
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    fn finish(&mut self) {
        match &self.shown {
            Shown::Bar(bar) => bar.finish_and_clear(),
            Shown::Lines { .. } => {
                let seconds = self.began.elapsed().as_secs_f64();
                line(&format!("{}, in {seconds:.1} s", self.figures()));
            }
            Shown::Nothing => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_is_an_address_with_or_without_port() {
        for (text, address) in [
            ("192.0.2.53", "192.0.2.53:53"),
            ("192.0.2.53:5353", "192.0.2.53:5353"),
            ("2001:db8::53", "[2001:db8::53]:53"),
            ("[2001:db8::53]", "[2001:db8::53]:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
        ] {
            assert_eq!(parse_resolver(text).unwrap().to_string(), address);
        }
        for bad in [
            "",
            "dns.example",
            "192.0.2.53:",
            "192.0.2.53:0",
            "0.0.0.0",
            "[::]:53",
            "224.0.0.251",
            "255.255.255.255",
            "192.0.2.53:99999",
            "192.0.2",
            "https://192.0.2.53",
        ] {
            assert!(parse_resolver(bad).is_err(), "{bad}");
        }
    }
}
