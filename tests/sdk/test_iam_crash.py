"""Calls of administrators that kill -9 breaks off, at any moment: after it there is the state before the call or that after it."""

import copy
import http.client
import json
import random
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from conftest import Region, serve, wait_until
from test_accounts import SHOP, account, make_account, make_user, refused, root
from test_admin_port import ask

ROUNDS = 10
# The killer waits at most so long once calls are under way.
DELAY_S = 0.2
USERS_MAX = 6
VERSIONS_MAX = 5
READ_ONLY = "arn:aws:iam::aws:policy/AmazonDynamoDBReadOnlyAccess"
POLICY = "arn:aws:iam::000000000000:policy/changes"
ARCHIVE = '[archive]\nurl = "archive"\nship_seconds = 1\n'


def document(number):
    statement = {"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": f"arn:aws:dynamodb:*:*:table/t{number}"}
    return {"Version": "2012-10-17", "Statement": [statement]}


class Calls(threading.Thread):
    """One call after the other until nobody answers; knows the state that is certain and the one that the call under way leads to."""

    def __init__(self, region, state, rng):
        super().__init__(daemon=True)
        self.iam, self.state, self.rng = region.client("iam"), state, rng
        self.next, self.done, self.error = None, 0, None

    def run(self):
        while self.error is None:
            try:
                operation, arguments, after = self.choose()
                self.next = after
                getattr(self.iam, operation)(**arguments)
            except BotoCoreError:
                return
            except ClientError as error:
                self.error = error
                return
            self.state, self.next, self.done = after, None, self.done + 1

    def choose(self):
        """A call that there is reason to expect success of, and the state after it."""
        after = copy.deepcopy(self.state)
        users, versions = after["users"], after["versions"]
        calls = [self.create_user] if len(users) < USERS_MAX else []
        calls += [self.change_user, self.change_user, self.rename_user, self.delete_user] if users else []
        calls += [self.new_version if len(versions) < VERSIONS_MAX else self.old_version]
        operation, arguments = self.rng.choice(calls)(users, versions)
        return operation, arguments, after

    def new_name(self):
        return f"user-{self.rng.getrandbits(48):x}"

    def create_user(self, users, _):
        name = self.new_name()
        users[name] = {"inline": {}, "attached": [], "tags": [{"Key": "made", "Value": "whole"}]}
        return "create_user", {"UserName": name, "Tags": users[name]["tags"]}

    def change_user(self, users, _):
        name = self.rng.choice(sorted(users))
        user, of_user = users[name], {"UserName": name}
        if self.rng.random() < 0.5:
            attach = not user["attached"]
            user["attached"] = [READ_ONLY] if attach else []
            return ("attach_user_policy" if attach else "detach_user_policy"), {**of_user, "PolicyArn": READ_ONLY}
        policy, content = f"policy-{self.rng.randrange(2)}", document(self.rng.getrandbits(32))
        user["inline"][policy] = content
        return "put_user_policy", {**of_user, "PolicyName": policy, "PolicyDocument": json.dumps(content)}

    def rename_user(self, users, _):
        name, new = self.rng.choice(sorted(users)), self.new_name()
        users[new] = users.pop(name)
        return "update_user", {"UserName": name, "NewUserName": new}

    def delete_user(self, users, _):
        """What a user has goes first, a call each."""
        name = self.rng.choice(sorted(users))
        user, of_user = users[name], {"UserName": name}
        if user["inline"]:
            policy = min(user["inline"])
            del user["inline"][policy]
            return "delete_user_policy", {**of_user, "PolicyName": policy}
        if user["attached"]:
            user["attached"] = []
            return "detach_user_policy", {**of_user, "PolicyArn": READ_ONLY}
        del users[name]
        return "delete_user", of_user

    def new_version(self, _, versions):
        """The new one is the default one, and the one before is not any more."""
        content = document(self.rng.getrandbits(32))
        for version in versions:
            version["default"] = False
        versions.append({"document": content, "default": True})
        return "create_policy_version", {"PolicyArn": POLICY, "PolicyDocument": json.dumps(content), "SetAsDefault": True}

    def old_version(self, _, versions):
        shown = self.iam.list_policy_versions(PolicyArn=POLICY)["Versions"]
        oldest = min((version["VersionId"] for version in shown), key=lambda id: int(id[1:]))
        del versions[0]
        return "delete_policy_version", {"PolicyArn": POLICY, "VersionId": oldest}


def shown(region):
    """What the region's IAM has, in the form of the states above."""
    details = region.client("iam").get_account_authorization_details(Filter=["User", "LocalManagedPolicy"])
    users = {
        user["UserName"]: {
            "inline": {policy["PolicyName"]: policy["PolicyDocument"] for policy in user.get("UserPolicyList", [])},
            "attached": [policy["PolicyArn"] for policy in user["AttachedManagedPolicies"]],
            "tags": user.get("Tags", []),
        }
        for user in details["UserDetailList"]
    }
    (policy,) = details["Policies"]
    versions = sorted(policy["PolicyVersionList"], key=lambda version: int(version["VersionId"][1:]))
    kept = [{"document": version["Document"], "default": version["IsDefaultVersion"]} for version in versions]
    return {"users": users, "versions": kept}


def test_a_call_that_is_broken_off_is_done_or_not_done(tmp_path):
    rng = random.Random(15)
    with serve(tmp_path) as region:
        region.client("iam").create_policy(PolicyName="changes", PolicyDocument=json.dumps(document(0)))
        state = shown(region)
    assert state == {"users": {}, "versions": [{"document": document(0), "default": True}]}
    broken_off = 0
    for turn in range(ROUNDS):
        with serve(tmp_path, crash=True) as region:
            calls = Calls(region, state, rng)
            calls.start()
            wait_until(lambda: calls.done > 0 or not calls.is_alive(), "calls are under way")
            # No state to wait for: the moment is to be any.
            time.sleep(rng.random() * DELAY_S)
        calls.join(60)
        assert not calls.is_alive() and calls.error is None, calls.error
        with serve(tmp_path) as region:
            state = shown(region)
        broken_off += calls.next is not None
        assert state in (calls.state, calls.next), f"round {turn}: {state} is neither {calls.state} nor {calls.next}"
    assert broken_off > 0, "no call was under way at any kill"
    # The judge tells what is neither: a half of a new name.
    with serve(tmp_path) as region:
        half = copy.deepcopy(state)
        half["users"]["half"] = {"inline": {}, "attached": [], "tags": []}
        region.client("iam").create_user(UserName="half")
        assert shown(region) == half != state


class Shop:
    """An account with all that it can have of principals, and a vault; each time the same."""

    USERS = 8

    def __init__(self, own):
        made = make_account(own, SHOP, "shop")
        policy = json.dumps(document(1))
        self.signers = [made] + [make_user(made, f"user-{number}", policy) for number in range(self.USERS)]
        made.client("backup").create_backup_vault(BackupVaultName="vault")

    def at(self, own):
        """Its root user and its users, after a restart."""
        return [Region(own.name, own.endpoint, old.access_key_id, old.secret_access_key, own.admin) for old in self.signers]

    def check(self, own):
        """True if it is there, whole; false if nobody has a key of it. Fails if it is half there."""
        listed = SHOP in [one["id"] for one in json.loads(account(own, "list", "--output", "json"))]
        signers = self.at(own)
        if not listed:
            for signer in signers:
                refused(signer.client("sts").get_caller_identity, "InvalidClientTokenId")
            return False
        for signer in signers:
            assert signer.client("sts").get_caller_identity()["Account"] == SHOP
        users = signers[0].client("iam").get_account_authorization_details(Filter=["User"])["UserDetailList"]
        assert len(users) == self.USERS
        for user in users:
            assert [policy["PolicyDocument"] for policy in user["UserPolicyList"]] == [document(1)]
        assert vaults(signers[0]) == {"vault"}
        return True


def vaults(region):
    listed = region.client("backup").list_backup_vaults()["BackupVaultList"]
    return {vault["BackupVaultName"] for vault in listed}


def delete(own):
    """Asks for the account's end; gives the status, or nothing if nobody answers any more."""
    try:
        return ask(own, f"/accounts/{SHOP}", (own.access_key_id, own.secret_access_key), method="DELETE")[0]
    except (OSError, http.client.HTTPException):
        return None


def test_an_accounts_end_that_is_broken_off_is_none_or_is_finished_by_asking_again(tmp_path):
    rng = random.Random(16)
    with serve(tmp_path, ARCHIVE) as own:
        shop = Shop(own)
        assert shop.check(own)
        # The judge tells half an account.
        one = shop.signers[0].client("iam")
        one.delete_user_policy(UserName="user-3", PolicyName="policy")
        with pytest.raises(AssertionError):
            shop.check(own)
        start = time.monotonic()
        assert delete(own) == 200
        took = time.monotonic() - start
        assert not shop.check(own)
        shop = Shop(own)
    outcomes, moment = [], took
    for turn in range(ROUNDS):
        with serve(tmp_path, ARCHIVE, crash=True) as own:
            answered = []
            deleting = threading.Thread(target=lambda: answered.append(delete(own)), daemon=True)
            deleting.start()
            # No state to wait for: the moment is to be any, in the call or just after it.
            time.sleep(rng.random() * moment)
        deleting.join(60)
        with serve(tmp_path, ARCHIVE) as own:
            is_there = shop.check(own)
            assert not (is_there and answered == [200]), f"round {turn}: it was said to be deleted"
            assert delete(own) == (200 if is_there else 404)
            assert not shop.check(own)
            outcomes.append((is_there, answered[0]))
            # Nearer to where the one state becomes the other.
            moment *= 2 if is_there else 0.5
            # Whoever gets the number next finds nothing of it, nor of its vault in the archive, when making one of that name.
            made = json.loads(account(own, "create", "next", "--id", SHOP, "--output", "json"))
            found = root(own, made)
            assert found.client("iam").list_users()["Users"] == [] and vaults(found) == set()
            found.client("backup").create_backup_vault(BackupVaultName="vault")
            assert delete(own) == 200
            shop = Shop(own)
    assert any(answer is None for _, answer in outcomes), f"no call was under way at any kill: {outcomes}"
    assert {is_there for is_there, _ in outcomes} == {True, False}, f"only one of the states was seen: {outcomes}"
