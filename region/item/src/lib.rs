//! Items: attribute values, 38-digit numbers, sizes, and order-preserving key bytes. No I/O, no async.

mod map;
mod number;
mod set;
mod value;

pub use map::{Item, Name};
pub use number::{Number, NumberError};
pub use set::{BinarySet, NumberSet, StringSet};
pub use value::{AttributeType, AttributeValue};
