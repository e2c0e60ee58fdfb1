// SPDX-License-Identifier: Apache-2.0
//! The HTTP proxy on the way to a bucket, and to whoever gives out its keys: what it is called, and what its failures are,
//! which are nobody else's.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{StatusCode, Uri};
use object_store::client::HttpError;
use rustls::pki_types::ServerName;
use rustls::ClientConfig;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::storage::client::RefusedAnswer;
use crate::storage::failure::{elements, HostUnknown, StoreCause, StoreError};

/// What a proxy that failed says when it is asked again, it says at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much of a line is looked at.
const MOST_BYTES: u64 = 1024;

/// A proxy's URL: `http://` or `https://`, a host, and at most a port. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyUrl(String);

impl TryFrom<String> for ProxyUrl {
    type Error = &'static str;

    fn try_from(url: String) -> Result<Self, Self::Error> {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest)).unwrap_or_default();
        if host.contains('@') {
            return Err("must not carry credentials, as everybody reads it");
        }
        let is_place = |uri: Uri| uri.host().is_some_and(|host| !host.is_empty()) && has_port_if_any(&uri);
        if host.is_empty() || host.contains(['/', '?', '#']) || !url.parse().is_ok_and(is_place) {
            return Err("must be http:// or https://, a host, and at most a port");
        }
        Ok(Self(url.trim_end_matches('/').to_owned()))
    }
}

/// Whether what follows the host's colon is a port: that is not looked at where a URL is parsed.
fn has_port_if_any(uri: &Uri) -> bool {
    let place = uri.authority().map_or("", |authority| authority.as_str());
    let behind_address = place.rsplit(']').next().unwrap_or_default();
    !behind_address.contains(':') || uri.port_u16().is_some()
}

impl From<ProxyUrl> for String {
    fn from(url: ProxyUrl) -> Self {
        url.0
    }
}

impl ProxyUrl {
    /// Whatever the environment says of hosts that are asked without one.
    pub fn for_everything(&self) -> Result<reqwest::Proxy, StoreError> {
        reqwest::Proxy::all(&self.0).map_err(|error| StoreError::new(StoreCause::Setup, format!("proxyUrl: {error}")))
    }

    /// The failure of what was asked, if it is the proxy's: nobody else is connected to. Behind a tunnel the store's
    /// certificate is looked at, which is the store's matter.
    pub async fn failure(&self, error: &HttpError, asked: &Uri, tls: &Arc<ClientConfig>) -> Option<StoreError> {
        let failure = unconnected(error)?;
        match failure.cause {
            StoreCause::Tls if !self.is_tls() => None,
            // The HTTP client keeps to itself whose certificate it was, and what a request for a tunnel was answered.
            StoreCause::Tls => self.why(asked, tls).await.map(|why| self.told(&why)),
            StoreCause::Other => Some(self.told(&self.why(asked, tls).await.unwrap_or(failure.detail))),
            _ => Some(self.told(&failure.detail)),
        }
    }

    /// Why the proxy does not let this request through, as it says when it is asked again.
    async fn why(&self, asked: &Uri, tls: &Arc<ClientConfig>) -> Option<String> {
        let refusal = async {
            let connection = self.connected(tls).await?;
            if asked.scheme_str() != Some("https") {
                return Ok(None);
            }
            answer_to_connect(connection, asked).await.map(|status| status.filter(|status| !status.is_success()))
        };
        match tokio::time::timeout(PATIENCE, refusal).await.ok()? {
            Ok(status) => status.map(|status| status.to_string()),
            Err(error) => Some(StoreError::from_error(&error).detail),
        }
    }

    async fn connected(&self, tls: &Arc<ClientConfig>) -> io::Result<Box<dyn Connection>> {
        let url: Uri = self.0.parse().map_err(io::Error::other)?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = url.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 });
        let addresses = tokio::net::lookup_host((host.as_str(), port)).await;
        let addresses: Vec<_> = addresses.map_err(|error| io::Error::other(HostUnknown(error)))?.collect();
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        if !self.is_tls() {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?))
    }

    fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// The same of an answer that no store gives: a proxy that passes requests on answers by itself for what it does not
    /// let through and does not reach, with a page of its own.
    #[must_use]
    pub fn refusal(&self, refusal: &RefusedAnswer) -> Option<StoreError> {
        if refusal.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Some(self.told(&refusal.status.to_string()));
        }
        let may_be_ours = [
            StatusCode::FORBIDDEN,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        let is_passed_on = refusal.asked.scheme_str() == Some("http") && may_be_ours.contains(&refusal.status);
        let of_a_store = refusal.headers.keys().any(|name| OF_STORES.iter().any(|of| name.as_str().starts_with(of)));
        let [code] = elements(&refusal.body, ["Code"]);
        let is_ours = is_passed_on && !of_a_store && code.is_empty() && !refusal.body.trim().is_empty();
        is_ours.then(|| self.told(&refusal.status.to_string()))
    }

    fn told(&self, why: &str) -> StoreError {
        StoreError::new(StoreCause::Proxy, format!("proxy {}: {why}", self.0))
    }
}

trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// What kept the request from being sent, if nobody was connected to.
fn unconnected(error: &HttpError) -> Option<StoreError> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            return Some(StoreError::from_error(error));
        }
        next = error.source();
    }
    None
}

/// The status that a request for a tunnel to there is answered with; none where the answer is not HTTP's.
async fn answer_to_connect(connection: Box<dyn Connection>, to: &Uri) -> io::Result<Option<StatusCode>> {
    let place = format!("{}:{}", to.host().unwrap_or_default(), to.port_u16().unwrap_or(443));
    let mut connection = BufReader::new(connection);
    connection.write_all(format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n").as_bytes()).await?;
    connection.flush().await?;
    let mut line = Vec::new();
    connection.take(MOST_BYTES).read_until(b'\n', &mut line).await?;
    let status = line.split(|byte| *byte == b' ').nth(1);
    Ok(status.and_then(|status| StatusCode::from_bytes(status).ok()).filter(|_| line.starts_with(b"HTTP/")))
}

/// Headers that stores have in each answer.
const OF_STORES: [&str; 4] = ["x-amz-", "x-ms-", "x-goog-", "x-guploader-"];

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    fn proxy(url: &str) -> Result<ProxyUrl, &'static str> {
        ProxyUrl::try_from(url.to_owned())
    }

    #[test]
    fn a_proxy_is_a_host_and_a_port_and_nothing_secret() {
        let kept = ["http://p:3128", "https://p.example.com", "http://[fd00::1]", "http://[fd00::1]:3128"];
        for (url, kept) in kept.map(|url| (url, url)).into_iter().chain([("https://p/", "https://p")]) {
            assert_eq!(String::from(proxy(url).unwrap()), kept);
        }
        for url in [
            "p:3128",
            "socks5://p:1080",
            "http://",
            "http://p/x",
            "http://p?x",
            "http://p#x",
            "http://p:x",
            "http://p:",
        ] {
            assert!(proxy(url).unwrap_err().starts_with("must be http"), "{url}");
        }
        assert!(proxy("http://u:hidden@p").unwrap_err().contains("credentials"));
    }

    #[test]
    fn answers_that_no_store_gives_are_the_proxys() {
        let told = |asked: &'static str, status: u16, header: &'static str, body: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header, "x".parse().unwrap());
            let (status, body) = (StatusCode::from_u16(status).unwrap(), body.to_owned());
            let refusal = RefusedAnswer { asked: Uri::from_static(asked), status, headers, body };
            proxy("http://p:3128").unwrap().refusal(&refusal).map(|failure| failure.detail)
        };
        let (plain, page) = ("http://s3.test/films/a.ts", "<html>You may not go there</html>");
        assert_eq!(told(plain, 403, "via", page).unwrap(), "proxy http://p:3128: 403 Forbidden");
        assert_eq!(told(plain, 407, "via", "").unwrap(), "proxy http://p:3128: 407 Proxy Authentication Required");
        assert!(told(plain, 502, "via", page).is_some());
        for (asked, header, body) in [
            (plain, "via", "<Error><Code>AccessDenied</Code></Error>"),
            (plain, "x-amz-request-id", page),
            (plain, "via", ""),
            ("https://s3.test/films/a.ts", "via", page),
        ] {
            assert_eq!(told(asked, 403, header, body), None, "{asked} {header} {body}");
        }
    }
}
