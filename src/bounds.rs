//! How much of an answer is taken, so that one account's answer costs no more than its account: a body of the largest size
//! that is read at all could otherwise hold millions of records, or one that is as large as itself.
//!
//! What is taken is a body again, with everything in it that is too large, or that cannot be decoded, replaced by a word
//! on it. Collecting and reading evidence go through the same, and so see the same records.

use std::fmt;
use std::ops::ControlFlow;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Bodies up to this size, in bytes, hold nothing that is too large, and not too much of anything.
const SMALL_BODY: usize = 16 * 1024;
/// The largest record, in bytes. The documented ones have a few hundred.
pub const LARGEST_RECORD: usize = 64 * 1024;
/// The most records of a list. Each is an e-mail domain of one account; the longest list that the API is known to have
/// answered has 2,000. So many, each with several findings that a next run finds changed, are judged in less than 200 MB.
pub const MOST_RECORDS: usize = 10_000;
/// The most of what is beside the result, in bytes; more is left out.
const LARGEST_REST: usize = 16 * 1024;

/// What is taken of the body of an answer; `None` where that is all of it.
///
/// # Errors
/// The list has too many records; in words.
pub fn bounded(body: &str) -> Result<Option<String>, String> {
    if body.len() <= SMALL_BODY {
        return Ok(None);
    }
    let too_large = |record: &str| (record.len() > LARGEST_RECORD).then(|| too_large(record));
    rewritten(body, too_large, |_| false)
}

/// The body with each record replaced that cannot be decoded as a `T`, and without what beside the result cannot be decoded
/// at all; `None` where there is nothing of either.
pub fn decodable<T>(body: &str) -> Option<String>
where
    T: for<'de> Deserialize<'de>,
{
    let cause = |record: &str| {
        let error = serde_json::from_str::<T>(record).err()?;
        Some(format!("(a record that is not valid: {error})"))
    };
    let is_odd = |value: &str| serde_json::from_str::<serde_json::Value>(value).is_err();
    rewritten(body, cause, is_odd).ok().flatten()
}

fn too_large(record: &str) -> String {
    format!("(a record of {} bytes, which is too large)", record.len())
}

/// The body with the records replaced of which `objection` has something to say, and without what is beside the result
/// where it is large or odd.
fn rewritten(
    body: &str,
    objection: impl Fn(&str) -> Option<String>,
    is_odd: impl Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    // What is no object is refused by whoever decodes it.
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(body) else {
        return Ok(None);
    };
    let mut text = String::from("{");
    let mut is_changed = false;
    for (key, value) in envelope.0 {
        let value = value.get();
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&quoted(&key));
        text.push(':');
        if key != "result" {
            let is_left_out = value.len() > LARGEST_REST || is_odd(value);
            is_changed |= is_left_out;
            text.push_str(if is_left_out { "null" } else { value });
            continue;
        }
        if value.starts_with('[') {
            let mut list = List {
                text: &mut text,
                records: 0,
                is_changed: false,
                objection: &objection,
            };
            list.text.push('[');
            let end = list.add_all(value);
            is_changed |= list.is_changed;
            if let ControlFlow::Break(()) = end {
                return Err(format!(
                    "the list has more than {MOST_RECORDS} entries, the most a run reads per account"
                ));
            }
            text.push(']');
        } else {
            let objection = objection(value);
            is_changed |= objection.is_some();
            text.push_str(&objection.map_or(value.to_owned(), |cause| quoted(&cause)));
        }
    }
    text.push('}');
    Ok(is_changed.then_some(text))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The keys of an object with their values as they are written.
struct Envelope<'a>(Vec<(String, &'a RawValue)>);

/// The most keys that an envelope has; the documented ones have five.
const MOST_KEYS: usize = 64;

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Envelope<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.len() == MOST_KEYS {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((key, map.next_value()?));
                    }
                }
                Ok(Envelope(entries))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// A list on its way into the text.
struct List<'t, F> {
    text: &'t mut String,
    records: usize,
    is_changed: bool,
    objection: &'t F,
}

impl<F: Fn(&str) -> Option<String>> List<'_, F> {
    /// Adds every record; breaks where they are too many.
    fn add_all(&mut self, list: &str) -> ControlFlow<()> {
        let mut deserializer = serde_json::Deserializer::from_str(list);
        match deserializer.deserialize_seq(&mut *self) {
            Ok(()) => ControlFlow::Continue(()),
            // Every value was found to be whole before.
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn add(&mut self, record: &str) {
        if self.records > 0 {
            self.text.push(',');
        }
        self.records += 1;
        match (self.objection)(record) {
            None => self.text.push_str(record),
            Some(cause) => {
                self.is_changed = true;
                self.text.push_str(&quoted(&cause));
            }
        }
    }
}

impl<'de, F: Fn(&str) -> Option<String>> Visitor<'de> for &mut List<'_, F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut records: A) -> Result<(), A::Error> {
        while let Some(record) = records.next_element::<&RawValue>()? {
            if self.records == MOST_RECORDS {
                return Err(A::Error::custom("too many"));
            }
            self.add(record.get());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Connector;
    use serde_json::{Value, json};

    fn list(records: &[&str]) -> String {
        format!(
            "{{\"success\": true, \"result\": [{}], \"result_info\": {{\"total_count\": 2}}}}",
            records.join(", ")
        )
    }

    fn result(body: &str) -> Value {
        serde_json::from_str::<Value>(body).unwrap()["result"].clone()
    }

    #[test]
    fn ordinary_bodies_are_taken_as_they_are() {
        let many: Vec<_> = (0..1000)
            .map(|n| {
                format!(
                    "{{\"id\": \"{n:032}\", \"email_domain\": \"d{n}.example\", \"enabled\": true}}"
                )
            })
            .collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let body = list(&many);
        assert!(body.len() > SMALL_BODY);
        assert_eq!(bounded(&body), Ok(None));
        assert_eq!(decodable::<Connector>(&body), None);
        for odd in ["", "[]", "nonsense", "{\"result\":", "7"] {
            assert_eq!(bounded(&odd.repeat(1 + SMALL_BODY)), Ok(None), "{odd}");
        }
    }

    #[test]
    fn a_record_that_is_too_large_is_replaced_and_costs_no_other() {
        let large = format!("{{\"id\": \"{}\"}}", "x".repeat(LARGEST_RECORD));
        let body = bounded(&list(&["{\"id\": \"a\"}", &large, "7"]))
            .unwrap()
            .unwrap();
        let cause = format!("(a record of {} bytes, which is too large)", large.len());
        assert_eq!(result(&body), json!([{"id": "a"}, cause, 7]));
        assert!(body.contains("\"total_count\": 2"));
        let one = bounded(&format!("{{\"result\": {large}}}"))
            .unwrap()
            .unwrap();
        assert_eq!(result(&one), json!(cause));
    }

    #[test]
    fn what_stands_beside_the_result_is_left_out_where_it_is_large() {
        let zeros = format!("[{}0]", "0,".repeat(SMALL_BODY));
        let body =
            format!("{{\"errors\": {zeros}, \"result\": [{{\"id\": \"a\"}}], \"messages\": []}}");
        let body = bounded(&body).unwrap().unwrap();
        assert_eq!(
            body,
            "{\"errors\":null,\"result\":[{\"id\": \"a\"}],\"messages\":[]}"
        );
    }

    #[test]
    fn too_many_records_are_refused() {
        let zeros = |count: usize| format!("{{\"result\":[{}0]}}", "0,".repeat(count - 1));
        assert_eq!(bounded(&zeros(MOST_RECORDS)), Ok(None));
        assert!(
            bounded(&zeros(MOST_RECORDS + 1))
                .unwrap_err()
                .contains(&MOST_RECORDS.to_string())
        );
    }

    #[test]
    fn a_record_that_cannot_be_decoded_costs_no_other() {
        let deep = format!("{{\"new\": {}1{}}}", "[".repeat(200), "]".repeat(200));
        for odd in [r#"{"id": "\ud800"}"#, r#"{"new": 1e999}"#, deep.as_str()] {
            let body = list(&["{\"id\": \"a\"}", odd, "{\"id\": \"b\"}"]);
            assert!(serde_json::from_str::<Vec<Connector>>(&body).is_err());
            let mended = result(&decodable::<Connector>(&body).unwrap());
            assert_eq!(
                (&mended[0], &mended[2]),
                (&json!({"id": "a"}), &json!({"id": "b"}))
            );
            let cause = mended[1].as_str().unwrap();
            assert!(
                cause.starts_with("(a record that is not valid: "),
                "{cause}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_is_a_body_again(text in "[\\[\\]{}\"\\\\:,a0 result]{0,60}") {
            let body = format!("{{\"result\": {text}}}");
            if let Some(taken) = decodable::<Connector>(&body) {
                proptest::prop_assert!(serde_json::from_str::<Value>(&taken).is_ok(), "{}", taken);
            }
        }
    }
}
