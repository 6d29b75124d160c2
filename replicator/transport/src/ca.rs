//! The cluster's certificate authority: who may speak to whom.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("a certificate cannot be made: {0}")]
pub struct CaError(#[from] rcgen::Error);

/// A certificate and its private key, as PEM.
#[derive(Clone)]
pub struct Pem {
    /// The certificate.
    pub certificate: String,
    /// Its private key (PKCS #8). Whoever has it is believed.
    pub key: String,
}

/// The authority that issues the certificates of a cluster's nodes. It is no part of the running system: a node needs
/// only the authority's certificate and its own.
pub struct ClusterCa {
    cluster: String,
    pem: Pem,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterCa {
    /// A new authority for a cluster.
    pub fn create(cluster: &str) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let params = ca_params(cluster)?;
        let pem = Pem {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        };
        Ok(Self {
            cluster: cluster.into(),
            pem,
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority whose PEM was kept from [`ClusterCa::create`] for the same cluster.
    pub fn from_pem(cluster: &str, pem: Pem) -> Result<Self, CaError> {
        let key = KeyPair::from_pem(&pem.key)?;
        Ok(Self {
            cluster: cluster.into(),
            pem,
            issuer: Issuer::new(ca_params(cluster)?, key),
        })
    }

    /// Its certificate (every node needs it) and key (no node needs it).
    pub fn pem(&self) -> &Pem {
        &self.pem
    }

    /// A new certificate for a node of a region: good for [`node_name`].
    pub fn issue(&self, region: &str) -> Result<Pem, CaError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![node_name(&self.cluster, region)])?;
        params.distinguished_name = name(&format!("geodynamo node in {region}"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pem {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The DNS name that the certificate of a region's node bears. It is never looked up.
pub fn node_name(cluster: &str, region: &str) -> String {
    format!("{region}.{cluster}.geodynamo")
}

fn ca_params(cluster: &str) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name(&format!("geodynamo cluster {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}
