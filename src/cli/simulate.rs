//! `cf-sso-audit simulate`: the API on loopback, made up.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;

use super::values::{parse_delay, parse_listen, parse_rate};
use super::{Failure, exit, print};
use crate::clock::Clock;
use crate::rate::Rate;
use crate::simulator::{self, TroubleShare, Troubles, World};

/// Serve the API on this machine, with made-up accounts, until Ctrl-C
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct SimulateArgs {
    /// Where to listen, on this machine only; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_listen)]
    listen: SocketAddr,
    /// Where to answer DNS questions for the TXT records of the made-up domains, over UDP and TCP
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:0", value_parser = parse_listen)]
    dns_listen: SocketAddr,
    /// Accounts to make up; without it, the world of `audit --demo`
    #[arg(long, value_name = "N")]
    accounts: Option<usize>,
    /// Connectors of each account
    #[arg(long, value_name = "M", default_value_t = 3, requires = "accounts")]
    connectors: usize,
    /// The same seed makes up the same accounts
    #[arg(long, value_name = "S", default_value_t = 1, requires = "accounts")]
    seed: u64,
    /// Organizations to make up, in a tree of up to 5 levels with four fifths of the accounts spread over it. The last of
    /// several refuses to be listed
    #[arg(long, value_name = "K", default_value_t = 1, requires = "accounts", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    organizations: u16,
    /// The rate limit; a token that goes over it is blocked for a window. None unless given
    #[arg(long, value_name = "N/DURATION", value_parser = parse_rate)]
    rate: Option<Rate>,
    /// Tokens to take, each with a limit of its own, as shards of an audit have
    #[arg(long, value_name = "T", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    tokens: u16,
    /// How long each answer takes
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_delay)]
    latency: Duration,
    /// Trouble on purpose, and for which share of the accounts: server, timeout, forbidden, incomplete, rate-limited or
    /// malformed, such as server=5%. May be given several times
    #[arg(long, value_name = "KIND=SHARE", value_parser = str::parse::<TroubleShare>)]
    fail: Vec<TroubleShare>,
}

const EXAMPLES: &str = "\
Examples:
  The accounts of `audit --demo`; paste what it prints into a second shell, and audit them there:
      cf-sso-audit simulate
      cf-sso-audit audit --all-accounts
  2,000 accounts of 20 connectors behind a rate limit:
      cf-sso-audit simulate --accounts 2000 --connectors 20 --rate 1200/300s --latency 50ms
  A bad night: a tenth of the accounts answers with errors, and as many may not be read:
      cf-sso-audit simulate --accounts 200 --fail server=10% --fail forbidden=10%
  A tree of 20 organizations, one of which refuses to be listed:
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
            .hint("--listen and --dns-listen take an address of this machine with a free port, such as 127.0.0.1:0")
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
