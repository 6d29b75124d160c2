//! Items: attribute values, 38-digit numbers, sizes, order-preserving key bytes, the stored form, DynamoDB JSON. No I/O,
//! no async.

pub mod codec;
pub mod key;
mod map;
mod number;
mod set;
pub mod size;
#[cfg(feature = "testing")]
pub mod testing;
mod value;
pub mod wire;

pub use map::{Item, Name};
pub use number::{MAX_DIGITS, Number, NumberBytes, NumberError, NumberOrderError, NumberText};
pub use set::{BinarySet, NumberSet, Set, StringSet};
pub use value::{AttributeType, AttributeValue, MAX_NAME, MAX_NESTING};
