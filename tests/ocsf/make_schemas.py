"""Writes the JSON Schemas that the tests in tests/it/ocsf.rs validate by, as the published schema has them; with
--check, fails where those that are there are others."""

import json
import sys
from pathlib import Path

from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSION = "1.8.0"


def without_titles(value, is_schema=True):
    """A schema without what nothing is validated by: half of its size."""
    if isinstance(value, list):
        return [without_titles(item) for item in value]
    if not isinstance(value, dict):
        return value
    # Under `properties` and `$defs`, a key is a name and no word of the schema's.
    return {
        key: without_titles(item, key not in ("properties", "$defs"))
        for key, item in value.items()
        if not (is_schema and key == "title")
    }


def main(check):
    schemas = OcsfJsonSchemaEmbedded(get_ocsf_schema(VERSION))
    differ = []
    for name in ("compliance_finding", "detection_finding"):
        schema = without_titles(schemas.get_class_schema(name, ["cloud"]))
        # Objects refer to each other: one line for each keeps a new version's difference readable.
        definitions = schema.pop("$defs")
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(definitions[key], sort_keys=True)}" for key in sorted(definitions))
        text = json.dumps(schema, sort_keys=True)[:-1] + f', "$defs": {{\n{lines}\n}}}}\n'
        path = Path(__file__).with_name(f"{name}-{VERSION}.json")
        if not check:
            path.write_text(text, encoding="utf-8")
        elif path.read_text(encoding="utf-8") != text:
            differ.append(path.name)
    for name in differ:
        print(f"{name} is not the published schema: run tests/ocsf/make_schemas.py", file=sys.stderr)
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] == ["--check"]))
