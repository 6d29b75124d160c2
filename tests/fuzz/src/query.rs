//! Any bytes as the body of a call to IAM or STS: an answer that is XML, and never "internal failure".

use std::{
    cell::RefCell,
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use geodynamo_iam::{
    Authorization, CLUSTER_KEY_LEN, Call, Change, DEFAULT_ACCOUNT, Iam, NoIdentityKeys, Options, ServiceName, Store,
    StoreError,
};
use geodynamo_policy::{Caller, Environment};
use tokio::runtime::{Builder, Runtime};

/// Calls that one account gets, so that what they leave behind stays small.
const CALLS_MAX: usize = 2_000;
const NOW: i64 = 1_796_019_120;

/// What there is before the first input.
const FIRST: [&str; 4] = [
    "Action=CreateUser&UserName=u",
    "Action=CreateGroup&GroupName=g",
    "Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A\
     %22Allow%22%2C%22Principal%22%3A%22%2A%22%2C%22Action%22%3A%22sts%3AAssumeRole%22%7D%7D",
    "Action=CreatePolicy&PolicyName=p&PolicyDocument=%7B%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22%2A\
     %22%2C%22Resource%22%3A%22%2A%22%7D%7D",
];

#[derive(Debug, Default)]
struct Rows(Mutex<BTreeMap<Bytes, Bytes>>);

impl Store for Rows {
    async fn rows(&self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.clone().into_iter().collect())
    }

    async fn get(&self, wanted: &[Bytes]) -> Result<Vec<Option<Bytes>>, StoreError> {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(wanted.iter().map(|key| rows.get(key).cloned()).collect())
    }

    async fn commit(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => drop(rows.insert(key, value)),
                None => drop(rows.remove(&key)),
            }
        }
        Ok(())
    }
}

struct World {
    runtime: Runtime,
    iam: Arc<Iam<Rows>>,
    root: Arc<Caller>,
    calls: usize,
}

impl World {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .build()
            .expect("a runtime of one thread can be built");
        let options = Options {
            account: DEFAULT_ACCOUNT.into(),
            region: "us-east-1".into(),
            cluster_key: [1; CLUSTER_KEY_LEN],
        };
        let iam = runtime
            .block_on(Iam::open(Rows::default(), options, Arc::new(NoIdentityKeys)))
            .expect("rows in memory can be read");
        let world = Self {
            runtime,
            iam,
            root: Arc::new(Caller::root(DEFAULT_ACCOUNT)),
            calls: 0,
        };
        for first in FIRST {
            world.call(ServiceName::Iam, first.as_bytes());
        }
        world
    }

    fn call(&self, service: ServiceName, body: &[u8]) {
        let call = Call {
            service,
            caller: &self.root,
            access_key_id: "AKIA",
            environment: Environment::default(),
            now_unix_s: NOW,
            request_id: "request",
            authorization: Authorization::Off,
        };
        let reply = self.runtime.block_on(self.iam.call(call, body));
        assert!(reply.status < 500, "{:?}", reply.error);
        let ends = if reply.error.is_some() {
            "</ErrorResponse>"
        } else {
            "Response>"
        };
        assert!(
            reply.body.starts_with('<') && reply.body.ends_with(ends),
            "{}",
            reply.body
        );
        assert!(
            !reply
                .body
                .contains(|c: char| c.is_control() && !"\t\n".contains(c) && c < '\u{20}')
        );
    }
}

pub(crate) fn run(bytes: &[u8]) {
    thread_local! {
        static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    }
    WORLD.with_borrow_mut(|world| {
        if world.as_ref().is_some_and(|world| world.calls >= CALLS_MAX) {
            *world = None;
        }
        let world = world.get_or_insert_with(World::new);
        world.calls += 1;
        world.call(ServiceName::Iam, bytes);
        world.call(ServiceName::Sts, bytes);
    });
}
