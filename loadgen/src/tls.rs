//! HTTPS to an endpoint.

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Where Debian keeps the authorities that the system trusts.
pub const SYSTEM_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// The port that URLs of HTTPS leave out.
pub const PORT: u16 = 443;

/// Whom to expect at an address, and which authorities say so.
#[derive(Clone, Debug)]
pub struct Tls {
    name: ServerName<'static>,
    authorities: Arc<ClientConfig>,
}

impl Tls {
    /// For a server called `name`, an IP address or a host name, whose certificate one of `authorities` (a PEM file) signed.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate; the name is none.
    pub fn new(name: &str, authorities: &Path) -> io::Result<Tls> {
        let told = |error: &dyn std::fmt::Display| io::Error::other(format!("{}: {error}", authorities.display()));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authorities).map_err(|error| told(&error))? {
            // A system's file may hold certificates that are too old to be understood.
            let _ = roots.add(certificate.map_err(|error| told(&error))?);
        }
        if roots.is_empty() {
            return Err(told(&"there is no certificate in it"));
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name =
            ServerName::try_from(name.to_owned()).map_err(|error| io::Error::other(format!("{name}: {error}")))?;
        Ok(Tls {
            name,
            authorities: Arc::new(config),
        })
    }

    /// The `Host` header of requests to its port.
    pub fn host(&self, port: u16) -> String {
        match (&self.name, port) {
            (ServerName::IpAddress(ip), _) => SocketAddr::new((*ip).into(), port).to_string(),
            (name, PORT) => name.to_str().into_owned(),
            (name, port) => format!("{}:{port}", name.to_str()),
        }
    }

    /// Speaks TLS on a connection.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(Arc::clone(&self.authorities))
            .connect(self.name.clone(), stream)
            .await
    }
}
