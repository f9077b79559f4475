//! The TXT records that have to be published, and how a zone file has them.

use serde::Serialize;

use crate::dns::names::is_host_name;
use crate::model::Connector;

/// A record that has to be published before a verification can succeed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Record {
    /// The e-mail domain itself.
    pub name: String,
    /// The whole verification code.
    pub value: String,
}

impl Record {
    /// The record that verifies a connector's domain; `None` where domain or code are not known.
    pub fn of(connector: &Connector) -> Option<Self> {
        Some(Self {
            name: connector.canonical_domain()?.into_owned(),
            value: connector.verification.code.known()?.clone(),
        })
    }
}

/// How long a resolver may keep a record, in seconds: short, for it is waited for.
pub const TTL: u32 = 300;
/// The longest value of a record, in bytes: 255 strings of 255, which with their lengths still fit a record.
const LONGEST_VALUE: usize = 255 * 255;
/// What is shown of a name that cannot be published, in characters.
const SHOWN_OF_NAME: usize = 100;

/// The records as a snippet of a zone file, long values in several strings as DNS has them. A record that no zone could
/// hold is left out, and a comment says so. Whatever names and values hold, each record is one line of plain ASCII.
pub fn zone_snippet(records: &[Record]) -> String {
    let line = |record: &Record| match unpublishable(record) {
        None => {
            let strings: Vec<_> = record.value.as_bytes().chunks(255).map(quoted).collect();
            format!("{}. {TTL} IN TXT {}\n", record.name, strings.join(" "))
        }
        Some(reason) => {
            let name: String = record.name.chars().take(SHOWN_OF_NAME).collect();
            format!("; left out: \"{}\": {reason}\n", name.escape_default())
        }
    };
    records.iter().map(line).collect()
}

/// How many of the records a zone can hold.
pub fn publishable(records: &[Record]) -> usize {
    let can_be = |record: &&Record| unpublishable(record).is_none();
    records.iter().filter(can_be).count()
}

/// Why no zone can hold a record.
pub fn unpublishable(record: &Record) -> Option<&'static str> {
    if !is_host_name(&record.name) {
        Some("it is not a domain name")
    } else if !(1..=LONGEST_VALUE).contains(&record.value.len()) {
        Some("its value is empty, or too long for a TXT record")
    } else {
        None
    }
}

/// A character string of a zone file: what is not plain is written by its number.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', byte as char]),
            b' '..=b'~' => text.push(byte as char),
            _ => text.push_str(&format!("\\{byte:03}")),
        }
    }
    text + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(name: &str, value: &str) -> Record {
        Record {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn records_are_a_zone_file() {
        for (value, strings) in [
            ("x=1", "\"x=1\""),
            ("a\"\\\u{e9}\n", "\"a\\\"\\\\\\195\\169\\010\""),
        ] {
            assert_eq!(
                zone_snippet(&[record("a.example", value)]),
                format!("a.example. 300 IN TXT {strings}\n")
            );
        }
        let long = zone_snippet(&[record("a.example", &"x".repeat(300))]);
        assert_eq!(long.matches('"').count(), 4);
    }

    #[test]
    fn what_no_zone_could_hold_is_left_out_in_one_line() {
        for name in [
            "victim.example. 300 IN A 6.6.6.6\nx.example",
            "a b.example",
            "a;b.example",
            "(a.example",
            "a\".example",
            "$INCLUDE",
            "@",
            "a\\.example",
            "m\u{fc}nchen.example",
            "a..example",
            "a.example.",
            "",
            "a\u{2028}b",
            "a\rb",
            &"a".repeat(64),
            &"a.".repeat(200),
        ] {
            let snippet = zone_snippet(&[record(name, "x")]);
            assert!(
                snippet.starts_with("; left out: \"")
                    && snippet.ends_with("\": it is not a domain name\n"),
                "{snippet}"
            );
            assert!(snippet.is_ascii() && snippet.lines().count() == 1 && snippet.len() < 1500);
        }
        for value in ["", &"x".repeat(LONGEST_VALUE + 1)] {
            assert_eq!(
                zone_snippet(&[record("a.example", value)]),
                "; left out: \"a.example\": its value is empty, or too long for a TXT record\n"
            );
        }
    }

    /// The owner and the text of each record, as a name server would read the zone file.
    fn parsed(snippet: &str) -> Vec<(String, Vec<u8>)> {
        use domain::zonefile::inplace::{Entry, Zonefile};
        let mut zone = Zonefile::from(snippet);
        let mut found = Vec::new();
        while let Some(entry) = zone.next_entry().unwrap() {
            let Entry::Record(record) = entry else {
                panic!("{snippet} holds more than records");
            };
            let domain::rdata::ZoneRecordData::Txt(txt) = record.data() else {
                panic!("{snippet} holds more than TXT records");
            };
            found.push((
                record.owner().to_string(),
                txt.iter().flatten().copied().collect(),
            ));
        }
        found
    }

    proptest! {
        #[test]
        fn a_name_server_reads_the_records_and_nothing_else(
            records in proptest::collection::vec(
                (
                    prop_oneof![any::<String>(), "[a-z0-9_.-]{0,70}", r#"[ab.;()"$@\\ \t\r\n]{0,9}"#, "[a-z0-9-]{1,9}(\\.[a-zA-Z]{2,9}){1,3}"],
                    prop_oneof![any::<String>(), r#"[\\"; 0-9\n]{0,9}"#, "[a-z\u{e9}]{250,600}"],
                ),
                0..5,
            )
        ) {
            let records: Vec<_> = records.iter().map(|(name, value)| record(name, value)).collect();
            let snippet = zone_snippet(&records);
            prop_assert_eq!(snippet.lines().count(), records.len());
            let kept = records.iter().zip(snippet.lines()).filter(|(_, line)| !line.starts_with("; left out: "));
            let kept: Vec<_> = kept.map(|(record, _)| (record.name.clone(), record.value.clone().into_bytes())).collect();
            prop_assert_eq!(parsed(&snippet), kept);
        }

        #[test]
        fn no_domain_is_left_out(name in "[a-zA-Z0-9_-]{1,63}(\\.[a-zA-Z0-9-]{1,20}){1,5}") {
            prop_assert_eq!(parsed(&zone_snippet(&[record(&name, "x")])), [(name, b"x".to_vec())]);
        }
    }

    #[test]
    fn the_longest_value_fits_a_record() {
        let value = "x".repeat(LONGEST_VALUE);
        let found = parsed(&zone_snippet(&[record("a.example", &value)]));
        assert_eq!(found, [("a.example".to_owned(), value.into_bytes())]);
    }
}
