"""Operations of Lambda's event source mappings and of Application Auto Scaling are held against AWS's Service Authorization
Reference (region/reference): a user who may do nothing is granted, one by one, what refusals name. Each of those must be an action
of the reference, with that type of resource."""

import json
import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from conftest import serve, table_definition, wait_until

DATA = Path(__file__).resolve().parents[2] / "region" / "reference" / "data"
REFUSED = re.compile(r"not authorized to perform: (\S+) on resource: (\S+)")
SETTINGS = """
[functions.f]
url = "http://127.0.0.1:9/none"
"""
TARGET = {
    "ServiceNamespace": "dynamodb",
    "ResourceId": "table/orders",
    "ScalableDimension": "dynamodb:table:WriteCapacityUnits",
}
TRACKING = {"TargetValue": 50.0, "PredefinedMetricSpecification": {"PredefinedMetricType": "DynamoDBWriteCapacityUtilization"}}
OF_SCALING = [
    ("register_scalable_target", {**TARGET, "MinCapacity": 5, "MaxCapacity": 9, "Tags": {"team": "a"}}),
    ("describe_scalable_targets", {"ServiceNamespace": "dynamodb", "ResourceIds": ["table/orders"]}),
    ("put_scaling_policy", {**TARGET, "PolicyName": "p", "PolicyType": "TargetTrackingScaling",
                            "TargetTrackingScalingPolicyConfiguration": TRACKING}),
    ("describe_scaling_policies", {"ServiceNamespace": "dynamodb", "ResourceId": "table/orders"}),
    ("describe_scaling_activities", {**TARGET}),
    ("describe_scheduled_actions", {**TARGET}),
    ("list_tags_for_resource", {"ResourceARN": "TARGET"}),
    ("tag_resource", {"ResourceARN": "TARGET", "Tags": {"team": "b"}}),
    ("untag_resource", {"ResourceARN": "TARGET", "TagKeys": ["team"]}),
    ("delete_scaling_policy", {**TARGET, "PolicyName": "p"}),
    ("deregister_scalable_target", {**TARGET}),
]  # fmt: skip
OF_LAMBDA = [
    ("create_event_source_mapping", {"FunctionName": "f", "EventSourceArn": "STREAM", "StartingPosition": "LATEST",
                                     "Tags": {"team": "a"}}),
    ("list_event_source_mappings", {"FunctionName": "f"}),
    ("get_event_source_mapping", {"UUID": "MAPPING"}),
    ("update_event_source_mapping", {"UUID": "MAPPING", "BatchSize": 7}),
    ("list_tags", {"Resource": "MAPPING_ARN"}),
    ("tag_resource", {"Resource": "MAPPING_ARN", "Tags": {"team": "b"}}),
    ("untag_resource", {"Resource": "MAPPING_ARN", "TagKeys": ["team"]}),
    ("delete_event_source_mapping", {"UUID": "MAPPING"}),
]  # fmt: skip


@pytest.mark.parametrize(("service", "prefix", "calls"), [
    ("application-autoscaling", "application-autoscaling", OF_SCALING),
    ("lambda", "lambda", OF_LAMBDA),
])  # fmt: skip
def test_operations_ask_for_what_the_reference_lists(tmp_path, service, prefix, calls):
    reference = json.loads((DATA / f"{prefix}.json").read_text())
    with serve(tmp_path, SETTINGS) as region:
        client, iam = region.client(), region.client("iam")
        known = {"STREAM": make(client)}
        iam.create_user(UserName="operator")
        key = iam.create_access_key(UserName="operator")["AccessKey"]
        region.access_key_id, region.secret_access_key = key["AccessKeyId"], key["SecretAccessKey"]
        operator = region.client(service)
        for name, arguments in calls:
            arguments = {member: known.get(value, value) if isinstance(value, str) else value for member, value in arguments.items()}
            answer, granted = learn(iam, getattr(operator, name), arguments)
            operation = operator.meta.method_to_api_mapping[name]
            assert f"{prefix}:{operation}" in [action for action, _ in granted], (name, granted)
            for action, resource in granted:
                check(reference, prefix, action, resource)
            if name == "register_scalable_target":
                assert {action for action, _ in granted} == {f"{prefix}:RegisterScalableTarget", f"{prefix}:TagResource"}
                known["TARGET"] = answer["ScalableTargetARN"]
            elif name == "create_event_source_mapping":
                known |= {"MAPPING": answer["UUID"], "MAPPING_ARN": answer["EventSourceMappingArn"]}


def make(client):
    """A table whose stream triggers may read; gives the stream."""
    made = table_definition("orders", "pk", BillingMode="PROVISIONED")
    units = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 5}
    stream = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    client.create_table(**{**made, "ProvisionedThroughput": units, "StreamSpecification": stream})
    wait_until(lambda: client.describe_table(TableName="orders")["Table"]["TableStatus"] == "ACTIVE", "ACTIVE")
    return client.describe_table(TableName="orders")["Table"]["LatestStreamArn"]


def learn(iam, call, arguments):
    """Calls until nothing more is refused; gives the answer and what had to be granted."""
    granted = []
    while True:
        statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in granted]
        if statements:
            document = json.dumps({"Version": "2012-10-17", "Statement": statements})
            iam.put_user_policy(UserName="operator", PolicyName="p", PolicyDocument=document)
        try:
            answer = call(**arguments)
            break
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            asked = REFUSED.search(error.response["Error"].get("Message") or error.response.get("message")).groups()
            assert asked not in granted and len(granted) < 8, (asked, granted)
            granted.append(asked)
    iam.delete_user_policy(UserName="operator", PolicyName="p")
    return answer, granted


def check(reference, prefix, action, resource):
    """An action of the service is in the reference, with that type of resource."""
    if not action.startswith(f"{prefix}:"):
        return
    row = reference["actions"][action.removeprefix(f"{prefix}:")]
    if resource == "*":
        assert all(kind.endswith("?") for kind in row["resources"]), (action, resource, row)
        return
    kinds = [kind.rstrip("?") for kind in row["resources"]]
    fitting = [kind for kind in kinds if re.fullmatch(pattern(reference["resources"][kind]), resource)]
    assert fitting, (action, resource, row)


def pattern(arn):
    """What varies in an ARN of the reference is `${…}`."""
    return "".join("[^:]+" if part.startswith("${") else re.escape(part) for part in re.split(r"(\$\{[^}]*\})", arn) if part)
