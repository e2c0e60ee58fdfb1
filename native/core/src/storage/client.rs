// SPDX-License-Identifier: Apache-2.0
//! The HTTP client under the storage library: our own trust store and resolver, and answers looked at where their
//! headers and bodies are still at hand.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode, Uri};
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::ClientConfig;

use crate::storage::failure::{HostUnknown, StoreCause, StoreError};
use crate::storage::proof::ObjectHeaders;
use crate::storage::proxy::ProxyUrl;
use crate::storage::target::BucketTarget;
use crate::tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

tokio::task_local! {
    /// What the answer to the request that is under way in this task says of its object.
    static HEADERS: RefCell<ObjectHeaders>;
    /// What the request that is under way in this task gets beside what the storage library gives it.
    static MORE_HEADERS: HeaderMap;
}

/// The request with these headers, for which the storage library takes no options; its signature does not cover them.
/// Whoever gives out keys meanwhile does not get them.
pub async fn with_more_headers<T>(headers: HeaderMap, request: impl Future<Output = T>) -> T {
    MORE_HEADERS.scope(headers, request).await
}

/// The request's result, and what the last answer to it says of its object: the storage library keeps that to itself.
pub async fn with_headers<T>(request: impl Future<Output = T>) -> (T, ObjectHeaders) {
    HEADERS
        .scope(RefCell::default(), async {
            let result = request.await;
            (result, HEADERS.with(RefCell::take))
        })
        .await
}

/// Headers that a request gets beside those that the storage library has; of a request that is not signed by its headers.
#[derive(Debug, Clone, Default)]
pub struct MoreHeaders(pub HeaderMap);

/// Through which proxy a server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxies {
    /// The bucket's; where it has none, those that the environment names.
    OfTarget,
    /// It is this machine's own, which no proxy reaches.
    None,
}

/// A client that trusts the system's certificate authorities and those in the file.
pub fn connector(target: &BucketTarget) -> Result<Connector, StoreError> {
    connector_that_reads(target, |refusal| StoreError::from_answer(refusal.status, &refusal.body))
}

/// The same, with other refusals than those of S3.
pub fn connector_that_reads(target: &BucketTarget, answered: Answered) -> Result<Connector, StoreError> {
    Ok(Connector { is_store: true, ..Connector::new(target, Proxies::OfTarget, answered)? })
}

/// The same for whoever gives out keys.
pub fn connector_to_giver(target: &BucketTarget, proxies: Proxies) -> Result<Connector, StoreError> {
    Connector::new(target, proxies, |refusal| StoreError::from_words(refusal.status, &refusal.body))
}

/// The same for an agent of this machine's own, which no bucket says anything about.
pub fn connector_to_agent() -> Result<Connector, StoreError> {
    let answered: Answered = |refusal| StoreError::from_words(refusal.status, &refusal.body);
    Connector::through(None, Proxies::None, trusting(None)?, answered)
}

fn client(tls: ClientConfig, proxies: Proxies, proxy: Option<&ProxyUrl>) -> Result<reqwest::Client, StoreError> {
    let client = reqwest::Client::builder();
    let client = match proxy {
        Some(proxy) => client.proxy(proxy.for_everything()?),
        None if proxies == Proxies::None => client.no_proxy(),
        None => client,
    };
    client
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(SystemResolver))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .user_agent(concat!("cloud-recording/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))
}

fn trusting(ca_file: Option<&Path>) -> Result<ClientConfig, StoreError> {
    let roots = match ca_file {
        Some(path) => tls::roots_with(path)
            .map_err(|why| StoreError::new(StoreCause::Setup, format!("caFile {}: {why}", path.display())))?,
        None => tls::system_roots(),
    };
    tls::config(roots).map_err(|error| StoreError::new(StoreCause::Setup, error.to_string()))
}

/// An answer with an error status, and where it was asked for.
pub struct RefusedAnswer {
    pub asked: Uri,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

/// What it means.
pub type Answered = fn(&RefusedAnswer) -> StoreError;

#[derive(Debug, Clone)]
pub struct Connector {
    client: reqwest::Client,
    answered: Answered,
    /// With what a connection to it is made.
    proxy: Option<(ProxyUrl, Arc<ClientConfig>)>,
    /// Whether it is the store that is asked, and nobody on the way to its keys: what a task adds to its request and hears of
    /// the answer is between it and the store.
    is_store: bool,
}

impl Connector {
    fn new(target: &BucketTarget, proxies: Proxies, answered: Answered) -> Result<Self, StoreError> {
        let proxy = target.proxy_url.clone().filter(|_| proxies == Proxies::OfTarget);
        Self::through(proxy, proxies, trusting(target.ca_file.as_deref())?, answered)
    }

    fn through(
        proxy: Option<ProxyUrl>,
        proxies: Proxies,
        tls: ClientConfig,
        answered: Answered,
    ) -> Result<Self, StoreError> {
        let client = client(tls.clone(), proxies, proxy.as_ref())?;
        Ok(Self { client, answered, proxy: proxy.map(|proxy| (proxy, Arc::new(tls))), is_store: false })
    }

    /// The client itself, for what the storage library has no call for.
    #[must_use]
    pub fn client(&self) -> HttpClient {
        HttpClient::new(CheckedClient(self.clone()))
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client())
    }
}

/// Turns every answer that is not what was hoped for into a `StoreError`.
#[derive(Debug)]
struct CheckedClient(Connector);

#[async_trait]
impl HttpService for CheckedClient {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if self.0.is_store {
            add_headers(&mut request);
        }
        let asked = request.uri().clone();
        let answer = match HttpService::call(&self.0.client, request).await {
            Ok(answer) => answer,
            Err(error) => return Err(self.unanswered(error, &asked).await),
        };
        if answer.status().is_success() {
            if self.0.is_store {
                // Nobody listens where it makes no difference.
                let _ = HEADERS.try_with(|headers| headers.replace(ObjectHeaders::by(answer.headers())));
            }
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let body = String::from_utf8_lossy(&body.bytes().await?).into_owned();
        let refusal = RefusedAnswer { asked, status: parts.status, headers: parts.headers, body };
        if let Some(failure) = self.0.proxy.as_ref().and_then(|(proxy, _)| proxy.refusal(&refusal)) {
            return Err(failed(failure));
        }
        let retry_after = refusal.headers.get(RETRY_AFTER).and_then(|header| header.to_str().ok());
        Err(failed((self.0.answered)(&refusal).with_retry_after(retry_after, chrono::Utc::now())))
    }
}

impl CheckedClient {
    /// What it means that there is no answer.
    async fn unanswered(&self, error: HttpError, asked: &Uri) -> HttpError {
        match &self.0.proxy {
            Some((proxy, tls)) => proxy.failure(&error, asked, tls).await.map_or(error, failed),
            None => error,
        }
    }
}

/// What the task that the request is under way in has for it beside what the storage library gives it.
fn add_headers(request: &mut HttpRequest) {
    if let Some(MoreHeaders(more)) = request.extensions_mut().remove() {
        request.headers_mut().extend(more);
    }
    if let Ok(more) = MORE_HEADERS.try_with(HeaderMap::clone) {
        request.headers_mut().extend(more);
    }
}

/// Of a kind that the storage library does not retry: when to try again is the uploader's decision.
fn failed(failure: StoreError) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, failure)
}

struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(HostUnknown)?;
            let addresses: Vec<SocketAddr> = addresses.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use http::HeaderValue;
    use object_store::client::HttpRequestBody;

    use super::*;
    use crate::storage::vendor::Vendor;
    use crate::test_support::server;

    fn target(url: &str) -> BucketTarget {
        let storage = serde_json::from_str(&format!(r#"{{"endpoint": "{url}"}}"#)).unwrap();
        BucketTarget::new(Vendor::Aws, "us-east-1", "films", &storage)
    }

    fn get(url: &str) -> HttpRequest {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().unwrap();
        request
    }

    #[tokio::test]
    async fn an_objects_headers_go_to_the_store_and_not_to_who_gives_out_keys() {
        let (url, heard) = server(vec![(200, String::new()), (200, String::new()), (200, String::new())]);
        let of = target(&url);
        let more = HeaderMap::from_iter([(http::header::IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        let (giver, agent) = (connector_to_giver(&of, Proxies::OfTarget).unwrap(), connector_to_agent().unwrap());
        let kms_key = HeaderMap::from_iter([(http::HeaderName::from_static("x-kms"), HeaderValue::from_static("k"))]);
        for (connector, goes_along) in [(connector(&of).unwrap(), true), (giver, false), (agent, false)] {
            let mut request = get(&url);
            request.extensions_mut().insert(MoreHeaders(kms_key.clone()));
            let client = connector.client();
            let asked = with_headers(with_more_headers(more.clone(), client.execute(request)));
            let (answer, of_object) = asked.await;
            answer.unwrap();
            let request = heard.recv().unwrap();
            assert_eq!(request.contains("if-none-match: *"), goes_along, "{request}");
            assert_eq!(request.contains("x-kms: k"), goes_along, "{request}");
            assert_eq!(of_object.bytes.is_some(), goes_along);
        }
    }

    #[tokio::test]
    async fn a_refusal_says_when_to_come_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/films/a.ts", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let (mut reader, mut line) = (BufReader::new(&stream), String::new());
            while reader.read_line(&mut line).unwrap() > 2 {}
            let answer = "HTTP/1.1 503 Slow Down\r\nRetry-After: 7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            (&stream).write_all(answer.as_bytes()).unwrap();
        });
        let error = connector(&target(&url)).unwrap().client().execute(get(&url)).await.unwrap_err();
        let failure = StoreError::from_error(&error);
        assert_eq!((failure.cause, failure.retry_after), (StoreCause::Server(503), Some(Duration::from_secs(7))));
    }
}
