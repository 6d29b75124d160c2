"""Holds the policy evaluator against an independent one, npm's @cloud-copilot/iam-simulate, with generated policies and requests.

    tests/policies/oracle.py [--cases 20000] [--seed S]

JUDGE is the program of `cargo build -p geodynamo-policy --example judge`, NODE Node.js, IAM_SIMULATE a folder with the package in
its node_modules (scripts/library-envs makes it). Exits 1 if the two decide anything differently that is not settled.

Two differences are settled. A case that differs is written anew so that it says the same under our reading without needing it; it is
settled if that changes nothing here and the other evaluator then agrees:

- `ForAnyValue:…IfExists` for a key that the request lacks. AWS, on IfExists: "If the key is not present, evaluate the condition
  element as true." The other one takes ForAnyValue's rule for missing keys, which is written for conditions without IfExists.
- A negated operator whose value is a variable that the request lacks. AWS's documents do not say; a value that matches nothing
  makes a negated comparison true here, as a missing key does by the documents. The other one takes it as false.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ACCOUNT, OTHER = "123456789012", "999988887777"
USER = f"arn:aws:iam::{ACCOUNT}:user/ann"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/one"
ARN = f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:"
ACTIONS = ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem"]
ACTION_PATTERNS = ["*", "dynamodb:*", "dynamodb:Get*", "dynamodb:?utItem", "DYNAMODB:query", "dynamodb:*Item", "s3:*"]
RESOURCES = [f"{ARN}table/ann", f"{ARN}table/red-1", f"{ARN}table/t/index/i"]
RESOURCE_PATTERNS = [
    "*", "arn:aws:dynamodb:*:*:table/*", f"{ARN}table/ann", "arn:aws:dynamodb:*:*:table/${aws:username}", f"{ARN}table/red-?",
    "arn:aws:dynamodb:*:*:table/${aws:PrincipalTag/team}-?", "arn:aws:dynamodb:*:*:table/${aws:PrincipalTag/none, 't'}/index/*",
    "arn:aws:s3:::*",
]
STRINGS = ["a", "b", "ann", "a*", "?", "A", "${aws:username}", "${aws:PrincipalTag/team}", "red", "r*"]
ARNS = [USER, "arn:aws:iam::*:user/*", ROLE, "arn:aws:iam::*:role/r*", "arn:*:*:*:*:*"]
NUMBERS = ["0", "5", "10"]
DATES = ["2023-11-14T22:13:20Z", "2023-11-15T00:00:00Z", "2024-01-01T00:00:00Z"]
NETWORKS = ["203.0.113.0/24", "203.0.113.7/32", "198.51.100.0/24", "2001:db8::/32"]
# What no value of a request matches.
NEVER = "nothing-has-this-value"
NOTHING = {"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::none"}
PRINCIPALS = ["*", {"AWS": "*"}, {"AWS": USER}, {"AWS": ROLE}, {"AWS": SESSION}, {"AWS": ACCOUNT}, {"AWS": OTHER},
              {"AWS": [f"arn:aws:iam::{ACCOUNT}:root", ROLE]}, {"Service": "s3.amazonaws.com"}]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def some(self, choices, most=2):
        return [self.random.choice(choices) for _ in range(self.random.randint(1, most))]

    def condition(self):
        one = self.random.choice
        operators, keys, values = one([
            (["StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "StringEqualsIgnoreCase",
              "StringNotEqualsIgnoreCase"], ["dynamodb:Select", "aws:username", "aws:PrincipalTag/team"], STRINGS),
            (["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"], ["dynamodb:LeadingKeys"], STRINGS),
            (["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"], ["aws:PrincipalArn", "aws:SourceArn"], ARNS),
            (["NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals", "NumericGreaterThan",
              "NumericGreaterThanEquals"], ["aws:MultiFactorAuthAge"], NUMBERS),
            (["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"],
             ["aws:CurrentTime", "aws:TokenIssueTime"], DATES),
            (["IpAddress", "NotIpAddress"], ["aws:SourceIp"], NETWORKS),
            (["Bool"], ["aws:SecureTransport", "aws:MultiFactorAuthPresent"], ["true", "false"]),
            (["Null"], ["aws:username", "dynamodb:LeadingKeys", "aws:MultiFactorAuthAge"], ["true", "false"]),
        ])
        operator, key = one(operators), one(keys)
        if operator != "Null":
            multi = key == "dynamodb:LeadingKeys"
            # Of a key of several values without a quantifier the documents say nothing, nor of one of one value with it.
            operator = (one(["ForAllValues:", "ForAnyValue:"]) if multi else "") + operator + one(["", "", "IfExists"])
        return operator, key, self.some(values) if operator != "Null" else one(values)

    def statement(self, effects, principals=False):
        one = self.random.choice
        statement = {"Effect": one(effects)}
        if principals:
            statement["Principal"] = one(PRINCIPALS)
        statement[one(["Action", "Action", "Action", "NotAction"])] = self.some(ACTION_PATTERNS)
        resources = self.some(RESOURCE_PATTERNS)
        known = not any("PrincipalTag" in resource or "username" in resource for resource in resources)
        statement[one(["Resource", "Resource", "Resource", "NotResource"]) if known else "Resource"] = resources
        conditions = {}
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            operator, key, values = self.condition()
            conditions.setdefault(operator, {})[key] = values
        if conditions:
            statement["Condition"] = conditions
        return statement

    def policy(self, principals=False):
        statements = [self.statement(["Allow", "Allow", "Allow", "Deny"], principals) for _ in range(self.random.randint(1, 3))]
        return {"Version": "2012-10-17", "Statement": statements}

    def case(self):
        one, chance = self.random.choice, self.random.random
        is_user = chance() < 0.5
        context = {"aws:PrincipalArn": USER if is_user else ROLE, "aws:PrincipalAccount": ACCOUNT}
        if is_user:
            context["aws:username"] = "ann"
        if chance() < 0.7:
            context["aws:PrincipalTag/team"] = one(["red", "a", "ann"])
        if chance() < 0.7:
            context["dynamodb:LeadingKeys"] = [one(["a", "b", "ann", "red"]) for _ in range(self.random.randint(1, 3))]
        if chance() < 0.5:
            context["dynamodb:Select"] = one(["a", "A", "ann", "red"])
        if chance() < 0.5:
            context["aws:MultiFactorAuthAge"] = one(NUMBERS)
        if chance() < 0.7:
            context["aws:SecureTransport"] = one(["true", "false"])
            context["aws:SourceIp"] = one(["203.0.113.7", "203.0.113.8", "198.51.100.1", "2001:db8::1"])
            context["aws:CurrentTime"] = one(DATES)
        return {
            "account": ACCOUNT,
            "principal": USER if is_user else SESSION,
            "role": None if is_user else ROLE,
            "identity": [self.policy() for _ in range(self.random.randint(0, 2))],
            "boundary": self.policy() if chance() < 0.25 else None,
            "resourcePolicy": self.policy(True) if chance() < 0.5 else None,
            "action": one(ACTIONS),
            "resource": one(RESOURCES),
            "resourceAccount": ACCOUNT if chance() < 0.8 else OTHER,
            "context": context,
        }


def judge(command, cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    answers = done.stdout.splitlines()
    assert len(answers) == len(cases)
    return answers


def spelled_out(case):
    """The same case under our reading of what is settled, without needing it."""
    context = case["context"]

    def lacks(value):
        return any(name not in context for name in re.findall(r"\$\{([^},]+)\}", value))

    def condition(operator, key, values):
        if operator.startswith("ForAnyValue:") and operator.endswith("IfExists") and key not in context:
            return None
        if "Not" in operator:
            return [value for value in values if not lacks(value)] or [NEVER]
        return values

    def statement(statement):
        if "Condition" not in statement:
            return statement
        conditions = {}
        for operator, keys in statement["Condition"].items():
            kept = {key: condition(operator, key, values) for key, values in keys.items() if operator != "Null"}
            kept = keys if operator == "Null" else {key: values for key, values in kept.items() if values is not None}
            if kept:
                conditions[operator] = kept
        return {**{key: value for key, value in statement.items() if key != "Condition"}, **({"Condition": conditions} if conditions else {})}

    def policy(policy):
        return policy and {**policy, "Statement": [statement(one) for one in policy["Statement"]]}

    return {
        **case,
        "identity": [policy(one) for one in case["identity"]],
        "boundary": policy(case["boundary"]),
        "resourcePolicy": policy(case["resourcePolicy"]),
    }


def without_denials(case):
    def policy(policy):
        return policy and {**policy, "Statement": [one for one in policy["Statement"] if one["Effect"] != "Deny"] or [NOTHING]}

    return {**case, "identity": [policy(one) for one in case["identity"]], "boundary": policy(case["boundary"])}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=5)
    options = parser.parse_args()
    generator = Generator(options.seed)
    cases = [generator.case() for _ in range(options.cases)]
    here, there = [os.environ["JUDGE"]], [os.environ["NODE"], HERE / "judge.mjs"]
    own, other = judge(here, cases), judge(there, cases)
    different = [(case, mine, theirs) for case, mine, theirs in zip(cases, own, other) if mine != theirs]
    anew = [spelled_out(case) for case, _, _ in different]
    again = zip(different, judge(here, anew), judge(there, anew))
    open_cases = [difference for difference, mine, theirs in again if not difference[1] == mine == theirs]
    for case, mine, theirs in open_cases[: options.show]:
        print(f"{mine} here, {theirs} there: {json.dumps(case)}")
    # The control: an evaluator that ignores what is denied is found out.
    careless = judge(here, [without_denials(case) for case in cases[:2000]])
    assert careless != other[:2000], "nothing would have been found"
    counts = {answer: own.count(answer) for answer in sorted(set(own))}
    settled = len(different) - len(open_cases)
    print(f"{len(cases)} cases (seed {options.seed}), {counts}; {settled} differ and are settled, {len(open_cases)} are not")
    return 1 if open_cases else 0


if __name__ == "__main__":
    sys.exit(main())
