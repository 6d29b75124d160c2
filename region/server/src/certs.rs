//! The files of a cluster's certificates: its authority's and its nodes'.
//!
//! Nodes authenticate each other by these alone: whoever holds the authority's key can make a node.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use geodynamo_http::tls::{self, TlsError};
use geodynamo_replicator::{CaError, ClusterCa, Pem};
use geodynamo_topology::Topology;

use crate::access::{
    AccessStartError,
    cluster_key::{self, CLUSTER_KEY},
};

/// The authority's certificate, which every node needs, in the folder of certificates.
pub const AUTHORITY_CERT: &str = "ca.pem";

/// The authority's key, which no node needs, in the folder of certificates.
pub const AUTHORITY_KEY: &str = "ca.key";

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// A file that cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CaError),
    /// The authority's files are no certificate and key, or do not go together.
    #[error("the authority in {} cannot be used: {source}", path.display())]
    Authority {
        /// Its certificate.
        path: PathBuf,
        /// Why.
        source: TlsError,
    },
    /// The cluster's key cannot be made.
    #[error(transparent)]
    ClusterKey(#[from] AccessStartError),
    /// Only one of the authority's two files is there.
    #[error("{}: there, but {} is not; both or neither must be", present.display(), absent.display())]
    HalfAnAuthority {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        absent: PathBuf,
    },
}

/// Makes a certificate and a key for each of a topology's nodes (`NODE.pem`, `NODE.key`) in `folder`, signed by the
/// authority there (`ca.pem`, `ca.key`), which is made if it is not there; so is the cluster's key (`cluster.key`).
/// Keys are readable by their owner only. Nodes' files that are there are replaced; the authority's and the cluster's key
/// never are. Gives the paths of the written files.
pub fn make(folder: &Path, topology: &Topology) -> Result<Vec<PathBuf>, CertsError> {
    fs::create_dir_all(folder).map_err(file_error(folder))?;
    let mut written = Vec::new();
    let authority = authority(folder, topology.cluster().as_str(), &mut written)?;
    let cluster_key = folder.join(CLUSTER_KEY);
    if cluster_key::make(&cluster_key, None)? {
        written.push(cluster_key);
    }
    for region in topology.regions() {
        for node in &region.nodes {
            let pem = authority.issue(region.name.as_str())?;
            let (cert, key) = (
                folder.join(format!("{}.pem", node.name)),
                folder.join(format!("{}.key", node.name)),
            );
            write_pair(&cert, &key, &pem)?;
            written.extend([cert, key]);
        }
    }
    Ok(written)
}

fn authority(folder: &Path, cluster: &str, written: &mut Vec<PathBuf>) -> Result<ClusterCa, CertsError> {
    let (cert, key) = (folder.join(AUTHORITY_CERT), folder.join(AUTHORITY_KEY));
    match (cert.exists(), key.exists()) {
        (true, true) => {
            tls::acceptor(&cert, &key).map_err(|source| CertsError::Authority {
                path: cert.clone(),
                source,
            })?;
            let pem = Pem {
                certificate: fs::read_to_string(&cert).map_err(file_error(&cert))?,
                key: fs::read_to_string(&key).map_err(file_error(&key))?,
            };
            Ok(ClusterCa::from_pem(cluster, pem)?)
        }
        (true, false) => Err(CertsError::HalfAnAuthority {
            present: cert,
            absent: key,
        }),
        (false, true) => Err(CertsError::HalfAnAuthority {
            present: key,
            absent: cert,
        }),
        (false, false) => {
            let authority = ClusterCa::create(cluster)?;
            write_pair(&cert, &key, authority.pem())?;
            written.extend([cert, key]);
            Ok(authority)
        }
    }
}

fn write_pair(cert: &Path, key: &Path, pem: &Pem) -> Result<(), CertsError> {
    // The key first: a certificate without its key is of no use to anyone.
    write(key, &pem.key, 0o600)?;
    write(cert, &pem.certificate, 0o644)
}

/// Writes a file as a whole or not at all, its mode set before there is anything to read.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let result = (|| {
        // What an earlier run left behind could have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    result.map_err(file_error(path))
}

fn file_error(path: &Path) -> impl Fn(io::Error) -> CertsError + use<> {
    let path = path.to_owned();
    move |source| CertsError::File {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::Arc};

    use geodynamo_replicator::node_name;
    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::WebPkiClientVerifier,
    };

    use super::*;

    fn topology(regions: &[&str]) -> Topology {
        let mut text = "cluster = \"test\"\n".to_owned();
        for (place, region) in regions.iter().enumerate() {
            text += &format!(
                "[[region]]\nname = \"{region}\"\n[[region.node]]\nname = \"{region}-a\"\nreplication = \
                 \"127.0.0.1:{}\"\ndata = \"127.0.0.1:{}\"\nadmin = \"127.0.0.1:{}\"\n",
                7000 + place * 10,
                7001 + place * 10,
                7002 + place * 10,
            );
        }
        Topology::parse("test", &text).unwrap()
    }

    #[test]
    fn nodes_are_known_by_their_region_and_authority() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(make(path, &topology(&["us", "eu"])).unwrap().len(), 7);
        let authority = fs::read(path.join(AUTHORITY_CERT)).unwrap();
        assert_eq!(make(path, &topology(&["ap"])).unwrap().len(), 2);
        assert_eq!(
            fs::read(path.join(AUTHORITY_CERT)).unwrap(),
            authority,
            "the authority was replaced"
        );
        for key in ["ca.key", "us-a.key", "ap-a.key"] {
            assert_eq!(
                fs::metadata(path.join(key)).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        let cert = |folder: &Path, name: &str| CertificateDer::from_pem_file(folder.join(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert(path, AUTHORITY_CERT)).unwrap();
        let roots = Arc::new(roots);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let client = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .unwrap();
        let is_taken = |cert: &CertificateDer<'_>, region: &str| {
            let (now, name) = (
                UnixTime::now(),
                ServerName::try_from(node_name("test", region)).unwrap(),
            );
            server.verify_server_cert(cert, &[], &name, &[], now).is_ok()
                && client.verify_client_cert(cert, &[], now).is_ok()
        };
        for region in ["us", "eu", "ap"] {
            assert!(is_taken(&cert(path, &format!("{region}-a.pem")), region), "{region}");
        }
        assert!(
            !is_taken(&cert(path, "us-a.pem"), "eu"),
            "a node passes for another region's"
        );
        let other = tempfile::tempdir().unwrap();
        make(other.path(), &topology(&["us"])).unwrap();
        assert!(
            !is_taken(&cert(other.path(), "us-a.pem"), "us"),
            "another authority's node is taken"
        );
    }

    #[test]
    fn half_an_authority_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(AUTHORITY_KEY), "x").unwrap();
        let error = make(folder.path(), &topology(&["us"])).unwrap_err();
        assert!(matches!(error, CertsError::HalfAnAuthority { .. }), "{error}");
        fs::write(folder.path().join(AUTHORITY_CERT), "x").unwrap();
        let error = make(folder.path(), &topology(&["us"])).unwrap_err();
        assert!(matches!(error, CertsError::Authority { .. }), "{error}");
    }
}
