"""Several accounts in one cluster, by boto3 as it is: what each sees, what it may be let in to, here and in another region."""

import json
import subprocess

import pytest
from botocore.exceptions import ClientError
from clusters import cluster
from conftest import BINARY, STATE_S, Region, serve, table_definition, wait_until

OWN = "000000000000"
SHOP = "111122223333"
BANK = "444455556666"


def run_account(region, *arguments):
    command = [BINARY, "account", *arguments, "--admin", region.admin]
    return subprocess.run(command, env=region.environment(), capture_output=True, text=True, timeout=60)


def account(region, *arguments):
    done = run_account(region, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_account(region, id, name):
    made = json.loads(account(region, "create", name, "--id", id, "--output", "json"))
    assert made["id"] == id and made["access_key_id"].startswith("AKIA")
    return root(region, made)


def root(region, made):
    """The region as an account's root user sees it."""
    return Region(region.name, region.endpoint, made["access_key_id"], made["secret_access_key"], region.admin)


def as_key(region, key):
    """The region as whoever has a key, or the credentials of a session, sees it."""
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


def make_table(region, name, value, **more):
    client = region.client()
    made = client.create_table(**table_definition(name, "pk", **more))["TableDescription"]
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    client.put_item(TableName=name, Item={"pk": {"S": "1"}, "v": {"S": value}})
    return made


def get(client, table):
    return client.get_item(TableName=table, Key={"pk": {"S": "1"}})["Item"]["v"]["S"]


def arn(region, id, table):
    return f"arn:aws:dynamodb:{region.name}:{id}:table/{table}"


def allow(actions, resource="*", principal=None):
    statement = {"Effect": "Allow", "Action": actions}
    statement |= {"Resource": resource} if resource else {}
    statement |= {"Principal": {"AWS": principal}} if principal else {}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def make_user(region, name, policy=None):
    iam = region.client("iam")
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="policy", PolicyDocument=policy)
    return as_key(region, iam.create_access_key(UserName=name)["AccessKey"])


STREAM = {"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}
ARCHIVE = '[archive]\nurl = "archive"\nship_seconds = 1\n'


@pytest.fixture(scope="module")
def accounts(tmp_path_factory):
    """A region with the cluster's own account and two more, each with a table `orders` that has a stream."""
    with serve(tmp_path_factory.mktemp("accounts"), ARCHIVE) as own:
        shop, bank = make_account(own, SHOP, "shop"), make_account(own, BANK, "bank")
        for region, value in ((own, "own"), (shop, "shop"), (bank, "bank")):
            make_table(region, "orders", value, **STREAM)
        make_table(shop, "only-shop", "shop")
        yield own, shop, bank


def test_accounts_have_tables_of_the_same_name(accounts):
    for region, id, value in zip(accounts, (OWN, SHOP, BANK), ("own", "shop", "bank")):
        client = region.client()
        assert region.client("sts").get_caller_identity()["Account"] == id
        assert get(client, "orders") == value
        assert get(client, arn(region, id, "orders")) == value
        table = client.describe_table(TableName="orders")["Table"]
        assert (table["TableName"], table["TableArn"]) == ("orders", arn(region, id, "orders"))
        assert table["LatestStreamArn"].startswith(arn(region, id, "orders") + "/stream/")
        taken = refused(lambda: client.create_table(**table_definition("orders", "pk")), "ResourceInUseException")
        assert taken == "Table already exists: orders"
        for total in ("TOTAL", "INDEXES"):
            answer = client.get_item(TableName="orders", Key={"pk": {"S": "1"}}, ReturnConsumedCapacity=total)
            assert answer["ConsumedCapacity"]["TableName"] == "orders"
        answer = client.batch_get_item(RequestItems={"orders": {"Keys": [{"pk": {"S": "1"}}]}})
        assert answer["Responses"]["orders"][0]["v"]["S"] == value
        rows = client.execute_statement(Statement='SELECT v FROM "orders"')["Items"]
        assert rows == [{"v": {"S": value}}]


def test_a_clients_token_is_its_accounts(accounts):
    for region in accounts:
        put = {"Put": {"TableName": "orders", "Item": {"pk": {"S": "token"}, "v": {"S": region.access_key_id}}}}
        client = region.client()
        client.transact_write_items(TransactItems=[put], ClientRequestToken="one")
        assert client.get_item(TableName="orders", Key={"pk": {"S": "token"}})["Item"]["v"]["S"] == region.access_key_id


def test_every_listing_is_of_ones_own_account(accounts):
    own, shop, bank = accounts
    for region, id, tables in ((own, OWN, ["orders"]), (shop, SHOP, ["only-shop", "orders"]), (bank, BANK, ["orders"])):
        client = region.client()
        assert client.list_tables()["TableNames"] == tables
        pages = client.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
        assert [name for page in pages for name in page["TableNames"]] == tables
        streams = region.client("dynamodbstreams").list_streams()["Streams"]
        assert [stream["TableName"] for stream in streams] == ["orders"]
        assert streams[0]["StreamArn"].startswith(arn(region, id, "orders"))
        client.tag_resource(ResourceArn=arn(region, id, "orders"), Tags=[{"Key": "of", "Value": id}])
        assert client.list_tags_of_resource(ResourceArn=arn(region, id, "orders"))["Tags"] == [{"Key": "of", "Value": id}]
        client.update_contributor_insights(TableName="orders", ContributorInsightsAction="ENABLE")
        insights = client.list_contributor_insights()["ContributorInsightsSummaries"]
        assert [summary["TableName"] for summary in insights] == ["orders"]
        backup = client.create_backup(TableName="orders", BackupName="one")["BackupDetails"]["BackupArn"]
        assert backup.startswith(arn(region, id, "orders") + "/backup/")
        wait_until(
            lambda: client.describe_backup(BackupArn=backup)["BackupDescription"]["BackupDetails"]["BackupStatus"]
            == "AVAILABLE",
            "a backup",
        )
        backups = client.list_backups()["BackupSummaries"]
        assert [(summary["TableName"], summary["BackupArn"]) for summary in backups] == [("orders", backup)]
        assert [page["ExportSummaries"] for page in [client.list_exports()]] == [[]]
        assert client.list_imports()["ImportSummaryList"] == []
        region.backup = backup
    # Nobody else's backup is shown, restored or removed.
    for call in (bank.client().describe_backup, bank.client().delete_backup):
        refused(lambda: call(BackupArn=shop.backup))
    refused(lambda: bank.client().restore_table_from_backup(TargetTableName="stolen", BackupArn=shop.backup))
    restored = shop.client().restore_table_from_backup(TargetTableName="again", BackupArn=shop.backup)
    assert restored["TableDescription"]["TableArn"] == arn(shop, SHOP, "again")
    shop.client().get_waiter("table_exists").wait(TableName="again", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert get(shop.client(), "again") == "shop"
    shop.client().delete_table(TableName="again")
    shop.client().get_waiter("table_not_exists").wait(TableName="again", WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def test_nothing_tells_what_another_account_has(accounts):
    own, shop, bank = accounts
    for caller, other in ((own, SHOP), (bank, SHOP), (bank, OWN)):
        client = caller.client()
        there, not_there = arn(caller, other, "orders"), arn(caller, other, "nothing")
        calls = [
            lambda table: client.get_item(TableName=table, Key={"pk": {"S": "1"}}),
            lambda table: client.put_item(TableName=table, Item={"pk": {"S": "1"}}),
            lambda table: client.scan(TableName=table),
            lambda table: client.describe_table(TableName=table),
            lambda table: client.delete_table(TableName=table),
            lambda table: client.execute_statement(Statement=f'SELECT * FROM "{table}"'),
            lambda table: client.batch_get_item(RequestItems={table: {"Keys": [{"pk": {"S": "1"}}]}}),
            lambda table: client.transact_get_items(TransactItems=[{"Get": {"TableName": table, "Key": {"pk": {"S": "1"}}}}]),
            lambda table: client.list_tags_of_resource(ResourceArn=table),
            lambda table: client.get_resource_policy(ResourceArn=table),
            lambda table: client.create_table(**table_definition(table, "pk")),
        ]
        for call in calls:
            told = [refused(lambda: call(table)).replace(table, "TABLE") for table in (there, not_there)]
            assert told[0] == told[1]
        # Whoever has the table is told: the calls tell the two apart.
        assert shop.client().describe_table(TableName="orders") and refused(
            lambda: shop.client().describe_table(TableName="nothing"), "ResourceNotFoundException"
        )
    # The name that the catalog has for it is no name to clients.
    for name in (f"{SHOP}@orders", f"arn:aws:dynamodb:us-east-1:{OWN}:table/{SHOP}@orders"):
        with pytest.raises(ClientError) as error:
            own.client().get_item(TableName=name, Key={"pk": {"S": "1"}})
        assert error.value.response["Error"]["Code"] in ("ValidationException", "ResourceNotFoundException")


def test_an_escaped_arn_is_an_arn(accounts):
    """Root's requests that name no ARN pass without any policy: one that hides it does not."""
    own, shop, _ = accounts
    client = own.client()
    table = arn(own, SHOP, "orders")

    def hide(request, **_):
        request.data = request.data.replace(b"arn:", b"\\u0061rn:")

    client.meta.events.register("before-sign.dynamodb.GetItem", hide)
    sent = []
    client.meta.events.register("before-send.dynamodb.GetItem", lambda request, **_: sent.append(request.body))
    refused(lambda: get(client, table))
    assert b"\\u0061rn:" in sent[0], sent


@pytest.mark.parametrize("identity", [False, True])
@pytest.mark.parametrize("resource", [False, True])
def test_a_table_of_another_account_takes_both_sides(accounts, identity, resource):
    own, shop, bank = accounts
    name = f"shared-{identity}-{resource}".lower()
    make_table(shop, name, "shop")
    table = arn(shop, SHOP, name)
    reads = ["dynamodb:GetItem", "dynamodb:BatchGetItem"]
    user = make_user(bank, name, allow(reads, table) if identity else None)
    if resource:
        policy = allow(reads, table, f"arn:aws:iam::{BANK}:user/{name}")
        shop.client().put_resource_policy(ResourceArn=table, Policy=policy)
    if identity and resource:
        assert get(user.client(), table) == "shop"
        answer = user.client().batch_get_item(RequestItems={table: {"Keys": [{"pk": {"S": "1"}}]}})
        assert answer["Responses"][table][0]["v"]["S"] == "shop"
        # Only what was said.
        refused(lambda: user.client().put_item(TableName=table, Item={"pk": {"S": "2"}}))
        shop.client().delete_resource_policy(ResourceArn=table)
    refused(lambda: get(user.client(), table))
    refused(lambda: get(own.client(), table))
    # A name is of one's own account.
    refused(lambda: get(user.client(), name))
    refused(lambda: get(bank.client(), name), "ResourceNotFoundException")
    shop.client().delete_table(TableName=name)


def test_root_of_another_account_may_be_let_in(accounts):
    _, shop, bank = accounts
    table = arn(shop, SHOP, "only-shop")
    shop.client().put_resource_policy(ResourceArn=table, Policy=allow("dynamodb:GetItem", table, BANK))
    assert get(bank.client(), table) == "shop"
    shop.client().delete_resource_policy(ResourceArn=table)
    refused(lambda: get(bank.client(), table))


def test_policies_of_tables_name_principals_that_there_are(accounts):
    _, shop, _ = accounts
    table = arn(shop, SHOP, "only-shop")
    put = lambda name: shop.client().put_resource_policy(
        ResourceArn=table, Policy=allow("dynamodb:GetItem", table, f"arn:aws:iam::{SHOP}:{name}")
    )
    refused(lambda: put("user/nobody"), "ValidationException")
    make_user(shop, "somebody", None)
    for name in ("user/somebody", "root"):
        put(name)
    shop.client().delete_resource_policy(ResourceArn=table)


def test_accounts_have_principals_of_the_same_name(accounts):
    users = {}
    for region, id in zip(accounts, (OWN, SHOP, BANK)):
        users[id] = make_user(region, "ann", allow("dynamodb:GetItem", arn(region, id, "orders")))
        iam = region.client("iam")
        assert iam.get_user(UserName="ann")["User"]["Arn"] == f"arn:aws:iam::{id}:user/ann"
        policy = iam.create_policy(PolicyName="same", PolicyDocument=allow("iam:GetUser"))["Policy"]["Arn"]
        assert policy == f"arn:aws:iam::{id}:policy/same"
    for region, id, value in zip(accounts, (OWN, SHOP, BANK), ("own", "shop", "bank")):
        assert get(users[id].client(), "orders") == value
        iam = region.client("iam")
        assert [user["Arn"] for user in iam.list_users()["Users"] if user["UserName"] == "ann"] == [f"arn:aws:iam::{id}:user/ann"]
        local = iam.list_policies(Scope="Local")["Policies"]
        assert [one["Arn"] for one in local] == [f"arn:aws:iam::{id}:policy/same"]
    own, shop, _ = accounts
    # A policy of another account cannot be attached, or seen.
    other = f"arn:aws:iam::{OWN}:policy/same"
    refused(lambda: shop.client("iam").attach_user_policy(UserName="ann", PolicyArn=other), "NoSuchEntity")
    refused(lambda: shop.client("iam").get_policy(PolicyArn=other), "NoSuchEntity")
    own.client("iam").create_user(UserName="only-own")
    refused(lambda: shop.client("iam").get_user(UserName="only-own"), "NoSuchEntity")
    key = users[OWN].access_key_id
    refused(lambda: shop.client("iam").get_access_key_last_used(AccessKeyId=key), "NoSuchEntity")


def test_a_role_of_another_account_is_assumed_if_both_say_so(accounts):
    _, shop, bank = accounts
    role = f"arn:aws:iam::{SHOP}:role/reader"
    iam = shop.client("iam")
    trust = allow("sts:AssumeRole", None, f"arn:aws:iam::{BANK}:user/assumes")
    # Who is trusted must be there.
    refused(lambda: iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust), "MalformedPolicyDocument")
    trusted = make_user(bank, "assumes")
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=trust)
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=allow("dynamodb:GetItem"))
    other = make_user(bank, "other", allow("sts:AssumeRole", role))

    def assume(user, arn=role):
        return user.client("sts").assume_role(RoleArn=arn, RoleSessionName="one")

    # Trusted, but not allowed; allowed, but not trusted; none of both; a role that is not there.
    told = {refused(lambda: assume(user), "AccessDenied").replace(user_name, "USER")
            for user, user_name in ((trusted, "assumes"), (other, "other"))}
    assert len(told) == 1
    missing = refused(lambda: assume(trusted, role.replace("reader", "none")), "AccessDenied")
    assert missing.replace("none", "reader").replace("assumes", "USER") in told
    bank.client("iam").put_user_policy(UserName="assumes", PolicyName="p", PolicyDocument=allow("sts:AssumeRole", role))
    answer = assume(trusted)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{SHOP}:assumed-role/reader/one"
    session = as_key(shop, answer["Credentials"])
    assert session.client("sts").get_caller_identity()["Account"] == SHOP
    assert get(session.client(), "orders") == "shop"
    refused(lambda: get(session.client(), arn(shop, BANK, "orders")))
    iam.delete_role_policy(RoleName="reader", PolicyName="p")
    refused(lambda: get(session.client(), "orders"))


def test_sessions_of_an_accounts_root(accounts):
    _, shop, _ = accounts
    session = as_key(shop, shop.client("sts").get_session_token()["Credentials"])
    assert session.client("sts").get_caller_identity()["Arn"] == f"arn:aws:iam::{SHOP}:root"
    assert session.client().list_tables()["TableNames"] == ["only-shop", "orders"]


def test_the_clusters_operators_are_of_its_own_account(tmp_path):
    with serve(tmp_path, "[admin]\ntrust_local = false") as own:
        environment = {"AWS_ACCESS_KEY_ID": own.access_key_id, "AWS_SECRET_ACCESS_KEY": own.secret_access_key}

        def run(*arguments, key=environment):
            return subprocess.run(
                [BINARY, "account", *arguments, "--admin", own.admin], env=key, capture_output=True, text=True, timeout=60
            )

        made = json.loads(run("create", "shop", "--output", "json").stdout)
        assert len(made["id"]) == 12 and made["id"] != OWN
        listed = json.loads(run("list", "--output", "json").stdout)
        assert [(one["id"], one["name"], one["own"]) for one in listed] == [(OWN, "", True), (made["id"], "shop", False)]
        of_shop = {"AWS_ACCESS_KEY_ID": made["access_key_id"], "AWS_SECRET_ACCESS_KEY": made["secret_access_key"]}
        for arguments in (("list",), ("create", "mine"), ("delete", made["id"]), ("reset-root", made["id"])):
            done = run(*arguments, key=of_shop)
            assert done.returncode != 0 and "is not authorized to perform" in done.stderr, done
            assert run(*arguments, key={}).returncode != 0


def test_accounts_are_made_with_a_key_only(tmp_path):
    """Also on the region's own machine, which is trusted with what is there otherwise."""
    with serve(tmp_path, '[audit]\npath = "audit.log"\n') as own:
        unsigned = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
        create = [BINARY, "account", "create", "shop", "--admin", own.admin]
        done = subprocess.run(create, env=unsigned, capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "AWS_ACCESS_KEY_ID" in done.stderr, done
        assert subprocess.run([BINARY, "account", "list", "--admin", own.admin], env=unsigned, timeout=60).returncode == 0
        nobody = make_user(own, "nobody")
        assert "is not authorized to perform: geodynamo:ChangeAccounts" in run_account(
            Region(own.name, own.endpoint, nobody.access_key_id, nobody.secret_access_key, own.admin), "create", "shop"
        ).stderr
        make_account(own, SHOP, "shop")

        def records():
            lines = map(json.loads, (tmp_path / "audit.log").read_text().splitlines())
            found = [record for record in lines if record["eventName"] == "ChangeAccounts"]
            return found if len(found) >= 2 else None

        denied, made = wait_until(records, "records of what was asked for")
        assert denied["userIdentity"]["userName"] == "nobody" and denied["errorCode"] == "AccessDenied"
        assert made["userIdentity"]["type"] == "Root" and "errorCode" not in made
        assert made["eventSource"] == "geodynamo.amazonaws.com" and made["requestParameters"]["path"] == "/accounts"
        for record in (denied, made):
            assert record["requestParameters"]["body"]["name"] == "shop"
        assert made["requestParameters"]["body"]["id"] == SHOP


def test_an_account_from_its_making_to_its_end(tmp_path):
    with serve(tmp_path) as own:
        shop = make_account(own, SHOP, "shop")
        wrong = [("create", "again", "--id", SHOP), ("create", "x", "--id", "12"), ("create", "x", "--id", OWN), ("create", "")]
        for arguments in wrong + [("delete", BANK), ("reset-root", OWN), ("delete", OWN)]:
            done = run_account(own, *arguments)
            assert done.returncode != 0 and "signature" not in done.stderr, done
        make_table(shop, "orders", "shop")
        ann = make_user(shop, "ann", allow("dynamodb:GetItem"))
        session = as_key(shop, shop.client("sts").get_session_token()["Credentials"])
        # Lost keys: the operator gives new ones, and those before are of no use.
        again = root(own, json.loads(account(own, "reset-root", SHOP, "--output", "json")))
        refused(lambda: shop.client().list_tables(), "UnrecognizedClientException")
        assert get(again.client(), "orders") == "shop"
    # After a restart.
    with serve(tmp_path) as own:
        moved = lambda region: as_key(own, {"AccessKeyId": region.access_key_id, "SecretAccessKey": region.secret_access_key})
        again, ann = moved(again), moved(ann)
        assert get(again.client(), "orders") == "shop" and get(ann.client(), "orders") == "shop"
        assert own.client().list_tables()["TableNames"] == []
        done = run_account(own, "delete", SHOP)
        assert done.returncode != 0 and "has 1 tables" in done.stderr
        again.client().delete_table(TableName="orders")
        again.client().get_waiter("table_not_exists").wait(TableName="orders", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        account(own, "delete", SHOP)
        settings = session.settings()
        session.settings = lambda: {**settings, "endpoint_url": own.endpoint}
        for gone in (again, ann, session):
            refused(lambda: gone.client().list_tables(), "UnrecognizedClientException")
        # Another account with that number has nothing of it.
        new = make_account(own, SHOP, "new")
        assert new.client("iam").list_users()["Users"] == [] and new.client().list_tables()["TableNames"] == []
        for gone in (again, ann, session):
            refused(lambda: gone.client().list_tables(), "UnrecognizedClientException")


def test_accounts_are_of_all_regions(tmp_path):
    with cluster(tmp_path, ["eu-west-1", "us-east-1"], '[access]\ncluster_key_file = "../certs/cluster.key"\n') as (eu, us):
        shop = make_account(eu.region, SHOP, "shop")
        ann = make_user(shop, "ann", allow("dynamodb:*"))
        for node, region in ((eu, eu.region), (eu, shop)):
            make_table(region, "orders", region.access_key_id, **STREAM)
            region.client().update_table(TableName="orders", ReplicaUpdates=[{"Create": {"RegionName": "us-east-1"}}])

        def there(signer):
            far = Region("us-east-1", us.region.endpoint, signer.access_key_id, signer.secret_access_key)
            try:
                client = far.client()
                assert client.describe_table(TableName="orders")["Table"]["TableStatus"] == "ACTIVE"
                return get(client, "orders")
            except (ClientError, AssertionError, KeyError):
                return None

        for signer in (eu.region, shop, ann):
            wait_until(lambda: there(signer), f"the table of {signer.access_key_id} in the other region", STATE_S)
        assert there(eu.region) == eu.region.access_key_id
        assert there(shop) == there(ann) == shop.access_key_id
        far = Region("us-east-1", us.region.endpoint, shop.access_key_id, shop.secret_access_key).client()
        table = far.describe_table(TableName="orders")["Table"]
        assert table["TableArn"] == f"arn:aws:dynamodb:us-east-1:{SHOP}:table/orders"
        # What is written there comes here, to its own table.
        far.put_item(TableName="orders", Item={"pk": {"S": "back"}, "v": {"S": "shop"}})
        back = {"TableName": "orders", "Key": {"pk": {"S": "back"}}}
        wait_until(lambda: "Item" in shop.client().get_item(**back), "what the other region wrote", STATE_S)
        assert "Item" not in eu.client().get_item(**back)
