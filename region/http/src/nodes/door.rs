//! The way between nodes of one region: TLS by the cluster's certificates, which must name the region at both ends. What goes
//! over it is HTTP/1.1, each request with its client ([`super::forwarded`]).

use std::{fmt, io, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// The application protocol, in TLS's words. The first one passed connections on, byte for byte.
const ALPN: &[u8] = b"geodynamo-node/2";

/// Both ends of the way. Cheap to clone.
#[derive(Clone)]
pub struct Door {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// Where the certificates of a cluster are, PEM files.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The authority's.
    pub ca: &'a Path,
    /// This node's, and those up to the authority's.
    pub cert: &'a Path,
    /// This node's key.
    pub key: &'a Path,
}

/// The certificates are of no use: why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct DoorError(String);

/// The owner's end, bound.
pub struct Forward {
    /// Where other nodes connect to.
    pub listener: TcpListener,
    /// Who they have to be.
    pub door: Door,
}

impl Door {
    /// The way between the nodes of a region, whose certificates all have `name`.
    ///
    /// # Errors
    /// If the certificates are of no use.
    pub fn open(name: String, files: Files<'_>) -> Result<Self, DoorError> {
        let name = ServerName::try_from(name).map_err(|error| DoorError(error.to_string()))?;
        let (server, client) = configurations(files)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            name,
        })
    }

    /// The owner's end of a connection that another node passes requests on over.
    ///
    /// # Errors
    /// If it does not come from a node of this region, or breaks off.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        socket.set_nodelay(true)?;
        let stream = self.acceptor.accept(socket).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a node of another release"));
        }
        let chain = stream.get_ref().1.peer_certificates();
        self.check(chain.and_then(<[_]>::first))?;
        Ok(stream)
    }

    /// A connection to the owner at an address, to pass requests on over.
    ///
    /// # Errors
    /// If the owner cannot be reached, or is no node of this region.
    pub async fn pass_on(&self, address: &str) -> io::Result<client::TlsStream<TcpStream>> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        self.connector.connect(self.name.clone(), socket).await
    }

    /// TLS has verified that the cluster's authority issued the certificate; here, that it is a node's of this region.
    fn check(&self, certificate: Option<&CertificateDer<'_>>) -> io::Result<()> {
        let refused = |error: &dyn std::fmt::Display| {
            let text = format!("its certificate is no node's of this region: {error}");
            io::Error::new(io::ErrorKind::PermissionDenied, text)
        };
        let certificate = certificate.ok_or_else(|| refused(&"there is none"))?;
        let certificate = ParsedCertificate::try_from(certificate).map_err(|error| refused(&error))?;
        verify_server_name(&certificate, &self.name).map_err(|error| refused(&error))
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("name", &self.name).finish_non_exhaustive()
    }
}

fn configurations(files: Files<'_>) -> Result<(ServerConfig, ClientConfig), DoorError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: &dyn std::fmt::Display| DoorError(format!("{}: {error}", path.display()))
    };
    let certificates = |path: &Path| {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(path)(&error))
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(files.ca)? {
        roots.add(certificate).map_err(|error| failed(files.ca)(&error))?;
    }
    let roots = Arc::new(roots);
    let chain = certificates(files.cert)?;
    let key = PrivateKeyDer::from_pem_file(files.key).map_err(|error| failed(files.key)(&error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let unusable = |error: &dyn std::fmt::Display| DoorError(error.to_string());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|error| unusable(&error))?;
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable(&error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.clone(), key.clone_key())
        .map_err(|error| unusable(&error))?;
    server.alpn_protocols = vec![ALPN.to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| unusable(&error))?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map_err(|error| unusable(&error))?;
    client.alpn_protocols = vec![ALPN.to_vec()];
    Ok((server, client))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use geodynamo_replicator::{ClusterCa, node_name};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The way of a region, with a certificate that an authority issued for one.
    fn door(ca: &ClusterCa, region: &str, certificate_of: &str) -> Door {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let pem = ca.issue(certificate_of).unwrap();
        fs::write(path("cert"), pem.certificate).unwrap();
        fs::write(path("key"), pem.key).unwrap();
        fs::write(path("ca"), &ca.pem().certificate).unwrap();
        let (cert, key, ca) = (path("cert"), path("key"), path("ca"));
        let files = Files {
            cert: &cert,
            key: &key,
            ca: &ca,
        };
        Door::open(node_name("test", region), files).unwrap()
    }

    /// What an owner makes of a node that passes a connection on to it.
    async fn passed_on(owner: &Door, other: &Door) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let sending = async {
            let mut stream = other.pass_on(&address).await?;
            stream.write_all(b"POST").await?;
            stream.shutdown().await?;
            // What the owner thinks of it is known when it answers, or hangs up.
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.map(drop)
        };
        let taking = async {
            let mut stream = owner.accept(listener.accept().await?.0).await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            stream.shutdown().await?;
            Ok(bytes)
        };
        let (_, taken) = tokio::join!(sending, taking);
        taken
    }

    #[tokio::test]
    async fn a_node_of_the_region_may_pass_on_and_nobody_else() {
        let ca = ClusterCa::create("test").unwrap();
        let owner = door(&ca, "us", "us");
        let bytes = passed_on(&owner, &door(&ca, "us", "us")).await.unwrap();
        assert_eq!(bytes, b"POST");
        let of_another_region = passed_on(&owner, &door(&ca, "us", "eu")).await.unwrap_err();
        assert!(
            of_another_region.to_string().contains("no node's of this region"),
            "{of_another_region}"
        );
        let stranger = ClusterCa::create("test").unwrap();
        assert!(passed_on(&owner, &door(&stranger, "us", "us")).await.is_err());
    }
}
