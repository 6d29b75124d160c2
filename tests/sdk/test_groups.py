"""Who belongs to a global table, and what game days do to the links between its regions."""

import os
import re
import subprocess
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError
from conftest import BINARY, table_definition, wait_until
from test_global_tables import described, get, make_global, statuses

INDEX = {
    "IndexName": "by-kind",
    "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "ALL"},
}


def refusal(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    return refused.value.response["Error"]["Message"]


def leave(region, table, others):
    """The region leaves the group, with nobody's protection in its way."""
    client = region.client()
    client.update_table(TableName=table, DisassociationProtectionEnabled=False)
    wait_until(lambda: described(region, table)["DisassociationProtectionEnabled"] is False, "no protection")
    wait_until(lambda: described(region, table)["TableStatus"] == "ACTIVE", "ACTIVE")
    action = {"RegionName": region.name, "DisassociationMode": "WAIT_FOR_REPLICATION"}
    client.update_table(TableName=table, ReplicaUpdates=[{"Disassociate": action}])
    wait_until(lambda: "Replicas" not in described(region, table), f"{region.name} has left")
    for other in others:
        wait_until(lambda other=other: region.name not in statuses(other, table), f"{other.name} knows")


def test_a_region_leaves_with_all_it_has(regions, name):
    here, there, leaver = regions
    make_global(regions, table_definition(name, "pk", attributes=("kind",), GlobalSecondaryIndexes=[INDEX]))
    for n in range(20):
        regions[n % 3].resource().Table(name).put_item(Item={"pk": f"before-{n}", "kind": "k"})
    for region in regions:
        wait_until(lambda region=region: all(get(region, name, f"before-{n}") for n in range(20)), region.name)
    before = described(leaver, name)
    assert before["DisassociationProtectionEnabled"] is True
    update = leaver.client().update_table
    action = {"RegionName": leaver.name, "DisassociationMode": "WAIT_FOR_REPLICATION"}
    assert "protected against disassociation" in refusal(update, TableName=name, ReplicaUpdates=[{"Disassociate": action}])
    both = [{"Disassociate": action}, {"Delete": {"RegionName": here.name}}]
    assert "only replica update" in refusal(update, TableName=name, ReplicaUpdates=both)
    combined = refusal(update, TableName=name, DisassociationProtectionEnabled=False, DeletionProtectionEnabled=True)
    assert "cannot be combined" in combined
    elsewhere = [{"Disassociate": {**action, "RegionName": here.name}}]
    assert "own region" in refusal(update, TableName=name, ReplicaUpdates=elsewhere)
    # The last write before it goes is not lost to the others.
    leaver.resource().Table(name).put_item(Item={"pk": "last", "kind": "k"})
    leave(leaver, name, [here, there])

    after = described(leaver, name)
    assert "GlobalTableVersion" not in after and "DisassociationProtectionEnabled" not in after
    for same in ["TableArn", "TableId", "LatestStreamArn", "ItemCount", "KeySchema", "CreationDateTime"]:
        assert after[same] == before[same] or same == "ItemCount"
    assert after["TableStatus"] == "ACTIVE" and after["StreamSpecification"]["StreamEnabled"] is True
    assert [index["IndexName"] for index in after["GlobalSecondaryIndexes"]] == ["by-kind"]
    assert set(statuses(here, name)) == {there.name}
    assert get(here, name, "last") and get(there, name, "last")
    # Each goes on alone, in both directions and with every setting.
    leaver.resource().Table(name).put_item(Item={"pk": "of-the-leaver", "kind": "k"})
    here.resource().Table(name).put_item(Item={"pk": "of-the-others", "kind": "k"})
    wait_until(lambda: get(there, name, "of-the-others"), "the others still replicate")
    here.client().update_table(TableName=name, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-kind"}}])
    wait_until(lambda: "GlobalSecondaryIndexes" not in described(there, name), "the others' index is gone")
    assert get(leaver, name, "of-the-others") is None and get(there, name, "of-the-leaver") is None
    query = {"IndexName": "by-kind", "KeyConditionExpression": "kind = :k", "ExpressionAttributeValues": {":k": {"S": "k"}}}
    assert leaver.client().query(TableName=name, **query)["Count"] == 22
    leaver.client().update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    wait_until(lambda: "StreamSpecification" not in described(leaver, name), "its stream is its own")
    assert described(here, name)["StreamSpecification"]["StreamEnabled"] is True
    # Its name is taken there, until it is deleted.
    create = [{"Create": {"RegionName": leaver.name}}]
    wait_until(lambda: described(here, name)["TableStatus"] == "ACTIVE", "ACTIVE")
    refusal(here.client().update_table, TableName=name, ReplicaUpdates=create)
    leaver.client().delete_table(TableName=name)
    wait_until(lambda: not described(leaver, name), "it is deleted")
    assert get(here, name, "of-the-others") and get(there, name, "before-0")

    def joins_again():
        try:
            here.client().update_table(TableName=name, ReplicaUpdates=create)
            return True
        except ClientError:
            return False

    wait_until(joins_again, "the name is free again")
    wait_until(lambda: statuses(here, name).get(leaver.name) == "ACTIVE", "it is back")
    assert get(leaver, name, "of-the-others") and get(leaver, name, "of-the-leaver") is None
    # Of two, each becomes a regional table.
    here.client().update_table(TableName=name, ReplicaUpdates=[{"Delete": {"RegionName": leaver.name}}])
    wait_until(lambda: set(statuses(here, name)) == {there.name}, "two are left")
    wait_until(lambda: described(there, name)["TableStatus"] == "ACTIVE" and set(statuses(there, name)) == {here.name}, "2")
    leave(there, name, [here])
    assert "GlobalTableVersion" not in described(here, name)


def test_settings_mode_is_kept_for_regional_tables(regions, name):
    client = regions[0].client()
    client.create_table(**table_definition(name, "pk"))
    wait_until(lambda: described(regions[0], name).get("TableStatus") == "ACTIVE", "ACTIVE")
    client.update_table(TableName=name, GlobalTableSettingsReplicationMode="ENABLED")
    wait_until(lambda: described(regions[0], name).get("GlobalTableSettingsReplicationMode") == "ENABLED", "kept")
    only = {"TableName": name, "DisassociationProtectionEnabled": False}
    assert "global table replica" in refusal(client.update_table, **only)
    client.delete_table(TableName=name)


def link(region, *words, key=True):
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": region.access_key_id, "AWS_SECRET_ACCESS_KEY": region.secret_access_key}
    if not key:
        environment["AWS_SECRET_ACCESS_KEY"] = "another"
    admin = region.admin.removeprefix("http://")
    command = [BINARY, "link", *words, "--admin", admin]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def metric(region, name):
    text = urllib.request.urlopen(f"{region.admin}/metrics", timeout=30).read().decode()
    return {peer: float(value) for peer, value in re.findall(rf'^{name}{{peer_region="([^"]+)"}} (\S+)$', text, re.MULTILINE)}


def test_game_days(regions, name):
    here, there, far = regions
    make_global(regions, table_definition(name, "pk"))

    def put(key):
        here.resource().Table(name).put_item(Item={"pk": key})

    # A pause: nothing of this region comes there, the link stays up, the others go on.
    done = link(here, "pause", there.name, "--for", "300")
    assert done.returncode == 0 and f"{there.name}  up  paused, for" in done.stdout, done
    assert metric(here, "geodynamo_link_fault") == {there.name: 1.0, far.name: 0.0}
    put("paused")
    wait_until(lambda: get(far, name, "paused"), "the other link goes on")
    there.resource().Table(name).put_item(Item={"pk": "back"})
    wait_until(lambda: get(here, name, "back"), "the other direction goes on")
    assert get(there, name, "paused") is None and metric(here, "geodynamo_link_up")[there.name] == 1.0
    assert link(here, "resume", there.name).returncode == 0
    wait_until(lambda: get(there, name, "paused"), "it has come")
    # A cut: it ends by itself.
    assert link(here, "cut", there.name, "--for", "8").returncode == 0
    put("cut")
    wait_until(lambda: metric(here, "geodynamo_link_up")[there.name] == 0.0, "the link is down")
    assert get(there, name, "cut") is None
    wait_until(lambda: get(there, name, "cut"), "it ends by itself")
    assert metric(here, "geodynamo_link_fault")[there.name] == 0.0
    # Loss and delay: it is slower, and nothing is lost.
    assert link(here, "lose", there.name, "--percent", "20").returncode == 0
    assert link(here, "delay", far.name, "--ms", "100").returncode == 0
    assert "20.0 % lost" in link(here, "list").stdout and "delayed by 100 ms" in link(here, "list").stdout
    for n in range(30):
        put(f"lossy-{n}")
    for region in (there, far):
        wait_until(lambda region=region: get(region, name, "lossy-29") and get(region, name, "lossy-0"), region.name)
    for peer in (there, far):
        assert link(here, "resume", peer.name).returncode == 0
    # Who may not, cannot.
    refused = link(here, "cut", there.name, key=False)
    assert refused.returncode != 0 and "signature" in refused.stderr
    with pytest.raises(urllib.error.HTTPError) as unsigned:
        request = urllib.request.Request(f"{here.admin}/faults/{there.name}", b'{"cut": true}', method="PUT")
        urllib.request.urlopen(request, timeout=10)
    assert unsigned.value.code == 403
    assert "no link to 'mars-1'" in link(here, "cut", "mars-1").stderr
    assert "paused" not in link(here, "list").stdout and "cut" not in link(here, "list").stdout
