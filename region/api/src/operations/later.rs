//! Features that later versions bring: what tells of them says that nothing is there and nothing is on, which is the truth.
//! Terraform and the SDKs ask such things of any table.

use geodynamo_storage::Engine;

use super::Answer;
use crate::{
    authorize::Gate,
    errors::ApiError,
    generated::{ListBulkOperationsInput, ListBulkOperationsOutput, Operation},
    wire::encode,
};

/// The answer of an operation that only tells of such features, or takes away what is not there; `None` for one that would
/// bring something about.
pub(super) fn answer<E: Engine>(gate: &Gate<'_, E>, operation: Operation, body: &[u8]) -> Option<Answer> {
    Some(match operation {
        Operation::ListBulkOperations => gate.checked(body).map(list_bulk_operations),
        _ => return None,
    })
}

fn list_bulk_operations(_: ListBulkOperationsInput) -> Vec<u8> {
    encode(&ListBulkOperationsOutput {
        bulk_operations_summary_list: Some(Vec::new()),
        next_token: None,
    })
}
