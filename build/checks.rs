//! What the build asks of the OpenAPI document and of its overlay before a client is made of them. `build.rs` includes
//! this, and so does a test, which hands it documents that are broken.

use std::collections::BTreeSet;

use openapiv3::OpenAPI;
use serde_json::{Map, Value};

/// The API as documented.
pub const DOCUMENT: &str = "openapi/cloudflare-sso.json";
/// What answers really look like: a merge patch.
pub const OVERLAY: &str = "openapi/overlay.json";

/// Keywords by which one value can fail a whole answer. `default` is among them because it turns absent into false.
const STRICT: [&str; 19] = [
    "additionalProperties",
    "anyOf",
    "default",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "required",
];

/// All that is wrong, one message each.
pub type Problems = Vec<String>;

/// The document with the overlay on it, where nothing is wrong with either.
///
/// `replaced` are the schemas in whose place types of ours stand, with those.
pub fn loosened(
    document: &str,
    overlay: &str,
    replaced: &[(&str, &str)],
) -> Result<Value, Problems> {
    let document = parse_document(document, replaced)?;
    let overlay = parse_json(OVERLAY, overlay)?;
    apply_overlay(document, &overlay)
}

fn parse_json(path: &str, text: &str) -> Result<Value, Problems> {
    serde_json::from_str(text).map_err(|error| vec![format!("{path} is not valid JSON: {error}")])
}

/// The document as JSON, known to be OpenAPI whose references lead somewhere and which has what is replaced.
fn parse_document(text: &str, replaced: &[(&str, &str)]) -> Result<Value, Problems> {
    let document = parse_json(DOCUMENT, text)?;
    serde_json::from_str::<OpenAPI>(text)
        .map_err(|error| vec![format!("{DOCUMENT} is not OpenAPI 3.0: {error}")])?;

    let mut problems = dangling_references(&document);
    for (schema, ours) in replaced {
        if document.pointer(&schema_pointer(schema)).is_none() {
            problems.push(format!(
                "build.rs puts {ours} in place of the schema {schema}, which {DOCUMENT} does not have: \
                 correct REPLACED in build.rs, or the name in the document"
            ));
        }
    }
    none(problems).map(|()| document)
}

/// The document with the overlay on it.
///
/// The overlay may only loosen what the document says of answers, and must do so until nothing strict is left in them.
fn apply_overlay(mut document: Value, overlay: &Value) -> Result<Value, Problems> {
    none(overlay_problems(&document, overlay))?;
    json_patch::merge(&mut document, overlay);
    none(strict_answers(&document))?;
    drop_unused_schemas(&mut document);
    Ok(document)
}

/// Takes out the schemas that nothing refers to any more: their types would be unused, and as strict as documented.
fn drop_unused_schemas(document: &mut Value) {
    let used = reachable(document, document.get("paths").into_iter().collect());
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        schemas.retain(|name, _| used.contains(&schema_pointer(name)));
    }
}

fn none(problems: Problems) -> Result<(), Problems> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// References that lead nowhere.
fn dangling_references(document: &Value) -> Problems {
    references(document)
        .into_iter()
        .filter(|target| target_of(document, target).is_none())
        .map(|target| format!("{DOCUMENT} refers to {target}, which it does not have"))
        .collect()
}

/// What is wrong with the overlay: what it touches must be there, be part of answers only, and be loosened.
fn overlay_problems(document: &Value, overlay: &Value) -> Problems {
    let (Value::Object(document_map), Value::Object(overlay_map)) = (document, overlay) else {
        return vec![format!(
            "{OVERLAY} is not a JSON object, so it is no merge patch for {DOCUMENT}"
        )];
    };
    let sides = Sides::of(document);
    let mut problems = Problems::new();
    check_entries(
        &sides,
        document_map,
        overlay_map,
        &mut Vec::new(),
        &mut problems,
    );
    problems
}

/// Checks the entries of one object of the overlay, which is at `path`.
fn check_entries<'a>(
    sides: &Sides,
    document: &Map<String, Value>,
    overlay: &'a Map<String, Value>,
    path: &mut Vec<&'a str>,
    problems: &mut Problems,
) {
    for (key, change) in overlay {
        path.push(key);
        let there = document.get(key);
        let problem = match (change, there) {
            (Value::Object(inner), Some(Value::Object(there))) if !inner.is_empty() => {
                check_entries(sides, there, inner, path, problems);
                None
            }
            (_, None) if change.is_null() => Some(
                "deletes what is not in the document: it has gone stale, correct its path or remove it",
            ),
            (Value::Object(_), None) => Some(
                "reaches into what is not in the document: it has gone stale, correct its path or remove it",
            ),
            (Value::Object(inner), _) if inner.is_empty() => {
                Some("is empty and changes nothing: remove it")
            }
            (Value::Object(_), _) => Some(
                "reaches into what is no object in the document: a merge patch cannot change a part of a list",
            ),
            (_, Some(there)) if there == change => {
                Some("says what the document already says: it has gone stale, remove it")
            }
            (Value::Null, _) if key != "nullable" => sides.objection(path),
            (Value::Bool(true), _) if key == "nullable" => sides.objection(path),
            _ => Some("does more than loosen: remove a keyword with null, or set nullable to true"),
        };
        if let Some(problem) = problem {
            problems.push(format!("{OVERLAY}: {} {problem}", pointer(path)));
        }
        path.pop();
    }
}

/// Which schemas requests and answers are made of.
struct Sides {
    requests: BTreeSet<String>,
    answers: BTreeSet<String>,
}

impl Sides {
    fn of(document: &Value) -> Self {
        let mut requests = Vec::new();
        let mut answers = Vec::new();
        for item in children(document, "/paths") {
            requests.extend(item.get("parameters"));
            for operation in item.as_object().into_iter().flat_map(Map::values) {
                requests.extend(operation.get("parameters"));
                requests.extend(operation.get("requestBody"));
                answers.extend(operation.get("responses"));
            }
        }
        Self {
            requests: reachable(document, requests),
            answers: reachable(document, answers),
        }
    }

    /// Why the overlay may not change what is at `path`, if it may not.
    fn objection(&self, path: &[&str]) -> Option<&'static str> {
        const REQUEST: &str = "touches the request side: requests keep every documented bound";
        match path {
            ["paths", _, _, "responses", ..] | ["components", "responses", ..] => None,
            ["components", section, name, ..] => {
                let component = pointer(&["components", section, name]);
                if self.requests.contains(&component) {
                    Some(REQUEST)
                } else if self.answers.contains(&component) {
                    None
                } else {
                    Some("touches what no answer is made of")
                }
            }
            ["paths", ..] => Some(REQUEST),
            _ => Some("touches what no answer is made of"),
        }
    }
}

/// What is still strict in answers: a value that breaks one of these would fail the whole answer.
fn strict_answers(document: &Value) -> Problems {
    let mut problems = Problems::new();
    for (path, item) in entries(document, "/paths") {
        for (method, operation) in item.as_object().into_iter().flatten() {
            for (status, response) in entries(operation, "/responses") {
                let place = pointer(&["paths", path, method, "responses", status]);
                strict_response(&place, response, &mut problems);
            }
        }
    }
    for (name, response) in entries(document, "/components/responses") {
        strict_response(
            &pointer(&["components", "responses", name]),
            response,
            &mut problems,
        );
    }
    for component in Sides::of(document).answers {
        if component.starts_with("/components/schemas/")
            && let Some(schema) = document.pointer(&component)
        {
            strict_schema(&component, schema, &mut problems);
        }
    }
    problems
}

fn strict_response(place: &str, response: &Value, problems: &mut Problems) {
    for (media_type, content) in entries(response, "/content") {
        if let Some(schema) = content.get("schema") {
            let place = format!("{place}{}/schema", pointer(&["content", media_type]));
            strict_schema(&place, schema, problems);
        }
    }
}

/// Looks at a schema and those written inside it; those it refers to are looked at where they stand.
fn strict_schema(place: &str, schema: &Value, problems: &mut Problems) {
    for keyword in STRICT {
        if schema.get(keyword).is_some() {
            problems.push(format!(
                "{DOCUMENT}: {place} has `{keyword}`, by which one odd value fails a whole answer: \
                 take it out in {OVERLAY}, and tell the reason in openapi/README.md"
            ));
        }
    }
    let is_array = schema.get("type").is_some_and(|kind| kind == "array");
    if is_array && schema.get("nullable") != Some(&Value::Bool(true)) {
        problems.push(format!(
            "{DOCUMENT}: {place} is an array that is not nullable, so null fails a whole answer: \
             set nullable to true in {OVERLAY}, and tell the reason in openapi/README.md"
        ));
    }
    for (name, property) in entries(schema, "/properties") {
        let place = format!("{place}{}", pointer(&["properties", name]));
        strict_schema(&place, property, problems);
    }
    if let Some(items) = schema.get("items") {
        strict_schema(&format!("{place}/items"), items, problems);
    }
    for (index, part) in schema
        .get("allOf")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
    {
        strict_schema(&format!("{place}/allOf/{index}"), part, problems);
    }
}

/// The components, as JSON pointers, that `roots` refer to, directly or through others.
fn reachable<'a>(document: &'a Value, mut roots: Vec<&'a Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while let Some(root) = roots.pop() {
        for reference in references(root) {
            if let Some(target) = target_of(document, reference)
                && found.insert(reference.trim_start_matches('#').to_owned())
            {
                roots.push(target);
            }
        }
    }
    found
}

/// Every `$ref` in `value`.
fn references(value: &Value) -> BTreeSet<&str> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, inner)| match inner {
                Value::String(target) if key == "$ref" => BTreeSet::from([target.as_str()]),
                _ => references(inner),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => BTreeSet::new(),
    }
}

/// What a reference within the document leads to.
fn target_of<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    document.pointer(reference.strip_prefix('#')?)
}

fn schema_pointer(name: &str) -> String {
    pointer(&["components", "schemas", name])
}

/// The JSON pointer (RFC 6901) made of these keys.
fn pointer(keys: &[&str]) -> String {
    keys.iter()
        .map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1")))
        .collect()
}

/// Keys and values of the object at `pointer`; none where there is no object.
fn entries<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

/// Values of the object at `pointer`.
fn children<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    entries(value, pointer).map(|(_, child)| child)
}
