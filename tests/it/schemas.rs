//! The JSON Schema of the report is that of the reports that are written.

use serde_json::Value;

use crate::support::*;

/// A JSON Schema that values are judged by.
pub struct Validator {
    schemas: boon::Schemas,
    root: boon::SchemaIndex,
}

impl Validator {
    pub fn new(schema: &Value) -> Self {
        const PLACE: &str = "memory:schema";
        let mut compiler = boon::Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource(PLACE, schema.clone()).unwrap();
        let mut schemas = boon::Schemas::new();
        let root = compiler.compile(PLACE, &mut schemas).unwrap();
        Self { schemas, root }
    }

    /// What the schema has against a value.
    pub fn judge(&self, value: &Value) -> Result<(), String> {
        let judged = self.schemas.validate(value, self.root);
        judged.map_err(|error| error.to_string())
    }
}

/// What in a value is not as a schema says; only the words of JSON Schema that ours use are known.
fn objections(schema: &Value, value: &Value, place: &str, found: &mut Vec<String>) {
    for key in schema.as_object().unwrap().keys() {
        let known = [
            "$schema",
            "title",
            "type",
            "properties",
            "required",
            "items",
            "additionalProperties",
            "anyOf",
            "const",
            "minimum",
            "pattern",
            "format",
        ];
        assert!(
            known.contains(&key.as_str()),
            "{place}: the test does not know {key}"
        );
    }
    if let Some(any) = schema.get("anyOf") {
        let fits = |one: &&Value| {
            let mut found = Vec::new();
            objections(one, value, place, &mut found);
            found.is_empty()
        };
        if !any.as_array().unwrap().iter().any(|one| fits(&one)) {
            found.push(format!("{place}: {value} fits none"));
        }
        return;
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        found.push(format!("{place}: is {value}"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let fits = |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
    match schema.get("type") {
        Some(Value::Array(kinds)) if !kinds.iter().any(fits) => {
            found.push(format!("{place}: is of type {kind}"))
        }
        Some(wanted @ Value::String(_)) if !fits(wanted) => {
            found.push(format!("{place}: is of type {kind}"))
        }
        _ => {}
    }
    if let Value::Object(fields) = value {
        let properties = schema.get("properties").and_then(Value::as_object);
        for required in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if !fields.contains_key(required.as_str().unwrap()) {
                found.push(format!("{place}: has no {required}"));
            }
        }
        for (key, field) in fields {
            let shape = properties
                .and_then(|properties| properties.get(key))
                .or(schema.get("additionalProperties"));
            match shape {
                Some(shape) => objections(shape, field, &format!("{place}.{key}"), found),
                None => found.push(format!("{place}: {key} is not described")),
            }
        }
    }
    if let (Value::Array(items), Some(shape)) = (value, schema.get("items")) {
        for (index, item) in items.iter().enumerate() {
            objections(shape, item, &format!("{place}[{index}]"), found);
        }
    }
}

#[test]
fn the_report_is_as_its_schema_says() {
    let schema: Value =
        serde_json::from_str(&program("schema").arg("report").run().expect(0).stdout).unwrap();
    let demo = program("audit").arg("--demo").run().expect(0);
    let mut found = Vec::new();
    objections(&schema, &demo.json(), "report", &mut found);
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(Validator::new(&schema).judge(&demo.json()), Ok(()));
}
