"""PynamoDB: models over one table."""

from datetime import datetime, timedelta, timezone

import pytest
from pynamodb.attributes import (
    BinaryAttribute,
    BinarySetAttribute,
    BooleanAttribute,
    DiscriminatorAttribute,
    JSONAttribute,
    ListAttribute,
    MapAttribute,
    NullAttribute,
    NumberAttribute,
    NumberSetAttribute,
    TTLAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
    UTCDateTimeAttribute,
    VersionAttribute,
)
from pynamodb.connection import Connection
from pynamodb.exceptions import (
    DeleteError,
    DoesNotExist,
    PutError,
    QueryError,
    TransactGetError,
    TransactWriteError,
    UpdateError,
)
from pynamodb.expressions.condition import size
from pynamodb.indexes import AllProjection, GlobalSecondaryIndex, IncludeProjection, LocalSecondaryIndex
from pynamodb.models import Model
from pynamodb.transactions import TransactGet, TransactWrite


class Publisher(MapAttribute):
    name = UnicodeAttribute()
    founded = NumberAttribute(null=True)


@pytest.fixture
def models(endpoint, name):
    """A table with a sort key and both kinds of index, and two kinds of item in it, told apart by a discriminator."""

    class ByAuthor(GlobalSecondaryIndex):
        class Meta:
            index_name = "by-author"
            projection = AllProjection()

        author = UnicodeAttribute(hash_key=True)
        year = NumberAttribute(range_key=True)

    class ByYear(LocalSecondaryIndex):
        class Meta:
            index_name = "by-year"
            projection = IncludeProjection(["kind"])

        shelf = UnicodeAttribute(hash_key=True)
        year = NumberAttribute(range_key=True)

    class Thing(Model):
        class Meta:
            table_name = name
            host = endpoint
            region = "us-east-1"
            billing_mode = "PAY_PER_REQUEST"
            stream_view_type = "NEW_AND_OLD_IMAGES"
            max_retry_attempts = 0

        shelf = UnicodeAttribute(hash_key=True)
        isbn = UnicodeAttribute(range_key=True)
        kind = DiscriminatorAttribute()
        author = UnicodeAttribute(null=True)
        year = NumberAttribute(default=0)
        by_author = ByAuthor()
        by_year = ByYear()

    class Book(Thing, discriminator="book"):
        tags = UnicodeSetAttribute(null=True)
        prizes = NumberSetAttribute(null=True)
        scans = BinarySetAttribute(null=True, legacy_encoding=False)
        cover = BinaryAttribute(null=True, legacy_encoding=False)
        lent = BooleanAttribute(default=False)
        chapters = ListAttribute(default=list)
        publisher = Publisher(null=True)
        notes = JSONAttribute(null=True)
        bought = UTCDateTimeAttribute(null=True)
        nothing = NullAttribute(null=True)
        version = VersionAttribute()

    class Loan(Thing, discriminator="loan"):
        expires = TTLAttribute(null=True)

    Thing.create_table(wait=True)
    return Thing, Book, Loan


def test_table(models, client, name):
    Thing, Book, _ = models
    about = Thing.describe_table()
    assert [about["TableStatus"], about["ItemCount"]] == ["ACTIVE", 0]
    assert about["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert [about[f"{kind}SecondaryIndexes"][0]["IndexName"] for kind in ("Global", "Local")] == ["by-author", "by-year"]
    Thing.create_table(wait=True)  # it exists: nothing to do
    Thing.delete_table(wait=True)
    assert not Thing.exists()
    with pytest.raises(PutError) as refused:
        Book("a", "b").save()
    assert refused.value.cause_response_code == "ResourceNotFoundException"


def test_every_type_comes_back(models):
    Thing, Book, _ = models
    now = datetime.now(timezone.utc)
    book = Book(
        "sf",
        "1",
        author="Ursula K. Le Guin",
        year=1974,
        tags={"anarchy", "ödland"},
        prizes={1, 2.5, -3e-7},
        scans={b"\x00", b"\xff\xfe"},
        cover=bytes(range(256)),
        lent=True,
        chapters=["Anarres", 2, {"three": [None, False]}],
        publisher=Publisher(name="Harper", founded=1817),
        notes={"deep": {"er": [1, 2, {"est": None}]}},
        bought=now,
    )
    book.save()
    back = Thing.get("sf", "1", consistent_read=True)
    assert type(back) is Book
    assert back.attribute_values.pop("publisher").as_dict() == {"name": "Harper", "founded": 1817}
    assert back.attribute_values == {name: value for name, value in book.attribute_values.items() if name != "publisher"}
    assert (back.version, back.nothing) == (1, None)
    book.refresh()
    assert book.publisher.founded == 1817


def test_queries_and_scans(models):
    Thing, Book, Loan = models
    with Thing.batch_write() as batch:
        for n in range(60):
            author = ["Ursula", "Stanisław", "Octavia"][n % 3]
            batch.save(Book(["sf", "poems"][n % 2], f"{n:03}", author=author, year=1950 + n, chapters=[n], tags={f"t{n % 4}"}))
        for n in range(5):
            batch.save(Loan("sf", f"loan-{n}"))
    assert (Thing.count(), Thing.count("sf"), Book.count("sf"), Loan.count("sf")) == (65, 35, 30, 5)
    assert [book.isbn for book in Thing.query("sf", Thing.isbn.startswith("05"))] == ["050", "052", "054", "056", "058"]
    assert [b.isbn for b in Book.query("poems", Thing.isbn.between("000", "009"), scan_index_forward=False)] == [
        *("009", "007", "005", "003", "001")
    ]
    found = Book.query("sf", filter_condition=Book.tags.contains("t2") & (Book.year > 2000) & ~(Book.year == 2008))
    assert [book.year for book in found] == [2004]
    some = Book.scan(Book.author.is_in("Ursula", "nobody") | (Book.chapters[0] == 7))
    assert len(list(some)) == 21

    # Pages of three, to the end; and on from where a stopped reader was.
    assert len(list(Thing.query("sf", page_size=3))) == 35
    first = Thing.query("sf", limit=10)
    head = [thing.isbn for thing in first]
    rest = [thing.isbn for thing in Thing.query("sf", last_evaluated_key=first.last_evaluated_key)]
    assert head + rest == sorted(head + rest) and len(head + rest) == 35

    assert [book.year for book in Thing.by_author.query("Octavia", Thing.year >= 2000)] == [2000, 2003, 2006, 2009]
    assert Thing.by_author.count("Ursula") == 20
    assert [book.year for book in Thing.by_year.query("poems", Thing.year < 1956, scan_index_forward=False)] == [1955, 1953, 1951]
    assert len(list(Thing.by_author.scan())) == 60
    assert sum(len(list(Thing.scan(segment=part, total_segments=4))) for part in range(4)) == 65
    keys = [("sf", f"{n:03}") for n in range(0, 60, 2)] + [("sf", "none")]
    assert len(list(Thing.batch_get(keys))) == 30
    assert [(b.year, b.author) for b in Book.batch_get([("sf", "002")], attributes_to_get=["year"])] == [(1952, None)]
    with Thing.batch_write() as batch:
        for key in keys:
            batch.delete(Thing(*key))
    assert Thing.count("sf") == 5
    with pytest.raises(QueryError):
        list(Thing.query("sf", filter_condition=Thing.isbn == "1"))


def test_updates_under_conditions(models):
    _, Book, _ = models
    book = Book("sf", "1", author="a", year=1950, chapters=["one"], tags={"x", "y"}, publisher=Publisher(name="P"))
    book.save(Book.isbn.does_not_exist())
    with pytest.raises(PutError) as refused:
        Book("sf", "1", author="other").save(Book.isbn.does_not_exist())
    assert refused.value.cause_response_code == "ConditionalCheckFailedException"
    book.update(
        actions=[
            Book.year.set(Book.year + 8),
            Book.chapters.set(Book.chapters.append(["two"])),
            Book.tags.add({"z"}),
            Book.publisher.founded.set(Book.publisher.founded | 1900),
            Book.notes.set({"n": 1}),
            Book.author.remove(),
        ],
        condition=Book.tags.contains("x") & (Book.year == 1950) & Book.author.is_type() & (size(Book.tags) >= 2),
    )
    assert (book.year, book.tags, book.publisher.founded, book.author) == (1958, {"x", "y", "z"}, 1900, None)
    assert list(book.chapters) == ["one", "two"]
    book.update(actions=[Book.tags.delete({"x", "y"}), Book.year.add(-1), Book.chapters[1].set("2"), Book.notes.remove()])
    assert (book.tags, book.year, list(book.chapters), book.notes) == ({"z"}, 1957, ["one", "2"], None)
    with pytest.raises(UpdateError):
        book.update(actions=[Book.year.set(1)], condition=Book.author.exists())

    # Two copies of one version: the one that is late is refused.
    copy = Book.get("sf", "1")
    assert copy.version == 3
    copy.author = "copied"
    copy.save()
    book.author = "late"
    with pytest.raises(PutError):
        book.save()
    with pytest.raises(DeleteError):
        book.delete()
    copy.delete(Book.author == "copied")
    with pytest.raises(DoesNotExist):
        Book.get("sf", "1")


def test_transactions(models, endpoint):
    Thing, Book, Loan = models
    connection = Connection(region="us-east-1", host=endpoint, max_retry_attempts=0)
    with TransactWrite(connection=connection, client_request_token=Thing.Meta.table_name) as transaction:
        for n in range(10):
            transaction.save(Book("sf", f"{n}", year=n), condition=Book.isbn.does_not_exist())
    with TransactWrite(connection=connection) as transaction:
        transaction.update(Book("sf", "1", version=1), actions=[Book.lent.set(True)], condition=Book.year == 1)
        transaction.save(Loan("sf", "loan-1"))
        transaction.delete(Book("sf", "2", version=1))
        transaction.condition_check(Book, "sf", "3", condition=Book.lent == False)  # noqa: E712
    with TransactGet(connection=connection) as transaction:
        futures = [transaction.get(kind, "sf", isbn) for kind, isbn in [(Book, "1"), (Loan, "loan-1"), (Book, "2")]]
    assert (futures[0].get().lent, futures[0].get().version, futures[1].get().isbn) == (True, 2, "loan-1")
    with pytest.raises(DoesNotExist):
        futures[2].get()

    with pytest.raises(TransactWriteError) as refused:
        with TransactWrite(connection=connection) as transaction:
            transaction.save(Loan("sf", "loan-2"))
            transaction.save(Loan("sf", "loan-1"), condition=Loan.isbn.does_not_exist())
    assert refused.value.cause_response_code == "TransactionCanceledException"
    assert [reason and reason.code for reason in refused.value.cancellation_reasons] == [None, "ConditionalCheckFailed"]
    assert Loan.count("sf") == 1
    with pytest.raises(TransactGetError):
        with TransactGet(connection=connection) as transaction:
            transaction.get(Book, "sf", "1")
            transaction.get(Book, "sf", "1")


def test_time_to_live(models, name, wait_until_items_expire):
    _, _, Loan = models
    Loan.update_ttl(ignore_update_ttl_errors=False)
    wait_until_items_expire(name, "expires")
    Loan("sf", "short", expires=timedelta(hours=2)).save()
    assert Loan.get("sf", "short").expires > datetime.now(timezone.utc) + timedelta(hours=1)
