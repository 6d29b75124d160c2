"""IAM and STS on the data port, by boto3 and the AWS CLI as they are: who may do what, and how soon."""

import base64
import json
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
import rsa
from botocore.exceptions import ClientError
from conftest import STATE_S, Region, serve, table_definition, wait_until

ACCOUNT = "000000000000"
PROVIDER = "tokens.example.com/cluster"


@pytest.fixture(scope="module")
def region(tmp_path_factory):
    """One region that enforces policies, with a web identity provider and an audit trail."""
    folder = tmp_path_factory.mktemp("iam")
    public, private = rsa.newkeys(2048)
    (folder / "jwks.json").write_text(json.dumps({"keys": [jwk(public)]}))
    settings = f"""
[access]
identity_providers = [{{ url = "https://{PROVIDER}", jwks_file = "jwks.json" }}]
[audit]
path = "audit.log"
"""
    with serve(folder, settings) as region:
        region.folder, region.private = folder, private
        client = region.client()
        for table in ("ours", "theirs"):
            client.create_table(**table_definition(table, "pk"))
            client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
            client.put_item(TableName=table, Item={"pk": {"S": "1"}, "v": {"S": table}})
        yield region


def jwk(public):
    def number(value):
        return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()

    return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": number(public.n), "e": number(public.e)}


def token(private, **claims):
    def part(content):
        return base64.urlsafe_b64encode(content).rstrip(b"=")

    header = part(json.dumps({"alg": "RS256", "kid": "one", "typ": "JWT"}).encode())
    signed = header + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(rsa.sign(signed, private, "SHA-256"))).decode()


def allow(actions, resource="*", **more):
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def table_arn(region, table):
    return f"arn:aws:dynamodb:{region.name}:{ACCOUNT}:table/{table}"


def trust(principal, action="sts:AssumeRole", **more):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def as_user(region, key):
    """The region as a principal with these keys sees it."""
    signer = Region(region.name, region.endpoint, key["AccessKeyId"], key["SecretAccessKey"])
    if "SessionToken" in key:
        settings = signer.settings()
        signer.settings = lambda attempts=1: {**settings, "aws_session_token": key["SessionToken"]}
    return signer


def refused(call, code="AccessDeniedException"):
    with pytest.raises(ClientError) as error:
        call()
    assert error.value.response["Error"]["Code"] == code, error.value
    return error.value.response["Error"]["Message"]


def get(client, table):
    return client.get_item(TableName=table, Key={"pk": {"S": "1"}})["Item"]["v"]["S"]


def make_user(region, name, policy=None):
    iam = region.client("iam")
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
    return iam.create_access_key(UserName=name)["AccessKey"]


def test_a_user_may_do_what_its_policy_says_and_nothing_else(region):
    key = make_user(region, "one-table", allow("dynamodb:GetItem", table_arn(region, "ours")))
    user = as_user(region, key)
    client = user.client()
    assert get(client, "ours") == "ours"
    message = refused(lambda: get(client, "theirs"))
    assert message == (
        f"User: arn:aws:iam::{ACCOUNT}:user/one-table is not authorized to perform: dynamodb:GetItem on resource: "
        f"{table_arn(region, 'theirs')} because no identity-based policy allows the dynamodb:GetItem action"
    )
    refused(lambda: client.put_item(TableName="ours", Item={"pk": {"S": "2"}}))
    refused(client.list_tables)
    assert "iam:ListUsers" in refused(user.client("iam").list_users, "AccessDenied")
    assert user.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/one-table"


def test_a_changed_policy_takes_effect_at_once(region):
    key = make_user(region, "changes")
    client, iam = as_user(region, key).client(), region.client("iam")
    refused(lambda: get(client, "ours"))
    iam.attach_user_policy(UserName="changes", PolicyArn="arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess")
    start = time.monotonic()
    assert get(client, "ours") == "ours"
    assert time.monotonic() - start < 5
    iam.detach_user_policy(UserName="changes", PolicyArn="arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess")
    refused(lambda: get(client, "ours"))


def test_a_key_that_is_switched_off_is_of_no_use(region):
    key = make_user(region, "off", allow("dynamodb:*"))
    client, iam = as_user(region, key).client(), region.client("iam")
    assert get(client, "ours") == "ours"
    used = iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    assert used["UserName"] == "off" and used["AccessKeyLastUsed"]["ServiceName"] == "dynamodb"
    iam.update_access_key(UserName="off", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    refused(lambda: get(client, "ours"), "UnrecognizedClientException")
    iam.update_access_key(UserName="off", AccessKeyId=key["AccessKeyId"], Status="Active")
    assert get(client, "ours") == "ours"
    iam.delete_access_key(UserName="off", AccessKeyId=key["AccessKeyId"])
    refused(lambda: get(client, "ours"), "UnrecognizedClientException")


def test_a_role_with_a_session_policy(region):
    iam = region.client("iam")
    arn = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))["Role"]["Arn"]
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=allow("dynamodb:GetItem"))
    key = make_user(region, "assumes", allow("sts:AssumeRole", arn))
    sts = as_user(region, key).client("sts")
    refused(lambda: get(as_user(region, key).client(), "ours"))
    session = sts.assume_role(
        RoleArn=arn,
        RoleSessionName="session",
        Policy=allow("dynamodb:GetItem", table_arn(region, "ours")),
    )
    assert session["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/session"
    reader = as_user(region, session["Credentials"]).client()
    assert get(reader, "ours") == "ours"
    assert "no session policy allows" in refused(lambda: get(reader, "theirs"))
    whole = as_user(region, sts.assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]).client()
    assert get(whole, "theirs") == "theirs"
    iam.delete_role_policy(RoleName="reader", PolicyName="p")
    refused(lambda: get(whole, "theirs"))
    iam.delete_role(RoleName="reader")
    refused(lambda: get(whole, "theirs"), "UnrecognizedClientException")


def test_a_web_identity_token_file(region, tmp_path, monkeypatch):
    iam = region.client("iam")
    provider = iam.create_open_id_connect_provider(Url=f"https://{PROVIDER}", ClientIDList=["sts.amazonaws.com"])
    condition = {"StringEquals": {f"{PROVIDER}:sub": "system:serviceaccount:app:reader"}}
    trusts = trust(
        {"Federated": provider["OpenIDConnectProviderArn"]}, "sts:AssumeRoleWithWebIdentity", Condition=condition
    )
    arn = iam.create_role(RoleName="pod", AssumeRolePolicyDocument=trusts)["Role"]["Arn"]
    iam.put_role_policy(RoleName="pod", PolicyName="p", PolicyDocument=allow("dynamodb:GetItem"))
    claims = {"iss": f"https://{PROVIDER}", "aud": ["sts.amazonaws.com"], "exp": int(time.time()) + 600}
    file = tmp_path / "token"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", region.endpoint)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", region.endpoint)
    monkeypatch.setenv("AWS_DEFAULT_REGION", region.name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(file))
    monkeypatch.setenv("AWS_ROLE_ARN", arn)
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "pod")

    def read():
        # A session of its own, so that nothing of an earlier one is known to it.
        return get(boto3.session.Session().client("dynamodb"), "ours")

    file.write_text(token(region.private, sub="system:serviceaccount:app:reader", **claims))
    assert read() == "ours"
    file.write_text(token(region.private, sub="system:serviceaccount:app:other", **claims))
    refused(read, "AccessDenied")
    file.write_text(token(region.private, sub="system:serviceaccount:app:reader", **{**claims, "aud": "other"}))
    refused(read, "InvalidIdentityToken")
    file.write_text(token(region.private, sub="system:serviceaccount:app:reader", **{**claims, "exp": 1}))
    refused(read, "ExpiredTokenException")
    forged = token(rsa.newkeys(2048)[1], sub="system:serviceaccount:app:reader", **claims)
    file.write_text(forged)
    refused(read, "InvalidIdentityToken")


def test_the_command_line(region):
    def aws(*arguments):
        environment = region.environment() | {"AWS_ENDPOINT_URL": region.endpoint, "AWS_DEFAULT_OUTPUT": "json"}
        done = subprocess.run(
            [Path(sys.executable).with_name("aws"), *arguments], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    assert aws("sts", "get-caller-identity") == {
        "UserId": ACCOUNT,
        "Account": ACCOUNT,
        "Arn": f"arn:aws:iam::{ACCOUNT}:root",
    }
    aws("iam", "create-group", "--group-name", "staff")
    aws("iam", "create-user", "--user-name", "cli", "--tags", "Key=team,Value=a")
    aws("iam", "add-user-to-group", "--group-name", "staff", "--user-name", "cli")
    policy = aws("iam", "create-policy", "--policy-name", "gets", "--policy-document", allow("dynamodb:GetItem"))
    arn = policy["Policy"]["Arn"]
    aws("iam", "attach-group-policy", "--group-name", "staff", "--policy-arn", arn)
    shown = aws("iam", "get-policy-version", "--policy-arn", arn, "--version-id", "v1")
    assert shown["PolicyVersion"]["Document"] == json.loads(allow("dynamodb:GetItem"))
    user = f"arn:aws:iam::{ACCOUNT}:user/cli"
    simulated = aws(
        "iam", "simulate-principal-policy", "--policy-source-arn", user, "--action-names", "dynamodb:GetItem", "dynamodb:PutItem"
    )
    assert [result["EvalDecision"] for result in simulated["EvaluationResults"]] == ["allowed", "implicitDeny"]
    details = aws("iam", "get-account-authorization-details", "--filter", "Group")
    assert [group["GroupName"] for group in details["GroupDetailList"]] == ["staff"]


def test_bad_calls_are_told_what_is_wrong(region):
    iam = region.client("iam")
    message = refused(lambda: iam.create_user(UserName="a b"), "ValidationError")
    assert message.startswith("1 validation error detected: Value 'a b' at 'userName' failed to satisfy constraint: ")
    broken = '{"Version":"2012-10-17","Statement":{"Effect":"Maybe"}}'
    message = refused(lambda: iam.create_policy(PolicyName="p", PolicyDocument=broken), "MalformedPolicyDocument")
    assert "line 1" in message
    refused(lambda: iam.get_user(UserName="nobody"), "NoSuchEntity")
    stranger = Region(region.name, region.endpoint, "AKIASTRANGER", "hush")
    refused(stranger.client("sts").get_caller_identity, "InvalidClientTokenId")
    wrong = Region(region.name, region.endpoint, region.access_key_id, "wrong")
    refused(wrong.client("sts").get_caller_identity, "SignatureDoesNotMatch")


def test_who_did_what_is_recorded(region):
    iam = region.client("iam")
    iam.create_user(UserName="recorded")
    iam.create_access_key(UserName="recorded")
    region.client().describe_table(TableName="ours")
    path = region.folder / "audit.log"

    def records():
        all_records = [json.loads(line) for line in path.read_text().splitlines()]
        last = {record["eventName"]: record for record in all_records}
        return last if {"CreateUser", "CreateAccessKey", "DescribeTable"} <= set(last) else None

    last = wait_until(records, "records of the calls")
    made = last["CreateUser"]
    assert made["eventSource"] == "iam.amazonaws.com" and made["requestParameters"]["userName"] == "recorded"
    assert made["userIdentity"]["type"] == "Root" and made["sourceIPAddress"] == "127.0.0.1"
    assert last["CreateAccessKey"]["responseElements"]["accessKey"]["secretAccessKey"] == "HIDDEN_DUE_TO_SECURITY_REASONS"
    assert last["DescribeTable"]["resources"][0]["ARN"] == table_arn(region, "ours")
    assert "GetItem" not in path.read_text().replace("dynamodb:GetItem", "")


def test_reads_and_writes_of_some_tables_are_recorded(tmp_path):
    settings = '[audit]\npath = "audit.log"\ndata_events = ["secret-*"]\n'
    with serve(tmp_path, settings) as region:
        client = region.client()
        for table in ("secret-1", "plain"):
            client.create_table(**table_definition(table, "pk"))
            client.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        for table in ("plain", "secret-1"):
            client.put_item(TableName=table, Item={"pk": {"S": "hushed"}})
            client.batch_get_item(RequestItems={table: {"Keys": [{"pk": {"S": "hushed"}}]}})
            client.execute_statement(Statement=f"SELECT * FROM \"{table}\" WHERE pk = 'hushed'")

        def records():
            all_records = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
            data = {record["eventName"]: record for record in all_records if record["eventCategory"] == "Data"}
            return (all_records, data) if len(data) >= 3 else None

        all_records, data = wait_until(records, "records of the calls")
        assert set(data) == {"PutItem", "BatchGetItem", "ExecuteStatement"}
        for record in data.values():
            assert [resource["ARN"] for resource in record["resources"]] == [table_arn(region, "secret-1")]
        assert "hushed" not in (tmp_path / "audit.log").read_text()
        made = next(record for record in all_records if record["eventName"] == "CreateTable")
        assert made["responseElements"]["tableDescription"]["tableName"] == "secret-1"


def test_a_table_is_open_to_who_had_the_name_not_to_who_has_it_later(region):
    iam, client = region.client("iam"), region.client()
    first = as_user(region, make_user(region, "again", None)).client()
    arn = iam.get_user(UserName="again")["User"]["Arn"]
    policy = json.loads(allow("dynamodb:GetItem", table_arn(region, "theirs")))
    policy["Statement"][0]["Principal"] = {"AWS": arn}
    put = lambda: client.put_resource_policy(ResourceArn=table_arn(region, "theirs"), Policy=json.dumps(policy))
    shown = lambda: json.loads(client.get_resource_policy(ResourceArn=table_arn(region, "theirs"))["Policy"])
    get = {"TableName": "theirs", "Key": {"pk": {"S": "1"}}}
    revision = put()["RevisionId"]
    assert first.get_item(**get)["Item"]["v"] == {"S": "theirs"} and shown() == policy
    id = iam.get_user(UserName="again")["User"]["UserId"]
    for key in iam.list_access_keys(UserName="again")["AccessKeyMetadata"]:
        iam.delete_access_key(UserName="again", AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName="again")
    assert shown()["Statement"][0]["Principal"] == {"AWS": id}
    second = as_user(region, make_user(region, "again", None)).client()
    refused(lambda: second.get_item(**get))
    # Put again, it is about who has the name now, and so another policy.
    assert put()["RevisionId"] != revision
    assert second.get_item(**get)["Item"]["v"] == {"S": "theirs"} and shown() == policy
    client.delete_resource_policy(ResourceArn=table_arn(region, "theirs"))


def test_exports_and_imports_are_asked_for_and_recorded(region):
    arns = [table_arn(region, table) for table in ("ours", "copies")]
    allowed = allow(["dynamodb:ExportTableToPointInTime", "dynamodb:ImportTable"], arns)
    client = as_user(region, make_user(region, "mover", allowed)).client()
    bucket = allow(["s3:PutObject", "s3:GetObject", "s3:ListBucket"], ["arn:aws:s3:::moved", "arn:aws:s3:::moved/*"])
    filter = {"FilterExpression": "v = :v", "ExpressionAttributeValues": {":v": {"S": "never told"}}}

    def export(table):
        arn = table_arn(region, table)
        return client.export_table_to_point_in_time(TableArn=arn, S3Bucket="moved", FilterSpecification=filter)

    def load(table):
        parameters = table_definition(table, "pk")
        source = {"S3Bucket": "moved"}
        return client.import_table(S3BucketSource=source, InputFormat="ION", TableCreationParameters=parameters)

    refused(lambda: export("theirs"))
    refused(lambda: load("others"))
    refused(client.list_exports)
    # Who may do it with the table needs S3's permissions, too.
    message = refused(lambda: export("ours"))
    assert "s3:PutObject" in message and "arn:aws:s3:::moved/AWSDynamoDB/" in message
    assert "s3:ListBucket" in refused(lambda: load("copies"))
    region.client("iam").put_user_policy(UserName="mover", PolicyName="bucket", PolicyDocument=bucket)
    # Past the gate: there is no archive here, and no bucket.
    refused(lambda: export("ours"), "PointInTimeRecoveryUnavailableException")
    arn = load("copies")["ImportTableDescription"]["ImportArn"]
    refused(lambda: client.describe_import(ImportArn=arn))
    path = region.folder / "audit.log"

    def records():
        all_records = [json.loads(line) for line in path.read_text().splitlines()]
        last = {record["eventName"]: record for record in all_records}
        return last if {"ExportTableToPointInTime", "ImportTable"} <= set(last) else None

    last = wait_until(records, "records of the calls")
    told = [last[name]["resources"][0]["ARN"] for name in ("ExportTableToPointInTime", "ImportTable")]
    assert told == arns
    assert "never told" not in path.read_text()


def test_root_credentials_are_made_once_and_what_was_made_stays(tmp_path):
    iam_settings = ""
    with serve(tmp_path, iam_settings) as region:
        key = make_user(region, "stays", allow("dynamodb:ListTables"))
    with serve(tmp_path, iam_settings, crash=True) as region:
        assert as_user(region, key).client().list_tables()["TableNames"] == []
        region.client("iam").delete_user_policy(UserName="stays", PolicyName="policy")
    with serve(tmp_path, iam_settings) as region:
        refused(as_user(region, key).client().list_tables)


def test_a_change_in_one_region_works_in_the_others(regions, name):
    first, *others = regions
    key = make_user(first, name, allow("dynamodb:ListTables"))
    for region in others:
        client = as_user(region, key).client()

        def may(client=client):
            try:
                client.list_tables()
            except ClientError as error:
                assert error.response["Error"]["Code"] in ("UnrecognizedClientException", "AccessDeniedException")
                return False
            return True

        wait_until(may, f"the user in {region.name}", STATE_S)
    arn = others[0].client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=trust({"AWS": ACCOUNT}))["Role"]["Arn"]
    others[0].client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=allow("dynamodb:ListTables"))
    others[0].client("iam").put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=allow("sts:AssumeRole", arn))
    session = as_user(others[0], key).client("sts").assume_role(RoleArn=arn, RoleSessionName="session")["Credentials"]
    for region in regions:
        client = as_user(region, session).client()

        def lists(client=client):
            try:
                return client.list_tables() is not None
            except ClientError:
                return False

        wait_until(lists, f"the role's session in {region.name}", STATE_S)
    first.client("iam").delete_user_policy(UserName=name, PolicyName="policy")
    for region in regions:
        sts = as_user(region, key).client("sts")

        def is_refused(sts=sts):
            try:
                sts.assume_role(RoleArn=arn, RoleSessionName="session")
            except ClientError as error:
                return error.response["Error"]["Code"] == "AccessDenied"
            return False

        wait_until(is_refused, f"the policy's end in {region.name}", STATE_S)
