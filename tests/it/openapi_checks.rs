//! The build refuses a document or an overlay that is broken, and says of each what is wrong with it.
//!
//! Each case is a small document and an overlay that fit each other, with one thing changed.

#[path = "../../build/checks.rs"]
mod checks;

use serde_json::{Value, json};

use checks::{DOCUMENT, OVERLAY, Problems, loosened};

const REPLACED: [(&str, &str); 1] = [("Thing", "crate::model::Thing")];

/// An API of two operations that share a failure: what is asked for is bounded, what is answered strict.
fn document() -> Value {
    let content = |name: &str| json!({"application/json": {"schema": {"$ref": format!("#/components/schemas/{name}")}}});
    json!({
        "openapi": "3.0.3",
        "info": {"title": "Things", "version": "1"},
        "paths": {
            "/things/{id}": {
                "parameters": [{"$ref": "#/components/parameters/Id"}],
                "get": {
                    "operationId": "get-thing",
                    "parameters": [
                        {"name": "page", "in": "query", "schema": {"$ref": "#/components/schemas/Page"}},
                    ],
                    "responses": {
                        "200": {"description": "The things", "content": content("Answer")},
                        "4XX": {"$ref": "#/components/responses/Failure"},
                    },
                },
                "patch": {
                    "operationId": "change-thing",
                    "requestBody": {"content": content("Change")},
                    "responses": {
                        "200": {"description": "It is changed", "content": {"application/json": {
                            "schema": {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}},
                        }}},
                        "4XX": {"$ref": "#/components/responses/Failure"},
                    },
                },
            },
        },
        "components": {
            "parameters": {
                "Id": {"name": "id", "in": "path", "required": true, "schema": {"$ref": "#/components/schemas/Id"}},
            },
            "responses": {
                "Failure": {"description": "It failed", "content": {"application/json": {
                    "schema": {"type": "object", "properties": {"code": {"type": "integer", "minimum": 1000}}},
                }}},
            },
            "schemas": {
                "Id": {"type": "string", "maxLength": 32},
                "Page": {"type": "integer", "minimum": 1},
                "Change": {"type": "object", "properties": {"name": {"$ref": "#/components/schemas/Name"}}},
                "Name": {"type": "string", "minLength": 1},
                "Answer": {"allOf": [
                    {"$ref": "#/components/schemas/Envelope"},
                    {"type": "object", "properties": {"total": {"type": "integer"}}},
                ]},
                "Envelope": {"type": "object", "properties": {
                    "result": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                    "info": {"$ref": "#/components/schemas/Info"},
                }},
                "Thing": {"type": "object", "properties": {
                    "a/b~c": {"type": "string", "enum": ["on", "off"]},
                    "tags": {"type": "array", "nullable": true, "items": {"type": "string", "pattern": "^t"}},
                }},
                "Info": {"type": "object", "required": ["count"]},
                "Stray": {"type": "string", "enum": ["x"]},
            },
        },
    })
}

/// What makes nothing strict of the answers.
fn overlay() -> Value {
    let schema = |properties: Value| json!({"content": {"application/json": {"schema": {"properties": properties}}}});
    json!({
        "paths": {"/things/{id}": {"patch": {"responses": {"200": schema(json!({"at": {"format": null}}))}}}},
        "components": {
            "responses": {"Failure": schema(json!({"code": {"minimum": null}}))},
            "schemas": {
                "Envelope": {"properties": {"result": {"nullable": true}, "info": {"$ref": null}}},
                "Thing": {"properties": {"a/b~c": {"enum": null}, "tags": {"items": {"pattern": null}}}},
            },
        },
    })
}

/// Puts a value where a JSON pointer leads: what is missing on the way is made, and a number is an index.
fn put(target: &mut Value, pointer: &str, value: Value) {
    let mut place = target;
    for key in pointer.split('/').skip(1) {
        let key = key.replace("~1", "/").replace("~0", "~");
        place = match place {
            Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
            other => &mut other[key.as_str()],
        };
    }
    *place = value;
}

/// Takes out what a JSON pointer leads to.
fn remove(target: &mut Value, pointer: &str) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = target.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    parent
        .remove(&key)
        .unwrap_or_else(|| panic!("{pointer} is there"));
}

fn checked(document: &Value, overlay: &Value) -> Result<Value, Problems> {
    loosened(&document.to_string(), &overlay.to_string(), &REPLACED)
}

/// What is wrong once the document is changed.
fn of_document(change: impl FnOnce(&mut Value)) -> Problems {
    let mut document = document();
    change(&mut document);
    checked(&document, &overlay()).expect_err("it is refused")
}

/// What is wrong once the overlay has a value at a JSON pointer.
fn of_overlay(pointer: &str, value: Value) -> Problems {
    let mut overlay = overlay();
    put(&mut overlay, pointer, value);
    checked(&document(), &overlay).expect_err("it is refused")
}

/// What is wrong once the overlay lacks what a JSON pointer leads to.
fn without(pointer: &str) -> Problems {
    let mut overlay = overlay();
    remove(&mut overlay, pointer);
    checked(&document(), &overlay).expect_err("it is refused")
}

#[test]
fn what_fits_passes_loosened_and_without_the_schemas_that_nothing_needs() {
    let loosened = checked(&document(), &overlay()).unwrap();
    let mut expected = document();
    put(
        &mut expected,
        "/components/schemas/Envelope/properties/result/nullable",
        true.into(),
    );
    for strict in [
        "/paths/~1things~1{id}/patch/responses/200/content/application~1json/schema/properties/at/format",
        "/components/responses/Failure/content/application~1json/schema/properties/code/minimum",
        "/components/schemas/Envelope/properties/info/$ref",
        "/components/schemas/Thing/properties/a~1b~0c/enum",
        "/components/schemas/Thing/properties/tags/items/pattern",
        // Not referred to, from the beginning and since the reference to it is gone.
        "/components/schemas/Stray",
        "/components/schemas/Info",
    ] {
        remove(&mut expected, strict);
    }
    assert_eq!(loosened, expected);
}

#[test]
fn what_is_not_json_is_told_with_its_line_and_which_file_it_is() {
    let good = document().to_string();
    let problems = loosened("{\n]", "{}", &REPLACED).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with(&format!("{DOCUMENT} is not valid JSON: ")));
    assert!(problems[0].ends_with("at line 2 column 1"), "{problems:?}");
    let problems = loosened(&good, "{\n\n}}", &REPLACED).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with(&format!("{OVERLAY} is not valid JSON: ")));
    assert!(problems[0].ends_with("at line 3 column 2"), "{problems:?}");
}

#[test]
fn a_document_that_is_not_openapi_is_refused() {
    for (pointer, why) in [
        ("/info", "missing field `info`"),
        ("/paths", "missing field `paths`"),
        (
            "/paths/~1things~1{id}/get/responses/200/description",
            "missing field `description`",
        ),
    ] {
        let problems = of_document(|document| remove(document, pointer));
        assert_eq!(problems.len(), 1, "{problems:?}");
        let said = problems[0].strip_prefix(&format!("{DOCUMENT} is not OpenAPI 3.0: "));
        assert!(said.is_some_and(|said| said.contains(why)), "{problems:?}");
    }
}

#[test]
fn references_that_lead_nowhere_are_all_told_and_so_is_what_is_replaced_and_not_there() {
    let problems = of_document(|document| {
        remove(document, "/components/schemas/Thing");
        remove(document, "/components/parameters/Id");
        put(
            document,
            "/components/schemas/Answer/allOf/0/$ref",
            "other.json#/components/schemas/Envelope".into(),
        );
    });
    assert_eq!(
        problems,
        [
            format!("{DOCUMENT} refers to #/components/parameters/Id, which it does not have"),
            format!("{DOCUMENT} refers to #/components/schemas/Thing, which it does not have"),
            format!(
                "{DOCUMENT} refers to other.json#/components/schemas/Envelope, which it does not have"
            ),
            format!(
                "build.rs puts crate::model::Thing in place of the schema Thing, which {DOCUMENT} does not have: \
                 correct REPLACED in build.rs, or the name in the document"
            ),
        ]
    );
}

#[test]
fn an_overlay_is_an_object() {
    for overlay in [json!([]), json!(null), json!("x")] {
        assert_eq!(
            checked(&document(), &overlay).unwrap_err(),
            [format!(
                "{OVERLAY} is not a JSON object, so it is no merge patch for {DOCUMENT}"
            )]
        );
    }
}

#[test]
fn an_entry_of_the_overlay_that_is_stale_or_more_than_loose_is_refused() {
    const SCHEMAS: &str = "/components/schemas";
    const MORE: &str = "does more than loosen: remove a keyword with null, or set nullable to true";
    for (place, value, why) in [
        // What is not there.
        (
            "/Thing/properties/tags/enum",
            json!(null),
            "deletes what is not in the document: it has gone stale, correct its path or remove it",
        ),
        (
            "/Nothing",
            json!(null),
            "deletes what is not in the document: it has gone stale, correct its path or remove it",
        ),
        (
            "/Thing/properties/gone",
            json!({"enum": null}),
            "reaches into what is not in the document: it has gone stale, correct its path or remove it",
        ),
        (
            "/Thing/properties/gone",
            json!({}),
            "reaches into what is not in the document: it has gone stale, correct its path or remove it",
        ),
        // What changes nothing.
        (
            "/Thing/properties/a~1b~0c",
            json!({}),
            "is empty and changes nothing: remove it",
        ),
        (
            "/Thing/properties/tags/nullable",
            json!(true),
            "says what the document already says: it has gone stale, remove it",
        ),
        (
            "/Envelope/type",
            json!("object"),
            "says what the document already says: it has gone stale, remove it",
        ),
        // What a merge patch cannot do.
        (
            "/Answer/allOf",
            json!({"1": null}),
            "reaches into what is no object in the document: a merge patch cannot change a part of a list",
        ),
        // What makes an answer stricter, or something else.
        ("/Envelope/properties/result/nullable", json!(false), MORE),
        ("/Envelope/properties/result/minItems", json!(1), MORE),
        ("/Envelope/type", json!("array"), MORE),
        ("/Envelope/properties/total", json!(true), MORE),
        ("/Thing/properties/tags/nullable", json!(null), MORE),
        ("/Thing/properties/a~1b~0c/enum", json!(["on"]), MORE),
    ] {
        let place = format!("{SCHEMAS}{place}");
        let problems = of_overlay(&place, value.clone());
        assert_eq!(problems, [format!("{OVERLAY}: {place} {why}")], "{value}");
    }
}

#[test]
fn the_overlay_touches_nothing_of_requests_and_nothing_that_no_answer_is_made_of() {
    const REQUEST: &str = "touches the request side: requests keep every documented bound";
    const NEITHER: &str = "touches what no answer is made of";
    for (place, value, why) in [
        // In place, and by every way in which a request refers to a schema.
        (
            "/paths/~1things~1{id}/get/operationId",
            json!(null),
            REQUEST,
        ),
        (
            "/paths/~1things~1{id}/patch/requestBody/content",
            json!(null),
            REQUEST,
        ),
        (
            "/components/parameters/Id/schema",
            json!({"$ref": null}),
            REQUEST,
        ),
        ("/components/schemas/Id/maxLength", json!(null), REQUEST),
        ("/components/schemas/Page/minimum", json!(null), REQUEST),
        (
            "/components/schemas/Change/properties",
            json!(null),
            REQUEST,
        ),
        ("/components/schemas/Change/nullable", json!(true), REQUEST),
        ("/components/schemas/Name/minLength", json!(null), REQUEST),
        // Neither.
        ("/components/schemas/Stray/enum", json!(null), NEITHER),
        ("/components/schemas", json!(null), NEITHER),
        ("/info/title", json!(null), NEITHER),
    ] {
        let problems = of_overlay(place, value.clone());
        // The path where the change is.
        let changed = match (place, &value) {
            ("/components/parameters/Id/schema", _) => format!("{place}/$ref"),
            _ => place.to_owned(),
        };
        assert_eq!(problems, [format!("{OVERLAY}: {changed} {why}")]);
    }
    // A schema of both is one of requests.
    let mut both = document();
    put(
        &mut both,
        "/components/schemas/Change/properties/thing",
        json!({"$ref": "#/components/schemas/Thing"}),
    );
    assert_eq!(
        checked(&both, &overlay()).unwrap_err(),
        [
            format!("{OVERLAY}: /components/schemas/Thing/properties/a~1b~0c/enum {REQUEST}"),
            format!("{OVERLAY}: /components/schemas/Thing/properties/tags/items/pattern {REQUEST}"),
        ]
    );
}

#[test]
fn whatever_one_odd_value_of_an_answer_would_fail_at_has_to_be_taken_out() {
    let by = |place: &str, keyword: &str| {
        format!(
            "{DOCUMENT}: {place} has `{keyword}`, by which one odd value fails a whole answer: \
             take it out in {OVERLAY}, and tell the reason in openapi/README.md"
        )
    };
    // By where it stands: in place, in a response that several share, in a schema, in a part or an item of one.
    let json = "content/application~1json/schema";
    for (entry, place, keyword) in [
        (
            "/paths".to_owned(),
            format!("/paths/~1things~1{{id}}/patch/responses/200/{json}/properties/at"),
            "format",
        ),
        (
            "/components/responses".to_owned(),
            format!("/components/responses/Failure/{json}/properties/code"),
            "minimum",
        ),
        (
            "/components/schemas/Thing/properties/a~1b~0c".to_owned(),
            "/components/schemas/Thing/properties/a~1b~0c".to_owned(),
            "enum",
        ),
        (
            "/components/schemas/Thing/properties/tags".to_owned(),
            "/components/schemas/Thing/properties/tags/items".to_owned(),
            "pattern",
        ),
        (
            "/components/schemas/Envelope/properties/info".to_owned(),
            "/components/schemas/Info".to_owned(),
            "required",
        ),
    ] {
        assert_eq!(without(&entry), [by(&place, keyword)], "without {entry}");
    }
    let part = "/components/schemas/Answer/allOf/1";
    let problems =
        of_document(|document| put(document, &format!("{part}/maxProperties"), 9.into()));
    assert_eq!(problems, [by(part, "maxProperties")]);
    // An array that null would fail at; several problems are all told.
    let array = |place: &str| {
        format!(
            "{DOCUMENT}: {place} is an array that is not nullable, so null fails a whole answer: \
             set nullable to true in {OVERLAY}, and tell the reason in openapi/README.md"
        )
    };
    let result = "/components/schemas/Envelope/properties/result";
    assert_eq!(without(result), [array(result)]);
    let mut neither = overlay();
    remove(&mut neither, result);
    remove(&mut neither, "/components/schemas/Thing");
    assert_eq!(
        checked(&document(), &neither).unwrap_err(),
        [
            array(result),
            by("/components/schemas/Thing/properties/a~1b~0c", "enum"),
            by("/components/schemas/Thing/properties/tags/items", "pattern"),
        ]
    );
}

#[test]
fn every_keyword_that_can_fail_an_answer_is_known() {
    for (keyword, value) in [
        ("additionalProperties", json!(false)),
        ("anyOf", json!([{"type": "string"}])),
        ("default", json!(false)),
        ("enum", json!(["x"])),
        ("exclusiveMaximum", json!(true)),
        ("exclusiveMinimum", json!(true)),
        ("format", json!("uuid")),
        ("maxItems", json!(1)),
        ("maxLength", json!(1)),
        ("maxProperties", json!(1)),
        ("maximum", json!(1)),
        ("minItems", json!(1)),
        ("minLength", json!(1)),
        ("minProperties", json!(1)),
        ("minimum", json!(1)),
        ("not", json!({"type": "string"})),
        ("oneOf", json!([{"type": "string"}])),
        ("pattern", json!("x")),
        ("required", json!(["x"])),
    ] {
        let place = "/components/schemas/Thing/properties/more";
        let problems = of_document(|document| put(document, place, json!({keyword: value})));
        assert_eq!(problems.len(), 1, "{keyword}: {problems:?}");
        let start = format!("{DOCUMENT}: {place} has `{keyword}`, ");
        assert!(problems[0].starts_with(&start), "{problems:?}");
    }
}

#[test]
fn the_documents_that_the_client_is_made_of_pass() {
    let read = |path: &str| {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(root.join(path)).unwrap()
    };
    loosened(&read(DOCUMENT), &read(OVERLAY), &[]).unwrap();
}
