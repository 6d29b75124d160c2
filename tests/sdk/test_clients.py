"""The AWS CLI, as PyPI ships it. Libraries over the SDK are tested in tests/libraries."""

import json
import subprocess
import sys
from pathlib import Path


def test_awscli(dev, name):
    def aws(*arguments, fails=False):
        command = [Path(sys.executable).with_name("aws"), "dynamodb", *arguments, "--output", "json"]
        ended = subprocess.run(command, env=dev.environment(), capture_output=True, text=True, timeout=60)
        assert (ended.returncode != 0) == fails, ended.stderr
        return ended.stderr if fails else json.loads(ended.stdout or "null")

    aws(
        *("create-table", "--table-name", name, "--billing-mode", "PAY_PER_REQUEST"),
        *("--attribute-definitions", "AttributeName=pk,AttributeType=S"),
        *("--key-schema", "AttributeName=pk,KeyType=HASH"),
    )
    aws("wait", "table-exists", "--table-name", name)
    item = {"pk": {"S": "a"}, "n": {"N": "1"}}
    aws("put-item", "--table-name", name, "--item", json.dumps(item))
    assert aws("get-item", "--table-name", name, "--key", '{"pk": {"S": "a"}}')["Item"] == item
    query = ["--key-condition-expression", "pk = :p", "--expression-attribute-values", '{":p": {"S": "a"}}']
    assert aws("query", "--table-name", name, *query)["Items"] == [item]
    assert aws("scan", "--table-name", name)["Count"] == 1
    refused = aws("get-item", "--table-name", name, "--key", '{"other": {"S": "a"}}', fails=True)
    assert "ValidationException" in refused
    assert name in aws("list-tables")["TableNames"]
    aws("delete-table", "--table-name", name)
    aws("wait", "table-not-exists", "--table-name", name)
