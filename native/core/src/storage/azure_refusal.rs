// SPDX-License-Identifier: Apache-2.0
//! What Azure's refusals mean, by its error codes. One code is for whatever is wrong with who asks, and what else such an
//! answer says tells apart: by the server's clock a token has expired, or this machine's clock is off.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use http::header::DATE;
use http::{StatusCode, Uri};
use object_store::azure::split_sas;

use crate::storage::client::RefusedAnswer;
use crate::storage::failure::{elements, StoreCause, StoreError};

/// What is dated further from the server's clock than this is refused.
const MOST_SKEW: Duration = Duration::from_secs(15 * 60);

/// The failure that the refusal means.
pub fn read(refusal: &RefusedAnswer) -> StoreError {
    of(refusal, SystemTime::now().into())
}

fn of(refusal: &RefusedAnswer, now: DateTime<Utc>) -> StoreError {
    let text = |name: &str| refusal.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let [in_body, words] = elements(&refusal.body, ["Code", "Message"]);
    // An answer to HEAD has no body, and that of a proxy on the way no such header.
    let code = Some(text("x-ms-error-code")).filter(|code| !code.is_empty()).unwrap_or(&in_body);
    let server_time = DateTime::parse_from_rfc2822(text(DATE.as_str())).ok().map(|time| time.to_utc());
    let cause = match code {
        "AuthenticationFailed" => unauthenticated(&refusal.asked, server_time, now),
        code => cause_of(code, refusal.status),
    };
    let first_line = words.lines().next().unwrap_or_default().trim_end_matches('.');
    let detail = match (code, first_line) {
        ("", "") => refusal.status.to_string(),
        (code, "") => code.to_owned(),
        (code, words) => format!("{code}: {words}"),
    };
    StoreError::new(cause, detail)
}

fn cause_of(code: &str, status: StatusCode) -> StoreCause {
    match code {
        "ContainerNotFound" | "ContainerBeingDeleted" | "ContainerDisabled" | "ResourceNotFound" => {
            StoreCause::NoSuchBucket
        }
        "BlobNotFound" => StoreCause::FileGone,
        "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "AuthorizationProtocolMismatch"
        | "AuthorizationResourceTypeMismatch"
        | "AuthorizationServiceMismatch"
        | "AuthorizationSourceIPMismatch"
        | "InsufficientAccountPermissions"
        | "KeyBasedAuthenticationNotPermitted"
        | "AccountIsDisabled" => StoreCause::AccessDenied,
        "InvalidAuthenticationInfo" | "NoAuthenticationInformation" => StoreCause::InvalidAccessKeyId,
        "ServerBusy" | "InternalError" | "OperationTimedOut" => StoreCause::Server(status.as_u16()),
        "" if status == StatusCode::FORBIDDEN => StoreCause::AccessDenied,
        _ if status == StatusCode::UNAUTHORIZED => StoreCause::InvalidAccessKeyId,
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => StoreCause::Server(status.as_u16()),
        "" => StoreCause::Refusal(status.as_u16().to_string()),
        code => StoreCause::Refusal(code.to_owned()),
    }
}

/// Why whoever asked is not believed.
fn unauthenticated(asked: &Uri, server_time: Option<DateTime<Utc>>, now: DateTime<Utc>) -> StoreCause {
    let Some(server_time) = server_time else { return StoreCause::SignatureDoesNotMatch };
    let query = split_sas(asked.query().unwrap_or_default()).unwrap_or_default();
    let of_token = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if of_token("sig").is_some() {
        // A request with a token bears no date that the server would look at.
        let end = of_token("se").and_then(|end| DateTime::parse_from_rfc3339(end).ok());
        let is_over = end.is_some_and(|end| end <= server_time);
        return if is_over { StoreCause::ExpiredToken } else { StoreCause::SignatureDoesNotMatch };
    }
    let is_off = (server_time - now).abs().to_std().is_ok_and(|skew| skew > MOST_SKEW);
    if is_off {
        StoreCause::ClockSkew
    } else {
        StoreCause::SignatureDoesNotMatch
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    const NOW: &str = "Fri, 27 Nov 2026 12:00:00 GMT";

    fn refusal(status: u16, code: &str, query: &str, date: &str) -> RefusedAnswer {
        let mut headers = HeaderMap::new();
        if !code.is_empty() {
            headers.insert("x-ms-error-code", code.parse().unwrap());
        }
        headers.insert(DATE, date.parse().unwrap());
        let asked = format!("https://a.blob.core.windows.net/c/b{query}").parse().unwrap();
        RefusedAnswer { asked, status: StatusCode::from_u16(status).unwrap(), headers, body: String::new() }
    }

    fn cause(refusal: &RefusedAnswer) -> StoreCause {
        of(refusal, DateTime::parse_from_rfc2822(NOW).unwrap().to_utc()).cause
    }

    #[test]
    fn refusals_are_told_apart_by_azures_code() {
        for (status, code, expected) in [
            (404, "ContainerNotFound", StoreCause::NoSuchBucket),
            (409, "ContainerBeingDeleted", StoreCause::NoSuchBucket),
            (404, "BlobNotFound", StoreCause::FileGone),
            (403, "AuthorizationPermissionMismatch", StoreCause::AccessDenied),
            (403, "AuthorizationFailure", StoreCause::AccessDenied),
            (403, "KeyBasedAuthenticationNotPermitted", StoreCause::AccessDenied),
            (401, "InvalidAuthenticationInfo", StoreCause::InvalidAccessKeyId),
            (401, "NoAuthenticationInformation", StoreCause::InvalidAccessKeyId),
            (503, "ServerBusy", StoreCause::Server(503)),
            (500, "OperationTimedOut", StoreCause::Server(500)),
            (400, "InvalidBlockList", StoreCause::Refusal("InvalidBlockList".into())),
            (403, "", StoreCause::AccessDenied),
            (404, "", StoreCause::Refusal("404".into())),
            (502, "", StoreCause::Server(502)),
            (429, "", StoreCause::Server(429)),
        ] {
            assert_eq!(cause(&refusal(status, code, "", NOW)), expected, "{status} {code}");
        }
    }

    #[test]
    fn who_is_not_believed_is_told_apart_by_the_servers_clock() {
        let of = |query: &str, date: &str| cause(&refusal(403, "AuthenticationFailed", query, date));
        let token = |end: &str| format!("?comp=block&sv=2024-11-04&se={end}&sig=a%2Bb%3D");
        for (query, date, expected) in [
            (String::new(), NOW, StoreCause::SignatureDoesNotMatch),
            (String::new(), "Fri, 27 Nov 2026 12:14:00 GMT", StoreCause::SignatureDoesNotMatch),
            (String::new(), "Fri, 27 Nov 2026 12:16:00 GMT", StoreCause::ClockSkew),
            (String::new(), "Fri, 27 Nov 2026 11:44:00 GMT", StoreCause::ClockSkew),
            (String::new(), "noon", StoreCause::SignatureDoesNotMatch),
            (token("2026-11-27T11%3A59%3A59Z"), NOW, StoreCause::ExpiredToken),
            (token("2026-11-27T12%3A00%3A01Z"), NOW, StoreCause::SignatureDoesNotMatch),
            (token("2026-11-27T12%3A00%3A01Z"), "Fri, 27 Nov 2026 13:00:00 GMT", StoreCause::ExpiredToken),
        ] {
            assert_eq!(of(&query, date), expected, "{query} {date}");
        }
    }

    #[test]
    fn a_body_tells_what_no_header_does_and_its_first_line_is_enough() {
        let body = "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>ContainerNotFound</Code>\
                    <Message>The specified container does not exist.\nRequestId:1\nTime:2</Message></Error>";
        let failure = of(&RefusedAnswer { body: body.to_owned(), ..refusal(404, "", "", NOW) }, Utc::now());
        assert_eq!(failure.cause, StoreCause::NoSuchBucket);
        assert_eq!(failure.detail, "ContainerNotFound: The specified container does not exist");
        let bare = of(&refusal(404, "BlobNotFound", "?sig=sesame", NOW), Utc::now());
        assert_eq!(bare.detail, "BlobNotFound");
    }
}
