use super::*;

const MINIMAL: &str = "region = \"eu-west-1\"\nnode = \"euw1-a\"\ndata_dir = \"data\"\n";

const FULL: &str = r#"
region = "eu-west-1"
node = "euw1-a"
data_dir = "data"
topology = "topology.toml"

[listen]
data = "0.0.0.0:8000"
admin = "127.0.0.1:8001"
replication = "[::]:8002"

[tls]
cert = "server.pem"
key = "server.key"

[cluster_tls]
cert = "node.pem"
key = "node.key"
ca = "/etc/geodynamo/ca.pem"

[[credentials]]
access_key_id = "AKIDEXAMPLE"
secret_access_key = "hush"
account = "123456789012"

[[credentials]]
access_key_id = "ASIDEXAMPLE"
secret_access_key = "hush"
session_token = "token"

[memory]
block_cache_mb = 256
row_cache_mb = 16
write_buffer_mb = 32
request_mb = 32
replication_mb = 16

[storage]
sync = false
background_mb_per_second = 50
partitions_per_table = 4
item_collection_bytes = 5000

[streams]
shard_seconds = 60
retention_seconds = 3600
reads_per_second = 5

[replication]
drift_max_ms = 500
parked_max = 1000

[ttl]
sweep_ms = 100
grace_ms = 0
change_interval_ms = 50

[throttle]
enabled = true
key_range_read = 30
key_range_write = 0
on_demand_read = 400
on_demand_write = 500

[limits]
connections = 100
header_timeout_ms = 1000
body_timeout_ms = 2000
idle_timeout_ms = 3000
drain_timeout_ms = 4000

[console]
endpoints = { us-east-1 = "https://us.example:8000" }
wan = "http://127.0.0.1:9090"

[encryption]
key_file = "region.key"

[otel]
endpoint = "http://127.0.0.1:4318"
sample_percent = 5
"#;

#[test]
fn a_short_file_is_enough() {
    let config = Config::parse("x", MINIMAL).unwrap();
    // Four hours and a day, as DynamoDB's.
    assert_eq!(
        (
            config.streams.shard_seconds.get(),
            config.streams.retention_seconds.get()
        ),
        (14_400, 86_400)
    );
    assert_eq!(config.listen, Listen::default());
    assert!(config.storage.sync);
    assert_eq!(config.data_limits(), Limits::default());
    assert_eq!(config.credentials().count(), 0);
}

#[test]
fn every_field_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("region.toml");
    std::fs::write(&path, FULL).unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.data_dir, folder.path().join("data"));
    assert_eq!(config.topology, Some(folder.path().join("topology.toml")));
    assert_eq!(config.tls.as_ref().unwrap().key, folder.path().join("server.key"));
    assert_eq!(
        config.cluster_tls.as_ref().unwrap().ca,
        Path::new("/etc/geodynamo/ca.pem")
    );
    assert_eq!(config.listen.replication, "[::]:8002".parse().unwrap());
    let credentials: Vec<_> = config.credentials().collect();
    assert_eq!(
        (&*credentials[0].account, &credentials[0].session_token),
        ("123456789012", &None)
    );
    assert_eq!(
        (&*credentials[1].account, credentials[1].session_token.as_deref()),
        ("000000000000", Some("token"))
    );
    let encryption = Encryption {
        key_file: Some(folder.path().join("region.key")),
        ..Encryption::default()
    };
    assert_eq!(config.encryption, encryption);
    let streams = &config.streams;
    let read = (
        streams.shard_seconds.get(),
        streams.retention_seconds.get(),
        streams.reads_per_second.get(),
    );
    assert_eq!(read, (60, 3600, 5));
    let limits = config.data_limits();
    assert_eq!((limits.connections_max, limits.buffered_bytes_max), (100, 32 << 20));
    assert_eq!(
        (limits.header_timeout, limits.drain_timeout),
        (Duration::from_secs(1), Duration::from_secs(4))
    );
    assert_eq!(
        (
            config.replication.drift_max_ms.get(),
            config.replication.parked_max.get()
        ),
        (500, 1000)
    );
    let throttle = &config.throttle;
    let rates = [
        throttle.key_range_read.get(),
        throttle.key_range_write.get(),
        throttle.on_demand_read.get(),
        throttle.on_demand_write.get(),
    ];
    assert_eq!((throttle.enabled, rates), (true, [30, 0, 400, 500]));
    assert_eq!(
        config.ttl,
        TtlEntry {
            sweep_ms: Within::new(100),
            grace_ms: Within::new(0),
            change_interval_ms: Within::new(50),
        }
    );
    assert!(config.console.enabled);
    assert_eq!(config.console.wan.as_ref().unwrap().as_str(), "http://127.0.0.1:9090");
    let us = RegionName::new("us-east-1").unwrap();
    assert_eq!(config.console.endpoints[&us].as_str(), "https://us.example:8000");
    assert_eq!(
        (config.otel.endpoint.unwrap().as_str(), config.otel.sample_percent.get()),
        ("http://127.0.0.1:4318", 5)
    );
    assert!(!format!("{:?}", config.credentials).contains("hush"));
}

#[test]
fn faults_name_the_line_and_the_reason() {
    let check = |from: &str, to: &str, has_line: bool, reason: &str| {
        let text = FULL.replacen(from, to, 1);
        assert_ne!(text, FULL, "the test changes nothing");
        let error = Config::parse("region.toml", &text).unwrap_err().to_string();
        assert!(error.starts_with("region.toml: "), "{error}");
        let line = 1 + FULL
            .lines()
            .zip(text.lines())
            .take_while(|(before, after)| before == after)
            .count();
        let place = if has_line {
            format!("line {line},")
        } else {
            String::new()
        };
        assert!(
            error.contains(&place) && error.contains(reason),
            "no '{place}' or '{reason}' in: {error}"
        );
    };
    check("sync = false", "sink = false", true, "unknown field `sink`");
    check("sync = false", "sync = \"no\"", true, "expected a boolean");
    check(
        "drift_max_ms = 500",
        "drift_max_ms = 0",
        true,
        "must be from 1 to 3600000, not 0",
    );
    check(
        "drift_max_ms = 500",
        "drift_max_ms = -1",
        true,
        "must be from 1 to 3600000, not -1",
    );
    check("region = \"eu-west-1\"", "region = \"EU\"", true, "'EU' is not a name");
    check(
        "data = \"0.0.0.0:8000\"",
        "data = \"localhost\"",
        true,
        "socket address",
    );
    check(
        "account = \"123456789012\"",
        "account = \"1\"",
        true,
        "an account has 12 digits",
    );
    check(
        "access_key_id = \"AKIDEXAMPLE\"",
        "access_key_id = \"A/B\"",
        true,
        "1 to 128 letters",
    );
    check(
        "secret_access_key = \"hush\"",
        "secret_access_key = \"\"",
        true,
        "a secret cannot be empty",
    );
    check(
        "endpoint = \"http://",
        "endpoint = \"https://",
        true,
        "is an http:// address",
    );
    check("[listen]", "[listen", true, "");
    check("node = \"euw1-a\"\n", "", false, "missing field `node`");
    check(
        "ASIDEXAMPLE",
        "AKIDEXAMPLE",
        false,
        "two credentials have the access_key_id 'AKIDEXAMPLE'",
    );
    check(
        "[cluster_tls]\ncert = \"node.pem\"\nkey = \"node.key\"\nca = \"/etc/geodynamo/ca.pem\"\n",
        "",
        false,
        "[cluster_tls] must be there",
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let check = |path: &Path, reason: &str| {
        let error = Config::load(path).unwrap_err().to_string();
        assert!(
            error.starts_with(&path.display().to_string()) && error.contains(reason),
            "{error}"
        );
    };
    check(&folder.path().join("none.toml"), "No such file");
    let long = folder.path().join("long.toml");
    std::fs::write(&long, vec![b' '; FILE_LEN_MAX as usize + 1]).unwrap();
    check(&long, "longer than");
}
