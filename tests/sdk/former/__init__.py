"""A small data directory of the last landed release, and what is in it.

`python -m former FOLDER` (in `tests/sdk`, with that release's `geodynamo` in `CARGO_TARGET_DIR/debug`) makes `FOLDER.tar.gz`. It is
made once for each release, by that release's program, and kept as long as that release's directories are promised to be read.
"""

from decimal import Decimal

TABLE = "former"
ITEMS = 40
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


def key(*names):
    return [{"AttributeName": n, "KeyType": kind} for n, kind in zip(names, ("HASH", "RANGE"), strict=False)]


def item(number):
    return {
        "pk": f"item-{number % 7}",
        "sk": Decimal(number),
        "l": f"l-{number % 3}",
        "g": f"g-{number % 5}",
        "text": "é" * number,
        "bytes": bytes(range(number)),
        "map": {"list": [Decimal("1.5"), None, True], "set": {"a", "b"}},
        "expires": Decimal(4_102_444_800),
    }


def kept():
    """What there is: some items were deleted, some updated."""
    return {number: item(number) | ({"text": "updated"} if number % 4 == 1 else {}) for number in range(ITEMS) if number % 4}


def fill(region):
    """Fills a region's tables."""
    client = region.client()
    projection = {"ProjectionType": "ALL"}
    client.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in (("pk", "S"), ("sk", "N"), ("l", "S"), ("g", "S"))
        ],
        KeySchema=key("pk", "sk"),
        LocalSecondaryIndexes=[{"IndexName": "by-l", "KeySchema": key("pk", "l"), "Projection": projection}],
        GlobalSecondaryIndexes=[{"IndexName": "by-g", "KeySchema": key("g", "sk"), "Projection": projection}],
        StreamSpecification=STREAM,
        Tags=[{"Key": "made-by", "Value": "a release before"}],
    )
    client.update_time_to_live(
        TableName=TABLE, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    table = region.resource().Table(TABLE)
    for number in range(ITEMS):
        table.put_item(Item=item(number))
    for number in range(0, ITEMS, 4):
        table.delete_item(Key={name: item(number)[name] for name in ("pk", "sk")})
    for number in range(1, ITEMS, 4):
        table.update_item(
            Key={name: item(number)[name] for name in ("pk", "sk")},
            UpdateExpression="SET #t = :t",
            ExpressionAttributeNames={"#t": "text"},
            ExpressionAttributeValues={":t": "updated"},
        )
