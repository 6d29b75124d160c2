"""Auto scaling: the unmodified clients of Application Auto Scaling, capacity that follows what is consumed, and DynamoDB's own
operations for global tables. A "minute" lasts a second here."""

import json
import threading
import time

import pytest
from botocore.exceptions import ClientError
from conftest import serve, table_definition, wait_until
from test_global_tables import make_global

FAST = """
[scaling]
period_seconds = 1
low_periods = 4
"""
TABLE = {"ServiceNamespace": "dynamodb", "ResourceId": "table/scaled"}
READS = {**TABLE, "ScalableDimension": "dynamodb:table:ReadCapacityUnits"}
WRITES = {**TABLE, "ScalableDimension": "dynamodb:table:WriteCapacityUnits"}
INDEX_WRITES = {
    "ServiceNamespace": "dynamodb",
    "ResourceId": "table/scaled/index/by-kind",
    "ScalableDimension": "dynamodb:index:WriteCapacityUnits",
}
UNITS = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}


def definition(name, units=UNITS):
    index = {
        "IndexName": "by-kind",
        "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "ALL"},
        "ProvisionedThroughput": units,
    }
    made = table_definition(name, "pk", attributes=("kind",), BillingMode="PROVISIONED", GlobalSecondaryIndexes=[index])
    return {**made, "ProvisionedThroughput": units}


def tracking(write, value=50.0, **more):
    kind = "DynamoDBWriteCapacityUtilization" if write else "DynamoDBReadCapacityUtilization"
    return {
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": value,
            "PredefinedMetricSpecification": {"PredefinedMetricType": kind},
            **more,
        },
    }


def code(call, **arguments):
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def test_capacity_follows_what_is_consumed(tmp_path):
    with serve(tmp_path, FAST, crash=True) as region:
        client, scaling = region.client(), region.client("application-autoscaling")
        client.create_table(**definition("scaled"))
        wait_until(lambda: client.describe_table(TableName="scaled")["Table"]["TableStatus"] == "ACTIVE", "ACTIVE")

        def units(of=None):
            table = client.describe_table(TableName="scaled")["Table"]
            found = table["GlobalSecondaryIndexes"][0] if of else table
            return found["ProvisionedThroughput"]

        refusals(scaling)
        arn = scaling.register_scalable_target(**WRITES, MinCapacity=5, MaxCapacity=40, Tags={"team": "a"})
        arn = arn["ScalableTargetARN"]
        assert arn.startswith("arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/0ec5")
        put = scaling.put_scaling_policy(**WRITES, PolicyName="track", **tracking(True))
        assert put["Alarms"] == [] and put["PolicyARN"].endswith(":resource/dynamodb/table/scaled:policyName/track")
        # Bounds hold without any load.
        scaling.register_scalable_target(**READS, MinCapacity=9, MaxCapacity=40)
        scaling.register_scalable_target(**INDEX_WRITES, MinCapacity=8, MaxCapacity=40)
        wait_until(lambda: units()["ReadCapacityUnits"] == 9, "reads at their minimum")
        wait_until(lambda: units("index")["WriteCapacityUnits"] == 8, "the index at its minimum")
        assert units()["WriteCapacityUnits"] == 5
        shown = scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]
        assert {(t["ResourceId"], t["ScalableDimension"], t["MinCapacity"]) for t in shown} == {
            ("table/scaled", "dynamodb:table:WriteCapacityUnits", 5),
            ("table/scaled", "dynamodb:table:ReadCapacityUnits", 9),
            ("table/scaled/index/by-kind", "dynamodb:index:WriteCapacityUnits", 8),
        }
        load(client, lambda: units()["WriteCapacityUnits"] >= 20)
        wait_until(lambda: units()["WriteCapacityUnits"] == 5, "down again")
        assert "LastIncreaseDateTime" in units() and "LastDecreaseDateTime" in units()
        done = scaling.describe_scaling_activities(**WRITES)["ScalingActivities"]
        assert done[0]["Description"] == "Setting write capacity units to 5." and "AlarmLow" in done[0]["Cause"]
        assert "AlarmHigh" in done[-1]["Cause"] and {activity["StatusCode"] for activity in done} == {"Successful"}
        tags(scaling, arn)

    # It is there after a crash.
    with serve(tmp_path, FAST) as region:
        scaling = region.client("application-autoscaling")
        policies = scaling.describe_scaling_policies(ServiceNamespace="dynamodb", PolicyNames=["track"])["ScalingPolicies"]
        assert policies[0]["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 50.0
        assert len(scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]) == 3
        page = scaling.describe_scalable_targets(ServiceNamespace="dynamodb", MaxResults=2)
        rest = scaling.describe_scalable_targets(ServiceNamespace="dynamodb", NextToken=page["NextToken"])
        assert len(page["ScalableTargets"]) == 2 and len(rest["ScalableTargets"]) == 1
        scaling.delete_scaling_policy(**WRITES, PolicyName="track")
        assert code(scaling.delete_scaling_policy, **WRITES, PolicyName="track") == "ObjectNotFoundException"
        scaling.deregister_scalable_target(**WRITES)
        assert code(scaling.deregister_scalable_target, **WRITES) == "ObjectNotFoundException"
        # A table's targets go with it.
        region.client().delete_table(TableName="scaled")
        wait_until(lambda: not scaling.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"], "none")


def load(client, enough):
    """Writes as fast as it can until that is enough."""
    stop = threading.Event()

    def write(thread):
        number = 0
        while not stop.is_set():
            number += 1
            try:
                client.put_item(TableName="scaled", Item={"pk": {"S": f"{thread}-{number}"}})
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
                time.sleep(0.02)

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_until(enough, "up", every_s=0.2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def refusals(scaling):
    register, put = scaling.register_scalable_target, scaling.put_scaling_policy
    bounds = {"MinCapacity": 5, "MaxCapacity": 6}
    assert code(register, **{**WRITES, "ResourceId": "table/none"}, **bounds) == "ValidationException"
    assert code(register, **{**WRITES, "ResourceId": "table/scaled/index/x"}, **bounds) == "ValidationException"
    assert code(register, **WRITES, MinCapacity=1) == "ValidationException"
    assert code(register, **WRITES, MinCapacity=3, MaxCapacity=2) == "ValidationException"
    assert code(register, **WRITES, MinCapacity=0, MaxCapacity=2) == "ValidationException"
    assert code(register, **{**WRITES, "ServiceNamespace": "ecs"}, **bounds) == "ValidationException"
    assert code(put, **WRITES, PolicyName="p", **tracking(True)) == "ObjectNotFoundException"
    register(**WRITES, **bounds)
    assert code(put, **WRITES, PolicyName="p", **tracking(False)) == "ValidationException"
    assert code(put, **WRITES, PolicyName="p", **tracking(True, 95.0)) == "ValidationException"
    assert code(put, **WRITES, PolicyName="p", PolicyType="StepScaling") == "ValidationException"
    scaling.deregister_scalable_target(**WRITES)
    assert scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []


def tags(scaling, arn):
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "a"}
    scaling.tag_resource(ResourceARN=arn, Tags={"stage": "test"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["team"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"stage": "test"}
    assert code(scaling.list_tags_for_resource, ResourceARN=arn + "0") == "ResourceNotFoundException"


def test_global_tables(regions, name):
    """Write capacity is scaled alike in all regions, read capacity in each by itself."""
    here, there, far = regions
    make_global(regions, definition(name))
    client = here.client()
    settings = {"MinimumUnits": 7, "MaximumUnits": 40}
    policy = {"TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0, "ScaleInCooldown": 60}}
    client.update_table_replica_auto_scaling(
        TableName=name,
        ProvisionedWriteCapacityAutoScalingUpdate={**settings, "ScalingPolicyUpdate": policy},
        ReplicaUpdates=[
            {
                "RegionName": there.name,
                "ReplicaProvisionedReadCapacityAutoScalingUpdate": {**settings, "MinimumUnits": 9},
            }
        ],
    )

    def shown(region):
        answer = region.client().describe_table_replica_auto_scaling(TableName=name)
        replicas = answer["TableAutoScalingDescription"]["Replicas"]
        return {replica["RegionName"]: replica for replica in replicas}

    def writes(replica):
        return replica["ReplicaProvisionedWriteCapacityAutoScalingSettings"]

    def reads(replica):
        return replica["ReplicaProvisionedReadCapacityAutoScalingSettings"]

    for region in regions:
        wait_until(lambda region=region: writes(shown(region)[far.name]).get("MinimumUnits") == 7, f"{region.name} knows")
        replicas = shown(region)
        for replica in replicas.values():
            assert writes(replica)["AutoScalingDisabled"] is False
            tracked = writes(replica)["ScalingPolicies"][0]["TargetTrackingScalingPolicyConfiguration"]
            assert (tracked["TargetValue"], tracked["ScaleInCooldown"]) == (70.0, 60)
        assert reads(replicas[there.name])["MinimumUnits"] == 9
        assert reads(replicas[here.name])["AutoScalingDisabled"] is True

    def units(region):
        table = region.client().describe_table(TableName=name)["Table"]
        return table["ProvisionedThroughput"]["ReadCapacityUnits"], table["ProvisionedThroughput"]["WriteCapacityUnits"]

    wait_until(lambda: {units(here), units(far)} == {(5, 7)}, "writes everywhere")
    wait_until(lambda: units(there) == (9, 7), "reads in one region")
    # Application Auto Scaling shows the same.
    of_table = {"ServiceNamespace": "dynamodb", "ResourceIds": [f"table/{name}"]}
    for region, count in [(here, 1), (there, 2), (far, 1)]:
        found = region.client("application-autoscaling").describe_scalable_targets(**of_table)["ScalableTargets"]
        assert len(found) == count
    client.update_table_replica_auto_scaling(
        TableName=name, ProvisionedWriteCapacityAutoScalingUpdate={"AutoScalingDisabled": True}
    )
    wait_until(lambda: writes(shown(far)[far.name])["AutoScalingDisabled"], "it is off")
    refused = code(
        client.update_table_replica_auto_scaling,
        TableName=name,
        ReplicaUpdates=[{"RegionName": "mars-1", "ReplicaProvisionedReadCapacityAutoScalingUpdate": settings}],
    )
    assert refused == "ValidationException"


def test_who_makes_a_target_with_tags_must_be_allowed_to_tag(tmp_path):
    with serve(tmp_path, FAST) as region:
        client, iam, root = region.client(), region.client("iam"), region.client("application-autoscaling")
        client.create_table(**definition("scaled"))
        wait_until(lambda: client.describe_table(TableName="scaled")["Table"]["TableStatus"] == "ACTIVE", "ACTIVE")
        iam.create_user(UserName="operator")
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        region.access_key_id, region.secret_access_key = key["AccessKeyId"], key["SecretAccessKey"]
        scaling = region.client("application-autoscaling")
        bounds = {"MinCapacity": 5, "MaxCapacity": 40}

        def allow(*actions, **more):
            actions = [f"application-autoscaling:{action}" for action in actions]
            document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": actions, "Resource": "*", **more}}
            iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=json.dumps(document))

        allow("RegisterScalableTarget")
        scaling.register_scalable_target(**WRITES, **bounds)
        assert code(scaling.register_scalable_target, **READS, **bounds, Tags={"team": "a"}) == "AccessDeniedException"
        # Nothing was made of it.
        assert len(root.describe_scalable_targets(ServiceNamespace="dynamodb")["ScalableTargets"]) == 1
        both = ("RegisterScalableTarget", "TagResource")
        allow(*both, Condition={"StringEquals": {"aws:RequestTag/team": "b"}})
        assert code(scaling.register_scalable_target, **READS, **bounds, Tags={"team": "a"}) == "AccessDeniedException"
        allow(*both, Condition={"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}})
        assert code(scaling.register_scalable_target, **READS, **bounds, Tags={"of": "a"}) == "AccessDeniedException"
        scaling.register_scalable_target(**READS, **bounds, Tags={"team": "a"})
