package geodynamo;

import java.util.UUID;
import java.util.function.BooleanSupplier;
import software.amazon.awssdk.services.dynamodb.DynamoDbAsyncClient;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.ResourceInUseException;
import software.amazon.awssdk.services.dynamodb.model.ResourceNotFoundException;

/**
 * What the tests of the Java SDK share. scripts/libraries.py starts the server and says where it is in the AWS_… variables,
 * which the SDK reads as it would in any program.
 */
final class Tables {
    static final DynamoDbClient CLIENT =
            DynamoDbClient.builder().overrideConfiguration(o -> o.retryStrategy(s -> s.maxAttempts(1))).build();
    static final DynamoDbAsyncClient ASYNC = DynamoDbAsyncClient.create();

    private Tables() {}

    /** A table name that no other test uses. */
    static String name() {
        return "java-" + UUID.randomUUID().toString().substring(0, 13);
    }

    /** Removes the table if it is still there. */
    static void remove(String table) {
        try {
            CLIENT.deleteTable(d -> d.tableName(table));
        } catch (ResourceNotFoundException | ResourceInUseException gone) {
            // The test removed it, or is about to.
        }
    }

    /** Waits until `state` is true; fails after a minute. */
    static void waitUntil(String what, BooleanSupplier state) throws InterruptedException {
        long end = System.nanoTime() + 60_000_000_000L;
        while (!state.getAsBoolean()) {
            if (System.nanoTime() > end) throw new AssertionError("after a minute still not: " + what);
            Thread.sleep(50);
        }
    }
}
