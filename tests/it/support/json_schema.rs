//! JSON Schema, as editors and other programs judge by it.

use serde_json::Value;

/// A JSON Schema that values are judged by, formats too.
pub struct Validator {
    schemas: boon::Schemas,
    root: boon::SchemaIndex,
}

impl Validator {
    /// Compiles a schema, which must be one itself.
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
