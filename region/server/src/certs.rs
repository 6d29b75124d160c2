//! The cluster's own authority and the certificates of its nodes.
//!
//! Nodes authenticate each other by these alone: whoever holds the authority's key can make a node. A node's certificate
//! names it in its subject (CN) and in its subject alternative names (DNS), and serves both ends of a link.

use std::{
    fs, io,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use geodynamo_topology::NodeName;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::data::tls::{self, TlsError};

/// How long the authority is valid, in days: ten years.
const AUTHORITY_DAYS: u64 = 3652;

/// How much certificates are valid before they are made, for clocks that are behind.
const BACKDATE: Duration = Duration::from_secs(24 * 3600);

const AUTHORITY_CERT: &str = "ca.pem";
const AUTHORITY_KEY: &str = "ca.key";

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
    /// The authority's files are no authority, or a certificate cannot be made.
    #[error("{}: {source}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rcgen::Error,
    },
    /// The authority's files are no certificate and key, or do not go together.
    #[error("the authority in {} cannot be used: {source}", path.display())]
    Authority {
        /// Its certificate.
        path: PathBuf,
        /// Why.
        source: TlsError,
    },
    /// Only one of the authority's two files is there.
    #[error("{}: there, but {} is not; both or neither must be", present.display(), absent.display())]
    HalfAnAuthority {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        absent: PathBuf,
    },
}

/// Makes a certificate and a key for each node (`NODE.pem`, `NODE.key`) in `folder`, signed by the authority there
/// (`ca.pem`, `ca.key`), which is made if it is not there. Keys are readable by their owner only. Nodes' files that are
/// there are replaced; the authority's never are. Gives the paths of the written files.
pub fn make(folder: &Path, nodes: &[NodeName], days: u32, now: SystemTime) -> Result<Vec<PathBuf>, CertsError> {
    fs::create_dir_all(folder).map_err(file_error(folder))?;
    let mut written = Vec::new();
    let authority = authority(folder, now, &mut written)?;
    for node in nodes {
        let path = folder.join(format!("{node}.pem"));
        let failure = |source| CertsError::Certificate {
            path: path.clone(),
            source,
        };
        let key = KeyPair::generate().map_err(failure)?;
        let mut params = CertificateParams::new([node.to_string()]).map_err(failure)?;
        params.distinguished_name.push(DnType::CommonName, node.as_str());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, u64::from(days));
        let cert = params.signed_by(&key, &authority).map_err(failure)?;
        write(&path, &cert.pem(), Readers::All)?;
        written.push(path);
        let path = folder.join(format!("{node}.key"));
        write(&path, &key.serialize_pem(), Readers::Owner)?;
        written.push(path);
    }
    Ok(written)
}

fn authority(
    folder: &Path,
    now: SystemTime,
    written: &mut Vec<PathBuf>,
) -> Result<Issuer<'static, KeyPair>, CertsError> {
    let (cert_path, key_path) = (folder.join(AUTHORITY_CERT), folder.join(AUTHORITY_KEY));
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "geodynamo cluster authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, now, AUTHORITY_DAYS);
    let failure = |source| CertsError::Certificate {
        path: cert_path.clone(),
        source,
    };
    let key = match (cert_path.exists(), key_path.exists()) {
        (true, true) => {
            check_pair(&cert_path, &key_path)?;
            let key = fs::read_to_string(&key_path).map_err(file_error(&key_path))?;
            KeyPair::from_pem(&key).map_err(|source| CertsError::Certificate { path: key_path, source })?
        }
        (true, false) => {
            return Err(CertsError::HalfAnAuthority {
                present: cert_path,
                absent: key_path,
            });
        }
        (false, true) => {
            return Err(CertsError::HalfAnAuthority {
                present: key_path,
                absent: cert_path,
            });
        }
        (false, false) => {
            let key = KeyPair::generate().map_err(failure)?;
            let cert = params.self_signed(&key).map_err(failure)?;
            // The key first: a certificate without its key could sign nothing.
            write(&key_path, &key.serialize_pem(), Readers::Owner)?;
            write(&cert_path, &cert.pem(), Readers::All)?;
            written.extend([cert_path, key_path]);
            key
        }
    };
    // Of the authority, a certificate it signs has the name and the key only, and both are the same every time.
    Ok(Issuer::new(params, key))
}

/// Refuses files that are no certificate, no key, or do not go together.
fn check_pair(cert: &Path, key: &Path) -> Result<(), CertsError> {
    tls::acceptor(cert, key)
        .map(drop)
        .map_err(|source| CertsError::Authority {
            path: cert.to_owned(),
            source,
        })
}

fn set_validity(params: &mut CertificateParams, now: SystemTime, days: u64) {
    params.not_before = (now - BACKDATE).into();
    params.not_after = (now + Duration::from_secs(days * 24 * 3600)).into();
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Readers {
    All,
    Owner,
}

/// Writes a file as a whole or not at all, its mode set before there is anything to read.
fn write(path: &Path, text: &str, readers: Readers) -> Result<(), CertsError> {
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let new = path.with_extension("new");
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

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
        server::WebPkiClientVerifier,
    };

    use super::*;

    #[test]
    fn nodes_are_known_by_their_names_and_authority() {
        let folder = tempfile::tempdir().unwrap();
        let (path, now) = (folder.path(), SystemTime::now());
        let name = |text| NodeName::new(text).unwrap();
        assert_eq!(make(path, &[name("use1-a"), name("euw1-a")], 30, now).unwrap().len(), 6);
        let authority = fs::read(path.join(AUTHORITY_CERT)).unwrap();
        assert_eq!(make(path, &[name("apne1-a")], 30, now).unwrap().len(), 2);
        assert_eq!(
            fs::read(path.join(AUTHORITY_CERT)).unwrap(),
            authority,
            "the authority was replaced"
        );
        for key in ["ca.key", "use1-a.key", "apne1-a.key"] {
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
        let time = |offset_s| {
            UnixTime::since_unix_epoch(
                now.duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_secs(offset_s),
            )
        };
        let is_taken = |cert: &CertificateDer<'_>, name: &'static str, offset_s: u64| {
            let as_server = server
                .verify_server_cert(cert, &[], &ServerName::try_from(name).unwrap(), &[], time(offset_s))
                .is_ok();
            as_server && client.verify_client_cert(cert, &[], time(offset_s)).is_ok()
        };
        for node in ["use1-a", "euw1-a", "apne1-a"] {
            assert!(is_taken(&cert(path, &format!("{node}.pem")), node, 0), "{node}");
        }
        assert!(
            !is_taken(&cert(path, "use1-a.pem"), "euw1-a", 0),
            "a node passes for another"
        );
        assert!(
            !is_taken(&cert(path, "use1-a.pem"), "use1-a", 31 * 24 * 3600),
            "valid for too long"
        );
        let other = tempfile::tempdir().unwrap();
        make(other.path(), &[name("use1-a")], 30, now).unwrap();
        assert!(
            !is_taken(&cert(other.path(), "use1-a.pem"), "use1-a", 0),
            "another cluster's node is taken"
        );
    }

    #[test]
    fn half_an_authority_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(AUTHORITY_KEY), "x").unwrap();
        let error = make(folder.path(), &[], 30, SystemTime::now()).unwrap_err();
        assert!(matches!(error, CertsError::HalfAnAuthority { .. }), "{error}");
        fs::write(folder.path().join(AUTHORITY_CERT), "x").unwrap();
        let error = make(folder.path(), &[], 30, SystemTime::now()).unwrap_err();
        assert!(matches!(error, CertsError::Authority { .. }), "{error}");
    }
}
