// The AWS SDK for Go v2 with no keys of its own: its default credential chain takes a role's session from STS.
// scripts/libraries.py says in the AWS_… variables where the server is and who the program is.
package librarytests

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

const deadline = time.Minute

var item = map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "1"}}

// settings are what the SDK finds out by itself.
func settings(t *testing.T) (context.Context, aws.Config) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	found, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return ctx, found
}

func refused(t *testing.T, err error, code string) {
	t.Helper()
	var told smithy.APIError
	if !errors.As(err, &told) || told.ErrorCode() != code {
		t.Fatalf("not %s: %v", code, err)
	}
}

func TestTheChainAssumesTheRole(t *testing.T) {
	ctx, found := settings(t)
	identity, err := sts.NewFromConfig(found).GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if expected := os.Getenv("GEODYNAMO_ASSUMED_ROLE"); expected == "" || aws.ToString(identity.Arn) != expected {
		t.Fatalf("%s is not %s", aws.ToString(identity.Arn), expected)
	}
}

func TestTheRoleMayReadItsTableAndNothingElse(t *testing.T) {
	ctx, found := settings(t)
	client := dynamodb.NewFromConfig(found)
	answer, err := client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("ours"), Key: item})
	if err != nil {
		t.Fatal(err)
	}
	if value, ok := answer.Item["v"].(*types.AttributeValueMemberS); !ok || value.Value != "ours" {
		t.Fatalf("not the item: %v", answer.Item)
	}
	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String("ours"), Item: item})
	refused(t, err, "AccessDeniedException")
	_, err = client.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("theirs"), Key: item})
	refused(t, err, "AccessDeniedException")
}

func TestWithoutATokenOfTheProviderThereIsNoSession(t *testing.T) {
	file, is := os.LookupEnv("AWS_WEB_IDENTITY_TOKEN_FILE")
	if !is {
		t.Skip("the role is not assumed with a token here")
	}
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", filepath.Join(filepath.Dir(file), "forged"))
	ctx, found := settings(t)
	_, err := dynamodb.NewFromConfig(found).GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String("ours"), Key: item})
	refused(t, err, "InvalidIdentityToken")
}
