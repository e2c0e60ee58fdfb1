// SPDX-License-Identifier: Apache-2.0
//! Whom connections over TLS trust.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// The certificate authorities of the system; a machine without any still reaches servers by HTTP.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

pub fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    // Named here, so that no other user of rustls in the process has a say.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
