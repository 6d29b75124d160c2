//! `geodynamo doctor`: whether a machine, a configuration and the regions around are fit for a region, what is not, and what to
//! change.
//!
//! Each check gives findings; none changes anything but for a file that is made to be synced and is gone again. The checks hear
//! of the configuration through [`Subject`] only.

mod certificates;
mod machine;
mod network;

use std::{fmt::Write as _, net::SocketAddr, path::PathBuf};

use serde::Serialize;

pub use self::{certificates::CertificateFiles, network::Port};
use crate::{
    Done,
    output::{OutputForm, Tone, print, print_json},
};

/// What the doctor looks at.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Subject {
    /// The region, if there is a configuration.
    pub region: Option<String>,
    /// This process's name in the topology.
    pub node: Option<String>,
    /// Where the tables are, or would be.
    pub data_dir: PathBuf,
    /// Where it listens.
    pub ports: Vec<Port>,
    /// The admin port of a region that may be running.
    pub admin: Option<SocketAddr>,
    /// The other regions' nodes.
    pub peers: Vec<Peer>,
    /// What the topology is, or why there is none; nothing where none is configured.
    pub topology: Option<Result<String, String>>,
    /// The files of TLS.
    pub certificates: Vec<CertificateFiles>,
    /// How many files may be open at once.
    pub files: u64,
    /// Memory that is configured, in bytes.
    pub memory_bytes: u64,
    /// How far ahead a stamp may be, in milliseconds.
    pub drift_max_ms: u64,
    /// What is set so that it costs safety: what, and what to do about it.
    pub risks: Vec<(String, String)>,
}

/// Another region's node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its region.
    pub region: String,
    /// Its admin port, `HOST:PORT`.
    pub admin: String,
    /// Its replication port.
    pub replication: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but not well, or not for long.
    Warning,
    /// It does not work, or is not safe.
    Fault,
}

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to change, and why.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn bad(check: &'static str, verdict: Verdict, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }
}

/// Makes all checks, prints what they find, and fails if there is a fault, or a warning where `strict` says so.
///
/// # Errors
/// If something is wrong.
pub fn run(subject: &Subject, strict: bool, form: OutputForm) -> Done {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(examine(subject));
    match form {
        OutputForm::Json => print_json(&findings)?,
        OutputForm::Table => print(&render(&findings))?,
    }
    let number = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match (number(Verdict::Fault), number(Verdict::Warning)) {
        (0, 0) => Ok(()),
        (0, _) if !strict => Ok(()),
        (faults, warnings) => Err(format!("{faults} faults, {warnings} warnings").into()),
    }
}

/// Makes all checks.
pub async fn examine(subject: &Subject) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(
        subject
            .risks
            .iter()
            .map(|(found, advice)| Finding::bad("configuration", Verdict::Warning, found, advice)),
    );
    match &subject.topology {
        Some(Ok(summary)) => findings.push(Finding::ok("topology", summary)),
        Some(Err(reason)) => findings.push(Finding::bad(
            "topology",
            Verdict::Fault,
            reason,
            "every region needs the same topology file, with itself and its node in it",
        )),
        None => {}
    }
    findings.extend(machine::disk(&subject.data_dir));
    findings.push(machine::files(subject.files));
    findings.extend(machine::memory(subject.memory_bytes));
    findings.extend(machine::datagrams(!subject.peers.is_empty()));
    findings.extend(certificates::check(&subject.certificates));
    findings.extend(network::ports(subject).await);
    findings.extend(network::peers(subject).await);
    findings
}

fn render(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (mark, tone) = match finding.verdict {
            Verdict::Ok => ("ok     ", Tone::Good),
            Verdict::Warning => ("warning", Tone::Warning),
            Verdict::Fault => ("fault  ", Tone::Bad),
        };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{}  {:width$}  {}",
            tone.paint(mark),
            finding.check,
            finding.found
        );
        if let Some(advice) = &finding.advice {
            let _ = writeln!(text, "         {:width$}  what to do: {advice}", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_fail_and_warnings_do_where_they_are_to() {
        let folder = tempfile::tempdir().unwrap();
        let mut subject = Subject {
            data_dir: folder.path().to_owned(),
            ..Subject::default()
        };
        // This machine's disk may be slow or full: what matters here is what is added.
        let before = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(examine(&subject));
        subject.topology = Some(Err("region 'x' is not in it".to_owned()));
        assert!(run(&subject, false, OutputForm::Json).is_err());
        let text = render(&before);
        assert_eq!(
            text.lines().filter(|line| !line.contains("what to do")).count(),
            before.len(),
            "{text}"
        );
    }
}
