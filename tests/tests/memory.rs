//! Law 10: memory is bounded by configuration. `make soak` does the same with 5,000,000 items.

use std::time::Duration;

use geodynamo_loadgen::soak::Soak;
use geodynamo_tests::{Failure, binary};

#[test]
fn half_a_million_items_with_a_peer_that_is_cut_off() -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("geodynamo-test-").tempdir()?;
    let soak = Soak {
        binary: binary()?,
        folder: folder.path().to_owned(),
        items: 500_000,
        connections: 8,
        catch_up_max: Duration::from_secs(600),
    };
    let figures = soak.run(|_| ())?;
    println!("{}", serde_json::to_string(&figures)?);
    assert!(figures.rss_max_mb() < 512, "{figures:?}");
    Ok(())
}
