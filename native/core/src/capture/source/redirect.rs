// SPDX-License-Identifier: Apache-2.0
//! Where an HTTP server sends its visitors. libav would follow before anybody could look where to; so it is kept from it,
//! and the question is asked again here.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use ffmpeg_sys_next as ffi;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, ACCEPT, LOCATION, RANGE, SET_COOKIE, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::forward::client_config;
use super::resolved_url::ResolvedUrl;
use crate::capture::api::Trust;

/// How often it is looked whether an answer is still wanted.
const GLANCE: Duration = Duration::from_millis(50);

/// A server's word that what was asked for is elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirect {
    pub url: String,
    /// What the server wants to be reminded of there, in libav's form: a line for each cookie.
    pub cookies: String,
}

/// Asks as libav does, and returns where the answer leads, if it is a redirect. Gives up when `is_over` says so.
pub fn ask(
    resolved: &ResolvedUrl,
    headers: &[(String, String)],
    trust: &Trust,
    is_over: impl Fn() -> bool,
) -> Option<Redirect> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(unless(is_over, answer(resolved, headers, trust)))
}

async fn unless<T>(is_over: impl Fn() -> bool, work: impl Future<Output = Option<T>>) -> Option<T> {
    let over = async {
        while !is_over() {
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::select! {
        result = work => result,
        () = over => None,
    }
}

async fn answer(resolved: &ResolvedUrl<'_>, headers: &[(String, String)], trust: &Trust) -> Option<Redirect> {
    // The port of the URL holds, whatever is said here.
    let addresses: Vec<SocketAddr> = resolved.addresses().iter().map(|address| SocketAddr::new(*address, 0)).collect();
    let client = Client::builder()
        .tls_backend_preconfigured(client_config(trust).ok()?)
        .redirect(Policy::none())
        .http1_only()
        .no_proxy()
        .resolve_to_addrs(resolved.host(), &addresses)
        .build()
        .ok()?;
    let request = client.get(Url::parse(resolved.url()).ok()?).headers(with_ours(headers));
    let answer = request.send().await.ok()?;
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    let target = answer.url().join(location.to_str().ok()?).ok()?;
    Some(Redirect { url: target.into(), cookies: cookies(answer.headers()) })
}

fn cookies(headers: &HeaderMap) -> String {
    let lines = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The configured headers, and those of libav's that are not among them.
fn with_ours(headers: &[(String, String)]) -> HeaderMap {
    let ours = [(ACCEPT.as_str(), "*/*"), (RANGE.as_str(), "bytes=0-"), (USER_AGENT.as_str(), &user_agent())];
    let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut all = HeaderMap::new();
    for (name, value) in ours.iter().chain(headers) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            all.insert(name, value);
        }
    }
    all
}

/// libav's own, as servers may choose by it.
fn user_agent() -> String {
    // SAFETY: only returns a number.
    let version = unsafe { ffi::avformat_version() };
    format!("Lavf/{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}
