//! What there is, and how it may change: accounts, their connectors, and the rules by which the API lets them be written.

use super::clock::Clock;
use super::domains::{Domains, Place};
use super::seed::Id;
use chrono::{DateTime, Datelike, TimeDelta, Timelike, Utc};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// Mail domains that belong to everybody: the API makes no connector for them. Cloudflare publishes no list.
const PUBLIC_MAIL_DOMAINS: [&str; 20] = [
    "aol.com",
    "fastmail.com",
    "gmail.com",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.com",
    "icloud.com",
    "live.com",
    "mail.com",
    "me.com",
    "msn.com",
    "outlook.com",
    "proton.me",
    "protonmail.com",
    "web.de",
    "yahoo.com",
    "yandex.ru",
    "zoho.com",
];

/// A made-up set of accounts with their connectors, and the time in it.
pub struct World {
    pub(super) accounts: Vec<Account>,
    pub(super) organizations: Vec<Organization>,
    by_id: HashMap<Id, usize>,
    /// Made for the first question about a domain, and kept up from then on.
    domains: OnceLock<Domains>,
    clock: Clock,
    verification_delay: TimeDelta,
    /// How many connectors were made since the world began: their identifiers are drawn from it.
    made: u64,
}

/// What a world holds, counted as an audit must count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All accounts, those without a connector included.
    pub accounts: usize,
    /// All connectors.
    pub connectors: usize,
    /// Connectors whose status is anything but `verified`, or is not there.
    pub unverified: usize,
    /// Connectors whose `enabled` is anything but true, or is not there.
    pub disabled: usize,
    /// Connectors whose `use_fedramp_language` is true.
    pub fedramp_on: usize,
}

pub(super) struct Organization {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) created_on: DateTime<Utc>,
    /// The place of the one that it lies under among the world's.
    pub(super) parent: Option<usize>,
    /// Whether nobody may list its accounts, or the organizations under it.
    pub(super) refuses: bool,
}

pub(super) struct Account {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) enterprise: bool,
    pub(super) enforce_twofactor: bool,
    pub(super) created_on: DateTime<Utc>,
    /// The place of its organization among the world's.
    pub(super) organization: Option<usize>,
    pub(super) connectors: Vec<Connector>,
}

pub(super) struct Connector {
    pub(super) id: Id,
    pub(super) email_domain: Box<str>,
    pub(super) enabled: bool,
    pub(super) use_fedramp_language: bool,
    pub(super) created_on: DateTime<Utc>,
    pub(super) updated_on: DateTime<Utc>,
    /// What follows `cloudflare_dashboard_sso=` in the TXT record.
    pub(super) code: Id,
    pub(super) verification: Verification,
    pub(super) published: Published,
    /// Where its JSON is not as documented.
    pub(super) oddities: Vec<Oddity>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verification {
    Awaiting,
    /// Looking for the TXT record. Where it was begun in this world it comes to an end after the world's delay; a
    /// connector that was pending from the start stays so, that a report on it is the same at any hour.
    Pending {
        begun: Option<DateTime<Utc>>,
    },
    Failed,
    Verified,
}

/// TXT records in DNS for the sake of a connector, whose own record is its code, whole, as TXT at the e-mail domain itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// The connector's own record.
    Right,
    /// The same, and the record of a connector that nobody has any more.
    RightBesideOld,
    /// The record of another connector, which nobody has.
    Different,
    /// The right value, written wrongly.
    Misspelt(Spelling),
    /// The right record at a name below the domain.
    Misplaced(Label),
    /// No such record.
    Absent,
    /// The domain is not there.
    NoDomain,
    /// Its name servers are out of order.
    Unanswered,
}

/// How a record is misspelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `cloudflared_dashboard_sso=`, as Cloudflare's guide had it once.
    FormerPrefix,
    /// In quotes that are part of the text.
    Quotes,
    /// With blanks around it and around the equals sign.
    Blanks,
    /// The value without the prefix.
    BareValue,
}

/// The label below the domain that a record was put at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Cloudflare,
    DashboardSso,
    Www,
}

impl Label {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Cloudflare => "_cloudflare",
            Self::DashboardSso => "cloudflare_dashboard_sso",
            Self::Www => "www",
        }
    }
}

/// A field that is not as documented: another value, or (`None`) not there at all. A write of the field puts it right.
pub(super) struct Oddity {
    /// A JSON pointer into the connector.
    pub(super) pointer: &'static str,
    pub(super) value: Option<Value>,
}

/// The body of a create.
pub(super) struct NewConnector {
    pub(super) email_domain: String,
    pub(super) begin_verification: bool,
    pub(super) use_fedramp_language: bool,
}

/// The body of an update.
#[derive(Default)]
pub(super) struct Change {
    pub(super) enabled: Option<bool>,
    pub(super) use_fedramp_language: Option<bool>,
}

/// Why the world does not do as it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    UnknownObject,
    NotADomain,
    PublicMailDomain,
    DuplicateDomain,
    NotVerified,
    EnabledElsewhere,
    NeedsApproval,
    AlreadyVerified,
}

impl World {
    pub(super) fn new(
        mut accounts: Vec<Account>,
        organizations: Vec<Organization>,
        now: DateTime<Utc>,
    ) -> Self {
        accounts.sort_by_cached_key(|account| account.name.to_lowercase());
        let by_id = accounts
            .iter()
            .enumerate()
            .map(|(index, account)| (account.id, index))
            .collect();
        Self {
            accounts,
            organizations,
            by_id,
            domains: OnceLock::new(),
            clock: Clock::running_from(now),
            verification_delay: TimeDelta::seconds(5),
            made: 0,
        }
    }

    /// The same world with another clock.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// How long a verification stays pending once it was begun; 5 s unless set. Then it is `verified`, or `failed` where
    /// the e-mail domain starts with `fail`: such a domain never gets its TXT record.
    #[must_use]
    pub fn with_verification_delay(self, delay: Duration) -> Self {
        Self {
            verification_delay: TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX),
            ..self
        }
    }

    /// Id and name of every account, in the order the API lists them (by name).
    pub fn accounts(&self) -> impl Iterator<Item = (String, &str)> {
        self.accounts
            .iter()
            .map(|account| (account.id.to_string(), account.name.as_str()))
    }

    /// Id and name of every organization.
    pub fn organizations(&self) -> impl Iterator<Item = (String, &str)> {
        self.organizations
            .iter()
            .map(|organization| (organization.id.to_string(), organization.name.as_str()))
    }

    /// The place of an organization.
    pub(super) fn organization(&self, id: Id) -> Option<usize> {
        self.organizations.iter().position(|known| known.id == id)
    }

    /// Whether an organization lies under another, or is the same.
    pub(super) fn lies_under(&self, organization: usize, other: usize) -> bool {
        let mut above = Some(organization);
        while let Some(place) = above {
            if place == other {
                return true;
            }
            above = self.organizations[place].parent;
        }
        false
    }

    /// What the world holds at this moment.
    pub fn totals(&self) -> Totals {
        let now = self.now();
        let mut totals = Totals {
            accounts: self.accounts.len(),
            ..Totals::default()
        };
        for connector in self.accounts.iter().flat_map(|account| &account.connectors) {
            let shown = self.show(connector, now).judged();
            totals.connectors += 1;
            totals.unverified += usize::from(!shown.verified);
            totals.disabled += usize::from(!shown.enabled);
            totals.fedramp_on += usize::from(shown.use_fedramp_language);
        }
        totals
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(super) fn account(&self, account: Id) -> Option<&Account> {
        self.accounts.get(*self.by_id.get(&account)?)
    }

    /// The connectors of an account as the API would show them now.
    pub(super) fn connectors(&self, account: Id) -> Option<Vec<Shown<'_>>> {
        let now = self.now();
        Some(
            self.account(account)?
                .connectors
                .iter()
                .map(|connector| self.show(connector, now))
                .collect(),
        )
    }

    /// One connector as the API would show it now.
    pub(super) fn connector(&self, account: Id, connector: Id) -> Option<Shown<'_>> {
        let found = self
            .account(account)?
            .connectors
            .iter()
            .find(|known| known.id == connector)?;
        Some(self.show(found, self.now()))
    }

    /// Makes a connector, not enabled, and says which.
    pub(super) fn create(&mut self, account: Id, new: NewConnector) -> Result<Id, Refusal> {
        let now = self.now();
        let key = domain_key(&new.email_domain).ok_or(Refusal::NotADomain)?;
        if PUBLIC_MAIL_DOMAINS.contains(&key.as_str()) {
            return Err(Refusal::PublicMailDomain);
        }
        let made = self.made + 1;
        let index = self.account_index(account)?;
        let owner = &mut self.accounts[index];
        if owner
            .connectors
            .iter()
            .any(|known| same_domain(&known.email_domain, &key))
        {
            return Err(Refusal::DuplicateDomain);
        }
        let id = Id::of(&format!("connector/{account}/{made}"));
        owner.connectors.push(Connector {
            id,
            email_domain: new.email_domain.into(),
            enabled: false,
            use_fedramp_language: new.use_fedramp_language,
            created_on: now,
            updated_on: now,
            code: Id::of(&format!("code/{id}")),
            verification: match new.begin_verification {
                true => Verification::Pending { begun: Some(now) },
                false => Verification::Awaiting,
            },
            published: match never_published(&key) {
                true => Published::Absent,
                false => Published::Right,
            },
            oddities: Vec::new(),
        });
        self.made = made;
        let place = Place {
            account: index,
            connector: id,
        };
        if let Some(domains) = self.domains.get_mut() {
            domains.insert(&key, place);
        }
        Ok(id)
    }

    /// Carries a change out, all of it or nothing. A change that names no field changes nothing, the time included.
    pub(super) fn update(
        &mut self,
        account: Id,
        connector: Id,
        change: &Change,
    ) -> Result<(), Refusal> {
        if change.enabled == Some(true) {
            self.may_enable(account, connector)?;
        }
        let now = self.now();
        let found = self.connector_mut(account, connector)?;
        if let Some(enabled) = change.enabled {
            found.enabled = enabled;
            found.put_right("/enabled");
        }
        if let Some(use_fedramp_language) = change.use_fedramp_language {
            found.use_fedramp_language = use_fedramp_language;
            found.put_right("/use_fedramp_language");
        }
        if change.enabled.is_some() || change.use_fedramp_language.is_some() {
            found.updated_on = now;
            found.put_right("/updated_on");
        }
        Ok(())
    }

    /// A domain is enabled for all its users everywhere, so it must be proven, and enabled in one account at most.
    fn may_enable(&self, account: Id, connector: Id) -> Result<(), Refusal> {
        let shown = self
            .connector(account, connector)
            .ok_or(Refusal::UnknownObject)?;
        let judged = shown.judged();
        if judged.enabled {
            return Ok(());
        }
        if !judged.verified {
            return Err(Refusal::NotVerified);
        }
        let domain = &shown.connector.email_domain;
        let key = domain_key(domain).ok_or(Refusal::NotADomain)?;
        if is_academic(&key) {
            return Err(Refusal::NeedsApproval);
        }
        let now = self.now();
        let all = self.accounts.iter().flat_map(|other| &other.connectors);
        for other in all.filter(|other| same_domain(&other.email_domain, &key)) {
            if self.show(other, now).judged().enabled {
                return Err(Refusal::EnabledElsewhere);
            }
        }
        Ok(())
    }

    /// Begins the search for the TXT record, or begins it again.
    pub(super) fn begin_verification(&mut self, account: Id, connector: Id) -> Result<(), Refusal> {
        let shown = self
            .connector(account, connector)
            .ok_or(Refusal::UnknownObject)?;
        if shown.judged().verified {
            return Err(Refusal::AlreadyVerified);
        }
        let now = self.now();
        let found = self.connector_mut(account, connector)?;
        found.verification = Verification::Pending { begun: Some(now) };
        found.updated_on = now;
        found.put_right("/verification");
        found.put_right("/updated_on");
        Ok(())
    }

    /// Takes a connector away.
    pub(super) fn delete(&mut self, account: Id, connector: Id) -> Result<(), Refusal> {
        let account = self.account_index(account)?;
        let connectors = &mut self.accounts[account].connectors;
        let index = connectors
            .iter()
            .position(|known| known.id == connector)
            .ok_or(Refusal::UnknownObject)?;
        let removed = connectors.remove(index);
        if let (Some(domains), Some(key)) =
            (self.domains.get_mut(), domain_key(&removed.email_domain))
        {
            domains.remove(&key, Place { account, connector });
        }
        Ok(())
    }

    /// The connectors of this very domain, which is in its form for comparing.
    pub(super) fn of_domain(&self, domain: &str) -> impl Iterator<Item = &Connector> {
        let places = self.domains().at(domain).iter();
        places.filter_map(|place| self.at(*place))
    }

    /// The connectors of all domains below this one.
    pub(super) fn below_domain(&self, domain: &str) -> impl Iterator<Item = &Connector> {
        let places = self.domains().below(domain);
        places.filter_map(|place| self.at(place))
    }

    /// TXT records in DNS for a connector now. Whoever begins a verification publishes the record, unless it is never found.
    pub(super) fn published(&self, connector: &Connector) -> Published {
        let begun = matches!(
            connector.verification,
            Verification::Pending { begun: Some(_) }
        );
        if begun && self.show(connector, self.now()).verification == Verification::Verified {
            return Published::Right;
        }
        connector.published
    }

    fn domains(&self) -> &Domains {
        self.domains.get_or_init(|| {
            let mut domains = Domains::default();
            for (account, owner) in self.accounts.iter().enumerate() {
                for connector in &owner.connectors {
                    if let Some(key) = domain_key(&connector.email_domain) {
                        let connector = connector.id;
                        domains.insert(&key, Place { account, connector });
                    }
                }
            }
            domains
        })
    }

    fn at(&self, place: Place) -> Option<&Connector> {
        let mut connectors = self.accounts.get(place.account)?.connectors.iter();
        connectors.find(|known| known.id == place.connector)
    }

    fn account_index(&self, account: Id) -> Result<usize, Refusal> {
        let index = self.by_id.get(&account).ok_or(Refusal::UnknownObject)?;
        Ok(*index)
    }

    fn connector_mut(&mut self, account: Id, connector: Id) -> Result<&mut Connector, Refusal> {
        let index = self.account_index(account)?;
        let connectors = &mut self.accounts[index].connectors;
        connectors
            .iter_mut()
            .find(|known| known.id == connector)
            .ok_or(Refusal::UnknownObject)
    }

    fn show<'a>(&self, connector: &'a Connector, now: DateTime<Utc>) -> Shown<'a> {
        let (verification, updated_on) = connector.state(now, self.verification_delay);
        Shown {
            connector,
            verification,
            updated_on,
        }
    }
}

impl Connector {
    /// Where the verification is at `now`, and when the connector last changed.
    fn state(&self, now: DateTime<Utc>, delay: TimeDelta) -> (Verification, DateTime<Utc>) {
        let Verification::Pending { begun: Some(begun) } = self.verification else {
            return (self.verification, self.updated_on);
        };
        match begun.checked_add_signed(delay) {
            Some(end) if now >= end => {
                let outcome = if never_published(&self.email_domain) {
                    Verification::Failed
                } else {
                    Verification::Verified
                };
                (outcome, end.max(self.updated_on))
            }
            _ => (self.verification, self.updated_on),
        }
    }

    fn put_right(&mut self, pointer: &str) {
        self.oddities.retain(|oddity| {
            !oddity
                .pointer
                .strip_prefix(pointer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
}

/// A connector at a moment; its serialisation is the API's JSON.
pub(super) struct Shown<'a> {
    connector: &'a Connector,
    verification: Verification,
    updated_on: DateTime<Utc>,
}

/// What a reader of the JSON would say of it.
struct Judged {
    verified: bool,
    enabled: bool,
    use_fedramp_language: bool,
}

#[derive(Serialize)]
struct Record<'a> {
    id: Id,
    email_domain: &'a str,
    enabled: bool,
    use_fedramp_language: bool,
    verification: VerificationRecord,
    created_on: Timestamp,
    updated_on: Timestamp,
}

#[derive(Serialize)]
struct VerificationRecord {
    code: Code,
    status: &'static str,
}

/// A verification code, whole: what the API answers, and what the TXT record holds.
pub(super) struct Code(pub(super) Id);

impl Shown<'_> {
    fn record(&self) -> Record<'_> {
        Record {
            id: self.connector.id,
            email_domain: &self.connector.email_domain,
            enabled: self.connector.enabled,
            use_fedramp_language: self.connector.use_fedramp_language,
            verification: VerificationRecord {
                code: Code(self.connector.code),
                status: match self.verification {
                    Verification::Awaiting => "awaiting",
                    Verification::Pending { .. } => "pending",
                    Verification::Failed => "failed",
                    Verification::Verified => "verified",
                },
            },
            created_on: Timestamp(self.connector.created_on),
            updated_on: Timestamp(self.updated_on),
        }
    }

    /// The record with its oddities.
    fn odd_record(&self) -> serde_json::Result<Value> {
        let mut record = serde_json::to_value(self.record())?;
        for oddity in &self.connector.oddities {
            let Some((parent, field)) = oddity.pointer.rsplit_once('/') else {
                continue;
            };
            if let Some(Value::Object(fields)) = record.pointer_mut(parent) {
                match &oddity.value {
                    Some(value) => fields.insert(field.to_owned(), value.clone()),
                    None => fields.remove(field),
                };
            }
        }
        Ok(record)
    }

    fn judged(&self) -> Judged {
        if self.connector.oddities.is_empty() {
            return Judged {
                verified: self.verification == Verification::Verified,
                enabled: self.connector.enabled,
                use_fedramp_language: self.connector.use_fedramp_language,
            };
        }
        let record = self.odd_record().unwrap_or_default();
        Judged {
            verified: record.pointer("/verification/status") == Some(&json!("verified")),
            enabled: record.get("enabled") == Some(&Value::Bool(true)),
            use_fedramp_language: record.get("use_fedramp_language") == Some(&Value::Bool(true)),
        }
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.connector.oddities.is_empty() {
            return self.record().serialize(serializer);
        }
        self.odd_record()
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cloudflare_dashboard_sso={}", self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A time as the API writes it: UTC, four digits after the second, `2025-01-01T12:21:02.0000Z`.
pub(super) struct Timestamp(pub(super) DateTime<Utc>);

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0;
        let (year, month, day) = (time.year(), time.month(), time.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        let fraction = time.timestamp_subsec_micros().min(999_999) / 100;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:04}Z"
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The form in which two spellings of one domain are the same: IDNA, lower case, no dot at the end. `None` where the text
/// is not a domain of at least two labels.
pub(super) fn domain_key(domain: &str) -> Option<String> {
    let key = idna::domain_to_ascii(domain.strip_suffix('.').unwrap_or(domain)).ok()?;
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    (key.len() <= 253 && key.contains('.') && key.split('.').all(is_label)).then_some(key)
}

fn same_domain(domain: &str, key: &str) -> bool {
    if domain.is_ascii() {
        return domain
            .strip_suffix('.')
            .unwrap_or(domain)
            .eq_ignore_ascii_case(key);
    }
    domain_key(domain).is_some_and(|other| other == key)
}

/// Whether nobody ever publishes a record at the domain.
fn never_published(domain: &str) -> bool {
    domain.to_ascii_lowercase().starts_with("fail")
}

/// `.edu`, `.edu.<country>` and `.ac.<country>`: such domains can be verified, but are enabled by hand.
fn is_academic(key: &str) -> bool {
    let mut labels = key.rsplit('.');
    match (labels.next(), labels.next()) {
        (Some("edu"), _) => true,
        (Some(country), Some("edu" | "ac")) => country.len() == 2,
        _ => false,
    }
}
