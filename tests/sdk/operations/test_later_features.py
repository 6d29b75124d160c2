"""Features of later versions: what asks for them answers the truth, what would bring them about is refused.

Terraform and the SDKs ask some of this of any table.
"""

import pytest

from .wire import invalid


@pytest.mark.parametrize(
    ("operation", "request_", "expect"),
    [
        ("ListBackups", {}, {"BackupSummaries": []}),
        ("ListBackups", {"TableName": "PLAIN"}, {"BackupSummaries": []}),
        ("ListExports", {}, {"ExportSummaries": []}),
        ("ListImports", {}, {"ImportSummaryList": []}),
        ("ListGlobalTables", {}, {"GlobalTables": []}),
        ("ListBulkOperations", {}, {"BulkOperationsSummaryList": []}),
        ("ListContributorInsights", {}, {"ContributorInsightsSummaries": []}),
        ("ListContributorInsights", {"TableName": "PLAIN"}, {"ContributorInsightsSummaries": []}),
        (
            "DescribeContributorInsights",
            {"TableName": "PLAIN"},
            {"TableName": "PLAIN", "ContributorInsightsStatus": "DISABLED"},
        ),
        (
            "DescribeContributorInsights",
            {"TableName": "INDEXED", "IndexName": "g-all"},
            {"TableName": "INDEXED", "IndexName": "g-all", "ContributorInsightsStatus": "DISABLED"},
        ),
        (
            "DescribeKinesisStreamingDestination",
            {"TableName": "PLAIN"},
            {"TableName": "PLAIN", "KinesisDataStreamDestinations": []},
        ),
        (
            "DescribeTableReplicaAutoScaling",
            {"TableName": "PLAIN"},
            {"TableAutoScalingDescription": {"TableName": "PLAIN", "TableStatus": "ACTIVE", "Replicas": []}},
        ),
        (
            "DescribeContinuousBackups",
            {"TableName": "PLAIN"},
            {
                "ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
                }
            },
        ),
        (
            "UpdateContinuousBackups",
            {"TableName": "PLAIN", "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": False}},
            {
                "ContinuousBackupsDescription": {
                    "ContinuousBackupsStatus": "ENABLED",
                    "PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": "DISABLED"},
                }
            },
        ),
        ("DeleteResourcePolicy", {"ResourceArn": "ARN"}, {}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_nothing_is_there_and_nothing_is_on(wire, plain, indexed, operation, request_, expect):
    arn = wire("DescribeTable", TableName=plain)["Table"]["TableArn"]

    def named(value):
        if isinstance(value, dict):
            return {key: named(inner) for key, inner in value.items()}
        return {"PLAIN": plain, "INDEXED": indexed, "ARN": arn}.get(value, value) if isinstance(value, str) else value

    assert wire(operation, **named(request_)) == named(expect)


def test_limits(wire):
    limits = wire("DescribeLimits")
    assert set(limits) == {
        "AccountMaxReadCapacityUnits",
        "AccountMaxWriteCapacityUnits",
        "TableMaxReadCapacityUnits",
        "TableMaxWriteCapacityUnits",
    }
    assert all(limit > 0 for limit in limits.values())


BACKUP = "arn:aws:dynamodb:us-east-1:000000000000:table/abc/backup/01489602797149-73d8d5bc"
EXPORT = "arn:aws:dynamodb:us-east-1:000000000000:table/abc/export/01489602797149-73d8d5bc"
IMPORT = "arn:aws:dynamodb:us-east-1:000000000000:table/abc/import/01489602797149-73d8d5bc"


@pytest.mark.parametrize(
    ("operation", "request_", "says"),
    [
        ("DescribeBackup", {"BackupArn": BACKUP}, f"BackupNotFoundException: Backup not found: {BACKUP}"),
        ("DeleteBackup", {"BackupArn": BACKUP}, f"BackupNotFoundException: Backup not found: {BACKUP}"),
        ("DescribeExport", {"ExportArn": EXPORT}, f"ExportNotFoundException: Export not found: {EXPORT}"),
        ("DescribeImport", {"ImportArn": IMPORT}, f"ImportNotFoundException: Import not found: {IMPORT}"),
        ("GetResourcePolicy", {"ResourceArn": "ARN"}, "PolicyNotFoundException: "),
        ("DeleteResourcePolicy", {"ResourceArn": "ARN", "ExpectedRevisionId": "1"}, "PolicyNotFoundException: "),
        (
            "DescribeGlobalTable",
            {"GlobalTableName": "abc"},
            "GlobalTableNotFoundException: Global table not found: Global table with name: 'abc' does not exist.",
        ),
        (
            "DescribeGlobalTableSettings",
            {"GlobalTableName": "abc"},
            "GlobalTableNotFoundException: Global table not found: Global table with name: 'abc' does not exist.",
        ),
        (
            "DescribeContinuousBackups",
            {"TableName": "no-such-table"},
            "TableNotFoundException: Table not found: no-such-table",
        ),
        *(
            (
                operation,
                {"TableName": "no-such-table"},
                "ResourceNotFoundException: Requested resource not found: Table: no-such-table not found",
            )
            for operation in (
                "DescribeContributorInsights",
                "DescribeKinesisStreamingDestination",
                "DescribeTableReplicaAutoScaling",
                "ListContributorInsights",
                "UpdateTableReplicaAutoScaling",
            )
        ),
        (
            "DescribeContributorInsights",
            {"TableName": "PLAIN", "IndexName": "none"},
            "ResourceNotFoundException: Requested resource not found: Index: none not found",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_not_there(wire, plain, operation, request_, says):
    named = {"PLAIN": plain, "ARN": wire("DescribeTable", TableName=plain)["Table"]["TableArn"]}
    request_ = {key: named.get(value, value) if isinstance(value, str) else value for key, value in request_.items()}
    assert wire.refusal(operation, **request_).startswith(says)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("EnableKinesisStreamingDestination", {"TableName": "abc", "StreamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/abc"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_would_bring_them_about_is_refused(wire, operation, request_):
    says = f"UnknownOperationException: {operation} is not available in this version of geodynamo."
    assert wire.refusal(operation, **request_) == says
