package geodynamo;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static software.amazon.awssdk.services.dynamodb.model.AttributeValue.fromS;

import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable;
import software.amazon.awssdk.core.exception.SdkClientException;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.awssdk.services.dynamodb.model.DynamoDbException;
import software.amazon.awssdk.services.sts.StsClient;

/**
 * The AWS SDK with no keys of its own: its default credential chain takes a role's session from STS. scripts/libraries.py says in
 * the AWS_… variables where the server is and who the program is, in a run of its own.
 */
class CredentialsTest {
    private static final Map<String, AttributeValue> ITEM = Map.of("pk", fromS("1"));

    @Test
    void theChainAssumesTheRole() {
        try (StsClient sts = StsClient.create()) {
            assertEquals(System.getenv("GEODYNAMO_ASSUMED_ROLE"), sts.getCallerIdentity().arn());
        }
    }

    @Test
    void theRoleMayReadItsTableAndNothingElse() {
        try (DynamoDbClient client = DynamoDbClient.create()) {
            assertEquals(
                    fromS("ours"),
                    client.getItem(g -> g.tableName("ours").key(ITEM)).item().get("v"));
            DynamoDbException written = assertThrows(
                    DynamoDbException.class, () -> client.putItem(p -> p.tableName("ours").item(ITEM)));
            assertEquals("AccessDeniedException", written.awsErrorDetails().errorCode());
            DynamoDbException read = assertThrows(
                    DynamoDbException.class, () -> client.getItem(g -> g.tableName("theirs").key(ITEM)));
            assertEquals("AccessDeniedException", read.awsErrorDetails().errorCode());
        }
    }

    @Test
    @EnabledIfEnvironmentVariable(named = "AWS_WEB_IDENTITY_TOKEN_FILE", matches = ".+")
    void withoutATokenOfTheProviderThereIsNoSession() {
        // A program cannot change its variables here; the SDK looks at this property before them.
        String property = "aws.webIdentityTokenFile";
        Path forged = Path.of(System.getenv("AWS_WEB_IDENTITY_TOKEN_FILE")).resolveSibling("forged");
        System.setProperty(property, forged.toString());
        try (DynamoDbClient client = DynamoDbClient.create()) {
            SdkClientException failed = assertThrows(
                    SdkClientException.class, () -> client.getItem(g -> g.tableName("ours").key(ITEM)));
            // The chain tells what each of its links said: the server's message, without its code.
            String told = "The signature of the ID Token is not that of any key of its provider";
            assertTrue(failed.getMessage().contains(told), failed.getMessage());
        } finally {
            System.clearProperty(property);
        }
    }
}
