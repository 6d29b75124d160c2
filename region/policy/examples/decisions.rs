//! What one decision costs: nanoseconds a call, on one thread, for a user under ten policies of ten statements with LeadingKeys
//! conditions. Run with `cargo run --release -p geodynamo-policy --example decisions`.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "an example measures time and stops at errors"
)]

use std::{borrow::Cow, hint::black_box, sync::Arc, time::Instant};

use geodynamo_policy::{
    Caller, Context, ContextValue, Environment, NamedPolicy, Policy, PolicyKind, Request, evaluate,
};

/// Calls in one measurement.
const CALLS: u32 = 20_000;
/// Measurements, of which the fastest is shown: the others were disturbed.
const ROUNDS: u32 = 7;

struct Keys([Cow<'static, str>; 1]);

impl Context for Keys {
    fn get(&self, key: &str) -> Option<ContextValue<'_>> {
        (key == "dynamodb:leadingkeys").then_some(ContextValue::Shared(&self.0))
    }
}

fn main() {
    let statement = |policy: usize, at: usize, resource: &str| {
        format!(
            r#"{{"Sid":"s{policy}x{at}","Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:PutItem","dynamodb:Query"],
                "Resource":["{resource}"],
                "Condition":{{"ForAllValues:StringEquals":{{"dynamodb:LeadingKeys":["${{aws:username}}-{policy}-{at}"]}}}}}}"#
        )
    };
    let caller = |resource: &dyn Fn(usize, usize) -> String| {
        let mut caller = Caller::user("123456789012", "/", "ann", "AIDAANNANNANNANNANNAN");
        for policy in 0..10 {
            let statements: Vec<_> = (0..10).map(|at| statement(policy, at, &resource(policy, at))).collect();
            let text = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, statements.join(","));
            let policy = Policy::parse(&text, PolicyKind::Identity).unwrap();
            caller.policies.identity.push(NamedPolicy::new("p", Arc::new(policy)));
        }
        caller
    };
    let table = "arn:aws:dynamodb:us-east-1:123456789012:table/table-9-9";
    measure(
        "a table for each statement",
        &caller(&|policy, at| format!("arn:aws:dynamodb:*:*:table/table-{policy}-{at}")),
        table,
    );
    measure(
        "one table for all statements",
        &caller(&|_, _| "arn:aws:dynamodb:*:*:table/table-9-*".into()),
        table,
    );
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}}"#;
    let mut one = Caller::user("123456789012", "/", "ann", "AIDAANNANNANNANNANNAN");
    let policy = Policy::parse(text, PolicyKind::Identity).unwrap();
    one.policies.identity.push(NamedPolicy::new("p", Arc::new(policy)));
    measure("one statement that allows everything", &one, table);
}

fn measure(what: &str, caller: &Caller, resource: &str) {
    let environment = Environment::default();
    let keys = Keys(["ann-9-9".into()]);
    let request = Request {
        action: "dynamodb:GetItem",
        resource,
        resource_account: "123456789012",
        environment: &environment,
        context: &keys,
    };
    assert!(evaluate(caller, None, &request).is_allowed());
    let round = || {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(evaluate(black_box(caller), None, black_box(&request)));
        }
        start.elapsed().as_nanos() / u128::from(CALLS)
    };
    let fastest = (0..ROUNDS).map(|_| round()).min().unwrap_or_default();
    println!("{what:40} {fastest:6} ns");
}
