package geodynamo;

import static geodynamo.Tables.ASYNC;
import static geodynamo.Tables.CLIENT;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromB;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromBool;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromL;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromM;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromN;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromNs;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromNul;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromS;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromSs;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.dynamodb.model.*;
import software.amazon.awssdk.services.dynamodb.model.Record;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;

/** The client of the AWS SDK for Java v2: blocking and asynchronous, its paginators, its waiters, its streams client. */
class ClientTest {
    private final String table = Tables.name();

    @BeforeEach
    void create() {
        CreateTableResponse created = CLIENT.createTable(c -> c.tableName(table)
                .billingMode(BillingMode.PAY_PER_REQUEST)
                .attributeDefinitions(attribute("pk", "S"), attribute("sk", "N"), attribute("kind", "S"))
                .keySchema(key("pk", KeyType.HASH), key("sk", KeyType.RANGE))
                .streamSpecification(s -> s.streamEnabled(true).streamViewType(StreamViewType.NEW_AND_OLD_IMAGES))
                .globalSecondaryIndexes(g -> g.indexName("by-kind")
                        .keySchema(key("kind", KeyType.HASH), key("sk", KeyType.RANGE))
                        .projection(p -> p.projectionType(ProjectionType.ALL))));
        assertEquals(TableStatus.CREATING, created.tableDescription().tableStatus());
        CLIENT.waiter().waitUntilTableExists(d -> d.tableName(table), o -> o.waitTimeout(Duration.ofMinutes(1)));
    }

    @AfterEach
    void remove() {
        Tables.remove(table);
    }

    @Test
    void describesListsTagsAndRemovesTables() {
        TableDescription about = CLIENT.describeTable(d -> d.tableName(table)).table();
        assertEquals(TableStatus.ACTIVE, about.tableStatus());
        assertTrue(Duration.between(about.creationDateTime(), Instant.now()).abs().compareTo(Duration.ofMinutes(10)) < 0);
        CLIENT.tagResource(t -> t.resourceArn(about.tableArn()).tags(g -> g.key("team").value("a")));
        List<Tag> tags = CLIENT.listTagsOfResource(l -> l.resourceArn(about.tableArn())).tags();
        assertEquals(List.of(Tag.builder().key("team").value("a").build()), tags);
        assertTrue(CLIENT.listTablesPaginator(l -> l.limit(1)).tableNames().stream().anyMatch(table::equals));
        assertThrows(ResourceInUseException.class, this::create);
        CLIENT.updateTable(u -> u.tableName(table).deletionProtectionEnabled(true));
        assertThrows(DynamoDbException.class, () -> CLIENT.deleteTable(d -> d.tableName(table)));
        CLIENT.updateTable(u -> u.tableName(table).deletionProtectionEnabled(false));
        CLIENT.deleteTable(d -> d.tableName(table));
        CLIENT.waiter().waitUntilTableNotExists(d -> d.tableName(table), o -> o
                .waitTimeout(Duration.ofMinutes(1))
                .backoffStrategyV2(software.amazon.awssdk.retries.api.BackoffStrategy.fixedDelay(Duration.ofMillis(100))));
        assertThrows(ResourceNotFoundException.class, () -> CLIENT.describeTable(d -> d.tableName(table)));
    }

    @Test
    void everyTypeComesBack() {
        Map<String, AttributeValue> item = new HashMap<>(key("ü", -1));
        item.put("text", fromS(""));
        item.put("number", fromN("12345678901234567890123456789012345678"));
        item.put("bytes", fromB(SdkBytes.fromByteArray(new byte[] {0, -1, 127})));
        item.put("yes", fromBool(true));
        item.put("nothing", fromNul(true));
        item.put("texts", fromSs(List.of("a", "b")));
        item.put("numbers", fromNs(List.of("1", "2.5")));
        item.put("list", fromL(List.of(fromS("x"), fromL(List.of()))));
        item.put("map", fromM(Map.of("a", fromM(Map.of()))));
        CLIENT.putItem(p -> p.tableName(table).item(item));
        assertEquals(item, CLIENT.getItem(g -> g.tableName(table).key(key("ü", -1)).consistentRead(true)).item());
        assertFalse(CLIENT.getItem(g -> g.tableName(table).key(key("none", 0))).hasItem());
    }

    @Test
    void updatesAndDeletesUnderConditions() {
        put("a", 1, "n", fromN("1"));
        UpdateItemRequest change = UpdateItemRequest.builder()
                .tableName(table)
                .key(key("a", 1))
                .updateExpression("SET n = n + :one, #list = list_append(if_not_exists(#list, :none), :more)")
                .conditionExpression("n = :one AND attribute_not_exists(#list)")
                .expressionAttributeNames(Map.of("#list", "list"))
                .expressionAttributeValues(
                        Map.of(":one", fromN("1"), ":none", fromL(List.of()), ":more", fromL(List.of(fromS("x")))))
                .returnValues(ReturnValue.UPDATED_NEW)
                .returnConsumedCapacity(ReturnConsumedCapacity.TOTAL)
                .returnValuesOnConditionCheckFailure(ReturnValuesOnConditionCheckFailure.ALL_OLD)
                .build();
        UpdateItemResponse changed = CLIENT.updateItem(change);
        assertEquals(Map.of("n", fromN("2"), "list", fromL(List.of(fromS("x")))), changed.attributes());
        assertEquals(1.0, changed.consumedCapacity().capacityUnits());
        ConditionalCheckFailedException refused =
                assertThrows(ConditionalCheckFailedException.class, () -> CLIENT.updateItem(change));
        assertEquals("The conditional request failed", refused.awsErrorDetails().errorMessage());
        assertEquals(fromN("2"), refused.item().get("n"));
        assertEquals(
                fromN("2"),
                CLIENT.deleteItem(d -> d.tableName(table).key(key("a", 1)).returnValues(ReturnValue.ALL_OLD))
                        .attributes()
                        .get("n"));
        DynamoDbException wrong = assertThrows(
                DynamoDbException.class, () -> CLIENT.getItem(g -> g.tableName(table).key(Map.of("pk", fromS("a")))));
        assertEquals("ValidationException", wrong.awsErrorDetails().errorCode());
        assertEquals("The provided key element does not match the schema", wrong.awsErrorDetails().errorMessage());
        assertEquals(400, wrong.statusCode());
        assertFalse(wrong.requestId().isEmpty());
    }

    @Test
    void batchesAndPages() {
        String text = "x".repeat(30_000);
        for (int batch = 0; batch < 4; batch++) {
            int from = batch * 25;
            List<WriteRequest> puts = IntStream.range(from, from + 25)
                    .mapToObj(n -> {
                        Map<String, AttributeValue> item = new HashMap<>(key("p" + n % 2, n));
                        item.put("kind", fromS(n % 3 == 0 ? "third" : "other"));
                        item.put("text", fromS(text));
                        return WriteRequest.builder().putRequest(p -> p.item(item)).build();
                    })
                    .toList();
            assertTrue(CLIENT.batchWriteItem(b -> b.requestItems(Map.of(table, puts))).unprocessedItems().isEmpty());
        }
        // 50 items of 30 kB: more than one page of 1 MB.
        List<QueryResponse> pages = CLIENT.queryPaginator(q -> q.tableName(table)
                        .keyConditionExpression("pk = :p")
                        .expressionAttributeValues(Map.of(":p", fromS("p1")))
                        .scanIndexForward(false))
                .stream()
                .toList();
        assertEquals(2, pages.size());
        assertEquals(50, pages.stream().mapToInt(QueryResponse::count).sum());
        assertEquals(fromN("99"), pages.get(0).items().get(0).get("sk"));
        assertEquals(34, CLIENT.queryPaginator(q -> q.tableName(table)
                        .indexName("by-kind")
                        .limit(5)
                        .keyConditionExpression("kind = :k")
                        .expressionAttributeValues(Map.of(":k", fromS("third"))))
                .items().stream().count());
        List<Map<String, AttributeValue>> keys = IntStream.range(0, 20).mapToObj(n -> key("p" + n % 2, n)).toList();
        assertEquals(20, CLIENT.batchGetItem(b -> b.requestItems(
                        Map.of(table, KeysAndAttributes.builder().keys(keys).projectionExpression("sk").build())))
                .responses()
                .get(table)
                .size());
        // Four segments at once, by the asynchronous client.
        List<CompletableFuture<Integer>> segments = IntStream.range(0, 4)
                .mapToObj(segment -> {
                    var counted = new java.util.concurrent.atomic.AtomicInteger();
                    return ASYNC.scanPaginator(s -> s.tableName(table).segment(segment).totalSegments(4))
                            .subscribe(page -> counted.addAndGet(page.count()))
                            .thenApply(done -> counted.get());
                })
                .toList();
        assertEquals(100, segments.stream().mapToInt(CompletableFuture::join).sum());
    }

    @Test
    void theAsynchronousClientFailsItsFutures() {
        CompletionException failed = assertThrows(
                CompletionException.class,
                () -> ASYNC.getItem(g -> g.tableName("none").key(key("a", 1))).join());
        assertInstanceOf(ResourceNotFoundException.class, failed.getCause());
        List<CompletableFuture<PutItemResponse>> puts = IntStream.range(0, 200)
                .mapToObj(n -> ASYNC.putItem(p -> p.tableName(table).item(key("many", n))))
                .toList();
        puts.forEach(CompletableFuture::join);
        assertEquals(200, CLIENT.scan(s -> s.tableName(table).select(Select.COUNT)).count());
    }

    @Test
    void transactions() {
        put("a", 1, "n", fromN("0"));
        put("a", 2, "n", fromN("0"));
        TransactWriteItemsRequest change = TransactWriteItemsRequest.builder()
                .transactItems(
                        TransactWriteItem.builder()
                                .update(u -> u.tableName(table)
                                        .key(key("a", 1))
                                        .updateExpression("ADD n :n")
                                        .expressionAttributeValues(Map.of(":n", fromN("5"))))
                                .build(),
                        TransactWriteItem.builder().delete(d -> d.tableName(table).key(key("a", 2))).build(),
                        TransactWriteItem.builder().put(p -> p.tableName(table).item(key("a", 3))).build())
                .clientRequestToken("once-" + table.hashCode())
                .build();
        CLIENT.transactWriteItems(change);
        CLIENT.transactWriteItems(change);
        List<ItemResponse> seen = CLIENT.transactGetItems(t -> t.transactItems(IntStream.of(1, 2, 3)
                        .mapToObj(sk -> TransactGetItem.builder().get(g -> g.tableName(table).key(key("a", sk))).build())
                        .toList()))
                .responses();
        assertEquals(fromN("5"), seen.get(0).item().get("n"));
        assertEquals(List.of(true, false, true), seen.stream().map(ItemResponse::hasItem).toList());

        TransactionCanceledException refused = assertThrows(
                TransactionCanceledException.class,
                () -> CLIENT.transactWriteItems(t -> t.transactItems(
                        TransactWriteItem.builder().put(p -> p.tableName(table).item(key("a", 9))).build(),
                        TransactWriteItem.builder()
                                .conditionCheck(c -> c.tableName(table)
                                        .key(key("a", 1))
                                        .conditionExpression("n > :n")
                                        .expressionAttributeValues(Map.of(":n", fromN("100")))
                                        .returnValuesOnConditionCheckFailure("ALL_OLD"))
                                .build())));
        assertEquals(
                List.of("None", "ConditionalCheckFailed"),
                refused.cancellationReasons().stream().map(CancellationReason::code).toList());
        assertEquals(fromN("5"), refused.cancellationReasons().get(1).item().get("n"));
        assertFalse(CLIENT.getItem(g -> g.tableName(table).key(key("a", 9))).hasItem());
    }

    @Test
    void partiql() {
        CLIENT.executeStatement(e -> e.statement("INSERT INTO \"" + table + "\" VALUE {'pk': ?, 'sk': 1, 'n': 1}")
                .parameters(fromS("a")));
        CLIENT.executeStatement(
                e -> e.statement("UPDATE \"" + table + "\" SET n = n + 41 WHERE pk = 'a' AND sk = 1"));
        List<Map<String, AttributeValue>> found = CLIENT.executeStatement(
                        e -> e.statement("SELECT n FROM \"" + table + "\" WHERE pk = ?").parameters(fromS("a")))
                .items();
        assertEquals(List.of(Map.of("n", fromN("42"))), found);
        assertThrows(
                DuplicateItemException.class,
                () -> CLIENT.executeStatement(
                        e -> e.statement("INSERT INTO \"" + table + "\" VALUE {'pk': 'a', 'sk': 1}")));
    }

    @Test
    void streams() throws InterruptedException {
        put("a", 1, "n", fromN("1"));
        put("a", 1, "n", fromN("2"));
        CLIENT.deleteItem(d -> d.tableName(table).key(key("a", 1)));
        try (DynamoDbStreamsClient streams = DynamoDbStreamsClient.create()) {
            String arn = streams.listStreams(l -> l.tableName(table)).streams().get(0).streamArn();
            assertEquals(arn, CLIENT.describeTable(d -> d.tableName(table)).table().latestStreamArn());
            List<String> iterators = new ArrayList<>();
            for (Shard shard : streams.describeStream(d -> d.streamArn(arn)).streamDescription().shards()) {
                iterators.add(streams.getShardIterator(g -> g.streamArn(arn)
                                .shardId(shard.shardId())
                                .shardIteratorType(ShardIteratorType.TRIM_HORIZON))
                        .shardIterator());
            }
            List<Record> records = new ArrayList<>();
            Tables.waitUntil("three records", () -> {
                iterators.replaceAll(iterator -> {
                    if (iterator == null) return null;
                    GetRecordsResponse page = streams.getRecords(g -> g.shardIterator(iterator));
                    records.addAll(page.records());
                    return page.nextShardIterator();
                });
                return records.size() >= 3;
            });
            assertEquals(
                    List.of(OperationType.INSERT, OperationType.MODIFY, OperationType.REMOVE),
                    records.stream().map(Record::eventName).toList());
            assertEquals(fromN("1"), records.get(1).dynamodb().oldImage().get("n"));
            assertEquals(fromN("2"), records.get(1).dynamodb().newImage().get("n"));
        }
    }

    @Test
    void timeToLiveAndIndexChanges() throws InterruptedException {
        CLIENT.updateTimeToLive(u -> u.tableName(table).timeToLiveSpecification(t -> t.attributeName("ttl").enabled(true)));
        Tables.waitUntil("items expire", () -> {
            TimeToLiveDescription about = CLIENT.describeTimeToLive(d -> d.tableName(table)).timeToLiveDescription();
            assertEquals("ttl", about.attributeName());
            return about.timeToLiveStatus() == TimeToLiveStatus.ENABLED;
        });
        put("a", 1, "owner", fromS("me"));
        CLIENT.updateTable(u -> u.tableName(table)
                .attributeDefinitions(attribute("owner", "S"))
                .globalSecondaryIndexUpdates(g -> g.create(c -> c.indexName("by-owner")
                        .keySchema(key("owner", KeyType.HASH))
                        .projection(p -> p.projectionType(ProjectionType.KEYS_ONLY)))));
        Tables.waitUntil("the index is filled", () -> CLIENT.describeTable(d -> d.tableName(table)).table()
                .globalSecondaryIndexes().stream()
                .anyMatch(i -> i.indexName().equals("by-owner") && i.indexStatus() == IndexStatus.ACTIVE));
        assertEquals(1, CLIENT.query(q -> q.tableName(table)
                        .indexName("by-owner")
                        .keyConditionExpression("#o = :o")
                        .expressionAttributeNames(Map.of("#o", "owner"))
                        .expressionAttributeValues(Map.of(":o", fromS("me"))))
                .count());
    }

    private void put(String pk, int sk, String name, AttributeValue value) {
        Map<String, AttributeValue> item = new HashMap<>(key(pk, sk));
        item.put(name, value);
        CLIENT.putItem(p -> p.tableName(table).item(item));
    }

    private static Map<String, AttributeValue> key(String pk, int sk) {
        return Map.of("pk", fromS(pk), "sk", fromN(String.valueOf(sk)));
    }

    private static AttributeDefinition attribute(String name, String type) {
        return AttributeDefinition.builder().attributeName(name).attributeType(type).build();
    }

    private static KeySchemaElement key(String name, KeyType type) {
        return KeySchemaElement.builder().attributeName(name).keyType(type).build();
    }
}
