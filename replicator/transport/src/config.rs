//! What the replicator is told when it starts, and the QUIC endpoint that follows from it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use quinn::{
    ClientConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::TLS13,
};

use crate::{
    ask::{ASKS_PER_PEER_MAX, CALLS_PER_PEER_MAX},
    ca::Pem,
};

/// The most copies that one peer may fetch at a time.
pub const COPIES_PER_PEER_MAX: u32 = 4;
/// How many of a peer's addresses are dialled at a time.
pub const DIALLED_AT_ONCE_MAX: usize = 8;
/// After how long without any packet a connection is given up.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an idle connection sends a packet.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// What one stream may have on the way, in bytes: 200 ms of 100 Mbit/s three times over.
pub const STREAM_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// What one connection may have on the way, in bytes.
pub const CONNECTION_WINDOW_BYTES: u32 = 24 * 1024 * 1024;
/// What a connection assumes of the round trip before it has measured it.
pub const INITIAL_RTT: Duration = Duration::from_millis(150);
/// The application protocol, in TLS's words.
const ALPN: &[u8] = b"geodynamo/1";

/// What the replicator is told when it starts.
#[derive(Clone)]
pub struct Config {
    /// Where it listens for peers (UDP).
    pub listen: SocketAddr,
    /// The certificate of the cluster's authority, as PEM: only peers with certificates of it are spoken to.
    pub ca_certificate: String,
    /// This node's certificate and key.
    pub node: Pem,
    /// The peers to send to.
    pub peers: Vec<PeerConfig>,
    /// How much may be on the way to this node on one link, in bytes: bounds its memory.
    pub credit_bytes: u64,
}

/// A peer to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Its region: its certificate must name it.
    pub region: String,
    /// Where it is reached, each `host:port`: its nodes' own addresses, or that of a relay before them. Of several nodes, one at a
    /// time answers.
    pub addresses: Vec<String>,
}

/// Why a replicator cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key is not PEM, or they do not belong together.
    #[error("a certificate or key is not valid: {0}")]
    Certificate(String),
    /// The port cannot be had.
    #[error("{address} cannot be listened on: {error}")]
    Listen {
        /// The port.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
}

impl Config {
    /// The TLS and QUIC settings of both roles.
    pub(crate) fn quic(&self) -> Result<(ServerConfig, ClientConfig), StartError> {
        let bad = |error: &dyn std::fmt::Display| StartError::Certificate(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.ca_certificate.as_bytes()) {
            roots
                .add(certificate.map_err(|error| bad(&error))?)
                .map_err(|error| bad(&error))?;
        }
        let roots = Arc::new(roots);
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(self.node.certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| bad(&error))?;
        let key = PrivateKeyDer::from_pem_slice(self.node.key.as_bytes()).map_err(|error| bad(&error))?;
        let provider = Arc::new(aws_lc_rs::default_provider());

        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| bad(&error))?;
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| bad(&error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| bad(&error))?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| bad(&error))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| bad(&error))?;
        client.alpn_protocols = vec![ALPN.to_vec()];

        let transport = Arc::new(transport());
        let server = QuicServerConfig::try_from(server).map_err(|error| bad(&error))?;
        let mut server = ServerConfig::with_crypto(Arc::new(server));
        server.transport_config(Arc::clone(&transport));
        let client = QuicClientConfig::try_from(client).map_err(|error| bad(&error))?;
        let mut client = ClientConfig::new(Arc::new(client));
        client.transport_config(transport);
        Ok((server, client))
    }
}

/// CUBIC, segmentation offload and MTU discovery are quinn's defaults.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(IdleTimeout::try_from(IDLE_TIMEOUT).ok())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(u64::from(CONNECTION_WINDOW_BYTES))
        .max_concurrent_bidi_streams(VarInt::from_u32(
            1 + COPIES_PER_PEER_MAX + ASKS_PER_PEER_MAX + CALLS_PER_PEER_MAX,
        ))
        .max_concurrent_uni_streams(VarInt::from_u32(0));
    transport
}
