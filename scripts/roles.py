"""A region that enforces policies, and programs that have no keys of it: what the tests of SDKs' credential chains run against.

A program is told by AWS_… variables alone who it is, as in a pod of Kubernetes, or which profile of a shared configuration file.
"""

import base64
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

import boto3
import rsa

ACCOUNT = "000000000000"
REGION = "us-east-1"
PROVIDER = "tokens.example.com/cluster"
SUBJECT = "system:serviceaccount:app:reader"
AUDIENCE = "sts.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
SESSION = "pod"
TOKEN_LASTS_S = 3600

SETTINGS = f"""
region = "{REGION}"
node = "{REGION}"
data_dir = "data"
listen = {{ data = "127.0.0.1:0", admin = "127.0.0.1:0" }}
storage = {{ partitions_per_table = 2 }}
[access]
identity_providers = [{{ url = "https://{PROVIDER}", jwks_file = "jwks.json" }}]
[[credentials]]
access_key_id = "AKIDROOT"
secret_access_key = "hush"
"""


@contextmanager
def region(folder, server):
    """The region, by `libraries.server`; gives the variables of each way to the role: with a token, with a profile."""
    folder.mkdir()
    public, private = rsa.newkeys(2048)
    Path(folder, "jwks.json").write_text(json.dumps({"keys": [jwk(public)]}))
    config = Path(folder, "region.toml")
    config.write_text(SETTINGS)
    token_file, profiles = Path(folder, "token"), Path(folder, "profiles")
    token_file.write_text(token(private))
    # Beside it one that is like it but for its signature.
    Path(folder, "forged").write_text(token(rsa.newkeys(2048)[1]))
    with server(folder, "serve", "--config", config) as endpoint:
        key = prepare(endpoint)
        profiles.write_text(
            f"[profile user]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}\n"
            f"[profile reader]\nrole_arn = {ROLE}\nsource_profile = user\nrole_session_name = {SESSION}\n"
        )
        common = {
            "AWS_ENDPOINT_URL_DYNAMODB": endpoint,
            "AWS_ENDPOINT_URL_STS": endpoint,
            "AWS_REGION": REGION,
            # Nobody's own settings, and no machine's.
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "GEODYNAMO_ASSUMED_ROLE": f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/{SESSION}",
        }
        by_token = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(token_file), "AWS_ROLE_ARN": ROLE, "AWS_ROLE_SESSION_NAME": SESSION}
        by_profile = {"AWS_CONFIG_FILE": str(profiles), "AWS_PROFILE": "reader"}
        yield {"token": common | by_token, "profile": common | by_profile}


def prepare(endpoint):
    """Makes two tables with an item each, the role that may read one of them, and a user who may assume it; gives the user's key."""
    root = {
        "endpoint_url": endpoint,
        "region_name": REGION,
        "aws_access_key_id": "AKIDROOT",
        "aws_secret_access_key": "hush",
    }
    dynamodb, iam = boto3.client("dynamodb", **root), boto3.client("iam", **root)
    for table in ("ours", "theirs"):
        dynamodb.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        dynamodb.get_waiter("table_exists").wait(TableName=table, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        dynamodb.put_item(TableName=table, Item={"pk": {"S": "1"}, "v": {"S": table}})
    provider = iam.create_open_id_connect_provider(Url=f"https://{PROVIDER}", ClientIDList=[AUDIENCE])
    iam.create_user(UserName="user")
    of_token = {
        "Principal": {"Federated": provider["OpenIDConnectProviderArn"]},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{PROVIDER}:sub": SUBJECT}},
    }
    of_user = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/user"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=policy(of_token, of_user))
    table = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/ours"
    reads = policy({"Action": "dynamodb:GetItem", "Resource": table})
    iam.put_role_policy(RoleName="reader", PolicyName="reads", PolicyDocument=reads)
    assumes = policy({"Action": "sts:AssumeRole", "Resource": ROLE})
    iam.put_user_policy(UserName="user", PolicyName="assumes", PolicyDocument=assumes)
    return iam.create_access_key(UserName="user")["AccessKey"]


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **one} for one in statements]})


def jwk(public):
    """The public key, as a provider of identities publishes it."""

    def number(value):
        return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()

    return {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "one", "n": number(public.n), "e": number(public.e)}


def token(private):
    """What the provider gives the pod."""
    header = {"alg": "RS256", "kid": "one", "typ": "JWT"}
    claims = {"iss": f"https://{PROVIDER}", "sub": SUBJECT, "aud": [AUDIENCE], "exp": int(time.time()) + TOKEN_LASTS_S}
    signed = b".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return (signed + b"." + base64url(rsa.sign(signed, private, "SHA-256"))).decode()


def base64url(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=")
