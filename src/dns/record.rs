//! What the answers say about a connector's record. Pure: nothing is asked here.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::text::stable_hash;

/// The name in the text of a record, as it is now and as Cloudflare's guide wrote it until 2025-10-14.
const PREFIXES: [&str; 2] = ["cloudflare_dashboard_sso", "cloudflared_dashboard_sso"];

/// How a connector's record is in DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DnsTxt {
    /// The domain has it.
    Match,
    /// The domain has a dashboard SSO code with another value.
    Different,
    /// The domain has the value, wrongly spelt.
    Misspelt,
    /// Another name below the domain has it.
    Misplaced,
    /// The domain has no such record.
    Absent,
    /// There is no such domain.
    NxDomain,
    /// Nobody knows: no answer, or no two that agree. It says nothing about the domain.
    Unknown,
}

impl DnsTxt {
    /// All, in the order in which reports list them.
    pub const ALL: [Self; 7] = [
        Self::Match,
        Self::Different,
        Self::Misspelt,
        Self::Misplaced,
        Self::Absent,
        Self::NxDomain,
        Self::Unknown,
    ];

    /// The word in every output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Match => "match",
            Self::Different => "different",
            Self::Misspelt => "misspelt",
            Self::Misplaced => "misplaced",
            Self::Absent => "absent",
            Self::NxDomain => "nxdomain",
            Self::Unknown => "unknown",
        }
    }

    /// What it means, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Match => "the record is published",
            Self::Different => "another code is published",
            Self::Misspelt => "the record is misspelt",
            Self::Misplaced => "the record is in the wrong place",
            Self::Absent => "no such record",
            Self::NxDomain => "no such domain",
            Self::Unknown => "unknown: no answer, or the resolvers disagree",
        }
    }

    /// Whether it is known that the record does not stand where it should.
    pub fn is_gone(self) -> bool {
        !matches!(self, Self::Match | Self::Unknown)
    }
}

/// What DNS was seen to hold for a connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenInDns {
    /// How its record stands.
    pub txt: DnsTxt,
    /// What is there instead, or the name at which it stands, or why nobody knows; empty where nothing more is to be
    /// said.
    pub detail: String,
    /// The dashboard SSO codes that the domain publishes beside this connector's, each once and in order.
    pub other_codes: Vec<String>,
}

/// What a connector claims, as far as DNS can bear it out.
#[derive(Debug, Clone)]
pub struct Claim<'c> {
    /// The canonical domain.
    pub domain: Cow<'c, str>,
    /// The code that has to be published there, where it is known.
    pub code: Option<&'c str>,
    /// Whether the domain is verified.
    pub is_verified: bool,
}

/// A name that was asked for, with all that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// The name, without the dot of the root.
    pub name: String,
    /// What each resolver said that was asked.
    pub asked: Vec<Opinion>,
}

/// What one resolver said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opinion {
    /// Its address and port.
    pub resolver: String,
    /// When it answered, or was given up.
    pub at: DateTime<Utc>,
    /// How often it was asked, aliases included.
    pub questions: u32,
    /// What it said.
    #[serde(flatten)]
    pub reply: Reply,
}

/// What a resolver said of a name's TXT records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "lowercase")]
pub enum Reply {
    /// The records.
    Records {
        /// Each record's strings, joined.
        texts: Vec<TxtText>,
        /// The names that it is an alias of, in the order in which they were followed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        aliases: Vec<String>,
    },
    /// The name is there, and has no TXT record.
    NoData,
    /// The name is not there.
    NxDomain,
    /// No answer, or none that says anything about the name.
    Failed {
        /// Why.
        cause: String,
    },
}

impl Reply {
    /// Whether it says anything about the name.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }
}

/// A TXT record's text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TxtText {
    /// UTF-8, as nearly all are.
    Text(String),
    /// Anything else.
    Bytes {
        /// The bytes.
        base64: String,
    },
}

impl TxtText {
    /// Of the strings of a record, joined.
    pub fn of(bytes: Vec<u8>) -> Self {
        String::from_utf8(bytes).map_or_else(
            |error| Self::Bytes {
                base64: BASE64.encode(error.as_bytes()),
            },
            Self::Text,
        )
    }

    fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes { .. } => None,
        }
    }
}

impl Lookup {
    /// Whether every resolver that was asked gave an answer.
    pub fn is_answered(&self) -> bool {
        !self.asked.is_empty() && self.asked.iter().all(|opinion| opinion.reply.is_answer())
    }

    /// Whether some resolver gave an answer.
    pub fn has_an_answer(&self) -> bool {
        self.asked.iter().any(|opinion| opinion.reply.is_answer())
    }

    /// What the resolvers together say. A record that one saw is there; that it is not there, or that another is, at least
    /// `needed` of them must say alike.
    fn stands(&self, code: Option<&str>, needed: usize) -> (DnsTxt, String) {
        let Some(code) = code else {
            let cause = "the connector's own code is not known";
            return (DnsTxt::Unknown, cause.to_owned());
        };
        let mut causes = Vec::new();
        let mut known: Vec<(DnsTxt, String)> = Vec::new();
        for opinion in &self.asked {
            match stands_by(&opinion.reply, code) {
                Ok(stands) => known.push(stands),
                Err(cause) => causes.push(format!("{}: {cause}", opinion.resolver)),
            }
        }
        let Some((first, rest)) = known.split_first() else {
            let cause = match causes.is_empty() {
                true => "there was no resolver to ask".to_owned(),
                false => causes.join("; "),
            };
            return (DnsTxt::Unknown, cause);
        };
        let merged = rest.iter().try_fold(first.0, |so_far, (txt, _)| {
            match (so_far, *txt) {
                (a, b) if a == b => Some(a),
                // Both say that the record is not there.
                (DnsTxt::Absent, DnsTxt::NxDomain) | (DnsTxt::NxDomain, DnsTxt::Absent) => {
                    Some(DnsTxt::Absent)
                }
                _ => None,
            }
        });
        match merged {
            None => {
                let said = known.iter().map(|(txt, _)| txt.as_str());
                let said: Vec<_> = said.collect();
                let cause = format!("the resolvers disagree: {}", said.join(", "));
                (DnsTxt::Unknown, cause)
            }
            Some(txt) if txt != DnsTxt::Match && known.len() < needed => {
                let cause = format!("only one resolver answered; {}", causes.join("; "));
                (DnsTxt::Unknown, cause)
            }
            Some(txt) => (txt, first.1.clone()),
        }
    }

    /// The texts that any resolver saw.
    fn texts(&self) -> impl Iterator<Item = &str> {
        self.asked.iter().flat_map(|opinion| texts(&opinion.reply))
    }
}

fn texts(reply: &Reply) -> impl Iterator<Item = &str> {
    let texts = match reply {
        Reply::Records { texts, .. } => texts.as_slice(),
        Reply::NoData | Reply::NxDomain | Reply::Failed { .. } => &[],
    };
    texts.iter().filter_map(TxtText::as_text)
}

/// What one resolver's answer says of a connector's record at the name itself, with what is there instead; or why it
/// says nothing.
fn stands_by(reply: &Reply, code: &str) -> Result<(DnsTxt, String), String> {
    match reply {
        Reply::Failed { cause } => Err(cause.clone()),
        Reply::NxDomain => Ok((DnsTxt::NxDomain, String::new())),
        Reply::NoData => Ok((DnsTxt::Absent, String::new())),
        Reply::Records { .. } => Ok(among(texts(reply), code)),
    }
}

/// How a record stands among texts.
fn among<'t>(texts: impl Iterator<Item = &'t str>, code: &str) -> (DnsTxt, String) {
    let mut texts: Vec<_> = texts.collect();
    texts.sort_unstable();
    let found = |text: Option<&&str>| text.map(|text| (*text).to_owned());
    if texts.contains(&code) {
        return (DnsTxt::Match, String::new());
    }
    if let Some(text) = found(texts.iter().find(|text| is_misspelt(text, code))) {
        return (DnsTxt::Misspelt, text);
    }
    match found(texts.iter().find(|text| value_of_code(text).is_some())) {
        Some(text) => (DnsTxt::Different, text),
        None => (DnsTxt::Absent, String::new()),
    }
}

/// A text without blanks, quotes and backslashes, in small letters, and with every hyphen an underscore.
fn squeezed(text: &str) -> String {
    const QUOTES: [char; 9] = [
        '"', '\'', '`', '\\', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{201e}',
    ];
    let kept = text
        .chars()
        .filter(|c| !c.is_whitespace() && !QUOTES.contains(c) && !crate::text::is_invisible(*c));
    let kept = kept.flat_map(char::to_lowercase);
    kept.map(|c| if c == '-' { '_' } else { c }).collect()
}

/// The longest text that is taken for a code, in bytes, however it is spelt: codes have some sixty.
const LONGEST_CODE: usize = 1000;

/// The value in a text that is a dashboard SSO code, however it is spelt.
fn value_of_code(text: &str) -> Option<String> {
    if text.len() > LONGEST_CODE {
        return None;
    }
    let squeezed = squeezed(text);
    let rest = PREFIXES
        .iter()
        .find_map(|prefix| squeezed.strip_prefix(prefix))?;
    let value = rest.strip_prefix(['=', ':'])?;
    Some(value.to_owned())
}

/// Whether a text was meant to be a code, and is not it: the other prefix, blanks, quotes or capitals, the bare value, or
/// other text before or behind it.
fn is_misspelt(text: &str, code: &str) -> bool {
    if text.len() > LONGEST_CODE {
        return false;
    }
    let value = value_of_code(code).unwrap_or_else(|| squeezed(code));
    if value.is_empty() {
        return false;
    }
    value_of_code(text).unwrap_or_else(|| squeezed(text)) == value || holds(text, code)
}

/// Whether a text holds a code between other text.
fn holds(text: &str, code: &str) -> bool {
    let (text, code) = (text.to_lowercase(), code.to_lowercase());
    let is_part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(&code).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + code.len()..].chars().next();
        ![before, behind].into_iter().flatten().any(is_part_of_word)
    })
}

/// What DNS was seen to hold for a connector. `at_domain` is what was answered for its domain, `elsewhere` for the other
/// names where its record may stand, as far as they were asked for. To say that a record is not there takes `needed`
/// resolvers.
pub fn seen(
    claim: &Claim<'_>,
    at_domain: &Lookup,
    elsewhere: &[Lookup],
    needed: usize,
) -> SeenInDns {
    let (mut txt, mut detail) = at_domain.stands(claim.code, needed);
    if let Some(code) = claim.code.filter(|_| is_looked_for_elsewhere(txt)) {
        let is_it = |text: &str| text == code || is_misspelt(text, code);
        let mut places = elsewhere.iter();
        if let Some(place) = places.find(|lookup| lookup.texts().any(is_it)) {
            (txt, detail) = (DnsTxt::Misplaced, place.name.clone());
        }
    }
    SeenInDns {
        txt,
        detail,
        other_codes: other_codes(at_domain, claim.code),
    }
}

/// The codes among the answers that are not the connector's own, nor its own in another spelling.
fn other_codes(at_domain: &Lookup, code: Option<&str>) -> Vec<String> {
    let own = code.and_then(value_of_code);
    let is_other = |text: &&str| {
        let value = value_of_code(text).filter(|value| !value.is_empty());
        value.is_some() && value != own
    };
    let others = at_domain.texts().filter(is_other).map(str::to_owned);
    let mut others: Vec<_> = others.collect();
    others.sort_unstable();
    others.dedup();
    others
}

/// Whether the record of a connector is looked for at other names, given what is at its domain. Below a name that is
/// not there, nothing is.
fn is_looked_for_elsewhere(at_domain: DnsTxt) -> bool {
    matches!(at_domain, DnsTxt::Absent | DnsTxt::Different)
}

/// Whether it is of use to ask for a connector's record at other names.
pub fn wants_elsewhere(claim: &Claim<'_>, at_domain: &Lookup, needed: usize) -> bool {
    let at_domain = |code| at_domain.stands(Some(code), needed).0;
    let stands = claim.code.map(at_domain);
    !claim.is_verified && stands.is_some_and(is_looked_for_elsewhere)
}

/// The codes of all connectors that a run knows, in this run or from earlier ones: an index by hash.
#[derive(Debug, Default)]
pub struct KnownCodes(HashSet<u64>);

impl KnownCodes {
    /// Adds codes.
    pub fn add<'c>(&mut self, codes: impl Iterator<Item = &'c str>) {
        self.0.extend(codes.map(hash));
    }

    /// Whether a code, however it is spelt, is that of a known connector.
    pub fn hold(&self, code: &str) -> bool {
        self.0.contains(&hash(code))
    }
}

fn hash(code: &str) -> u64 {
    let value = value_of_code(code).unwrap_or_else(|| squeezed(code));
    stable_hash(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CODE: &str = "cloudflare_dashboard_sso=023e105f4ecef8ad9ca31a8372d0c353";
    const OTHER: &str = "cloudflare_dashboard_sso=99";

    fn records(texts: &[&str]) -> Reply {
        Reply::Records {
            texts: texts
                .iter()
                .map(|text| TxtText::of(text.as_bytes().to_vec()))
                .collect(),
            aliases: Vec::new(),
        }
    }

    fn failed(cause: &str) -> Reply {
        Reply::Failed {
            cause: cause.to_owned(),
        }
    }

    fn lookup(name: &str, replies: &[Reply]) -> Lookup {
        let opinion = |(number, reply): (usize, &Reply)| Opinion {
            resolver: format!("192.0.2.{number}:53"),
            at: "2026-11-21T10:15:00Z".parse().unwrap(),
            questions: 1,
            reply: reply.clone(),
        };
        Lookup {
            name: name.to_owned(),
            asked: replies.iter().enumerate().map(opinion).collect(),
        }
    }

    fn claim(code: Option<&str>) -> Claim<'_> {
        Claim {
            domain: "a.example".into(),
            code,
            is_verified: false,
        }
    }

    fn txt(texts: &[&str], code: &str) -> (DnsTxt, String) {
        let seen = seen(
            &claim(Some(code)),
            &lookup("a.example", &[records(texts)]),
            &[],
            1,
        );
        (seen.txt, seen.detail)
    }

    #[test]
    fn a_record_is_the_whole_code_and_nothing_else() {
        let value = "023e105f4ecef8ad9ca31a8372d0c353";
        let quoted = format!("\"{CODE}\"");
        for (text, expected) in [
            (CODE, DnsTxt::Match),
            (
                &*format!("cloudflared_dashboard_sso={value}"),
                DnsTxt::Misspelt,
            ),
            (&*quoted, DnsTxt::Misspelt),
            (&*format!("\u{201c}{CODE}\u{201d}"), DnsTxt::Misspelt),
            (&*format!(" {CODE}"), DnsTxt::Misspelt),
            (&*format!("{CODE}\n"), DnsTxt::Misspelt),
            (
                &*format!("cloudflare_dashboard_sso = {value}"),
                DnsTxt::Misspelt,
            ),
            (
                &*format!("cloudflare-dashboard-sso={value}"),
                DnsTxt::Misspelt,
            ),
            (
                &*format!("cloudflare_dashboard_sso:{value}"),
                DnsTxt::Misspelt,
            ),
            (&*CODE.to_uppercase(), DnsTxt::Misspelt),
            (value, DnsTxt::Misspelt),
            (&*format!("v=spf1 -all {CODE}"), DnsTxt::Misspelt),
            (&*format!("{CODE}; v=spf1 -all"), DnsTxt::Misspelt),
            (&*format!("{CODE}4"), DnsTxt::Different),
            (&*format!("x{value}"), DnsTxt::Absent),
            ("cloudflare_dashboard_sso=", DnsTxt::Different),
            (OTHER, DnsTxt::Different),
            ("cloudflared_dashboard_sso=99", DnsTxt::Different),
            ("cloudflare_dashboard_sso", DnsTxt::Absent),
            ("v=spf1 -all", DnsTxt::Absent),
            ("", DnsTxt::Absent),
        ] {
            let expected_detail = match expected {
                DnsTxt::Match | DnsTxt::Absent => "",
                _ => text,
            };
            assert_eq!(
                txt(&[text], CODE),
                (expected, expected_detail.to_owned()),
                "{text:?}"
            );
        }
        // The best of several counts, in whatever order they come.
        let several = ["v=spf1 -all", OTHER, &*quoted];
        assert_eq!(txt(&several, CODE).0, DnsTxt::Misspelt);
        assert_eq!(txt(&[OTHER, CODE, &*quoted], CODE).0, DnsTxt::Match);
        // A value of digits, as the guide has it, and a code of another form.
        assert_eq!(txt(&["12"], "cloudflare_dashboard_sso=1").0, DnsTxt::Absent);
        assert_eq!(
            txt(&["1"], "cloudflare_dashboard_sso=1").0,
            DnsTxt::Misspelt
        );
        assert_eq!(txt(&["some-code"], "some-code").0, DnsTxt::Match);
        assert_eq!(txt(&[""], "cloudflare_dashboard_sso=").0, DnsTxt::Absent);
    }

    #[test]
    fn what_is_not_known_blames_nobody() {
        let stands =
            |replies: &[Reply], needed| lookup("a.example", replies).stands(Some(CODE), needed).0;
        let (none, silent) = (Reply::NoData, failed("no answer in time"));
        for (replies, expected) in [
            (vec![], DnsTxt::Unknown),
            (vec![silent.clone()], DnsTxt::Unknown),
            (vec![none.clone(), silent.clone()], DnsTxt::Unknown),
            (vec![records(&[OTHER]), silent.clone()], DnsTxt::Unknown),
            (vec![Reply::NxDomain, silent.clone()], DnsTxt::Unknown),
            (vec![silent.clone(), records(&[CODE])], DnsTxt::Match),
            (vec![records(&[CODE]), none.clone()], DnsTxt::Unknown),
            (vec![none.clone(), records(&[CODE])], DnsTxt::Unknown),
            (vec![records(&[OTHER]), none.clone()], DnsTxt::Unknown),
            (vec![none.clone(), Reply::NxDomain], DnsTxt::Absent),
            (vec![Reply::NxDomain, Reply::NxDomain], DnsTxt::NxDomain),
            (
                vec![none.clone(), silent.clone(), none.clone()],
                DnsTxt::Absent,
            ),
            (vec![records(&["x"]), none.clone()], DnsTxt::Absent),
        ] {
            assert_eq!(stands(&replies, 2), expected, "{replies:?}");
        }
        assert_eq!(stands(&[none], 1), DnsTxt::Absent);
        let unknown = lookup("a.example", &[failed("SERVFAIL"), Reply::NoData]);
        let (_, cause) = unknown.stands(Some(CODE), 2);
        assert_eq!(cause, "only one resolver answered; 192.0.2.0:53: SERVFAIL");
    }

    #[test]
    fn without_a_code_nothing_is_known() {
        let seen = |reply| seen(&claim(None), &lookup("a.example", &[reply]), &[], 1).txt;
        assert_eq!(seen(records(&[OTHER])), DnsTxt::Unknown);
        assert_eq!(seen(records(&["v=spf1 -all"])), DnsTxt::Unknown);
        assert_eq!(seen(Reply::NxDomain), DnsTxt::Unknown);
    }

    #[test]
    fn a_record_in_the_wrong_place_is_found_there() {
        let at_domain = lookup("a.example", &[records(&[OTHER])]);
        let place = |name: &str, text: &str| lookup(name, &[records(&[text])]);
        let elsewhere = [
            place("_cloudflare.a.example", "x"),
            place(
                "cloudflare_dashboard_sso.a.example",
                "023e105f4ecef8ad9ca31a8372d0c353",
            ),
            place("www.a.example", CODE),
        ];
        let found = seen(&claim(Some(CODE)), &at_domain, &elsewhere, 1);
        assert_eq!(
            (found.txt, &*found.detail),
            (DnsTxt::Misplaced, "cloudflare_dashboard_sso.a.example")
        );
        assert_eq!(found.other_codes, [OTHER]);
        // At the domain itself it is in the right one.
        let right = lookup("a.example", &[records(&[CODE, OTHER])]);
        let found = seen(&claim(Some(CODE)), &right, &elsewhere, 1);
        assert_eq!((found.txt, found.other_codes.len()), (DnsTxt::Match, 1));
        // Nobody answered about the other names: that says nothing about the domain.
        let failed = [lookup("www.a.example", &[failed("REFUSED")])];
        assert_eq!(
            seen(&claim(Some(CODE)), &at_domain, &failed, 1).txt,
            DnsTxt::Different
        );
    }

    #[test]
    fn codes_are_known_however_they_are_spelt() {
        let mut known = KnownCodes::default();
        known.add([CODE, "plain"].into_iter());
        for code in [
            CODE,
            "Cloudflared_Dashboard_SSO = 023E105F4ECEF8AD9CA31A8372D0C353",
            "plain",
        ] {
            assert!(known.hold(code), "{code}");
        }
        assert!(!known.hold(OTHER));
    }

    proptest! {
        #[test]
        fn any_lookup_is_read_as_it_was_written(texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4)) {
            let lookup = lookup("a.example", &[Reply::Records {
                texts: texts.into_iter().map(TxtText::of).collect(),
                aliases: vec!["b.example".to_owned()],
            }, failed("x"), Reply::NxDomain]);
            let line = serde_json::to_string(&lookup).unwrap();
            prop_assert_eq!(serde_json::from_str::<Lookup>(&line).unwrap(), lookup);
        }

        #[test]
        fn no_text_is_taken_for_the_record_that_is_not_it(text in "\\PC{0,60}", code in "[a-z_]{1,8}=[0-9a-f]{1,8}") {
            let (found, _) = txt(&[&text], &code);
            prop_assert_eq!(found == DnsTxt::Match, text == code);
        }
    }
}
