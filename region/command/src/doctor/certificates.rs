//! Certificates: until when they are valid, and whether they go with their keys and authority.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use geodynamo_access::format_iso8601;
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::{Finding, Verdict};
use crate::client::now_unix_s;

const CHECK: &str = "certificates";
/// A certificate that ends sooner should be replaced.
const DAYS_LEFT: i64 = 30;
const DAY_S: i64 = 86_400;

/// Files of TLS, in PEM.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// What they are for.
    pub name: &'static str,
    /// The certificates.
    pub cert: PathBuf,
    /// The first one's key.
    pub key: PathBuf,
    /// The authority that must have signed them.
    pub ca: Option<PathBuf>,
}

pub(super) fn check(all: &[CertificateFiles]) -> Vec<Finding> {
    all.iter().flat_map(|files| check_files(files, now_unix_s())).collect()
}

fn check_files(files: &CertificateFiles, now: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut of_file = |path: &Path| match read(path) {
        Ok(chain) => {
            findings.extend(
                chain
                    .iter()
                    .map(|certificate| validity(files.name, path, certificate, now)),
            );
            chain
        }
        Err(reason) => {
            findings.push(Finding::bad(
                CHECK,
                Verdict::Fault,
                reason,
                "`geodynamo certs` makes the nodes' certificates; those for clients are yours to put there",
            ));
            Vec::new()
        }
    };
    let chain = of_file(&files.cert);
    let authority = files.ca.as_deref().map(&mut of_file);
    if chain.is_empty() {
        return findings;
    }
    if let Err(reason) = goes_with_key(&chain, &files.key) {
        let advice = "name the key that the certificate was made for, and let the user that runs geodynamo read it";
        findings.push(Finding::bad(CHECK, Verdict::Fault, reason, advice));
    }
    if let Some(authority) = authority.filter(|authority| !authority.is_empty())
        && let Err(reason) = is_signed_by(&chain, authority, now)
    {
        let found = format!("{}: {reason}", files.cert.display());
        let advice = "make the certificates of all nodes with one authority: `geodynamo certs` uses the one that is in its folder";
        findings.push(Finding::bad(CHECK, Verdict::Fault, found, advice));
    }
    findings
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = fs::read(path).map_err(|error| told(&error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(told(&"there is no certificate in it")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(told(&error)),
    }
}

fn validity(name: &str, path: &Path, certificate: &CertificateDer<'_>, now: i64) -> Finding {
    let place = path.display();
    let parsed = match parse_x509_certificate(certificate) {
        Ok((_, parsed)) => parsed,
        Err(error) => {
            let advice = "replace the file by one with an X.509 certificate in PEM";
            return Finding::bad(CHECK, Verdict::Fault, format!("{place}: {error}"), advice);
        }
    };
    let (begin, end) = (
        parsed.validity().not_before.timestamp(),
        parsed.validity().not_after.timestamp(),
    );
    let told = format!("{name}: {place} ends {}", format_iso8601(end));
    let advice = "make new ones (`geodynamo certs` for nodes) and start the regions again, one after the other: past its end no \
                  connection is made";
    let days = (end - now).div_euclid(DAY_S);
    if begin > now {
        let found = format!("{name}: {place} is valid from {} only", format_iso8601(begin));
        return Finding::bad(
            CHECK,
            Verdict::Fault,
            found,
            "see whether this machine's clock is right",
        );
    }
    match days {
        days if days < 0 => Finding::bad(CHECK, Verdict::Fault, told, advice),
        days if days < DAYS_LEFT => Finding::bad(CHECK, Verdict::Warning, format!("{told}, in {days} days"), advice),
        _ => Finding::ok(CHECK, told),
    }
}

fn goes_with_key(chain: &[CertificateDer<'static>], path: &Path) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| told(&error))?;
    let pair = CertifiedKey::from_der(chain.to_vec(), key, &aws_lc_rs::default_provider());
    pair.map(drop).map_err(|error| told(&error))
}

fn is_signed_by(chain: &[CertificateDer<'_>], authority: Vec<CertificateDer<'static>>, now: i64) -> Result<(), String> {
    let (own, between) = chain.split_first().ok_or("there is no certificate")?;
    let mut roots = RootCertStore::empty();
    for certificate in authority {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    // Whom it is for is the nodes' matter; here it is asked who signed it.
    let name = first_name(own).ok_or("the certificate names no host")?;
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(now).unwrap_or(0)));
    let verified = verifier.verify_server_cert(own, between, &name, &[], now);
    verified.map(drop).map_err(|error| error.to_string())
}

fn first_name(certificate: &CertificateDer<'_>) -> Option<ServerName<'static>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) => ServerName::try_from((*name).to_owned()).ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    use super::*;

    /// Noon of 2026-06-01.
    const NOW: i64 = 1_780_315_200;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn authority(&self, name: &str) -> CertifiedIssuer<'static, KeyPair> {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(2040, 1, 1);
            let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
            fs::write(self.0.path().join(name), issuer.pem()).unwrap();
            issuer
        }

        fn node(&self, issuer: &CertifiedIssuer<'static, KeyPair>, end: (i32, u8, u8)) -> CertificateFiles {
            let mut params = CertificateParams::new(vec!["node".to_owned()]).unwrap();
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(end.0, end.1, end.2));
            let key = KeyPair::generate().unwrap();
            let path = |name: &str| self.0.path().join(name);
            fs::write(path("node.pem"), params.signed_by(&key, issuer).unwrap().pem()).unwrap();
            fs::write(path("node.key"), key.serialize_pem()).unwrap();
            CertificateFiles {
                name: "cluster",
                cert: path("node.pem"),
                key: path("node.key"),
                ca: Some(path("ca.pem")),
            }
        }
    }

    fn worst(files: &CertificateFiles) -> (Verdict, String) {
        let findings = check_files(files, NOW);
        let worst = findings.into_iter().max_by_key(|finding| finding.verdict).unwrap();
        (worst.verdict, worst.found)
    }

    #[test]
    fn ends_keys_and_authorities() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let issuer = folder.authority("ca.pem");
        for (end, expect) in [
            ((2027, 1, 1), Verdict::Ok),
            ((2026, 6, 20), Verdict::Warning),
            ((2026, 5, 1), Verdict::Fault),
        ] {
            let (verdict, found) = worst(&folder.node(&issuer, end));
            assert_eq!(verdict, expect, "{found}");
        }
        let files = folder.node(&issuer, (2027, 1, 1));
        fs::write(&files.key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        assert_eq!(worst(&files).0, Verdict::Fault, "another key");
        let files = folder.node(&issuer, (2027, 1, 1));
        folder.authority("ca.pem");
        assert_eq!(worst(&files).0, Verdict::Fault, "another authority");
        fs::write(&files.cert, "nothing").unwrap();
        assert!(worst(&files).1.contains("no certificate in it"));
    }
}
