//! Names and ARNs wherever requests have one: nobody is led to another table than the one that is named, or to one that is not
//! theirs.

use std::{cell::RefCell, sync::Arc};

use geodynamo_api::{Api, Authorization};
use geodynamo_policy::{Caller, NamedPolicy, Policy, PolicyKind};
use geodynamo_storage::MemoryEngine;
use serde_json::{Value, json};

use crate::{
    api::{ACCOUNT, Region, answered},
    bytes_to::byte,
};

/// Nobody has shared anything with it.
const OTHER: &str = "111122223333";
const EVERYTHING: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// An operation and its request about what is named.
type Asks = fn(&str) -> (&'static str, Value);
/// All of them only read.
const REQUESTS: [Asks; 12] = [
    |name| ("DescribeTable", json!({ "TableName": name })),
    |name| {
        (
            "GetItem",
            json!({ "TableName": name, "Key": { "pk": { "S": "a" }, "sk": { "N": "1" } } }),
        )
    },
    |name| ("Scan", json!({ "TableName": name })),
    |name| ("Scan", json!({ "TableName": "t", "IndexName": name })),
    |name| {
        (
            "BatchGetItem",
            json!({ "RequestItems": { name: { "Keys": [{ "pk": { "S": "a" }, "sk": { "N": "1" } }] } } }),
        )
    },
    |name| {
        (
            "ExecuteStatement",
            json!({ "Statement": format!("SELECT * FROM \"{name}\"") }),
        )
    },
    |name| ("ListTagsOfResource", json!({ "ResourceArn": name })),
    |name| ("GetResourcePolicy", json!({ "ResourceArn": name })),
    |name| ("DescribeTimeToLive", json!({ "TableName": name })),
    |name| ("DescribeContinuousBackups", json!({ "TableName": name })),
    |name| ("DescribeStream", json!({ "StreamArn": name })),
    |name| ("GetRecords", json!({ "ShardIterator": name })),
];

struct World {
    region: Region,
    /// The same region, as it answers callers that policies are asked about.
    asking: Api<MemoryEngine>,
    stranger: Caller,
}

impl World {
    fn new() -> Self {
        let region = Region::new();
        let mut stranger = Caller::user(OTHER, "/", "eve", "AIDAEVEEVEEVEEVEEVEEV");
        let policy = Policy::parse(EVERYTHING, PolicyKind::Identity).expect("it is a policy");
        stranger
            .policies
            .identity
            .push(NamedPolicy::new("all", Arc::new(policy)));
        Self {
            asking: region.api.clone().with_authorization(Authorization::Enforce),
            region,
            stranger,
        }
    }
}

/// Which request, then the name.
pub(crate) fn run(mut bytes: &[u8]) {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    let number = usize::from(byte(&mut bytes)) % REQUESTS.len();
    let Ok(name) = std::str::from_utf8(bytes) else { return };
    let (operation, body) = REQUESTS[number](name);
    let service = match operation {
        "DescribeStream" | "GetRecords" => "DynamoDBStreams_20120810",
        _ => "DynamoDB_20120810",
    };
    let (target, body) = (format!("{service}.{operation}"), body.to_string());
    WORLD.with_borrow_mut(|world| {
        let world = world.get_or_insert_with(World::new);
        let runtime = &world.region.runtime;
        let call = |caller: &Caller| answered(runtime, &world.asking, caller, &target, body.as_bytes());
        let is_theirs = call(&world.stranger);
        assert!(!is_theirs, "a caller of another account has {operation} of {name}");
        let of_index = body.contains("IndexName") && operation == "Scan";
        // An item of a table that is not there would be an error, too. Statements have more than a name in them.
        if call(&Caller::root(ACCOUNT)) && operation != "ExecuteStatement" {
            let is_named = name == "t" || name.contains(&format!(":{ACCOUNT}:table/t"));
            assert!(
                is_named || (of_index && ["l", "g"].contains(&name)),
                "{operation} of {name}"
            );
        }
    });
}
