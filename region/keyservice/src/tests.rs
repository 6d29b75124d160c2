//! Against services that run already; `tests/sdk/test_key_services.py` starts them, and whole regions.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
};

use geodynamo_outgoing::{Credentials, Endpoint};
use geodynamo_seal::{Keyring, KeyringFile, LocalKey};

use super::*;

/// A keyring is made, opened, refused to another key, and goes over from a local key.
fn serves(key: &dyn Fn(Option<Arc<dyn RegionKey>>) -> ServiceKey) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("keyring.json");
    let made = Keyring::make(&path, &key(None)).unwrap();
    let opened = Keyring::open(&path, &key(None)).unwrap();
    assert_eq!(made.current_id(), opened.current_id());
    let (header, cipher) = made.begin_file(None).unwrap();
    let mut text = *b"geodynamo";
    cipher.seal(0, &mut text).unwrap();
    opened.open_file(&header).unwrap().open(0, &mut text).unwrap();
    assert_eq!(text, *b"geodynamo");
    // What was wrapped for one data key is of no use for another one.
    let (one, two) = (made.current_id(), Keyring::in_memory().unwrap().current_id());
    let secret = Secret::random().unwrap();
    let wrapped = key(None).wrap(one, &secret).unwrap();
    let name = key(None).name();
    assert_eq!(key(None).unwrap(&name, one, &wrapped).unwrap(), Some(secret));
    key(None).unwrap(&name, two, &wrapped).unwrap_err();

    let local = || LocalKey::parse("a test".into(), &"07".repeat(32)).unwrap();
    let path = home.path().join("other.json");
    Keyring::make(&path, &local()).unwrap();
    assert!(matches!(
        Keyring::open(&path, &key(None)),
        Err(SealError::WrongKey { .. })
    ));
    let mut file = KeyringFile::read(&path).unwrap();
    assert_eq!(file.rewrap(&path, &key(Some(Arc::new(local())))).unwrap(), 1);
    file.check(&path, &key(None)).unwrap();
}

#[test]
#[ignore = "wants moto's server and a key of its: KMS_ENDPOINT=… KMS_KEY=… cargo test -p geodynamo-keyservice a_key_of_kms -- --ignored"]
fn a_key_of_kms() {
    let of = |name: &str| std::env::var(name).unwrap();
    let credentials = Credentials {
        access_key_id: "moto".into(),
        secret_access_key: "moto".into(),
        session_token: None,
    };
    serves(&|earlier| {
        let endpoint = Endpoint::new(&of("KMS_ENDPOINT"), "kms", "us-east-1", Some(&credentials)).unwrap();
        let key_id = of("KMS_KEY");
        ServiceKey::new(Service::Kms(Kms { endpoint, key_id }), earlier)
    });
}

#[test]
#[ignore = "wants OpenBao's, with a key 'region': BAO_ENDPOINT=… VAULT_TOKEN=… cargo test -p geodynamo-keyservice transit -- --ignored"]
fn a_key_of_a_transit_engine() {
    serves(&|earlier| {
        let transit = Transit {
            endpoint: Endpoint::new(&std::env::var("BAO_ENDPOINT").unwrap(), "vault", "", None).unwrap(),
            mount: "transit".into(),
            key: "region".into(),
            token: Token::Variable("VAULT_TOKEN".into()),
            namespace: None,
        };
        ServiceKey::new(Service::Transit(transit), earlier)
    });
}

/// A service that fails is asked again, a few times; then it is told what it said.
#[test]
fn a_service_that_fails_is_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        for _ in 0..ATTEMPTS {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 503 Away\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
        }
    });
    let endpoint = Endpoint::new(&address, "kms", "us-east-1", None).unwrap();
    let key = ServiceKey::new(
        Service::Kms(Kms {
            endpoint,
            key_id: "k".into(),
        }),
        None,
    );
    let id = Keyring::in_memory().unwrap().current_id();
    let error = key.wrap(id, &Secret::random().unwrap()).unwrap_err().to_string();
    assert!(error.contains("503") && error.contains(&address), "{error}");
    serving.join().unwrap();
}
