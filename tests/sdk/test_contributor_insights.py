"""Contributor insights: DynamoDB's API for them, and what was counted, at the admin port and on the command line."""

import json
import subprocess
import urllib.request

import pytest
from botocore.exceptions import ClientError
from conftest import BINARY, table_definition, wait_until


def definition(name):
    index = {
        "IndexName": "by-kind",
        "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
    }
    return table_definition(name, "pk", "sk", attributes=("kind",), GlobalSecondaryIndexes=[index])


def admin_port(dev):
    return dev.admin.removeprefix("http://")


def ask(dev, path):
    with urllib.request.urlopen(f"http://{admin_port(dev)}{path}") as answer:
        return json.load(answer)


def test_insights(dev, client, name):
    client.create_table(**definition(name))
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    try:
        off = client.describe_contributor_insights(TableName=name)
        assert off["ContributorInsightsStatus"] == "DISABLED" and "LastUpdateDateTime" not in off
        begun = client.update_contributor_insights(TableName=name, ContributorInsightsAction="ENABLE")
        assert begun["ContributorInsightsStatus"] == "ENABLING"
        assert begun["ContributorInsightsMode"] == "ACCESSED_AND_THROTTLED_KEYS"
        of_index = {"TableName": name, "IndexName": "by-kind"}
        client.update_contributor_insights(
            **of_index, ContributorInsightsAction="ENABLE", ContributorInsightsMode="THROTTLED_KEYS"
        )
        described = client.describe_contributor_insights(TableName=name)
        assert described["ContributorInsightsStatus"] == "ENABLED"
        kinds = [rule.split("-")[1] for rule in described["ContributorInsightsRuleList"]]
        assert sorted(kinds) == ["PKC", "PKT", "SKC", "SKT"]
        assert all(f"-{name}-" in rule for rule in described["ContributorInsightsRuleList"])
        described = client.describe_contributor_insights(**of_index)
        # The index has no sort key.
        assert [rule.split("-")[1] for rule in described["ContributorInsightsRuleList"]] == ["PKT"]
        first = client.list_contributor_insights(TableName=name, MaxResults=1)
        second = client.list_contributor_insights(TableName=name, MaxResults=1, NextToken=first["NextToken"])
        listed = first["ContributorInsightsSummaries"] + second["ContributorInsightsSummaries"]
        assert [summary.get("IndexName") for summary in listed] == [None, "by-kind"] and "NextToken" not in second

        for number in range(10):
            client.put_item(TableName=name, Item={"pk": {"S": "hot"}, "sk": {"S": str(number)}})
        client.put_item(TableName=name, Item={"pk": {"S": "cold"}, "sk": {"S": "1"}})
        rules = {rule["rule"]: rule for rule in ask(dev, f"/insights?table={name}")["rules"]}
        assert rules["PKC"]["keys"] == [
            {"key": {"pk": {"S": "hot"}}, "weight": 10.0},
            {"key": {"pk": {"S": "cold"}}, "weight": 1.0},
        ]
        assert rules["PKC"]["total"] == 11.0 and len(rules["SKC"]["keys"]) == 11 and rules["PKT"]["keys"] == []
        said = subprocess.run(
            [BINARY, "insights", name, "--admin", admin_port(dev), "--output", "json"], capture_output=True, text=True, check=True
        )
        assert json.loads(said.stdout)["rules"][0]["keys"][0]["weight"] == 10.0
        said = subprocess.run([BINARY, "insights", "--admin", admin_port(dev)], capture_output=True, text=True, check=True)
        assert name in said.stdout and "THROTTLED_KEYS" in said.stdout

        ended = client.update_contributor_insights(TableName=name, ContributorInsightsAction="DISABLE")
        assert ended["ContributorInsightsStatus"] == "DISABLING"
        described = client.describe_contributor_insights(TableName=name)
        assert described["ContributorInsightsStatus"] == "DISABLED" and "LastUpdateDateTime" in described
        assert ask(dev, f"/insights?table={name}")["rules"] == []
    finally:
        client.delete_table(TableName=name)
    wait_until(lambda: name not in str(ask(dev, "/insights")), "nothing is left of it")


def test_what_is_not_there(client, name):
    for arguments in ({"TableName": "none"}, {"TableName": "none", "IndexName": "abc"}):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            client.update_contributor_insights(**arguments, ContributorInsightsAction="ENABLE")
