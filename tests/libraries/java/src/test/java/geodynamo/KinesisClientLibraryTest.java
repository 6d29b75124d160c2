package geodynamo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.amazonaws.services.dynamodbv2.streamsadapter.AmazonDynamoDBStreamsAdapterClient;
import com.amazonaws.services.dynamodbv2.streamsadapter.StreamsSchedulerFactory;
import com.amazonaws.services.dynamodbv2.streamsadapter.model.DynamoDBStreamsProcessRecordsInput;
import com.amazonaws.services.dynamodbv2.streamsadapter.polling.DynamoDBStreamsPollingConfig;
import com.amazonaws.services.dynamodbv2.streamsadapter.processor.DynamoDBStreamsShardRecordProcessor;
import java.net.URI;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.cloudwatch.CloudWatchAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.BillingMode;
import software.amazon.awssdk.services.dynamodb.model.KeyType;
import software.amazon.awssdk.services.dynamodb.model.Record;
import software.amazon.awssdk.services.dynamodb.model.ScalarAttributeType;
import software.amazon.awssdk.services.dynamodb.model.StreamViewType;
import software.amazon.awssdk.services.dynamodb.streams.DynamoDbStreamsClient;
import software.amazon.kinesis.common.ConfigsBuilder;
import software.amazon.kinesis.common.InitialPositionInStream;
import software.amazon.kinesis.common.InitialPositionInStreamExtended;
import software.amazon.kinesis.coordinator.Scheduler;
import software.amazon.kinesis.lifecycle.events.InitializationInput;
import software.amazon.kinesis.lifecycle.events.LeaseLostInput;
import software.amazon.kinesis.lifecycle.events.ShardEndedInput;
import software.amazon.kinesis.lifecycle.events.ShutdownRequestedInput;
import software.amazon.kinesis.metrics.NullMetricsFactory;
import software.amazon.kinesis.processor.RecordProcessorCheckpointer;

/**
 * The Kinesis Client Library reads a stream through Amazon's adapter, as it is released: it finds the shards, keeps its
 * leases, its coordination and its checkpoints in tables of the same region, and goes on in the children of shards that end.
 */
class KinesisClientLibraryTest {
    /** A region whose tables have two partitions, and whose shards last for seconds (scripts/libraries.py). */
    private static final URI ENDPOINT = URI.create(System.getenv("GEODYNAMO_SHORT_SHARDS"));

    /** The adapter says at length what it does. Kept here, for a logger that nobody keeps forgets its level. */
    private static final Logger LOGGER = Logger.getLogger("com.amazonaws");

    static {
        LOGGER.setLevel(Level.WARNING);
    }

    private static final int PARTITIONS = 2;
    /** Shards that must have been read to their end: those of two generations. */
    private static final int ENDED = 2 * PARTITIONS;
    private static final int KEYS = 12;

    private final DynamoDbClient client = DynamoDbClient.builder().endpointOverride(ENDPOINT).build();
    private final DynamoDbStreamsClient streams =
            DynamoDbStreamsClient.builder().endpointOverride(ENDPOINT).build();

    /** What was done to each key, in order: `INSERT 0`, `MODIFY 1`, `REMOVE`. */
    private final Map<String, List<String>> written = new HashMap<>();

    /** The same, as the records tell. A record that comes again counts once: the library says that it may. */
    private final Map<String, Map<String, String>> seen = new ConcurrentHashMap<>();

    private final Set<String> ended = ConcurrentHashMap.newKeySet();
    private final List<String> failures = Collections.synchronizedList(new ArrayList<>());

    @Test
    @Timeout(value = 200, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void itReadsEveryRecordAcrossGenerationsOfShards() throws Exception {
        String table = Tables.name();
        String stream = create(table);
        Scheduler scheduler = scheduler(table, stream);
        Thread worker = new Thread(scheduler, "kcl");
        worker.setDaemon(true);
        worker.start();
        try {
            int round = 0;
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
            while (ended.size() < ENDED) {
                assertTrue(System.nanoTime() < end, () -> "shards read to their end: " + ended + failures);
                write(table, round++);
                Thread.sleep(100);
            }
            Tables.waitUntil("every record was read", () -> history().equals(written));
        } finally {
            scheduler.startGracefulShutdown().get(60, TimeUnit.SECONDS);
        }
        assertEquals(written, history());
        assertEquals(List.of(), failures);
        // What the library keeps is in tables of this region; its index of leases was added to a table that served.
        String leases = table + "-reader";
        assertTrue(client.scan(s -> s.tableName(leases)).count() >= ENDED);
        assertEquals(
                "LeaseOwnerToLeaseKeyIndex",
                client.describeTable(d -> d.tableName(leases)).table().globalSecondaryIndexes().get(0).indexName());
    }

    /** Every key is inserted, modified and removed in turn. */
    private void write(String table, int round) {
        for (int number = 0; number < KEYS; number++) {
            String key = "key-" + number;
            List<String> history = written.computeIfAbsent(key, k -> new ArrayList<>());
            AttributeValue pk = AttributeValue.fromS(key);
            if (round % 3 == 2) {
                client.deleteItem(d -> d.tableName(table).key(Map.of("pk", pk)));
                history.add("REMOVE");
            } else {
                AttributeValue value = AttributeValue.fromN(Integer.toString(round));
                client.putItem(p -> p.tableName(table).item(Map.of("pk", pk, "v", value)));
                history.add((round % 3 == 0 ? "INSERT " : "MODIFY ") + round);
            }
        }
    }

    private Map<String, List<String>> history() {
        Map<String, List<String>> history = new HashMap<>();
        seen.forEach((key, events) -> {
            synchronized (events) {
                history.put(key, List.copyOf(events.values()));
            }
        });
        return history;
    }

    private String create(String table) {
        client.createTable(c -> c.tableName(table)
                .attributeDefinitions(a -> a.attributeName("pk").attributeType(ScalarAttributeType.S))
                .keySchema(k -> k.attributeName("pk").keyType(KeyType.HASH))
                .billingMode(BillingMode.PAY_PER_REQUEST)
                .streamSpecification(s -> s.streamEnabled(true).streamViewType(StreamViewType.NEW_AND_OLD_IMAGES)));
        return client.waiter()
                .waitUntilTableExists(d -> d.tableName(table))
                .matched()
                .response()
                .orElseThrow()
                .table()
                .latestStreamArn();
    }

    private Scheduler scheduler(String table, String stream) {
        Region region = Region.US_EAST_1;
        AmazonDynamoDBStreamsAdapterClient adapter = new AmazonDynamoDBStreamsAdapterClient(streams, region);
        DynamoDbAsyncClient leases =
                DynamoDbAsyncClient.builder().endpointOverride(ENDPOINT).build();
        CloudWatchAsyncClient cloudWatch =
                CloudWatchAsyncClient.builder().endpointOverride(ENDPOINT).build();
        InitialPositionInStreamExtended oldest =
                InitialPositionInStreamExtended.newInitialPosition(InitialPositionInStream.TRIM_HORIZON);
        ConfigsBuilder configs = new ConfigsBuilder(
                StreamsSchedulerFactory.createSingleStreamTracker(stream, oldest),
                table + "-reader",
                adapter,
                leases,
                cloudWatch,
                "worker",
                Reader::new);
        DynamoDBStreamsPollingConfig polling = new DynamoDBStreamsPollingConfig(adapter);
        polling.idleTimeBetweenReadsInMillis(200);
        var management = configs.leaseManagementConfig()
                .failoverTimeMillis(2000)
                .shardSyncIntervalMillis(1000)
                .leasesRecoveryAuditorExecutionFrequencyMillis(1000)
                .leasesRecoveryAuditorInconsistencyConfidenceThreshold(1)
                .billingMode(BillingMode.PAY_PER_REQUEST);
        // What it would learn of this machine's load it would ask of EC2 or ECS.
        management.workerUtilizationAwareAssignmentConfig().disableWorkerMetrics(true);
        return StreamsSchedulerFactory.createScheduler(
                configs.checkpointConfig(),
                configs.coordinatorConfig()
                        .parentShardPollIntervalMillis(500)
                        .shardConsumerDispatchPollIntervalMillis(100),
                management,
                configs.lifecycleConfig(),
                configs.metricsConfig().metricsFactory(new NullMetricsFactory()),
                configs.processorConfig(),
                configs.retrievalConfig().retrievalSpecificConfig(polling),
                adapter);
    }

    /** Reads one shard. */
    private final class Reader implements DynamoDBStreamsShardRecordProcessor {
        private String shard;

        @Override
        public void initialize(InitializationInput input) {
            shard = input.shardId();
        }

        @Override
        public void processRecords(DynamoDBStreamsProcessRecordsInput input) {
            input.records().forEach(record -> note(record.getRecord()));
            checkpoint(input.checkpointer());
        }

        @Override
        public void shardEnded(ShardEndedInput input) {
            checkpoint(input.checkpointer());
            ended.add(shard);
        }

        @Override
        public void shutdownRequested(ShutdownRequestedInput input) {
            checkpoint(input.checkpointer());
        }

        @Override
        public void leaseLost(LeaseLostInput input) {}

        private void checkpoint(RecordProcessorCheckpointer checkpointer) {
            try {
                checkpointer.checkpoint();
            } catch (Exception error) {
                failures.add(shard + ": " + error);
            }
        }
    }

    private void note(Record record) {
        var change = record.dynamodb();
        AttributeValue value = change.newImage().get("v");
        String event = record.eventNameAsString() + (value == null ? "" : " " + value.n());
        Map<String, String> events =
                seen.computeIfAbsent(change.keys().get("pk").s(), k -> new LinkedHashMap<>());
        synchronized (events) {
            events.putIfAbsent(record.eventID(), event);
        }
    }
}
