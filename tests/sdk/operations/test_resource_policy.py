"""Policies of tables: put, got, replaced, deleted."""

import json

import pytest


def policy(effect="Allow", **statement):
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": effect,
                    "Principal": {"AWS": "arn:aws:iam::123456789012:role/reader"},
                    "Action": "dynamodb:GetItem",
                    "Resource": "*",
                }
                | statement
            ],
        }
    )


@pytest.fixture
def arn(wire, plain):
    return wire("DescribeTable", TableName=plain)["Table"]["TableArn"]


def test_a_policy_comes_and_goes(wire, arn):
    first = wire("PutResourcePolicy", ResourceArn=arn, Policy=policy(), ExpectedRevisionId="NO_POLICY")["RevisionId"]
    assert wire("GetResourcePolicy", ResourceArn=arn) == {"Policy": policy(), "RevisionId": first}
    assert wire("PutResourcePolicy", ResourceArn=arn, Policy=policy())["RevisionId"] == first
    missing = f"PolicyNotFoundException: Resource-based policy not found for the provided ResourceArn: {arn}"
    assert wire.refusal("PutResourcePolicy", ResourceArn=arn, Policy=policy(), ExpectedRevisionId="NO_POLICY") == missing
    second = wire("PutResourcePolicy", ResourceArn=arn, Policy=policy("Deny"), ExpectedRevisionId=first)["RevisionId"]
    assert second != first
    assert wire.refusal("DeleteResourcePolicy", ResourceArn=arn, ExpectedRevisionId=first) == missing
    assert wire("DeleteResourcePolicy", ResourceArn=arn)["RevisionId"] == second
    assert wire("DeleteResourcePolicy", ResourceArn=arn) == {}
    assert wire.refusal("GetResourcePolicy", ResourceArn=arn) == missing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x", "Syntax errors in policy"),
        (policy(Principal={"AWS": "nobody"}), "Invalid principal in policy: nobody"),
        (policy(Action="GetItem"), "Actions/Conditions must be prefaced by a vendor"),
        (policy(Sid=" " * 20_480), "The policy has more than 20480 bytes"),
    ],
    ids=["no JSON", "principal", "action", "size"],
)
def test_what_is_no_policy(wire, arn, text, says):
    refusal = wire.refusal("PutResourcePolicy", ResourceArn=arn, Policy=text)
    assert refusal.startswith(f"ValidationException: Invalid policy document: {says}")
