//! Connectors and accounts as they were answered: plain, and honest about absence.
//!
//! The wire departs from its documentation, so nothing here fails on an odd value. A field that is
//! absent, one that is null, one that holds something unrecognised and one that holds `false` stay four
//! different things until a rule judges them. What was read can be written again in the API's own shape.

use std::borrow::Cow;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::dns::{Claim, DnsTxt, SeenInDns};
use crate::text::shortened;

/// One field of an answer, in one of the four ways in which it can come.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Field<T> {
    /// The key was not in the object.
    #[default]
    Absent,
    /// The key was there with the value `null`.
    Null,
    /// A value of the documented kind.
    Known(T),
    /// Anything else, verbatim.
    Unrecognised(Value),
}

impl<T> Field<T> {
    /// The value where it is of the documented kind.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// How a field that is not known came: `absent`, `null` or `unrecognised`; `None` where it is known.
    pub fn oddity(&self) -> Option<&'static str> {
        match self {
            Self::Absent => Some("absent"),
            Self::Null => Some("null"),
            Self::Known(_) => None,
            Self::Unrecognised(_) => Some("unrecognised"),
        }
    }

    /// The field as a report shows it: the value, an unrecognised value verbatim, else `missing`.
    pub fn shown<'a>(&'a self, missing: &'static str) -> Cow<'a, str>
    where
        T: Wire,
    {
        match self {
            Self::Known(value) => value.text(),
            Self::Unrecognised(Value::String(text)) => shortened(text, LONGEST_TEXT),
            Self::Unrecognised(other) => {
                Cow::Owned(shortened(&other.to_string(), LONGEST_TEXT).into_owned())
            }
            Self::Absent | Self::Null => Cow::Borrowed(missing),
        }
    }
}

/// A kind of value that a JSON string or boolean may stand for.
pub trait Wire: Sized {
    /// The value a string stands for, where it stands for one.
    fn from_text(_text: &str) -> Option<Self> {
        None
    }
    /// The value a boolean stands for, where it stands for one.
    fn from_flag(_flag: bool) -> Option<Self> {
        None
    }
    /// The value as a report shows it.
    fn text(&self) -> Cow<'_, str>;
    /// The value as the API writes it.
    fn wire(&self) -> Value;
}

impl Wire for bool {
    fn from_flag(flag: bool) -> Option<Self> {
        Some(flag)
    }
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(if *self { "true" } else { "false" })
    }
    fn wire(&self) -> Value {
        Value::Bool(*self)
    }
}

/// The longest text that a field may hold, in characters. Domains have 253 at most, ids 32 and codes some 60; a longer text
/// is not recognised as anything, and reports show its beginning: each shows it several times.
const LONGEST_TEXT: usize = 300;

/// Text that says something: an empty or blank string is not recognised as one, nor one without end.
impl Wire for String {
    fn from_text(text: &str) -> Option<Self> {
        let is_endless = text.len() > LONGEST_TEXT && text.chars().nth(LONGEST_TEXT).is_some();
        (!text.trim().is_empty() && !is_endless).then(|| text.to_owned())
    }
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
    fn wire(&self) -> Value {
        Value::String(self.clone())
    }
}

/// Where the verification of a domain stands. Cloudflare documents the words, not their meanings;
/// those given here are inferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Verification has not been started.
    Awaiting,
    /// Cloudflare polls for the TXT record.
    Pending,
    /// The record was not found in time.
    Failed,
    /// The record was found.
    Verified,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Awaiting => "awaiting",
            Self::Pending => "pending",
            Self::Failed => "failed",
            Self::Verified => "verified",
        }
    }
}

impl Wire for Status {
    fn from_text(text: &str) -> Option<Self> {
        [Self::Awaiting, Self::Pending, Self::Failed, Self::Verified]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }
    fn wire(&self) -> Value {
        Value::String(self.as_str().to_owned())
    }
}

/// A time of an answer, kept with its own spelling so that it can be written again unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    spelling: String,
    /// The moment it names.
    pub at: DateTime<Utc>,
}

impl Wire for Timestamp {
    fn from_text(text: &str) -> Option<Self> {
        let at = DateTime::parse_from_rfc3339(text).ok()?.with_timezone(&Utc);
        Some(Self {
            spelling: text.to_owned(),
            at,
        })
    }
    fn text(&self) -> Cow<'_, str> {
        Cow::Owned(crate::text::utc(self.at))
    }
    fn wire(&self) -> Value {
        Value::String(self.spelling.clone())
    }
}

impl<'de, T: Wire> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValue<T>(std::marker::PhantomData<T>);

        impl<'de, T: Wire> Visitor<'de> for AnyValue<T> {
            type Value = Field<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any JSON value")
            }
            fn visit_unit<E>(self) -> Result<Field<T>, E> {
                Ok(Field::Null)
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Field<T>, E> {
                Ok(T::from_flag(flag).map_or(Field::Unrecognised(flag.into()), Field::Known))
            }
            fn visit_str<E>(self, text: &str) -> Result<Field<T>, E> {
                Ok(T::from_text(text)
                    .map_or_else(|| Field::Unrecognised(text.into()), Field::Known))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Field<T>, E> {
                Ok(Field::Unrecognised(number.into()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Field<T>, E> {
                Ok(Field::Unrecognised(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Field<T>, E> {
                Ok(Field::Unrecognised(number.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Field<T>, A::Error> {
                array(items).map(Field::Unrecognised)
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Field<T>, A::Error> {
                object(entries).map(Field::Unrecognised)
            }
        }

        deserializer.deserialize_any(AnyValue(std::marker::PhantomData))
    }
}

fn array<'de, A: SeqAccess<'de>>(mut items: A) -> Result<Value, A::Error> {
    let mut all = Vec::new();
    while let Some(item) = items.next_element()? {
        all.push(item);
    }
    Ok(Value::Array(all))
}

fn object<'de, A: MapAccess<'de>>(mut entries: A) -> Result<Value, A::Error> {
    let mut all = Map::new();
    while let Some((key, value)) = entries.next_entry::<String, Value>()? {
        all.insert(key, value);
    }
    Ok(Value::Object(all))
}

/// What an answer says of a domain's verification.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verification {
    /// The text to publish as a TXT record at the e-mail domain itself.
    pub code: Field<String>,
    /// Where the verification stands.
    pub status: Field<Status>,
}

/// An SSO connector: an account's claim to an e-mail domain, and how its members sign in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Connector {
    /// 32 characters as documented; the documentation's own example has 31.
    pub id: Field<String>,
    /// The e-mail domain verbatim.
    pub email_domain: Field<String>,
    /// Whether its members sign in through their identity provider.
    pub enabled: Field<bool>,
    /// Whether its members are shown the FedRAMP text at login.
    pub use_fedramp_language: Field<bool>,
    /// When it was made.
    pub created_on: Field<Timestamp>,
    /// When it was last changed.
    pub updated_on: Field<Timestamp>,
    /// Code and status; both as odd as the object that should have held them.
    pub verification: Verification,
    /// The object that should have held code and status, where it was none.
    odd_verification: Option<Value>,
    /// Fields that nobody has documented yet, as they came.
    undocumented: Option<Box<Map<String, Value>>>,
    /// The whole record, where it was not an object at all.
    odd_record: Option<Value>,
    /// What DNS was seen to hold for it; `None` where its domain was not looked up. Not part of the answer.
    pub dns: Option<Box<SeenInDns>>,
}

impl Connector {
    /// Whether the domain is known to be verified.
    pub fn is_verified(&self) -> bool {
        self.verification.status.known() == Some(&Status::Verified)
    }

    /// Whether it is known to be enabled.
    pub fn is_enabled(&self) -> bool {
        self.enabled.known() == Some(&true)
    }

    /// Whether it is known to be disabled.
    pub fn is_disabled(&self) -> bool {
        self.enabled.known() == Some(&false)
    }

    /// The domain in the form in which two spellings of one domain are equal: lower-cased, without the
    /// trailing dot, in IDNA form. `None` where the connector names no domain.
    pub fn canonical_domain(&self) -> Option<Cow<'_, str>> {
        self.email_domain
            .known()
            .map(|domain| canonical_domain(domain))
    }

    /// The verification code, where it is known.
    pub fn code(&self) -> Option<&str> {
        self.verification.code.known().map(String::as_str)
    }

    /// What it claims, as far as DNS can bear it out; `None` where it names no domain.
    pub fn claim(&self) -> Option<Claim<'_>> {
        Some(Claim {
            domain: self.canonical_domain()?,
            code: self.code(),
            is_verified: self.is_verified(),
        })
    }

    /// How its record is in DNS; `None` where its domain was not looked up.
    pub fn dns_txt(&self) -> Option<DnsTxt> {
        self.dns.as_ref().map(|seen| seen.txt)
    }

    /// Whether its domain is verified, and its record is known not to be there any more. Cloudflare does not say that it must
    /// stay.
    pub fn is_verified_and_record_gone(&self) -> bool {
        self.is_verified() && self.dns_txt().is_some_and(DnsTxt::is_gone)
    }

    /// The moment from which the age of its present state counts: the last change, else the making.
    pub fn changed_at(&self) -> Option<DateTime<Utc>> {
        let known = self.updated_on.known().or(self.created_on.known());
        known.map(|timestamp| timestamp.at)
    }
}

/// See [`Connector::canonical_domain`].
pub fn canonical_domain(domain: &str) -> Cow<'_, str> {
    let trailing = |c: char| c == '.' || c.is_whitespace();
    let trimmed = domain.trim_start().trim_end_matches(trailing);
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if trimmed.bytes().all(plain) && !trimmed.contains("xn--") {
        return Cow::Borrowed(trimmed);
    }
    // A domain that IDNA refuses is still a claim: it is compared verbatim, lower-cased.
    Cow::Owned(idna::domain_to_ascii(trimmed).unwrap_or_else(|_| trimmed.to_lowercase()))
}

/// A hash of a canonical domain, for what is looked up by it in memory. It is another one in each run of the program, so that
/// nobody can think up two domains that it takes for one.
pub fn domain_hash(canonical_domain: &str) -> u64 {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    SEED.hash_one(canonical_domain)
}

/// As [`canonical_domain`]; `None` where there is none.
pub fn canonical_if_any(domain: &str) -> Option<Cow<'_, str>> {
    Some(canonical_domain(domain)).filter(|domain| !domain.is_empty())
}

/// Sorts connectors by domain, then by id, each as it is shown; what is absent stands first.
pub fn sort_connectors(connectors: &mut [Connector]) {
    fn text(field: &Field<String>) -> &str {
        field.known().map_or("", String::as_str)
    }
    connectors.sort_by(|a, b| {
        let by_domain = text(&a.email_domain).cmp(text(&b.email_domain));
        by_domain.then_with(|| text(&a.id).cmp(text(&b.id)))
    });
}

/// The keys of a connector's record.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    EmailDomain,
    Enabled,
    UseFedrampLanguage,
    CreatedOn,
    UpdatedOn,
    Verification,
    Undocumented(String),
}

impl<'de> Deserialize<'de> for Connector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyRecord;

        impl<'de> Visitor<'de> for AnyRecord {
            type Value = Connector;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any JSON value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Connector, A::Error> {
                let mut connector = Connector::default();
                while let Some(key) = entries.next_key()? {
                    match key {
                        Key::Id => connector.id = entries.next_value()?,
                        Key::EmailDomain => connector.email_domain = entries.next_value()?,
                        Key::Enabled => connector.enabled = entries.next_value()?,
                        Key::UseFedrampLanguage => {
                            connector.use_fedramp_language = entries.next_value()?
                        }
                        Key::CreatedOn => connector.created_on = entries.next_value()?,
                        Key::UpdatedOn => connector.updated_on = entries.next_value()?,
                        Key::Verification => {
                            let AnyVerification(verification, odd) = entries.next_value()?;
                            connector.verification = verification;
                            connector.odd_verification = odd;
                        }
                        Key::Undocumented(key) => {
                            let value = entries.next_value()?;
                            connector
                                .undocumented
                                .get_or_insert_default()
                                .insert(key, value);
                        }
                    }
                }
                Ok(connector)
            }
            fn visit_unit<E>(self) -> Result<Connector, E> {
                Ok(Connector::not_an_object(Value::Null))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Connector, E> {
                Ok(Connector::not_an_object(flag.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Connector, E> {
                Ok(Connector::not_an_object(text.into()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Connector, E> {
                Ok(Connector::not_an_object(number.into()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Connector, E> {
                Ok(Connector::not_an_object(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Connector, E> {
                Ok(Connector::not_an_object(number.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Connector, A::Error> {
                array(items).map(Connector::not_an_object)
            }
        }

        deserializer.deserialize_any(AnyRecord)
    }
}

impl Connector {
    fn not_an_object(value: Value) -> Self {
        Self {
            odd_record: Some(value),
            ..Self::default()
        }
    }
}

/// A verification, and the value itself where it was no object or held more than is documented.
struct AnyVerification(Verification, Option<Value>);

impl AnyVerification {
    fn not_an_object(value: Value) -> Self {
        fn field<T>(value: &Value) -> Field<T> {
            match value {
                Value::Null => Field::Null,
                odd => Field::Unrecognised(odd.clone()),
            }
        }
        let verification = Verification {
            code: field(&value),
            status: field(&value),
        };
        Self(verification, Some(value))
    }
}

/// The keys of a verification.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum VerificationKey {
    Code,
    Status,
    Undocumented(String),
}

impl<'de> Deserialize<'de> for AnyVerification {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = AnyVerification;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("any JSON value")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut verification = Verification::default();
                let mut undocumented = Map::new();
                while let Some(key) = entries.next_key()? {
                    match key {
                        VerificationKey::Code => verification.code = entries.next_value()?,
                        VerificationKey::Status => verification.status = entries.next_value()?,
                        VerificationKey::Undocumented(key) => {
                            undocumented.insert(key, entries.next_value()?);
                        }
                    }
                }
                if undocumented.is_empty() {
                    return Ok(AnyVerification(verification, None));
                }
                let mut whole = undocumented;
                let code = verification.code.as_value();
                let status = verification.status.as_value();
                for (key, value) in [("code", code), ("status", status)] {
                    whole.extend(value.map(|value| (key.to_owned(), value)));
                }
                Ok(AnyVerification(verification, Some(Value::Object(whole))))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(AnyVerification::not_an_object(Value::Null))
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(AnyVerification::not_an_object(flag.into()))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(AnyVerification::not_an_object(text.into()))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(AnyVerification::not_an_object(number.into()))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(AnyVerification::not_an_object(number.into()))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(AnyVerification::not_an_object(number.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                array(items).map(AnyVerification::not_an_object)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

fn field_of<T: Wire>(
    fields: &Map<String, Value>,
    key: &str,
) -> Result<Field<T>, serde_json::Error> {
    fields
        .get(key)
        .map_or(Ok(Field::Absent), Field::deserialize)
}

impl<T: Wire> Field<T> {
    /// The field verbatim; `None` where it was absent.
    fn as_value(&self) -> Option<Value> {
        match self {
            Self::Absent => None,
            Self::Null => Some(Value::Null),
            Self::Known(value) => Some(value.wire()),
            Self::Unrecognised(value) => Some(value.clone()),
        }
    }

    fn write<M: SerializeMap>(&self, key: &'static str, map: &mut M) -> Result<(), M::Error> {
        match self {
            Self::Absent => Ok(()),
            Self::Null => map.serialize_entry(key, &Value::Null),
            Self::Known(value) => map.serialize_entry(key, &value.wire()),
            Self::Unrecognised(value) => map.serialize_entry(key, value),
        }
    }
}

impl Serialize for Connector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(odd) = &self.odd_record {
            return odd.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        self.id.write("id", &mut map)?;
        self.email_domain.write("email_domain", &mut map)?;
        self.enabled.write("enabled", &mut map)?;
        self.use_fedramp_language
            .write("use_fedramp_language", &mut map)?;
        match &self.odd_verification {
            Some(odd) => map.serialize_entry("verification", odd)?,
            None if self.verification == Verification::default() => {}
            None => map.serialize_entry("verification", &self.verification)?,
        }
        self.created_on.write("created_on", &mut map)?;
        self.updated_on.write("updated_on", &mut map)?;
        for (key, value) in self.undocumented.iter().flat_map(|fields| fields.iter()) {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Verification {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.code.write("code", &mut map)?;
        self.status.write("status", &mut map)?;
        map.end()
    }
}

/// An account as a list of accounts answers it: the fields this program reads, and no others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ApiAccount {
    /// 32 hex digits as documented.
    pub id: Field<String>,
    /// Up to 100 characters; null in an organization's list.
    pub name: Field<String>,
}

impl<'de> Deserialize<'de> for ApiAccount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Value::Object(fields) = &value else {
            return Ok(Self {
                id: Field::Unrecognised(value),
                name: Field::Absent,
            });
        };
        Ok(Self {
            id: field_of(fields, "id").map_err(D::Error::custom)?,
            name: field_of(fields, "name").map_err(D::Error::custom)?,
        })
    }
}

impl Serialize for ApiAccount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.id.write("id", &mut map)?;
        self.name.write("name", &mut map)?;
        map.end()
    }
}

/// Reads a list that may be `null`, as the API has been seen to answer one without entries. Where it is not there at all,
/// `#[serde(default)]` says `None`.
///
/// # Errors
/// It is something else.
pub fn list_or_null<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let list = Option::<Vec<T>>::deserialize(deserializer)?;
    Ok(Some(list.unwrap_or_default()))
}

/// An organization as a list of organizations answers it: the fields this program reads, and no others.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ApiOrganization {
    /// The documentation gives it no form.
    pub id: Field<String>,
    /// What it is called.
    pub name: Field<String>,
    /// The id of the organization that it lies under.
    pub parent_id: Field<String>,
    /// What that one is called.
    pub parent_name: Field<String>,
}

impl<'de> Deserialize<'de> for ApiOrganization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let Value::Object(fields) = &value else {
            return Ok(Self {
                id: Field::Unrecognised(value),
                ..Self::default()
            });
        };
        let parent = fields.get("parent").and_then(Value::as_object);
        let of_parent = |key| match parent {
            Some(parent) => field_of(parent, key).map_err(D::Error::custom),
            None => Ok(Field::Absent),
        };
        Ok(Self {
            id: field_of(fields, "id").map_err(D::Error::custom)?,
            name: field_of(fields, "name").map_err(D::Error::custom)?,
            parent_id: of_parent("id")?,
            parent_name: of_parent("name")?,
        })
    }
}

impl Serialize for ApiOrganization {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.id.write("id", &mut map)?;
        self.name.write("name", &mut map)?;
        let parent = ApiAccount {
            id: self.parent_id.clone(),
            name: self.parent_name.clone(),
        };
        if parent != ApiAccount::default() {
            map.serialize_entry("parent", &parent)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connector(value: Value) -> Connector {
        serde_json::from_str(&value.to_string()).unwrap()
    }

    #[test]
    fn absent_null_unrecognised_and_false_stay_apart() {
        let of = |value: Value| connector(value).enabled;
        assert_eq!(of(json!({})), Field::Absent);
        assert_eq!(of(json!({"enabled": null})), Field::Null);
        assert_eq!(
            of(json!({"enabled": "yes"})),
            Field::Unrecognised(json!("yes"))
        );
        assert_eq!(of(json!({"enabled": false})), Field::Known(false));
    }

    #[test]
    fn any_json_value_is_read_as_a_record_and_written_again_unchanged() {
        for value in [
            json!(null),
            json!(7),
            json!(-7),
            json!(1.5),
            json!("text"),
            json!([1, {"a": null}]),
            json!(true),
            json!({}),
            json!({"id": "023e105f4ecef8ad9ca31a8372d0c35", "verification": null}),
            json!({"verification": []}),
            json!({"verification": {"status": "superseded", "method": "dns"}}),
            json!({"id": null, "email_domain": 5, "enabled": {"a": 1}, "use_fedramp_language": [],
                   "created_on": "yesterday", "updated_on": "2025-01-01T12:21:02.0000Z", "new_field": {"x": []}}),
            json!({"id": "a", "email_domain": "", "verification": {"code": "cloudflare_dashboard_sso=1", "status": "verified"}}),
        ] {
            let read = connector(value.clone());
            assert_eq!(serde_json::to_value(&read).unwrap(), value);
        }
    }

    #[test]
    fn an_organization_is_read_whatever_stands_in_it() {
        let read = |value: Value| serde_json::from_value::<ApiOrganization>(value).unwrap();
        let whole = json!({"id": "a", "name": "A", "parent": {"id": "b", "name": "B"}});
        let organization = read(whole.clone());
        assert_eq!(organization.parent_id, Field::Known("b".to_owned()));
        assert_eq!(serde_json::to_value(&organization).unwrap(), whole);
        assert_eq!(read(json!(7)).id, Field::Unrecognised(json!(7)));
        for parent in [json!(null), json!("b"), json!([])] {
            let odd = read(json!({"id": "a", "parent": parent}));
            assert_eq!(odd.parent_id, Field::Absent);
        }
        let odd = read(json!({"parent": {"id": null}}));
        assert_eq!((odd.id, odd.parent_id), (Field::Absent, Field::Null));
    }

    #[test]
    fn a_status_of_tomorrow_and_a_null_verification_are_told_apart() {
        let new = connector(json!({"verification": {"status": "superseded"}}));
        assert_eq!(new.verification.status.shown("unknown"), "superseded");
        assert_eq!(new.verification.status.oddity(), Some("unrecognised"));
        let null = connector(json!({"verification": null}));
        assert_eq!(null.verification.status.oddity(), Some("null"));
        assert_eq!(null.verification.status.shown("unknown"), "unknown");
    }

    #[test]
    fn a_text_without_end_is_not_recognised_and_its_beginning_is_shown() {
        let long = "x".repeat(LONGEST_TEXT + 1);
        let read = connector(json!({"email_domain": long, "enabled": [long]}));
        assert_eq!(read.email_domain.oddity(), Some("unrecognised"));
        for shown in [read.email_domain.shown(""), read.enabled.shown("")] {
            assert_eq!(shown.chars().count(), LONGEST_TEXT + 1);
            assert!(shown.ends_with('\u{2026}'));
        }
        let just = connector(json!({"email_domain": "x".repeat(LONGEST_TEXT)}));
        assert!(just.email_domain.known().is_some());
    }

    #[test]
    fn a_time_with_four_fractional_digits_is_read() {
        let read = connector(json!({"updated_on": "2025-01-01T12:21:02.0000Z"}));
        assert_eq!(read.updated_on.shown(""), "2025-01-01 12:21:02");
        let odd =
            connector(json!({"updated_on": "2025-13-01", "created_on": "2025-01-01T00:00:00Z"}));
        assert_eq!(odd.updated_on.oddity(), Some("unrecognised"));
        assert_eq!(odd.changed_at(), odd.created_on.known().map(|t| t.at));
    }

    #[test]
    fn spellings_of_one_domain_are_equal() {
        for spelling in [
            "b\u{fc}cher.example",
            "B\u{dc}CHER.example.",
            "xn--bcher-kva.example",
            " xn--bcher-kva.EXAMPLE",
        ] {
            assert_eq!(canonical_domain(spelling), "xn--bcher-kva.example");
        }
        assert_eq!(canonical_domain("a.example"), "a.example");
        assert_eq!(canonical_domain("A_b.example."), "a_b.example");
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_the_canonical_form(text in ".{0,80}") {
            let canonical = canonical_domain(&text);
            let upper = text.to_ascii_uppercase();
            proptest::prop_assert_eq!(canonical_domain(&upper), canonical);
        }
    }
}
