//! What the operations on streams have in common: ARNs, shard iterators' texts, errors.

use geodynamo_storage::Engine;
use geodynamo_table::{RECORDS_MAX, StreamError, StreamName, is_account};

use crate::{Api, errors::ApiError};

/// The most streams or shards in one reply.
pub(super) const PAGE_MAX: usize = 100;
/// What stands between a stream's ARN and the rest of an iterator, as in AWS's.
const ITERATOR_SEPARATOR: &str = "|1|";

/// A stream's ARN.
pub(super) fn stream_arn<E: Engine>(api: &Api<E>, name: &StreamName) -> String {
    format!("{}/stream/{}", api.tables.local().table_arn(&name.table), name.label())
}

impl<E: Engine> Api<E> {
    /// The stream that an ARN names. A region answers for its own streams, whatever region the ARN names.
    pub(crate) fn stream_of_arn(&self, arn: &str) -> Result<StreamName, ApiError> {
        let (account, mut name) = stream_of_arn(arn)?;
        let stored = self.stored_in(account, &name.table);
        name.table = stored.map_err(|_| ApiError::stream_not_found(arn))?.into_owned();
        Ok(name)
    }
}

/// The account and the stream in an ARN, `arn:aws:dynamodb:region:account:table/name/stream/label`: the table's name is the one
/// that clients know.
fn stream_of_arn(arn: &str) -> Result<(&str, StreamName), ApiError> {
    let mut parts = arn.splitn(6, ':');
    let (prefix, service) = (parts.next(), parts.nth(1));
    let account = parts.nth(1).filter(|account| is_account(account));
    let account = account.ok_or_else(|| ApiError::invalid_stream_arn(arn))?;
    let path = parts.next().and_then(|resource| resource.strip_prefix("table/"));
    let (table, label) = path
        .filter(|_| prefix == Some("arn") && service == Some("dynamodb"))
        .and_then(|path| path.split_once("/stream/"))
        .filter(|(table, _)| !table.is_empty())
        .ok_or_else(|| ApiError::invalid_stream_arn(arn))?;
    // A label that is no time is one that no stream has.
    let name = StreamName::of(table, label).ok_or_else(|| ApiError::stream_not_found(arn))?;
    Ok((account, name))
}

/// An iterator's text: the stream's ARN, then what the shard is read by.
pub(super) fn iterator_text(arn: &str, iterator: &str) -> String {
    format!("{arn}{ITERATOR_SEPARATOR}{iterator}")
}

/// The ARN and the iterator proper in an iterator's text.
pub(crate) fn split_iterator(text: &str) -> Result<(&str, &str), ApiError> {
    text.rsplit_once(ITERATOR_SEPARATOR)
        .ok_or_else(ApiError::invalid_shard_iterator)
}

/// What a stream's error is to the client.
pub(super) fn stream_error(error: StreamError, arn: &str) -> ApiError {
    match error {
        StreamError::NoStream => ApiError::stream_not_found(arn),
        StreamError::NoShard => ApiError::shard_not_found(),
        StreamError::Trimmed => ApiError::trimmed_data_access(),
        StreamError::Expired => ApiError::expired_iterator(),
        StreamError::Iterator => ApiError::invalid_shard_iterator(),
        StreamError::Sequence => ApiError::invalid_sequence_number(),
        StreamError::TooOften => ApiError::too_many_stream_reads(),
        StreamError::Table(error) => error.into(),
    }
}

/// `Limit` of a page of streams or shards.
pub(super) fn page_limit(limit: Option<i32>) -> usize {
    super::reading::limit(limit).unwrap_or(PAGE_MAX).min(PAGE_MAX)
}

/// `Limit` of GetRecords.
pub(super) fn records_limit(limit: Option<i32>) -> Result<usize, ApiError> {
    let limit = super::reading::limit(limit).unwrap_or(RECORDS_MAX);
    if limit > RECORDS_MAX {
        return Err(ApiError::too_many_records(limit, RECORDS_MAX));
    }
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_arns() {
        let check = |arn: &str, expect: Result<(&str, u64), &str>| {
            let found = stream_of_arn(arn);
            let found = found.as_ref().map(|(_, name)| (name.table.as_str(), name.label_ms));
            assert_eq!(found.map_err(|error| error.name()), expect, "{arn}");
        };
        let arn = |rest: &str| format!("arn:aws:dynamodb:us-east-1:000000000000:{rest}");
        check(&arn("table/t/stream/1970-01-01T00:00:00.007"), Ok(("t", 7)));
        check(&arn("table/t/stream/never"), Err("ResourceNotFoundException"));
        check(&arn("table/t"), Err("ValidationException"));
        check(
            &arn("table//stream/1970-01-01T00:00:00.007"),
            Err("ValidationException"),
        );
        check(
            "arn:aws:kinesis:us-east-1:000000000000:table/t/stream/1970-01-01T00:00:00.007",
            Err("ValidationException"),
        );
        check("t", Err("ValidationException"));
    }

    #[test]
    fn iterators_are_split_at_the_last_mark() {
        assert_eq!(split_iterator(&iterator_text("a|1|b", "c")).unwrap(), ("a|1|b", "c"));
        assert!(split_iterator("a|2|b").is_err());
    }
}
