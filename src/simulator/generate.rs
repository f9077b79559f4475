//! Worlds of any size from a seed: the same seed makes the same world.

use super::seed::{Dice, Id};
use super::world::{
    Account, Connector, Label, Organization, Published, Spelling, Verification, World,
};
use chrono::{DateTime, TimeDelta, Utc};

/// The most levels of organizations, as Cloudflare's.
const LEVELS: u32 = 5;
/// Every fifth account stands alone; the others belong to this organization.
const ORGANIZATION: &str = "Southern Cross Shared Services";

const FIRST_WORDS: [&str; 64] = [
    "Alder",
    "Amber",
    "Ashgrove",
    "Aurora",
    "Banksia",
    "Beacon",
    "Bellbird",
    "Birchwood",
    "Bluegum",
    "Boulder",
    "Bramble",
    "Brightwater",
    "Cardinal",
    "Cedar",
    "Cinder",
    "Clearview",
    "Cobalt",
    "Copper",
    "Coral",
    "Crescent",
    "Driftwood",
    "Dunmore",
    "Eastmarch",
    "Elmstead",
    "Ember",
    "Falcon",
    "Fernhollow",
    "Flint",
    "Foxglove",
    "Garnet",
    "Glenrock",
    "Granite",
    "Harbour",
    "Hawthorn",
    "Heron",
    "Highfield",
    "Indigo",
    "Ironbark",
    "Jarrah",
    "Kestrel",
    "Lantern",
    "Larkspur",
    "Lighthouse",
    "Marigold",
    "Meadow",
    "Meridian",
    "Moorland",
    "Northgate",
    "Oakhurst",
    "Osprey",
    "Pebble",
    "Pinnacle",
    "Quartz",
    "Redwood",
    "Saltmarsh",
    "Sandstone",
    "Silverlake",
    "Summit",
    "Thistle",
    "Tidewater",
    "Umber",
    "Wattle",
    "Willow",
    "Yarrow",
];

const SECOND_WORDS: [&str; 60] = [
    "Advisory",
    "Aerospace",
    "Analytics",
    "Architects",
    "Aviation",
    "Bakeries",
    "Biosciences",
    "Brewing",
    "Capital",
    "Ceramics",
    "Chemicals",
    "Clinics",
    "Components",
    "Construction",
    "Consulting",
    "Dairies",
    "Dental",
    "Design",
    "Diagnostics",
    "Education",
    "Electronics",
    "Energy",
    "Engineering",
    "Estates",
    "Ferries",
    "Financial",
    "Foods",
    "Freight",
    "Games",
    "Glassworks",
    "Homes",
    "Hospitality",
    "Insurance",
    "Interiors",
    "Laboratories",
    "Legal",
    "Logistics",
    "Marine",
    "Media",
    "Mining",
    "Motors",
    "Networks",
    "Optics",
    "Orchards",
    "Outdoors",
    "Packaging",
    "Payments",
    "Pharmacies",
    "Publishing",
    "Rail",
    "Recruitment",
    "Renewables",
    "Robotics",
    "Software",
    "Studios",
    "Surveying",
    "Telecom",
    "Textiles",
    "Timber",
    "Travel",
];

/// Set after a name when all pairs of words are used up.
const REGIONS: [&str; 12] = [
    "Americas", "Asia", "Benelux", "Brasil", "Canada", "Europe", "Iberia", "India", "Japan",
    "Nordics", "Oceania", "UK",
];

const COMPANY_FORMS: [&str; 8] = [
    "Ltd",
    "Pty Ltd",
    "Inc.",
    "LLC",
    "GmbH",
    "Group",
    "Holdings",
    "Co-operative",
];

/// What reserved names end in: no such domain can ever be somebody's.
const ENDINGS: [&str; 3] = ["example", "test", "example.com"];

/// The subdomains of an account's second and later connectors.
const SUBDOMAINS: [&str; 40] = [
    "corp",
    "staff",
    "eu",
    "us",
    "apac",
    "labs",
    "dev",
    "partners",
    "contractors",
    "finance",
    "legal",
    "people",
    "sales",
    "support",
    "ops",
    "security",
    "studio",
    "research",
    "retail",
    "field",
    "north",
    "south",
    "east",
    "west",
    "london",
    "sydney",
    "tokyo",
    "berlin",
    "austin",
    "toronto",
    "lisbon",
    "dublin",
    "training",
    "alumni",
    "board",
    "events",
    "media",
    "plant",
    "stores",
    "depot",
];

impl World {
    /// A world of so many accounts with so many connectors each, seen from `now`: most connectors are verified and
    /// enabled, a few are not, as in life. Domains are under reserved names only, and none occurs twice.
    pub fn generate(accounts: usize, connectors: usize, seed: u64, now: DateTime<Utc>) -> Self {
        let accounts = (0..accounts)
            .map(|index| account(index, connectors, seed, now))
            .collect();
        Self::new(accounts, vec![organization(0, 1, seed, now)], now)
    }

    /// The same world with so many organizations, at least one, in a tree of at most [`LEVELS`] levels. The accounts of
    /// the one that there was are spread over them; the last refuses to be listed, where there are several.
    #[must_use]
    pub fn with_organizations(mut self, count: usize, seed: u64, now: DateTime<Utc>) -> Self {
        let count = count.max(1);
        let organizations = (0..count).map(|index| organization(index, count, seed, now));
        self.organizations = organizations.collect();
        let members = self
            .accounts
            .iter_mut()
            .filter(|a| a.organization.is_some());
        for (number, member) in members.enumerate() {
            member.organization = Some(number % count);
        }
        self
    }
}

fn organization(index: usize, count: usize, seed: u64, now: DateTime<Utc>) -> Organization {
    let (key, name) = match index {
        0 => (format!("{seed}/organization"), ORGANIZATION.to_owned()),
        index => (
            format!("{seed}/organization/{index}"),
            format!("{ORGANIZATION} {}", company(index, seed)),
        ),
    };
    let mut dice = Dice::of(&key);
    Organization {
        id: Id::of(&key),
        name,
        created_on: before(now, &mut dice, 400, 2500),
        parent: index.checked_sub(1).map(|before| before / breadth(count)),
        refuses: count > 1 && index + 1 == count,
    }
}

/// How many organizations lie right under each, so that a tree of so many has at most [`LEVELS`] levels: at least two.
fn breadth(count: usize) -> usize {
    let holds = |breadth: &usize| {
        let levels = (0..LEVELS).map(|level| breadth.saturating_pow(level));
        levels.fold(0, usize::saturating_add) >= count
    };
    (2..).find(holds).unwrap_or(count)
}

fn account(index: usize, connectors: usize, seed: u64, now: DateTime<Utc>) -> Account {
    let key = format!("{seed}/{index}");
    let mut dice = Dice::of(&key);
    let name = company(index, seed);
    let slug = name.to_lowercase().replace(' ', "-");
    let domain = format!("{slug}.{}", dice.choose(&ENDINGS));
    let government = dice.chance(80);
    let created_on = before(now, &mut dice, 400, 2500);
    let connectors = (0..connectors)
        .map(|place| {
            let email_domain = match (place, SUBDOMAINS.get(place.wrapping_sub(1))) {
                (0, _) => domain.clone(),
                (_, Some(subdomain)) => format!("{subdomain}.{domain}"),
                _ => format!("site-{place}.{domain}"),
            };
            connector(&format!("{key}/{place}"), email_domain, government, now)
        })
        .collect();
    Account {
        id: Id::of(&key),
        name: format!("{name} {}", dice.choose(&COMPANY_FORMS)),
        enterprise: dice.chance(600),
        enforce_twofactor: dice.chance(800),
        created_on,
        organization: (index % 5 != 4).then_some(0),
        connectors,
    }
}

/// A different name for each index: all pairs of words in a seeded order, then all again for each region.
fn company(index: usize, seed: u64) -> String {
    /// Has no divisor in common with the number of pairs, so that a walk with it meets every pair.
    const STRIDE: usize = 1009;
    let pairs = FIRST_WORDS.len() * SECOND_WORDS.len();
    let start = Dice::of(&format!("{seed}/names")).below(pairs as u64) as usize;
    let pair = (start + index % pairs * STRIDE) % pairs;
    let name = format!(
        "{} {}",
        FIRST_WORDS[pair / SECOND_WORDS.len()],
        SECOND_WORDS[pair % SECOND_WORDS.len()]
    );
    let Some(round) = (index / pairs).checked_sub(1) else {
        return name;
    };
    let region = REGIONS[round % REGIONS.len()];
    match round / REGIONS.len() {
        0 => format!("{name} {region}"),
        number => format!("{name} {region} {}", number + 1),
    }
}

fn connector(key: &str, email_domain: String, government: bool, now: DateTime<Utc>) -> Connector {
    let id = Id::of(key);
    let mut dice = Dice::of(&format!("{key}/dice"));
    let verification = match dice.below(100) {
        0..88 => Verification::Verified,
        88..92 => Verification::Awaiting,
        92..96 => Verification::Pending { begun: None },
        _ => Verification::Failed,
    };
    let (enabled, updated_on) = match verification {
        Verification::Verified => (dice.chance(930), before(now, &mut dice, 1, 300)),
        Verification::Awaiting => (dice.chance(10), before(now, &mut dice, 0, 60)),
        Verification::Pending { .. } => (dice.chance(10), before(now, &mut dice, 0, 4)),
        Verification::Failed => (dice.chance(40), before(now, &mut dice, 2, 120)),
    };
    Connector {
        id,
        email_domain: email_domain.into(),
        enabled,
        // Nearly all connectors of one account agree.
        use_fedramp_language: government != dice.chance(5),
        created_on: before(updated_on, &mut dice, 0, 90),
        updated_on,
        code: Id::of(&format!("{key}/code")),
        verification,
        published: published(key, verification),
        oddities: Vec::new(),
    }
}

/// Drawn apart from the rest, so that it decides nothing of what the API answers.
fn published(key: &str, verification: Verification) -> Published {
    use Published::{
        Absent, Different, Misplaced, Misspelt, NoDomain, Right, RightBesideOld, Unanswered,
    };
    let mut dice = Dice::of(&format!("{key}/dns"));
    let draw = dice.below(1000);
    if verification == Verification::Verified {
        return match draw {
            0..970 => Right,
            970..985 => Absent,
            985..992 => RightBesideOld,
            992..996 => NoDomain,
            _ => Unanswered,
        };
    }
    match draw {
        0..300 => Right,
        300..600 => Absent,
        600..700 => Different,
        700..740 => Misspelt(Spelling::FormerPrefix),
        740..760 => Misspelt(Spelling::Quotes),
        760..780 => Misspelt(Spelling::Blanks),
        780..800 => Misspelt(Spelling::BareValue),
        800..830 => Misplaced(Label::Cloudflare),
        830..860 => Misplaced(Label::DashboardSso),
        860..880 => Misplaced(Label::Www),
        880..960 => NoDomain,
        _ => Unanswered,
    }
}

/// A time from `least` to `most` days before `now`.
fn before(now: DateTime<Utc>, dice: &mut Dice, least: u64, most: u64) -> DateTime<Utc> {
    const DAY: u64 = 86_400_000;
    let milliseconds = least * DAY + dice.below((most - least) * DAY);
    let span = i64::try_from(milliseconds)
        .ok()
        .and_then(TimeDelta::try_milliseconds)
        .unwrap_or_default();
    now.checked_sub_signed(span).unwrap_or(now)
}
