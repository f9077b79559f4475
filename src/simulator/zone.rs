//! What DNS holds for a world: the TXT records at its e-mail domains and below them.

use super::seed::{Dice, Id};
use super::world::{Code, Connector, Published, Spelling, World};

/// What is found of the TXT records of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The text of each record, however long.
    Texts(Vec<String>),
    /// The name is there, without a TXT record. The zone is named by what its SOA record is at, the root being empty.
    NoData { zone: String },
    /// There is no such name, nor one below it.
    NoDomain { zone: String },
    /// The name servers of the domain are out of order.
    Unanswered,
}

impl World {
    /// The TXT records of a name, at this moment. `name` is in lower case, its labels separated by dots, without one at
    /// the end.
    pub(super) fn look_up(&self, name: &str) -> Found {
        let mut is_there = false;
        let mut texts = Vec::new();
        for connector in self.of_domain(name) {
            match self.published(connector) {
                Published::Unanswered => return Found::Unanswered,
                Published::NoDomain => continue,
                published => texts.extend(at_domain(published, connector)),
            }
            is_there = true;
        }
        if is_there {
            texts.splice(0..0, beside(name));
        } else if self.is_unanswered_above(name) {
            return Found::Unanswered;
        }
        texts.extend(self.misplaced_at(name));
        if !texts.is_empty() {
            return Found::Texts(texts);
        }
        let zone = self.zone_of(name);
        let is_there = is_there || self.below_domain(name).any(|it| self.has_domain(it));
        if is_there {
            Found::NoData { zone }
        } else {
            Found::NoDomain { zone }
        }
    }

    /// The right records that were put at `name` and belong at the domain above it.
    fn misplaced_at(&self, name: &str) -> impl Iterator<Item = String> {
        let (label, parent) = name.split_once('.').unwrap_or_default();
        self.of_domain(parent).filter_map(move |connector| {
            let at_label =
                matches!(self.published(connector), Published::Misplaced(at) if at.text() == label);
            at_label.then(|| Code(connector.code).to_string())
        })
    }

    /// Whether the closest e-mail domain above `name` is not answered for, and so `name` is not either.
    fn is_unanswered_above(&self, name: &str) -> bool {
        above(name)
            .find_map(|domain| {
                let mut connectors = self.of_domain(domain).peekable();
                connectors.peek()?;
                Some(connectors.any(|it| self.published(it) == Published::Unanswered))
            })
            .unwrap_or(false)
    }

    /// The zone that a name belongs to: every e-mail domain that is below no other is one.
    fn zone_of(&self, name: &str) -> String {
        std::iter::once(name)
            .chain(above(name))
            .filter(|domain| self.of_domain(domain).any(|it| self.has_domain(it)))
            .last()
            .unwrap_or_default()
            .to_owned()
    }

    fn has_domain(&self, connector: &Connector) -> bool {
        self.published(connector) != Published::NoDomain
    }
}

/// The names above one, the closest first.
fn above(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent(name), |name| parent(name))
}

fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}

/// The records that are at a connector's own domain for its sake.
fn at_domain(published: Published, connector: &Connector) -> Vec<String> {
    let right = Code(connector.code).to_string();
    let other = |what: &str| Code(Id::of(&format!("{what}/{}", connector.id))).to_string();
    match published {
        Published::Right => vec![right],
        Published::RightBesideOld => vec![other("old"), right],
        Published::Different => vec![other("different")],
        Published::Misspelt(Spelling::FormerPrefix) => {
            vec![right.replacen("cloudflare_", "cloudflared_", 1)]
        }
        Published::Misspelt(Spelling::Quotes) => vec![format!("\"{right}\"")],
        Published::Misspelt(Spelling::Blanks) => {
            vec![format!(" {} ", right.replacen('=', " = ", 1))]
        }
        Published::Misspelt(Spelling::BareValue) => vec![connector.code.to_string()],
        Published::Misplaced(_) | Published::Absent => Vec::new(),
        Published::NoDomain | Published::Unanswered => Vec::new(),
    }
}

/// The records that a domain has for other reasons: none, or what names its mail servers, with more or less beside it.
fn beside(domain: &str) -> Vec<String> {
    const SERVICES: [&str; 6] = [
        "adobe-idp-site-verification=",
        "apple-domain-verification=",
        "atlassian-domain-verification=",
        "facebook-domain-verification=",
        "google-site-verification=",
        "stripe-verification=",
    ];
    let spf = || "v=spf1 include:_spf.mail.example -all".to_owned();
    match Dice::of(&format!("dns/{domain}")).below(20) {
        0..3 => Vec::new(),
        3..17 => vec![spf()],
        // Longer than the 255 bytes that a string of a record holds.
        17..19 => {
            let networks = (0..16).map(|number| format!("ip4:198.51.100.{}/28 ", number * 16));
            vec![format!("v=spf1 {}-all", networks.collect::<String>())]
        }
        // More than a datagram is asked to hold.
        _ => {
            let verifications = (0..24).map(|number| {
                let service = SERVICES[number % SERVICES.len()];
                format!("{service}{}", Id::of(&format!("{number}/{domain}")))
            });
            std::iter::once(spf()).chain(verifications).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::Clock;
    use super::super::world::{Label, NewConnector};
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use std::sync::{Arc, Mutex};

    const CODE: &str = "cloudflare_dashboard_sso=";

    fn now() -> DateTime<Utc> {
        "2026-11-21T10:15:00Z".parse().unwrap()
    }

    fn connectors(world: &World) -> impl Iterator<Item = &Connector> {
        world
            .accounts
            .iter()
            .flat_map(|account| &account.connectors)
    }

    /// The code of the connector whose e-mail domain is so written.
    fn code(world: &World, domain: &str) -> String {
        let found = connectors(world).find(|it| &*it.email_domain == domain);
        Code(found.unwrap().code).to_string()
    }

    /// The records of a name that have to do with dashboard SSO.
    #[track_caller]
    fn codes(world: &World, name: &str) -> Vec<String> {
        match world.look_up(name) {
            Found::Texts(mut texts) => {
                texts.retain(|text| text.contains("dashboard_sso"));
                texts
            }
            Found::NoData { .. } => Vec::new(),
            other => panic!("{name}: {other:?}"),
        }
    }

    fn zone(found: Found) -> String {
        match found {
            Found::NoData { zone } => format!("no data in {zone:?}"),
            Found::NoDomain { zone } => format!("no domain in {zone:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_demo_shows_every_case() {
        let world = World::demo(now());
        let nobodys = |text: &String| {
            text.starts_with(CODE)
                && connectors(&world).all(|it| *text != Code(it.code).to_string())
        };
        // Not verified: published and only to be begun again, missing, different, misspelt, misplaced, not there at all.
        for domain in ["windrush.example", "drayton.example"] {
            assert_eq!(codes(&world, domain), [code(&world, domain)]);
        }
        for domain in [
            "settlement.northgatepay.example",
            "returns.legacy-imports.example",
        ] {
            assert_eq!(codes(&world, domain), [""; 0]);
        }
        let different = codes(&world, "wholesale.copperline.example");
        assert!(
            different.len() == 1 && nobodys(&different[0]),
            "{different:?}"
        );
        let right = code(&world, "stores.brackenridge.example");
        let misspelt = right.replace("cloudflare_", "cloudflared_");
        assert_eq!(codes(&world, "stores.brackenridge.example"), [misspelt]);
        assert_eq!(codes(&world, "shop.ironbark.test"), [""; 0]);
        let misplaced = vec![code(&world, "shop.ironbark.test")];
        let place = "_cloudflare.shop.ironbark.test";
        assert_eq!(world.look_up(place), Found::Texts(misplaced));
        let absent = world.look_up("failing-mx.elmsworth.example");
        assert_eq!(zone(absent), r#"no domain in "elmsworth.example""#);
        for name in ["", "_cloudflare.", "www.", "a.b."] {
            let name = format!("{name}archive.legacy-imports.example");
            assert_eq!(world.look_up(&name), Found::Unanswered, "{name}");
        }
        // Verified: the record gone, an old one beside it, two of one domain, one of a domain of two.
        for domain in ["lanternfish.test", "wexcombe.example"] {
            assert_eq!(codes(&world, domain), [""; 0]);
        }
        let two = codes(&world, "acquired-startup.test");
        assert!(two.len() == 2 && nobodys(&two[0]), "{two:?}");
        assert_eq!(two[1], code(&world, "acquired-startup.test"));
        let both = ["tidewater.example", "Tidewater.Example."].map(|it| code(&world, it));
        assert_eq!(codes(&world, "tidewater.example"), both);
        assert_eq!(
            codes(&world, "xn--gerstenhof-mnchen-e3b.example"),
            [code(&world, "gerstenhof-münchen.example")]
        );
        let others = connectors(&world).filter(|it| it.published != Published::Right);
        assert_eq!(others.count(), 11);
    }

    #[test]
    fn a_name_that_is_not_there_differs_from_one_without_records() {
        let world = World::demo(now());
        let zone = |name| zone(world.look_up(name));
        assert_eq!(zone("nowhere.example"), r#"no domain in """#);
        assert_eq!(zone("a.b.nowhere"), r#"no domain in """#);
        let below = ["www", "_cloudflare", "cloudflare_dashboard_sso", "a.b"];
        for name in below.map(|label| format!("{label}.windrush.example")) {
            assert_eq!(
                world.look_up(&name),
                Found::NoDomain {
                    zone: "windrush.example".to_owned()
                },
                "{name}"
            );
        }
        // Above a domain there is something.
        assert_eq!(zone("example"), r#"no data in """#);
        assert_eq!(zone(""), r#"no data in """#);
        assert_eq!(
            zone("studio.foxglove.example.example"),
            r#"no domain in """#
        );
        assert_eq!(
            zone("x.studio.foxglove.example"),
            r#"no domain in "foxglove.example""#
        );
        // Whether it is called a domain of a connector or is below one.
        let mut world = World::generate(1, 0, 7, now());
        let account = world.accounts[0].id;
        create(&mut world, account, "a.b.corp.example");
        for above in ["b.corp.example", "corp.example"] {
            assert!(matches!(world.look_up(above), Found::NoData { .. }));
        }
    }

    fn create(world: &mut World, account: Id, domain: &str) -> Id {
        let new = NewConnector {
            email_domain: domain.to_owned(),
            begin_verification: false,
            use_fedramp_language: false,
        };
        world.create(account, new).unwrap()
    }

    #[test]
    fn a_world_that_changes_is_followed() {
        let mut world = World::generate(2, 0, 7, now());
        let [first, second] = [0, 1].map(|index| world.accounts[index].id);
        assert!(matches!(
            world.look_up("münchen.example"),
            Found::NoDomain { .. }
        ));
        create(&mut world, first, "München.Example.");
        let made = create(&mut world, second, "münchen.example");
        let key = "xn--mnchen-3ya.example";
        let both = ["München.Example.", "münchen.example"].map(|it| code(&world, it));
        assert_eq!(codes(&world, key), both);
        world.delete(second, made).unwrap();
        assert_eq!(codes(&world, key), both[..1]);
        create(&mut world, first, "failing.example");
        assert_eq!(codes(&world, "failing.example"), [""; 0]);
    }

    #[test]
    fn who_begins_a_verification_publishes_the_record() {
        let time = Arc::new(Mutex::new(now()));
        let shown = Arc::clone(&time);
        let mut world = World::demo(now()).with_clock(Clock::new(move || *shown.lock().unwrap()));
        for (domain, ends_right) in [
            ("stores.brackenridge.example", true),
            ("shop.ironbark.test", true),
            ("failing-mx.elmsworth.example", false),
        ] {
            let (account, connector) = world
                .accounts
                .iter()
                .flat_map(|account| account.connectors.iter().map(|it| (account.id, it)))
                .find(|(_, it)| &*it.email_domain == domain)
                .map(|(account, it)| (account, it.id))
                .unwrap();
            let before = world.look_up(domain);
            world.begin_verification(account, connector).unwrap();
            assert_eq!(world.look_up(domain), before);
            *time.lock().unwrap() += TimeDelta::minutes(1);
            if ends_right {
                assert_eq!(codes(&world, domain), [code(&world, domain)]);
            } else {
                assert_eq!(world.look_up(domain), before);
            }
        }
        // No longer where it does not belong.
        let place = world.look_up("_cloudflare.shop.ironbark.test");
        assert!(matches!(place, Found::NoDomain { .. }));
    }

    #[test]
    fn a_generated_world_is_mostly_right_and_has_every_case() {
        use super::super::world::Verification::Verified;
        let world = World::generate(4_000, 3, 5, now());
        let share = |verified: bool, published: Published| {
            let all =
                || connectors(&world).filter(move |it| (it.verification == Verified) == verified);
            let such = all().filter(|it| it.published == published).count();
            such as f64 / all().count() as f64
        };
        let right = share(true, Published::Right);
        assert!((0.96..0.98).contains(&right), "{right}");
        for published in [
            Published::Right,
            Published::Absent,
            Published::Different,
            Published::Misspelt(Spelling::FormerPrefix),
            Published::Misspelt(Spelling::Quotes),
            Published::Misspelt(Spelling::Blanks),
            Published::Misspelt(Spelling::BareValue),
            Published::Misplaced(Label::Cloudflare),
            Published::Misplaced(Label::DashboardSso),
            Published::Misplaced(Label::Www),
            Published::NoDomain,
            Published::Unanswered,
        ] {
            let share = share(false, published);
            assert!((0.005..0.4).contains(&share), "{published:?}: {share}");
        }
        // What is read where a record is written wrongly, or put elsewhere.
        let such = |published| {
            let mut all = connectors(&world);
            all.find(|it| it.published == published).unwrap()
        };
        for (spelling, written) in [
            (Spelling::FormerPrefix, "cloudflared_dashboard_sso=VALUE"),
            (Spelling::Quotes, "\"cloudflare_dashboard_sso=VALUE\""),
            (Spelling::Blanks, " cloudflare_dashboard_sso = VALUE "),
            (Spelling::BareValue, "VALUE"),
        ] {
            let connector = such(Published::Misspelt(spelling));
            let written = written.replace("VALUE", &connector.code.to_string());
            match world.look_up(&connector.email_domain) {
                Found::Texts(texts) => assert!(texts.contains(&written), "{texts:?}"),
                other => panic!("{other:?}"),
            }
        }
        for (label, text) in [
            (Label::Cloudflare, "_cloudflare"),
            (Label::DashboardSso, "cloudflare_dashboard_sso"),
            (Label::Www, "www"),
        ] {
            let connector = such(Published::Misplaced(label));
            let name = format!("{text}.{}", connector.email_domain);
            assert_eq!(codes(&world, &name), [Code(connector.code).to_string()]);
            assert_eq!(codes(&world, &connector.email_domain), [""; 0]);
        }
    }

    #[test]
    fn what_dns_holds_changes_nothing_that_the_api_answers() {
        use crate::sha256::Sha256;
        use std::fmt::Write;
        // Of the answers before there was a name server.
        for (world, expected) in [
            (
                World::generate(20, 5, 9, now()),
                "e92f664629420f8b333a0eef6d6ca492c5c755d5582a8c751122ab32755058ca",
            ),
            (
                World::demo(now()),
                "9fcb6dbdf8cfdb6718d354297a2c644ff83f48d6e778048823fce6e043d779f7",
            ),
        ] {
            let mut answers = String::new();
            for account in &world.accounts {
                let connectors = world.connectors(account.id).unwrap();
                answers += &serde_json::to_string(&connectors).unwrap();
            }
            let mut digest = String::new();
            for byte in Sha256::of(answers) {
                write!(digest, "{byte:02x}").unwrap();
            }
            assert_eq!(digest, expected);
        }
    }
}
