//! Sessions that move between regions, with the code that docs/sessions.md shows.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::{
    Client,
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut},
    },
    error::BoxError,
    types::AttributeValue,
};
use geodynamo_tests::{
    Failure,
    regions::{Regions, THREE},
    sdk,
};

/// Writes in one region that are each looked for in another, at once.
const ROUNDS: usize = 30;

/// What one user has seen, in whatever region: `config.interceptor(session.clone())`, for each of their clients.
#[derive(Clone, Debug, Default)]
struct Session(Arc<Mutex<Option<String>>>);

impl Intercept for Session {
    fn name(&self) -> &'static str {
        "session"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let token = self.0.lock().expect("nobody panics with it").clone();
        let token = token.unwrap_or_else(|| "new".into());
        context.request_mut().headers_mut().insert("x-geodynamo-session", token);
        Ok(())
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(token) = context.response().headers().get("x-geodynamo-session") {
            *self.0.lock().expect("nobody panics with it") = Some(token.to_owned());
        }
        Ok(())
    }
}

#[test]
fn it_is_what_the_page_shows() {
    let page = include_str!("../../../docs/sessions.md");
    let shown = page.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    let shown = shown.expect("the page has a block of Rust");
    assert!(include_str!("session.rs").contains(shown), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_writes_are_read_in_another_region() -> Result<(), Failure> {
    let regions = Regions::start(&THREE[..2]).await?;
    regions.global_table("carts", 2).await?;
    let session = Session::default();
    let clients: Vec<_> = regions
        .cluster
        .nodes
        .iter()
        .map(|node| follows(&sdk(&node.endpoint()), &session))
        .collect();
    for round in 0..ROUNDS {
        let key = AttributeValue::S(format!("cart {round}"));
        let (here, there) = (&clients[round % 2], &clients[(round + 1) % 2]);
        here.put_item()
            .table_name("carts")
            .item("pk", key.clone())
            .send()
            .await?;
        let read = there.get_item().table_name("carts").key("pk", key).send().await?;
        assert!(read.item().is_some(), "round {round}");
    }
    assert!(session.0.lock().expect("nobody panics with it").is_some());
    Ok(())
}

/// A client like another that is of a session.
fn follows(client: &Client, session: &Session) -> Client {
    let config = client.config().to_builder().interceptor(session.clone());
    Client::from_conf(config.build())
}
