// SPDX-License-Identifier: Apache-2.0
//! Where an HTTP server sends its visitors. libav would follow before anybody could look where to; so it is kept from it,
//! and the question is asked again here.

use std::future::Future;
use std::time::Duration;

use ffmpeg_next::ffi;
use reqwest::header::{HeaderMap, ACCEPT, LOCATION, RANGE, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::tls;

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
pub fn ask(url: &str, is_over: impl Fn() -> bool) -> Option<Redirect> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let redirect = runtime.block_on(unless(is_over, answer(url)));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    redirect
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

async fn answer(url: &str) -> Option<Redirect> {
    let client = Client::builder()
        .tls_backend_preconfigured(tls::config(tls::system_roots()).ok()?)
        .redirect(Policy::none())
        .http1_only()
        .user_agent(user_agent())
        .build()
        .ok()?;
    let request = client.get(Url::parse(url).ok()?).header(ACCEPT, "*/*").header(RANGE, "bytes=0-");
    let answer = request.send().await.ok()?;
    let location = answer.headers().get(LOCATION).filter(|_| answer.status().is_redirection())?;
    let target = answer.url().join(location.to_str().ok()?).ok()?;
    Some(Redirect { url: target.into(), cookies: cookies(answer.headers()) })
}

fn cookies(headers: &HeaderMap) -> String {
    let lines = headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// libav's own, as servers may choose by it.
fn user_agent() -> String {
    // SAFETY: only returns a number.
    let version = unsafe { ffi::avformat_version() };
    format!("Lavf/{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}
