//! The program itself: what it says, and how it ends.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn geodynamo() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_geodynamo"));
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    command
}

/// Runs what ends by itself.
fn output(arguments: &[&str], folder: &Path) -> Output {
    geodynamo().args(arguments).current_dir(folder).output().unwrap()
}

/// Ends with its process, whatever becomes of the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_development_region_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let child = geodynamo()
            .args(["dev", "--port", "0", "--data"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Running(child);
        let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
        let endpoint = lines
            .find_map(|line| Some(line.unwrap().split_once("http://")?.1.trim().to_owned()))
            .unwrap();
        assert!(
            std::net::TcpStream::connect(&endpoint).is_ok(),
            "nobody answers at {endpoint}"
        );
        let pid = running.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = running.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end on {signal}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(status.code(), Some(0), "after {signal}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, reason: &str| {
        fs::write(folder.path().join("region.toml"), text).unwrap();
        let output = output(&["serve", "--config", "region.toml"], folder.path());
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.lines().any(|line| line.starts_with("geodynamo: ")) && told.contains(reason),
            "no '{reason}' in: {told}"
        );
    };
    check("region = 1", "line 1");
    let good = "region = \"eu\"\nnode = \"a\"\ndata_dir = \"data\"\n";
    check(&format!("{good}sync = true"), "unknown field `sync`");
    let listen = "listen = { data = \"192.0.2.1:1\", admin = \"127.0.0.1:0\" }\n";
    check(&format!("{good}{listen}"), "data port 192.0.2.1:1: ");
    let tls = "[cluster_tls]\ncert = \"c\"\nkey = \"k\"\nca = \"a\"\n";
    check(
        &format!("{good}topology = \"none.toml\"\n{tls}"),
        "none.toml: No such file",
    );
    fs::write(
        folder.path().join("bad.toml"),
        "cluster = \"c\"\n[[region]]\nname = \"us\"\n",
    )
    .unwrap();
    check(&format!("{good}topology = \"bad.toml\"\n{tls}"), "bad.toml:");
    // Made by a region that then could not have its port.
    fs::remove_dir_all(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data"), "a file").unwrap();
    check(good, "data");
}

#[test]
fn certificates_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let topology = "cluster = \"c\"\n[[region]]\nname = \"us\"\n[[region.node]]\nname = \"us-a\"\nreplication = \
                    \"127.0.0.1:1\"\ndata = \"127.0.0.1:2\"\nadmin = \"127.0.0.1:3\"\n";
    fs::write(folder.path().join("t.toml"), topology).unwrap();
    let output = output(&["certs", "--topology", "t.toml", "--out", "certs"], folder.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for name in ["ca.pem", "ca.key", "us-a.pem", "us-a.key"] {
        assert!(folder.path().join("certs").join(name).exists(), "no {name}");
    }
}
