// SPDX-License-Identifier: Apache-2.0
//! Certificates good and bad, and TLS in front of any server of the loopback.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;

use rcgen::{date_time_ymd, BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::ServerConfig;
use sha2::{Digest, Sha256};
use tokio_rustls::TlsAcceptor;

/// An authority that no system trusts.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

pub struct Certificate {
    pub der: CertificateDer<'static>,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its own certificate, as `caFile` holds it.
    pub fn file(&self, path: &Path) -> PathBuf {
        std::fs::write(path, self.0.pem()).expect("the authority's file");
        path.to_owned()
    }

    /// A certificate for this name, good from one year to another.
    pub fn certificate(&self, name: &str, from: i32, to: i32) -> Certificate {
        let key = KeyPair::generate().unwrap();
        let certificate = params(name, from, to).signed_by(&key, &self.0).unwrap();
        Certificate { der: certificate.der().clone(), key }
    }
}

/// A certificate as cameras make it for themselves.
pub fn self_signed(name: &str, from: i32, to: i32) -> Certificate {
    let key = KeyPair::generate().unwrap();
    let certificate = params(name, from, to).self_signed(&key).unwrap();
    Certificate { der: certificate.der().clone(), key }
}

fn params(name: &str, from: i32, to: i32) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    params
}

impl Certificate {
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }
}

/// Speaks TLS with this certificate, and passes on what it hears to the server at `port`.
pub struct Terminator {
    pub port: u16,
    passed_on: Arc<AtomicUsize>,
}

impl Terminator {
    pub fn start(certificate: &Certificate, port: u16) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(certificate.key.serialize_der()).unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate.der.clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).unwrap();
        let own = listener.local_addr().unwrap().port();
        let (acceptor, passed_on) = (TlsAcceptor::from(Arc::new(config)), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&passed_on);
        // Ends with the process.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, acceptor, ([127, 0, 0, 1], port).into(), counted));
        });
        Self { port: own, passed_on }
    }

    /// How many have got through to the server.
    pub fn passed_on(&self) -> usize {
        self.passed_on.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, server: SocketAddr, passed_on: Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let (acceptor, passed_on) = (acceptor.clone(), Arc::clone(&passed_on));
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            passed_on.fetch_add(1, Ordering::SeqCst);
            let mut far = tokio::net::TcpStream::connect(server).await.expect("the server");
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut far).await;
        });
    }
}
