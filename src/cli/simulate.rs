//! `cf-sso-audit simulate`: the API on loopback, made up.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::values::{parse_delay, parse_listen, parse_rate};
use super::{Failure, exit, print};
use crate::clock::Clock;
use crate::rate::Rate;
use crate::simulator::{self, TroubleShare, Troubles, World};

/// Serve a simulated API with made-up accounts on this machine, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SimulateArgs {
    /// Address to listen on, on this machine only; port 0 picks a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_listen)]
    listen: SocketAddr,
    /// Address to answer DNS queries on, for the made-up domains' TXT records, over UDP and TCP
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_listen)]
    dns_listen: SocketAddr,
    /// Number of accounts to make up; by default those of `audit --demo`
    #[arg(long, value_name = "N")]
    accounts: Option<usize>,
    /// Connectors per account
    #[arg(long, value_name = "M", default_value_t = 3, requires = "accounts")]
    connectors: usize,
    /// Seed; the same seed makes up the same accounts
    #[arg(long, value_name = "S", default_value_t = 1, requires = "accounts")]
    seed: u64,
    /// Number of organizations to make up: a tree of up to 5 levels that holds four fifths of the accounts. If there
    /// are several, the last refuses to be listed
    #[arg(long, value_name = "K", default_value_t = 1, requires = "accounts", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    organizations: u16,
    /// Rate limit; a token that exceeds it is blocked for a whole window. No limit by default
    #[arg(long, value_name = "N/DURATION", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// Tokens to take, each with a limit of its own, as shards of an audit have
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    tokens: u16,
    /// Delay before each answer
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_delay)]
    latency: Duration,
    /// Make a share of the accounts fail: server, timeout, forbidden, incomplete, rate-limited or malformed, such as
    /// server=5%; repeatable
    #[arg(long, value_name = "KIND=SHARE", value_parser = str::parse::<TroubleShare>)]
    fail: Vec<TroubleShare>,
}

const EXAMPLES: &str = "\
Examples:
  Serve the accounts of `audit --demo`; paste what it prints into a second shell, and audit them there:
      cf-sso-audit simulate
      cf-sso-audit audit --all-accounts
  Serve 2,000 accounts with 20 connectors each behind a rate limit:
      cf-sso-audit simulate --accounts 2000 --connectors 20 --rate 1200/300s --latency 50ms
  Simulate a bad night: a tenth of the accounts answer with errors, and another tenth are forbidden:
      cf-sso-audit simulate --accounts 200 --fail server=10% --fail forbidden=10%
  Serve a tree of 20 organizations, one of which refuses to be listed:
      cf-sso-audit simulate --accounts 300 --organizations 20";

/// The token that the simulated API takes: of the right form, and no secret.
pub const TOKEN: &str = "cfut_simulated0simulated0simulated0simulat00000000";

/// The token with a number, from 1.
fn token(number: u16) -> String {
    let digits = format!("{:04}", number - 1);
    format!("{}{digits}", &TOKEN[..TOKEN.len() - digits.len()])
}

/// Runs the command.
pub async fn run(args: SimulateArgs) -> Result<u8, Failure> {
    let clock = Clock::from_environment().map_err(Failure::usage)?;
    let world = match args.accounts {
        Some(accounts) => World::generate(accounts, args.connectors, args.seed, clock.now())
            .with_organizations(args.organizations.into(), args.seed, clock.now()),
        None => World::demo(clock.now()),
    };
    let rate = match args.rate {
        None => None,
        Some(rate) => Some(simulator::Rate {
            requests: u32::try_from(rate.requests).map_err(|_| {
                Failure::usage(
                    "--rate has more requests than 4294967295; leave it out for no limit",
                )
            })?,
            window: rate.window,
        }),
    };
    let options = simulator::Options {
        listen: args.listen,
        dns_listen: args.dns_listen,
        token: TOKEN.to_owned(),
        more_tokens: (2..=args.tokens).map(token).collect(),
        read_only_token: None,
        rate,
        latency: args.latency,
        account_owned_token: false,
        troubles: Troubles::new(args.fail)
            .map_err(|cause| Failure::usage(format!("--fail: {cause}")))?,
    };
    let root = world.organizations().next().map(|(id, _)| id);
    let running = simulator::start(world, options).await.map_err(|error| {
        Failure::failed(format!("cannot serve on {}: {error}", args.listen))
            .hint("--listen and --dns-listen need an address of this machine with a free port, such as 127.0.0.1:0")
    })?;
    let stop = super::stop::Stop::listen();
    let mut lines = format!(
        "export CLOUDFLARE_BASE_URL={}\nexport CLOUDFLARE_API_TOKEN={}\n",
        running.base_url(),
        running.token()
    );
    if let (true, Some(root)) = (args.organizations > 1, root) {
        // A comment, where this is pasted into a shell.
        lines += &format!("# cf-sso-audit audit --organization {root}\n");
    }
    for number in 2..=args.tokens {
        lines += &format!("# export CLOUDFLARE_API_TOKEN={}\n", token(number));
    }
    lines += &format!(
        "# cf-sso-audit audit --all-accounts --check-dns --resolver {}\n",
        running.resolver()
    );
    // At once: whoever reads only what they want may be gone then.
    print(&lines)?;
    let totals = running.totals();
    tracing::info!(
        accounts = totals.accounts,
        connectors = totals.connectors,
        "serving until Ctrl-C"
    );
    stop.requested().await;
    let (requests, throttled) = (running.requests(), running.throttled());
    tracing::info!(requests, throttled, "served");
    running.stop().await;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_a_token_of_its_own_and_the_first_is_the_usual_one() {
        let tokens: std::collections::HashSet<_> = (1..=1000).map(token).collect();
        assert_eq!((tokens.len(), token(1)), (1000, TOKEN.to_owned()));
        assert!(tokens.iter().all(|token| token.len() == TOKEN.len()));
    }
}
