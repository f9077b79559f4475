//! The world of `audit --demo`.

use super::seed::{Dice, Id};
use super::world::{
    Account, Connector, Label, Oddity, Organization, Published, Spelling, Verification, World,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

impl World {
    /// Forty-two accounts, most of them healthy, that show every rule that an answer alone can show. All can be read.
    /// DNS holds a case of everything for them.
    ///
    /// Three more rules show with a policy:
    /// ```toml
    /// [[accounts]]                                  # fedramp-language: its connectors do not show the FedRAMP text
    /// id = "2a5a74ff96ae5d5d2665082ce4dd29ea"       # Calder Agency Services
    /// fedramp = "required"
    /// [[accounts]]                                  # unexpected-domain: it has acquired-startup.test too
    /// id = "d67d6bf0fc6536d451222861169f79da"       # Eastmarch Insurance Mutual
    /// allow_domains = ["eastmarch.example", "*.eastmarch.example"]
    /// [[accounts]]                                  # missing-domain: it has ravensmoor.example only
    /// id = "560880069cc0ec1cfae8f32dc0e1dcd0"       # Ravensmoor Energy
    /// domains = ["ravensmoor.example", "grid.ravensmoor.example"]
    /// ```
    pub fn demo(now: DateTime<Utc>) -> Self {
        let organization = Organization {
            id: Id::of("demo/organization"),
            name: "Harbour & Vale Managed IT".to_owned(),
            created_on: now - TimeDelta::days(2000),
            parent: None,
            refuses: false,
        };
        let accounts = accounts()
            .into_iter()
            .map(|account| account.build(now))
            .collect();
        Self::new(accounts, vec![organization], now)
    }
}

fn accounts() -> Vec<Draft> {
    use Published::{Absent, Different, Misplaced, Misspelt, NoDomain, RightBesideOld, Unanswered};
    use Verification::{Awaiting, Failed};
    let pending = Verification::Pending { begun: None };
    vec![
        // As it should be.
        account("Alder & Finch Ltd", [on("alderfinch.example")]).managed(),
        account(
            "Bluegum Freight",
            [
                on("bluegumfreight.example"),
                on("depot.bluegumfreight.example"),
            ],
        )
        .managed(),
        account(
            "Cobalt Orchard Software",
            [
                on("cobaltorchard.test"),
                on("contractors.cobaltorchard.test"),
            ],
        ),
        account("Dunmore Ceramics", [on("dunmore.example")]).managed(),
        account(
            "Eastmarch Insurance Mutual",
            [
                on("eastmarch.example"),
                on("claims.eastmarch.example"),
                on("acquired-startup.test").in_dns(RightBesideOld),
            ],
        ),
        account(
            "Fernhollow Hospitals Trust",
            [
                on("fernhollow.example"),
                on("clinics.fernhollow.example"),
                on("research.fernhollow.example"),
            ],
        ),
        account("Gullwing Analytics", [on("gullwing.test")]),
        account(
            "Hearthside Bakeries Co-operative",
            [on("hearthside.example")],
        )
        .managed(),
        account("Inkwell & Rowe Publishing", [on("inkwellrowe.example")]).managed(),
        account(
            "Jarrah Timber Holdings",
            [on("jarrahtimber.example"), on("mills.jarrahtimber.example")],
        ),
        account("Kestrel Bay Ferries", [on("kestrelbay.example")]).managed(),
        account("Lanternfish Games", [on("lanternfish.test").in_dns(Absent)]),
        account("Marrowby Town Council", [on("marrowby.example")]),
        account(
            "Meridian Federal Systems",
            [
                fed("meridianfederal.example"),
                fed("ops.meridianfederal.example"),
            ],
        ),
        account("Nettlecombe Estates", [on("nettlecombe.example")]).managed(),
        account(
            "Osprey Ridge Mining",
            [on("ospreyridge.example"), on("west.ospreyridge.example")],
        ),
        account("Pemberwick & Daughters", [on("pemberwick.example")]).managed(),
        account("Quayside Marine Insurance", [on("quaysidemarine.example")]),
        account("Ravensmoor Energy", [on("ravensmoor.example")]),
        account(
            "Saltmarsh Robotics",
            [on("saltmarsh.test"), on("labs.saltmarsh.test")],
        ),
        account("Thistledown Textiles", [on("thistledown.example")]).managed(),
        account("Umberfield Legal LLP", [on("umberfield.example")]),
        account("Verdigris Design Studio", [on("verdigris.test")]).managed(),
        account(
            "Wexcombe University Press",
            [on("wexcombe.example").in_dns(Absent)],
        ),
        account("Yarrowgate Housing Association", [on("yarrowgate.example")]).managed(),
        account("Zephyr Cove Yachts", [on("zephyrcove.example")]),
        // enabled-unverified
        account(
            "Northgate Payments",
            [
                on("northgatepay.example"),
                on("settlement.northgatepay.example")
                    .is(Failed)
                    .updated(19)
                    .in_dns(Absent),
            ],
        ),
        account(
            "Windrush Pharmacies",
            [on("windrush.example").is(Awaiting).updated(6)],
        ),
        // unverified-domain: awaiting, pending, failed
        account(
            "Brackenridge Retail Group",
            [
                on("brackenridge.example"),
                off("stores.brackenridge.example")
                    .is(Awaiting)
                    .in_dns(Misspelt(Spelling::FormerPrefix)),
            ],
        ),
        account(
            "Copperline Telecom",
            [
                on("copperline.example"),
                off("wholesale.copperline.example")
                    .is(pending)
                    .updated(0)
                    .in_dns(Different),
            ],
        ),
        account(
            "Elmsworth Diagnostics",
            [
                on("elmsworth.example"),
                off("failing-mx.elmsworth.example")
                    .is(Failed)
                    .in_dns(NoDomain),
            ],
        ),
        // stale-verification: Cloudflare gives up after two days
        account(
            "Drayton Air Charter",
            [off("drayton.example").is(pending).updated(5)],
        ),
        account(
            "Ironbark Outdoors",
            [
                on("ironbark.test"),
                off("shop.ironbark.test")
                    .is(pending)
                    .updated(12)
                    .in_dns(Misplaced(Label::Cloudflare)),
            ],
        )
        .managed(),
        // disabled-connector
        account(
            "Foxglove Media",
            [off("foxglove.example"), on("studio.foxglove.example")],
        ),
        // fedramp-inconsistent
        account(
            "Stonebridge Government Cloud",
            [
                fed("stonebridge.example"),
                fed("il4.stonebridge.example"),
                on("sales.stonebridge.example"),
            ],
        ),
        // Consistent, unless a policy expects the text.
        account(
            "Calder Agency Services",
            [on("calderagency.example"), on("field.calderagency.example")],
        ),
        // duplicate-domain: the same domain written in two ways, across accounts
        account("Tidewater Shipping", [on("tidewater.example")]),
        account("Tidewater Shipping (Asia)", [off("Tidewater.Example.")]),
        account(
            "Gerstenhof Brauerei München",
            [on("gerstenhof-münchen.example")],
        ),
        account(
            "Gerstenhof Export",
            [off("xn--gerstenhof-mnchen-e3b.example")
                .is(Awaiting)
                .updated(40)
                // The other account's record is there.
                .in_dns(Absent)],
        ),
        // no-connector
        account("Greywacke Surveying", []),
        // unknown-value: answers that are not as documented
        account(
            "Legacy Imports Sandbox",
            [
                on("legacy-imports.example"),
                off("archive.legacy-imports.example")
                    .odd("/verification/status", Some(json!("superseded")))
                    .in_dns(Unanswered),
                off("returns.legacy-imports.example")
                    .odd("/verification/status", None)
                    .in_dns(Absent),
                on("warehouse.legacy-imports.example").odd("/enabled", Some(Value::Null)),
                on("customs.legacy-imports.example").odd("/enabled", Some(json!("yes"))),
                on("couriers.legacy-imports.example").odd("/use_fedramp_language", None),
            ],
        ),
    ]
}

/// An account before its times and identifiers are drawn.
struct Draft {
    name: &'static str,
    managed: bool,
    connectors: Vec<ConnectorDraft>,
}

struct ConnectorDraft {
    email_domain: &'static str,
    enabled: bool,
    use_fedramp_language: bool,
    verification: Verification,
    /// How many days ago it last changed; drawn where absent.
    updated: Option<i64>,
    published: Published,
    oddities: Vec<Oddity>,
}

fn account<const N: usize>(name: &'static str, connectors: [ConnectorDraft; N]) -> Draft {
    Draft {
        name,
        managed: false,
        connectors: connectors.into(),
    }
}

/// A connector that is verified and enabled.
fn on(email_domain: &'static str) -> ConnectorDraft {
    ConnectorDraft {
        email_domain,
        enabled: true,
        use_fedramp_language: false,
        verification: Verification::Verified,
        updated: None,
        published: Published::Right,
        oddities: Vec::new(),
    }
}

/// A connector that is verified and not enabled.
fn off(email_domain: &'static str) -> ConnectorDraft {
    ConnectorDraft {
        enabled: false,
        ..on(email_domain)
    }
}

/// A connector that is verified and enabled, and shows the FedRAMP text.
fn fed(email_domain: &'static str) -> ConnectorDraft {
    ConnectorDraft {
        use_fedramp_language: true,
        ..on(email_domain)
    }
}

impl ConnectorDraft {
    fn is(self, verification: Verification) -> Self {
        Self {
            verification,
            ..self
        }
    }

    fn updated(self, days_ago: i64) -> Self {
        Self {
            updated: Some(days_ago),
            ..self
        }
    }

    /// TXT records in DNS, where it is not the right record.
    fn in_dns(self, published: Published) -> Self {
        Self { published, ..self }
    }

    fn odd(mut self, pointer: &'static str, value: Option<Value>) -> Self {
        self.oddities.push(Oddity { pointer, value });
        self
    }

    fn build(self, account: &str, now: DateTime<Utc>) -> Connector {
        let key = format!("demo/{account}/{}", self.email_domain);
        let mut dice = Dice::of(&key);
        let mut days = |least: u64, most: u64| {
            let days = least + dice.below(most - least);
            i64::try_from(days).unwrap_or_default()
        };
        let updated = self.updated.unwrap_or_else(|| days(8, 200));
        let created = updated + days(0, 300);
        // Some minutes past the hour and not all at once.
        let minutes = days(15, 600);
        let updated_on = now - TimeDelta::days(updated) - TimeDelta::minutes(minutes);
        Connector {
            id: Id::of(&key),
            email_domain: self.email_domain.into(),
            enabled: self.enabled,
            use_fedramp_language: self.use_fedramp_language,
            created_on: updated_on
                - TimeDelta::days(created - updated)
                - TimeDelta::seconds(days(20, 900)),
            updated_on,
            code: Id::of(&format!("{key}/code")),
            verification: self.verification,
            published: self.published,
            oddities: self.oddities,
        }
    }
}

impl Draft {
    /// Puts it under the demo's organization.
    fn managed(self) -> Self {
        Self {
            managed: true,
            ..self
        }
    }

    fn build(self, now: DateTime<Utc>) -> Account {
        let key = format!("demo/{}", self.name);
        let mut dice = Dice::of(&key);
        let age = i64::try_from(600 + dice.below(2000)).unwrap_or_default();
        Account {
            id: Id::of(&key),
            name: self.name.to_owned(),
            enterprise: dice.chance(500),
            enforce_twofactor: dice.chance(800),
            created_on: now - TimeDelta::days(age) - TimeDelta::minutes(age),
            organization: self.managed.then_some(0),
            connectors: self
                .connectors
                .into_iter()
                .map(|connector| connector.build(self.name, now))
                .collect(),
        }
    }
}
