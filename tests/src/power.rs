//! Power cuts: kill -9 under the synctrack shim, then files taken back to what had been synced (see `shim/`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use geodynamo_loadgen::cluster::Node;
use serde_json::Value;

use crate::Failure;

/// Bytes of the control file of the library that makes a file system fail.
const CONTROL_BYTES: usize = 4096;

/// A region's mains switch.
pub struct Power {
    libraries: PathBuf,
    journal: PathBuf,
    control: PathBuf,
}

impl Power {
    /// Compiles the shim into `folder`, which must lie outside the region's data.
    pub fn new(folder: &Path) -> Result<Power, Failure> {
        Power::with(folder, &["synctrack"])
    }

    /// As [`Power::new`], with a disk that fails when it is told to: see [`Power::set_faults`].
    pub fn with_faults(folder: &Path) -> Result<Power, Failure> {
        // What fails is not seen by the library that notes what was synced.
        Power::with(folder, &["faults", "synctrack"])
    }

    fn with(folder: &Path, names: &[&str]) -> Result<Power, Failure> {
        let mut libraries = Vec::new();
        for name in names {
            let library = folder.join(format!("{name}.so"));
            let built = Command::new("gcc")
                .args(["-O2", "-shared", "-fPIC", "-o"])
                .arg(&library)
                .arg(shim(&format!("{name}.c")))
                .arg("-ldl")
                .status()?;
            if !built.success() {
                return Err(format!("{name} does not compile").into());
            }
            libraries.push(library.display().to_string());
        }
        let control = folder.join("faults.control");
        File::create(&control)?.set_len(CONTROL_BYTES as u64)?;
        Ok(Power {
            libraries: libraries.join(":").into(),
            journal: folder.join("synctrack.journal"),
            control,
        })
    }

    /// Makes calls on files fail, by rules as `shim/faults.c` has them; none ends it.
    pub fn set_faults(&self, rules: &[&str]) -> Result<(), Failure> {
        let mut text = rules.join("\n").into_bytes();
        text.resize(CONTROL_BYTES, 0);
        Ok(OpenOptions::new()
            .write(true)
            .open(&self.control)?
            .write_all_at(&text, 0)?)
    }

    /// Starts the region under the shim and waits until it is ready.
    pub fn on(&self, node: &mut Node) -> Result<(), Failure> {
        let data_dir = node.data_dir.clone();
        node.start(&[
            ("LD_PRELOAD", &self.libraries),
            ("FAULTS_CONTROL", &self.control),
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
