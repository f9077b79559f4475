"""Validates files of OCSF events, one a line, against the published schema: of the version that they name, and of every
version since 1.4.0, of which they use nothing that another lacks. Prints what is wrong, at most 20 lines; exits 0 only if
nothing is."""

import json
import re
import sys
from collections import Counter

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

VERSIONS = ["1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0"]
CLASSES = {2003: "compliance_finding", 2004: "detection_finding"}
# What some reader takes for the end of a line, or a terminal for a command.
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class Version:
    """The schema of one version."""

    def __init__(self, version):
        self.version = version
        self.schema = get_ocsf_schema(version)
        self.json_schemas = OcsfJsonSchemaEmbedded(self.schema)
        self.validators = {}

    def problems(self, event, class_name):
        profiles = tuple(event["metadata"].get("profiles", []))
        key = (class_name, profiles)
        if key not in self.validators:
            json_schema = self.json_schemas.get_class_schema(class_name, list(profiles))
            Draft202012Validator.check_schema(json_schema)
            self.validators[key] = Draft202012Validator(json_schema)
        for error in self.validators[key].iter_errors(event):
            yield f"{error.json_path}: {error.message[:200]}"
        yield from self.beside(event, self.schema["classes"][class_name], "$")

    def beside(self, value, kind, path):
        """What a JSON Schema does not say: that a name is the caption of its number, and nothing is deprecated."""
        for key, item in value.items():
            attribute = kind["attributes"].get(key)
            if attribute is None:
                continue
            if "@deprecated" in attribute:
                yield f"{path}.{key} is deprecated"
            sibling = attribute.get("sibling")
            caption = attribute.get("enum", {}).get(str(item), {}).get("caption")
            if sibling in value and caption not in (None, "Other") and value[sibling] != caption:
                yield f"{path}.{sibling} is {value[sibling]!r}, and {key} {item} means {caption!r}"
            of = self.schema["objects"].get(attribute.get("object_type"))
            for each in item if isinstance(item, list) else [item]:
                if of and isinstance(each, dict):
                    yield from self.beside(each, of, f"{path}.{key}")


def blank(value, path="$"):
    """Attributes that are there and say nothing."""
    if value in (None, "", [], {}):
        yield f"{path} says nothing"
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from blank(item, f"{path}.{key}")


def problems_of(event, versions, seen):
    class_name = CLASSES[event["class_uid"]]
    for version in versions:
        for problem in version.problems(event, class_name):
            yield f"OCSF {version.version}: {problem}"
    yield from blank(event)
    if event["metadata"]["version"] not in VERSIONS:
        yield f"version {event['metadata']['version']} is not validated"
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        yield f"type_uid {event['type_uid']} does not follow from class and activity"
    for key in (("event", event["metadata"]["uid"]), ("finding", event["finding_info"]["uid"])):
        if key in seen:
            yield f"two events share the {key[0]} uid {key[1]}"
        seen.add(key)


def main(paths):
    versions = [Version(version) for version in VERSIONS]
    wrong = []
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        if text and not text.endswith("\n"):
            wrong.append(f"{path}: the last line has no end")
        lines = text.splitlines()
        if lines != text.split("\n")[:-1]:
            wrong.append(f"{path}: readers disagree about its lines")
        if raw := RAW.search(text):
            wrong.append(f"{path}: a raw {raw[0]!r}")
        counts, seen = Counter(), set()
        for number, line in enumerate(lines, 1):
            event = json.loads(line)
            wrong += (f"{path}:{number}: {problem}" for problem in problems_of(event, versions, seen))
            counts[f"{event['type_name']}, {event['status']}, {event.get('compliance', {}).get('status', 'no result')}"] += 1
        if not lines:
            wrong.append(f"{path}: no event")
        print(f"{path}: {len(lines)} events")
        for kind, number in sorted(counts.items()):
            print(f"  {number:6} {kind}")
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    if wrong:
        print(f"{len(wrong)} problems", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
