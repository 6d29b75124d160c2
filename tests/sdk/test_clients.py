"""The AWS CLI and PynamoDB, as PyPI ships them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from pynamodb.attributes import ListAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute, VersionAttribute
from pynamodb.exceptions import DoesNotExist, PutError, TableError, UpdateError
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex
from pynamodb.models import Model


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


@pytest.fixture
def Book(dev, name):
    class ByAuthor(GlobalSecondaryIndex):
        class Meta:
            index_name = "by-author"
            projection = AllProjection()
            billing_mode = "PAY_PER_REQUEST"

        author = UnicodeAttribute(hash_key=True)
        year = NumberAttribute(range_key=True)

    class Book(Model):
        class Meta:
            table_name = name
            host = dev.endpoint
            region = dev.name
            aws_access_key_id = dev.access_key_id
            aws_secret_access_key = dev.secret_access_key
            billing_mode = "PAY_PER_REQUEST"
            max_retry_attempts = 0

        isbn = UnicodeAttribute(hash_key=True)
        author = UnicodeAttribute()
        year = NumberAttribute()
        tags = UnicodeSetAttribute(null=True)
        chapters = ListAttribute(default=list)
        version = VersionAttribute()
        by_author = ByAuthor()

    yield Book
    # The test deletes it; a table that is being deleted still exists for a moment.
    with contextlib.suppress(TableError):
        if Book.exists():
            Book.delete_table()


def test_pynamodb(Book):
    assert not Book.exists()
    Book.create_table(wait=True)
    assert Book.exists()

    with Book.batch_write() as batch:
        for n in range(60):
            batch.save(Book(f"isbn-{n}", author=["Ursula", "Stanisław"][n % 2], year=1950 + n, chapters=[n]))
    assert Book.count() == 60
    assert [book.year for book in Book.by_author.query("Ursula", Book.year > 2000)] == [2002, 2004, 2006, 2008]
    assert len(list(Book.scan(Book.year.between(1960, 1969)))) == 10
    assert {book.isbn for book in Book.batch_get(["isbn-1", "isbn-2", "none"])} == {"isbn-1", "isbn-2"}

    book = Book.get("isbn-7")
    book.update(actions=[Book.tags.set({"space"}), Book.year.add(1)])
    assert (book.year, book.tags) == (1958, {"space"})
    # Two copies of one version: the second save is refused.
    copy = Book.get("isbn-7")
    copy.author = "copied"
    copy.save()
    book.author = "too late"
    with pytest.raises(PutError):
        book.save()
    with pytest.raises(UpdateError):
        Book.get("isbn-8").update(actions=[Book.year.set(1)], condition=Book.year == 0)

    Book.get("isbn-9").delete()
    with pytest.raises(DoesNotExist):
        Book.get("isbn-9")
    Book.delete_table()
