//! The topology file: what is read from a good one, and how a bad one is refused.

use geodynamo_topology::{RegionName, Topology};
use proptest::prelude::*;

const GOOD: &str = include_str!("topology.toml");

#[test]
fn a_good_file() {
    let topology = Topology::parse("topology.toml", GOOD).unwrap();
    assert_eq!(topology.cluster().as_str(), "demo");
    let names: Vec<_> = topology.regions().iter().map(|region| region.name.as_str()).collect();
    assert_eq!(names, ["us-east-1", "eu-west-1", "basement"]);
    let (region, node) = topology.node("basement-b").unwrap();
    assert_eq!(
        (region.name.as_str(), node.admin.to_string()),
        ("basement", "10.3.0.2:9000".to_owned())
    );

    let links: Vec<_> = topology
        .links()
        .iter()
        .map(|link| {
            (
                link.from.as_str(),
                link.to.as_str(),
                link.via.as_ref().map(ToString::to_string).unwrap_or_default(),
            )
        })
        .collect();
    let direct = String::new;
    assert_eq!(
        links,
        [
            ("us-east-1", "eu-west-1", "127.0.0.1:17000".to_owned()),
            ("us-east-1", "basement", direct()),
            ("eu-west-1", "us-east-1", direct()),
            ("eu-west-1", "basement", direct()),
            ("basement", "us-east-1", direct()),
            ("basement", "eu-west-1", direct()),
        ]
    );

    let dial = |from, to| {
        topology
            .dial(from, to)
            .into_iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(dial("us-east-1", "eu-west-1"), ["127.0.0.1:17000"]);
    assert_eq!(dial("basement", "eu-west-1"), ["node.eu.example.com:7000"]);
    assert_eq!(dial("eu-west-1", "basement"), ["10.3.0.1:7000", "10.3.0.2:7000"]);
    assert!(dial("eu-west-1", "eu-west-1").is_empty() && dial("eu-west-1", "mars").is_empty());

    let own = RegionName::new("eu-west-1").unwrap();
    assert_eq!(topology.require_region(&own).unwrap().nodes.len(), 1);
    assert_eq!(
        topology.peers(&own).map(|peer| peer.name.as_str()).collect::<Vec<_>>(),
        ["us-east-1", "basement"]
    );
}

#[test]
fn a_missing_region() {
    let topology = Topology::parse("topology.toml", GOOD).unwrap();
    let error = topology
        .require_region(&RegionName::new("mars-1").unwrap())
        .expect_err("a bad file is refused");
    assert_eq!(
        error.to_string(),
        "topology.toml:5:8: region 'mars-1' is not in the topology, which has us-east-1, eu-west-1, basement"
    );
}

#[test]
fn what_is_written_is_read_back() {
    let topology = Topology::parse("topology.toml", GOOD).unwrap();
    let again = Topology::parse("again.toml", &topology.to_string()).unwrap();
    assert_eq!(again.cluster(), topology.cluster());
    assert_eq!(again.regions(), topology.regions());
    assert_eq!(again.links(), topology.links());
}

#[test]
fn nodes_have_zones() {
    let good = GOOD.replace("name = \"basement-b\"\n", "name = \"basement-b\"\nzone = \"b\"\n");
    let topology = Topology::parse("topology.toml", &good).unwrap();
    let zone = |node| topology.node(node).unwrap().1.zone.as_ref().map(ToString::to_string);
    assert_eq!((zone("basement-a"), zone("basement-b")), (None, Some("b".into())));
    let again = Topology::parse("again.toml", &topology.to_string()).unwrap();
    assert_eq!(again.regions(), topology.regions());
    let bad = good.replace("zone = \"b\"", "zone = \"B\"");
    assert!(Topology::parse("topology.toml", &bad).is_err());
}

/// Replaces the only occurrence of a text in the good file and tells how the result is refused.
fn check(from: &str, to: &str, expect: &str) {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    let error = Topology::parse("t.toml", &GOOD.replacen(from, to, 1)).expect_err("a bad file is refused");
    assert_eq!(error.to_string(), format!("t.toml:{expect}"));
}

#[test]
fn bad_files() {
    check(
        "from = \"us-east-1\"",
        "from = \"mars-1\"",
        "34:8: link from region 'mars-1', which is not defined",
    );
    check(
        "to = \"us-east-1\"",
        "to = \"mars-1\"",
        "40:6: link to region 'mars-1', which is not defined",
    );
    check(
        "to = \"us-east-1\"",
        "to = \"eu-west-1\"",
        "40:6: link from region 'eu-west-1' to itself",
    );
    check(
        "from = \"eu-west-1\"\nto = \"us-east-1\"",
        "from = \"us-east-1\"\nto = \"eu-west-1\"",
        "39:8: the link from 'us-east-1' to 'eu-west-1' is defined twice",
    );
    check(
        "name = \"basement\"",
        "name = \"eu-west-1\"",
        "18:8: region 'eu-west-1' is defined twice",
    );
    check(
        "\"basement-b\"",
        "\"us-east-1-a\"",
        "27:8: node 'us-east-1-a' is defined twice",
    );
    check(
        "\"10.3.0.2:7000\"",
        "\"10.1.0.1:7000\"",
        "28:15: address '10.1.0.1:7000' is used twice",
    );
    check(
        "\"10.3.0.2:9000\"",
        "\"10.1.0.1:8000\"",
        "30:9: address '10.1.0.1:8000' is used twice",
    );
    check(
        "\"127.0.0.1:9000\"",
        "\"localhost\"",
        "11:9: 'localhost' is not an address: expected host:port",
    );
    check(
        "\"127.0.0.1:17000\"",
        "\"relay:0\"",
        "36:7: 'relay:0' is not an address: the port must be a number from 1 to 65535",
    );
    check(
        "\"demo\"",
        "\"De mo\"",
        "2:11: 'De mo' is not a name: it may hold lowercase letters, digits and hyphens, not 'D'",
    );
    check(
        "to = \"us-east-1\"",
        "to = \"us-east-1\"\ndelay = 1",
        "41:1: unknown field `delay`, expected one of `from`, `to`, `via`",
    );
    check("data = \"10.1.0.1:8000\" ", "", "7:1: missing field `data`");
    check("cluster = \"demo\"", "", "1:1: missing field `cluster`");
    check("\"demo\"", "7", "2:11: invalid type: integer `7`, expected a string");
    check("\"demo\"", "\"demo", "2:16: invalid basic string, expected `\"`");
    check(
        "[[link]]\nfrom = \"eu",
        "[[link]\nfrom = \"eu",
        "38:8: unclosed array table, expected `]`",
    );
}

#[test]
fn files_without_regions_or_nodes() {
    let check = |text: &str, expect: &str| {
        assert_eq!(Topology::parse("t", text).unwrap_err().to_string(), expect);
    };
    check("cluster = 'c'\n", "t:1:11: a topology needs at least one region");
    check(
        "cluster = 'c'\n[[region]]\nname = 'r'\n",
        "t:3:8: region 'r' has no nodes: add a [[region.node]]",
    );
    check("", "t:1:1: missing field `cluster`");
}

#[test]
fn limits() {
    let file = |regions: usize, nodes: usize| {
        let mut text = "cluster = \"c\"\n".to_owned();
        for region in 0..regions {
            text += &format!("[[region]]\nname = \"r{region}\"\n");
            for node in 0..nodes {
                let host = format!("h{region}.n{node}");
                text += &format!("[[region.node]]\nname = \"n{region}-{node}\"\nreplication = \"{host}:1\"\n");
                text += &format!("data = \"{host}:2\"\nadmin = \"{host}:3\"\n");
            }
        }
        Topology::parse("t", &text)
            .map(|topology| topology.links().len())
            .map_err(|error| error.reason.to_string())
    };
    assert_eq!(file(64, 1), Ok(64 * 63));
    assert_eq!(file(65, 1), Err("more than 64 regions".to_owned()));
    assert_eq!(file(1, 256), Ok(0));
    assert_eq!(file(1, 257), Err("more than 256 nodes in a region".to_owned()));
    let large = "#".repeat((1 << 20) + 1);
    assert_eq!(
        Topology::parse("t", &large).unwrap_err().reason.to_string(),
        "more than 1048576 bytes"
    );
    for deep in ["[", "{", "a=[", "a={b=", "[a.b."] {
        assert!(Topology::parse("t", &deep.repeat(100_000)).is_err());
    }
}

proptest! {
    /// No text makes the parser panic, and every error has a place inside the text.
    #[test]
    fn any_damage_is_refused_or_read(at in 0..GOOD.len(), cut in 0_usize..40, junk in "\\PC{0,6}|[\\[\\]{}\"'=\n#.]{0,6}") {
        let end = (at + cut).min(GOOD.len());
        prop_assume!(GOOD.is_char_boundary(at) && GOOD.is_char_boundary(end));
        let text = format!("{}{junk}{}", &GOOD[..at], &GOOD[end..]);
        if let Err(error) = Topology::parse("t", &text) {
            prop_assert!(error.line >= 1 && error.line <= text.matches('\n').count() + 1);
            prop_assert!(error.column >= 1);
            prop_assert!(!error.to_string().contains('\n'));
        }
    }
}
