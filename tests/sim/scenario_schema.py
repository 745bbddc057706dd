"""Checks that the JSON Schema and the reader agree on the corpora.

Usage: python3 tests/sim/scenario_schema.py, from the top of the repository.

A bad file whose fault is how values go together passes the schema; so its name is listed here, and
nothing else may pass. Files that are no JSON are no matter for a schema.
"""
import glob
import json
import os
import re
import sys

import jsonschema

BEYOND = """
 duplicate-key ways-do-not-divide two-native-vms maps-overlap map-unaligned size-unaligned
 map-not-canonical no-1GiB-pages-in-pae gva-wider-than-2-level valid-bit-in-frame-number
 no-such-valid-bit frame-number-too-wide table-larger-than-memory more-memory-than-the-machine
 processes-in-a-raw-vm paging-off registers-of-another-mode registers-no-processor-loads
 image-beyond-memory unknown-vm value-wider-than-size cpl-contradicts-user map-in-a-raw-vm
 trace-not-there workload-without-map list-outside-its-map second-vm-of-a-name no-such-set
 5-level-switched-off mix-not-1 zero-in-a-string memory-out-of-range
 no-such-invept invvpid-address too-deep half-surrogate
 log-without-dirty-flags ept-controls-of-npt large-pages-in-flat
 second-stage-by-hand-of-a-guest-os second-stage-by-hand-in-shadow second-stage-by-hand-is-flat
 pointer-of-another-second-stage no-pointer no-processor-takes-the-pointer pointer-beyond-memory
 host-image-beyond-memory textbook-in-shadow raw-in-direct
 drop-of-part-of-a-frame drop-beyond-memory drop-under-tables-by-hand
""".split()


def without_comments(text):
    string = r'"(?:\\.|[^"\\])*"'
    return re.sub(string + r"|//[^\n]*|/\*.*?\*/",
                  lambda m: m[0] if m[0][0] == '"' else " ", text, flags=re.S)


def no_constant(word):
    raise ValueError(word + " is no JSON")


def main():
    wrong = 0
    schema = json.load(open("docs/schema/scenario-1.json"))
    jsonschema.Draft7Validator.check_schema(schema)
    accepts = jsonschema.Draft7Validator(schema).is_valid
    for path in sorted(glob.glob("tests/sim/data/scenarios/*.json")):
        if not accepts(json.loads(without_comments(open(path).read()))):
            print(path, "is good, but the schema rejects it")
            wrong += 1
    for path in sorted(glob.glob("tests/sim/data/bad/*.json")):
        name = os.path.basename(path)[3:-5]
        try:
            document = json.loads(without_comments(open(path, encoding="utf-8").read()),
                                  parse_constant=no_constant)
        except ValueError:
            continue
        if accepts(document) != (name in BEYOND):
            print(path, "passes the schema" if name not in BEYOND else "fails the schema")
            wrong += 1
    machines = json.load(open("docs/schema/machine-1.json"))
    jsonschema.Draft7Validator.check_schema(machines)
    for path in sorted(glob.glob("scenarios/machines/*.json")):
        if not jsonschema.Draft7Validator(machines).is_valid(json.load(open(path))):
            print(path, "is shipped, but the schema rejects it")
            wrong += 1
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
