//! The JSON Schema of the report is that of the reports that are written.

use serde_json::{Value, json};

use crate::support::*;

fn schema() -> Value {
    program("schema")
        .arg("report")
        .run()
        .expect(0)
        .stdout_json()
}

/// The same schema, which lets no property pass that it does not describe. What we publish does, so that a report may
/// grow without breaking who reads it; what we write, it must describe.
fn closed(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(words) => {
            words
                .values_mut()
                .for_each(|word| *word = closed(word.take()));
            let describes = words.contains_key("properties");
            if describes && !words.contains_key("additionalProperties") {
                words.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = closed(item.take())),
        _ => {}
    }
    schema
}

/// A second night with all that a report can show: what changed, a baseline, a waiver, gaps, unread accounts.
fn eventful() -> Value {
    let nights = Nights::of(&[
        (
            1,
            json!([disabled(1, "a.example"), disabled(2, "b.example")]),
        ),
        (2, json!([connector(3, "c.example")])),
        (3, json!([])),
    ]);
    let policy = "[defaults]\nfedramp = \"required\"\n\
        [[waivers]]\nrule = \"disabled-connector\"\naccount = \"*\"\ndomain = \"a.example\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2026-12-01\n\
        [[waivers]]\nrule = \"no-connector\"\naccount = \"*\"\nreason = \"r\"\nowner = \"o\"\nexpires = 2026-11-01\n";
    nights.night(0).policy(policy).run().expect(0);
    nights.set(1, json!({"part": [connector(1, "a.example")]}));
    nights.set(2, Value::Null);
    let outcome = nights.night(1).policy(policy).arg("no-id").run().expect(3);
    outcome.json()
}

#[test]
fn the_report_is_as_its_schema_says() {
    let schema = Validator::new(&closed(schema()));
    let demo = program("audit").arg("--demo").run().expect(0).json();
    assert_eq!(schema.judge(&demo), Ok(()));
    assert_eq!(schema.judge(&eventful()), Ok(()));
}

#[test]
fn a_report_that_is_not_as_the_schema_says_is_refused() {
    let report = eventful();
    let schema = schema();
    let (open, closed) = (Validator::new(&schema), Validator::new(&closed(schema)));
    assert_eq!(open.judge(&report), Ok(()));
    // By each word of JSON Schema that ours has.
    for (place, value, word) in [
        ("/schema", json!("cf-sso-audit/report/v0"), "const"),
        ("/coverage/asked", json!(-1), "minimum"),
        ("/coverage/asked", json!(1.5), "type"),
        ("/coverage/asked", Value::Null, "type"),
        ("/run/started_utc", json!("2026-11-21T10:15:00Z"), "pattern"),
        ("/waivers/0/expires", json!("2026-02-30"), "format"),
        ("/run/baseline", json!(1), "anyOf"),
        ("/totals/changes", json!({"finding-new": -1}), "anyOf"),
        (
            "/totals/statuses",
            json!({"verified": "1"}),
            "additionalProperties",
        ),
        ("/findings/0", json!({}), "required"),
        ("/accounts", json!([0]), "items"),
    ] {
        let mut wrong = report.clone();
        *wrong
            .pointer_mut(place)
            .unwrap_or_else(|| panic!("{place} is there")) = value;
        assert!(open.judge(&wrong).is_err(), "{place}, by {word}");
    }
    let mut more = report.clone();
    more["run"]["more"] = json!(1);
    assert_eq!(open.judge(&more), Ok(()), "a report may grow");
    assert!(
        closed.judge(&more).is_err(),
        "ours has grown, and the schema not"
    );
}
