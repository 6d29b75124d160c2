//! Power cuts: kill -9 under the synctrack shim, then files taken back to what had been synced (see `shim/`).

use std::path::{Path, PathBuf};
use std::process::Command;

use geodynamo_loadgen::cluster::Node;
use serde_json::Value;

use crate::Failure;

/// A region's mains switch.
pub struct Power {
    library: PathBuf,
    journal: PathBuf,
}

impl Power {
    /// Compiles the shim into `folder`, which must lie outside the region's data.
    pub fn new(folder: &Path) -> Result<Power, Failure> {
        let library = folder.join("synctrack.so");
        let built = Command::new("gcc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(shim("synctrack.c"))
            .arg("-ldl")
            .status()?;
        if !built.success() {
            return Err("the shim does not compile".into());
        }
        Ok(Power {
            library,
            journal: folder.join("synctrack.journal"),
        })
    }

    /// Starts the region under the shim and waits until it is ready.
    pub fn on(&self, node: &mut Node) -> Result<(), Failure> {
        let data_dir = node.data_dir.clone();
        node.start(&[
            ("LD_PRELOAD", &self.library),
            ("SYNCTRACK_ROOT", &data_dir),
            ("SYNCTRACK_LOG", &self.journal),
        ])?;
        Ok(node.wait_ready()?)
    }

    /// Kills the region and takes its files back to what had been synced; says what was taken.
    pub fn cut(&self, node: &mut Node) -> Result<Value, Failure> {
        node.kill()?;
        let cutback = Command::new("python3")
            .arg(shim("cutback.py"))
            .arg(&node.data_dir)
            .arg(&self.journal)
            .output()?;
        let said = String::from_utf8_lossy(&cutback.stdout).into_owned();
        if !cutback.status.success() {
            return Err(format!("cutback: {said} {}", String::from_utf8_lossy(&cutback.stderr)).into());
        }
        Ok(serde_json::from_str(&said)?)
    }
}

fn shim(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("shim").join(name)
}
