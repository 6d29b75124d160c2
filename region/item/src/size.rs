//! Sizes as DynamoDB counts them, for its limits and its capacity units.
//!
//! By the AWS developer guide, "DynamoDB item sizes and formats": a string is its UTF-8 bytes, a binary value its raw
//! bytes, a Boolean or null one byte; a list or map has 3 bytes of overhead and 1 for each element; an attribute's name is
//! its UTF-8 bytes. A number is there "approximately 1 byte per two significant digits + 1": here exactly the length of its
//! order-preserving bytes, which are one for the exponent and one for each pair of digits aligned at the decimal point, and
//! one more if it is negative, up to 21. A set is the sum of its members, which the guide leaves open.

use crate::{AttributeValue, Item, Number};

/// The largest item. Source: "Constraints in Amazon DynamoDB" in the developer guide.
pub const ITEM_BYTES_MAX: usize = 400 * 1024;

/// The overhead of a list or a map.
pub(crate) const CONTAINER: usize = 3;
/// The overhead of each element of a list or map.
pub(crate) const ELEMENT: usize = 1;
/// The most a number takes.
const MAX_NUMBER: usize = 21;

/// The size of an item in bytes.
pub fn item(item: &Item) -> usize {
    item.iter().map(|(name, value)| attribute(name, value)).sum()
}

/// The size of an attribute, its name included, in bytes.
pub fn attribute(name: &str, attribute_value: &AttributeValue) -> usize {
    name.len() + value(attribute_value)
}

/// The size of an attribute value in bytes.
pub fn value(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(number) => size_of_number(number),
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::Bool(_) | AttributeValue::Null => 1,
        AttributeValue::M(map) => {
            CONTAINER
                + map
                    .iter()
                    .map(|(name, value)| ELEMENT + attribute(name, value))
                    .sum::<usize>()
        }
        AttributeValue::L(list) => CONTAINER + list.iter().map(|value| ELEMENT + self::value(value)).sum::<usize>(),
        AttributeValue::Ss(set) => set.iter().map(|text| text.len()).sum(),
        AttributeValue::Ns(set) => set.iter().map(size_of_number).sum(),
        AttributeValue::Bs(set) => set.iter().map(|bytes| bytes.len()).sum(),
    }
}

/// The size of a number whose order-preserving bytes are so long.
pub(crate) fn number_of_length(order_bytes: usize) -> usize {
    order_bytes.min(MAX_NUMBER)
}

fn size_of_number(number: &Number) -> usize {
    number_of_length(number.order_bytes().len())
}
