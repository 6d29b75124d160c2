"""What the tests of Python libraries share. scripts/libraries.py starts the server and says where it is in the AWS_…
variables, which the libraries read as they would in any program."""

import contextlib
import os
import time
import uuid

import boto3
import pytest


@pytest.fixture(scope="session")
def endpoint():
    return os.environ["AWS_ENDPOINT_URL_DYNAMODB"]


@pytest.fixture
def client():
    """boto3's own client: makes what a library leaves to its user, and looks at what the library left in the tables."""
    return boto3.client("dynamodb")


@pytest.fixture
def name(client):
    """A table name that no other test uses; the table is removed after the test if it is still there."""
    name = f"python-{uuid.uuid4().hex[:12]}"
    yield name
    # The test removed it, or is about to.
    with contextlib.suppress(client.exceptions.ResourceNotFoundException, client.exceptions.ResourceInUseException):
        client.delete_table(TableName=name)


@pytest.fixture
def wait_until_items_expire(client):
    """Waits until items of a table expire, by which attribute."""

    def wait(table, attribute, deadline_s=60):
        deadline = time.monotonic() + deadline_s
        while True:
            about = client.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
            assert about["AttributeName"] == attribute
            if about["TimeToLiveStatus"] == "ENABLED":
                return
            assert time.monotonic() < deadline, about
            time.sleep(0.05)

    return wait
