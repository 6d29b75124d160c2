//! Accounts and their end.

use std::sync::Arc;

use geodynamo_policy::Caller;

use crate::{
    Store,
    testing::{NOW, World},
};

const OTHER: &str = "111122223333";

#[tokio::test]
async fn a_call_that_waits_for_the_end_of_its_account_leaves_nothing() {
    let world = World::new().await;
    let before = world.store.rows().await.unwrap();
    world.iam.create_account(Some(OTHER), "other", NOW).await.unwrap();
    let root = Arc::new(Caller::root(OTHER));
    world.call(&root, "CreateUser", &[("UserName", "ann")]).await;
    // The caller was found before the account was deleted; what it does comes after.
    world.iam.delete_account(OTHER).await.unwrap();
    for (action, name) in [("CreateUser", "bob"), ("CreateGroup", "group")] {
        let parameter = if action == "CreateUser" {
            "UserName"
        } else {
            "GroupName"
        };
        let answer = world.call(&root, action, &[(parameter, name)]).await;
        answer.is_refused("InvalidClientTokenId", "security token");
    }
    assert_eq!(world.store.rows().await.unwrap(), before);
    // The number is free again: nothing is left of it.
    world.iam.create_account(Some(OTHER), "new", NOW).await.unwrap();
}
