//! Features that later versions bring: what tells of them says that nothing is there, which is the truth.

use super::Answer;
use crate::{
    generated::{ListBulkOperationsInput, ListBulkOperationsOutput},
    wire::encode,
};

/// There are no bulk operations.
pub(super) fn list_bulk_operations(_: &ListBulkOperationsInput) -> Answer {
    Ok(encode(&ListBulkOperationsOutput {
        bulk_operations_summary_list: Some(Vec::new()),
        next_token: None,
    }))
}
