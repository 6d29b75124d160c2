package geodynamo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static software.amazon.awssdk.enhanced.dynamodb.model.QueryConditional.keyEqualTo;
import static software.amazon.awssdk.enhanced.dynamodb.model.QueryConditional.sortBetween;
import static software.amazon.awssdk.enhanced.dynamodb.model.QueryConditional.sortGreaterThan;

import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbEnhancedClient;
import software.amazon.awssdk.enhanced.dynamodb.DynamoDbTable;
import software.amazon.awssdk.enhanced.dynamodb.Expression;
import software.amazon.awssdk.enhanced.dynamodb.Key;
import software.amazon.awssdk.enhanced.dynamodb.TableSchema;
import software.amazon.awssdk.enhanced.dynamodb.document.EnhancedDocument;
import software.amazon.awssdk.enhanced.dynamodb.extensions.annotations.DynamoDbAtomicCounter;
import software.amazon.awssdk.enhanced.dynamodb.extensions.annotations.DynamoDbVersionAttribute;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbBean;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbPartitionKey;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbSecondaryPartitionKey;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbSecondarySortKey;
import software.amazon.awssdk.enhanced.dynamodb.mapper.annotations.DynamoDbSortKey;
import software.amazon.awssdk.enhanced.dynamodb.model.ConditionCheck;
import software.amazon.awssdk.enhanced.dynamodb.model.Page;
import software.amazon.awssdk.enhanced.dynamodb.model.ReadBatch;
import software.amazon.awssdk.enhanced.dynamodb.model.TransactPutItemEnhancedRequest;
import software.amazon.awssdk.enhanced.dynamodb.model.WriteBatch;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.ConditionalCheckFailedException;
import software.amazon.awssdk.services.dynamodb.model.ProjectionType;
import software.amazon.awssdk.services.dynamodb.model.ResourceNotFoundException;
import software.amazon.awssdk.services.dynamodb.model.TransactionCanceledException;

/** The enhanced client: beans, documents, versions, counters, batches, transactions. */
class EnhancedTest {
    private final DynamoDbEnhancedClient client =
            DynamoDbEnhancedClient.builder().dynamoDbClient(Tables.CLIENT).build();
    private final String name = Tables.name();
    private final DynamoDbTable<Track> tracks = client.table(name, TableSchema.fromBean(Track.class));

    @BeforeEach
    void create() {
        tracks.createTable(c -> c.globalSecondaryIndices(
                        g -> g.indexName("by-genre").projection(p -> p.projectionType(ProjectionType.ALL)))
                .localSecondaryIndices(
                        l -> l.indexName("by-length").projection(p -> p.projectionType(ProjectionType.KEYS_ONLY))));
        Tables.CLIENT.waiter().waitUntilTableExists(d -> d.tableName(name));
    }

    @AfterEach
    void remove() {
        Tables.remove(name);
    }

    @Test
    void beansComeBackAndVersionsGuardThem() {
        Track track = track("Björk", 1, "pop", 200);
        track.setTags(Set.of("a", "b"));
        track.setRated(Map.of("me", List.of(5, 4)));
        track.setAdded(Instant.parse("2026-01-02T03:04:05Z"));
        tracks.putItem(track);
        Track back = tracks.getItem(g -> g.key(key("Björk", 1)).consistentRead(true));
        assertEquals(Set.of("a", "b"), back.getTags());
        assertEquals(Map.of("me", List.of(5, 4)), back.getRated());
        assertEquals(track.getAdded(), back.getAdded());
        assertEquals(1, back.getVersion());

        back.setGenre("art pop");
        Track updated = tracks.updateItem(back);
        assertEquals(2, updated.getVersion());
        assertEquals(back.getPlays() + 1, updated.getPlays());
        // Of two copies of one version the late one is refused.
        assertThrows(ConditionalCheckFailedException.class, () -> tracks.updateItem(back));
        Expression old = Expression.builder()
                .expression("#l > :l")
                .putExpressionName("#l", "length")
                .putExpressionValue(":l", AttributeValue.fromN("1000"))
                .build();
        assertThrows(
                ConditionalCheckFailedException.class,
                () -> tracks.deleteItem(d -> d.key(key("Björk", 1)).conditionExpression(old)));
        assertEquals(200, tracks.deleteItem(key("Björk", 1)).getLength());
        assertNull(tracks.getItem(key("Björk", 1)));
        tracks.deleteTable();
        Tables.CLIENT.waiter().waitUntilTableNotExists(d -> d.tableName(name), o -> o.backoffStrategyV2(
                software.amazon.awssdk.retries.api.BackoffStrategy.fixedDelay(java.time.Duration.ofMillis(100))));
        assertThrows(ResourceNotFoundException.class, tracks::describeTable);
    }

    @Test
    void batchesQueriesAndScans() {
        // Batches take no conditions, so nothing that guards versions.
        DynamoDbEnhancedClient client = DynamoDbEnhancedClient.builder()
                .dynamoDbClient(Tables.CLIENT)
                .extensions(List.of())
                .build();
        DynamoDbTable<Track> tracks = client.table(name, TableSchema.fromBean(Track.class));
        for (int from = 0; from < 50; from += 25) {
            WriteBatch.Builder<Track> batch = WriteBatch.builder(Track.class).mappedTableResource(tracks);
            IntStream.range(from, from + 25)
                    .forEach(n -> batch.addPutItem(track("a" + n % 2, n, n % 3 == 0 ? "pop" : "rock", 300 - n)));
            assertTrue(client.batchWriteItem(b -> b.writeBatches(batch.build()))
                    .unprocessedPutItemsForTable(tracks)
                    .isEmpty());
        }
        assertEquals(
                List.of(49, 47, 45),
                tracks.query(q -> q.queryConditional(sortGreaterThan(key("a1", 43))).scanIndexForward(false))
                        .items().stream().map(Track::getNumber).toList());
        assertEquals(
                List.of(12, 15, 18),
                tracks.index("by-genre")
                        .query(q -> q.queryConditional(sortBetween(
                                k -> k.partitionValue("pop").sortValue(10), k -> k.partitionValue("pop").sortValue(20))))
                        .stream()
                        .flatMap(page -> page.items().stream())
                        .map(Track::getNumber)
                        .toList());
        assertEquals(
                List.of(48, 46),
                tracks.index("by-length")
                        .query(q -> q.queryConditional(keyEqualTo(k -> k.partitionValue("a0"))).limit(2))
                        .iterator().next().items().stream().map(Track::getNumber).toList());
        Expression short1 = Expression.builder()
                .expression("#l < :l")
                .putExpressionName("#l", "length")
                .putExpressionValue(":l", AttributeValue.fromN("256"))
                .build();
        List<Page<Track>> pages = tracks.scan(s -> s.limit(20).filterExpression(short1)).stream().toList();
        assertEquals(3, pages.size());
        assertEquals(5, pages.stream().mapToInt(page -> page.items().size()).sum());
        ReadBatch.Builder<Track> reads = ReadBatch.builder(Track.class).mappedTableResource(tracks);
        IntStream.range(0, 10).forEach(n -> reads.addGetItem(key("a" + n % 2, n)));
        assertEquals(10, client.batchGetItem(b -> b.readBatches(reads.build()))
                .resultsForTable(tracks).stream().count());
    }

    @Test
    void transactions() {
        client.transactWriteItems(t -> t.addPutItem(tracks, track("a", 1, "pop", 1)).addPutItem(tracks, track("a", 2, "pop", 2)));
        Track first = tracks.getItem(key("a", 1));
        first.setGenre("jazz");
        client.transactWriteItems(t -> t.addUpdateItem(tracks, first).addDeleteItem(tracks, key("a", 2)));
        assertEquals("jazz", tracks.getItem(key("a", 1)).getGenre());
        var seen = client.transactGetItems(t -> t.addGetItem(tracks, key("a", 1)).addGetItem(tracks, key("a", 2)));
        assertEquals(2, seen.get(0).getItem(tracks).getVersion());
        assertNull(seen.get(1).getItem(tracks));

        Expression absent = Expression.builder().expression("attribute_not_exists(artist)").build();
        TransactionCanceledException refused = assertThrows(
                TransactionCanceledException.class,
                () -> client.transactWriteItems(t -> t.addPutItem(
                                tracks,
                                TransactPutItemEnhancedRequest.builder(Track.class).item(track("b", 1, "pop", 1)).build())
                        .addConditionCheck(
                                tracks,
                                ConditionCheck.builder().key(key("a", 1)).conditionExpression(absent).build())));
        assertEquals(
                List.of("None", "ConditionalCheckFailed"),
                refused.cancellationReasons().stream().map(r -> r.code()).toList());
        assertNull(tracks.getItem(key("b", 1)));
    }

    @Test
    void documents() {
        DynamoDbTable<EnhancedDocument> documents = client.table(
                name,
                TableSchema.documentSchemaBuilder()
                        .addIndexPartitionKey("$PRIMARY_INDEX", "artist", software.amazon.awssdk.enhanced.dynamodb.AttributeValueType.S)
                        .addIndexSortKey("$PRIMARY_INDEX", "number", software.amazon.awssdk.enhanced.dynamodb.AttributeValueType.N)
                        .attributeConverterProviders(
                                software.amazon.awssdk.enhanced.dynamodb.AttributeConverterProvider.defaultProvider())
                        .build());
        String json = "{\"artist\":\"a\",\"number\":1,\"deep\":{\"list\":[1,\"two\",null,{\"three\":true}]}}";
        documents.putItem(EnhancedDocument.fromJson(json));
        EnhancedDocument back = documents.getItem(key("a", 1));
        assertEquals(EnhancedDocument.fromJson(json).toMap(), back.toMap());
    }

    private static Key key(String artist, int number) {
        return Key.builder().partitionValue(artist).sortValue(number).build();
    }

    private static Track track(String artist, int number, String genre, int length) {
        Track track = new Track();
        track.setArtist(artist);
        track.setNumber(number);
        track.setGenre(genre);
        track.setLength(length);
        return track;
    }

    @DynamoDbBean
    public static class Track {
        private String artist;
        private Integer number;
        private String genre;
        private Integer length;
        private Set<String> tags;
        private Map<String, List<Integer>> rated;
        private Instant added;
        private Integer version;
        private Long plays;

        @DynamoDbPartitionKey
        public String getArtist() {
            return artist;
        }

        public void setArtist(String artist) {
            this.artist = artist;
        }

        @DynamoDbSortKey
        @DynamoDbSecondarySortKey(indexNames = "by-genre")
        public Integer getNumber() {
            return number;
        }

        public void setNumber(Integer number) {
            this.number = number;
        }

        @DynamoDbSecondaryPartitionKey(indexNames = "by-genre")
        public String getGenre() {
            return genre;
        }

        public void setGenre(String genre) {
            this.genre = genre;
        }

        @DynamoDbSecondarySortKey(indexNames = "by-length")
        public Integer getLength() {
            return length;
        }

        public void setLength(Integer length) {
            this.length = length;
        }

        public Set<String> getTags() {
            return tags;
        }

        public void setTags(Set<String> tags) {
            this.tags = tags;
        }

        public Map<String, List<Integer>> getRated() {
            return rated;
        }

        public void setRated(Map<String, List<Integer>> rated) {
            this.rated = rated;
        }

        public Instant getAdded() {
            return added;
        }

        public void setAdded(Instant added) {
            this.added = added;
        }

        @DynamoDbVersionAttribute
        public Integer getVersion() {
            return version;
        }

        public void setVersion(Integer version) {
            this.version = version;
        }

        @DynamoDbAtomicCounter
        public Long getPlays() {
            return plays;
        }

        public void setPlays(Long plays) {
            this.plays = plays;
        }
    }
}
