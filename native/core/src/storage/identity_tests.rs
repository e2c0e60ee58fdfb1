// SPDX-License-Identifier: Apache-2.0
use std::collections::HashMap;

use chrono::{TimeDelta, Utc};

use super::*;
use crate::storage::vendor::Vendor;
use crate::test_support::{server, Scratch};

fn in_an_hour() -> String {
    (Utc::now() + TimeDelta::hours(1)).to_rfc3339()
}

fn assumed() -> String {
    format!(
        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t</SessionToken>\
         <SecretAccessKey>s</SecretAccessKey><AccessKeyId>a</AccessKeyId><Expiration>{}</Expiration></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
        in_an_hour()
    )
}

fn given() -> String {
    let expiration = in_an_hour();
    format!(r#"{{"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "{expiration}"}}"#)
}

fn refusal(code: &str) -> String {
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>Words.</Message></Error></ErrorResponse>"
    )
}

fn target() -> BucketTarget {
    BucketTarget::new(Vendor::Aws, "eu-west-1", "films", &serde_json::from_str("{}").unwrap())
}

/// The keys that an environment of these variables gives, asked for as often.
fn keys(identity: Identity, environment: &[(&str, &str)], times: usize) -> Result<AwsCredential, StoreError> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let variable = |name: &str| environment.get(name).map(|value| (*value).to_owned());
    let provider = identity.giver(&target(), &variable)?.keys(&target())?;
    let asked = async {
        let mut keys = provider.get_credential().await;
        for _ in 1..times {
            keys = provider.get_credential().await;
        }
        keys.map_err(|error| StoreError::from_error(&error))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let AwsCredential { key_id, secret_key, token } = &*runtime.block_on(asked)?;
    Ok(AwsCredential { key_id: key_id.clone(), secret_key: secret_key.clone(), token: token.clone() })
}

fn are_ats(keys: &AwsCredential) -> bool {
    (keys.key_id.as_str(), keys.secret_key.as_str(), keys.token.as_deref()) == ("a", "s", Some("t"))
}

#[test]
fn a_role_is_assumed_once_for_the_token_in_the_file() {
    let scratch = Scratch::new();
    let token = scratch.path().join("token");
    std::fs::write(&token, "web-token").unwrap();
    let (sts, heard) = server(vec![(200, assumed())]);
    let environment = [(ROLE, "arn:aws:iam::1:role/films"), (ROLE_TOKEN, token.to_str().unwrap()), (STS, &sts)];
    assert!(are_ats(&keys(Identity::Environment, &environment, 3).unwrap()));
    let asked = heard.recv().unwrap();
    for part in
        ["AssumeRoleWithWebIdentity", "WebIdentityToken=web-token", "role%2Ffilms", "RoleSessionName=cloud-recording"]
    {
        assert!(asked.contains(part), "{part} {asked}");
    }
}

#[test]
fn an_agent_is_shown_the_token_in_the_file() {
    let scratch = Scratch::new();
    let token = scratch.path().join("token");
    std::fs::write(&token, "pod-token").unwrap();
    let (agent, heard) = server(vec![(200, given())]);
    let url = format!("{agent}/v1/credentials");
    let environment = [(AGENT, url.as_str()), (AGENT_TOKEN, token.to_str().unwrap())];
    assert!(are_ats(&keys(Identity::Environment, &environment, 2).unwrap()));
    let asked = heard.recv().unwrap().to_lowercase();
    assert!(asked.starts_with("get /v1/credentials ") && asked.contains("authorization: pod-token"), "{asked}");
}

#[test]
fn a_machine_is_asked_for_its_own_role_where_that_is_allowed() {
    let (metadata, heard) = server(vec![(200, "session".into()), (200, "role".into()), (200, given())]);
    assert!(are_ats(&keys(Identity::Instance, &[(INSTANCE, &metadata)], 1).unwrap()));
    let asked: Vec<String> = heard.iter().map(|request| request.lines().next().unwrap().to_owned()).collect();
    let path = "latest/meta-data/iam/security-credentials";
    let expected = [
        "PUT /latest/api/token HTTP/1.1".to_owned(),
        format!("GET /{path}/ HTTP/1.1"),
        format!("GET /{path}/role HTTP/1.1"),
    ];
    assert_eq!(asked, expected);
    let elsewhere = keys(Identity::Environment, &[(INSTANCE, &metadata)], 1).unwrap_err();
    assert_eq!(elsewhere.cause, StoreCause::IdentityMissing, "the machine's own is never asked for unasked");
    assert!(elsewhere.detail.contains(ROLE) && elsewhere.detail.contains(AGENT), "{}", elsewhere.detail);
}

#[test]
fn what_refuses_keys_is_named_and_is_not_the_bucket() {
    let scratch = Scratch::new();
    let token = scratch.path().join("token");
    std::fs::write(&token, "secret-token").unwrap();
    let file = token.to_str().unwrap().to_owned();
    let of_role = |sts: &str| keys(Identity::Environment, &[(ROLE, "arn:r"), (ROLE_TOKEN, &file), (STS, sts)], 1);
    let of_agent = |url: &str| keys(Identity::Environment, &[(AGENT, url), (AGENT_TOKEN, &file)], 1);
    for (status, body, words) in [
        (403, refusal("AccessDenied"), "AccessDenied: Words"),
        (400, refusal("InvalidIdentityToken"), "InvalidIdentityToken: Words"),
        (400, refusal("ExpiredTokenException"), "ExpiredTokenException: Words"),
        (400, String::new(), "400 Bad Request"),
    ] {
        let url = server(vec![(status, body)]).0;
        let refused = of_role(&url).unwrap_err();
        assert_eq!(refused.cause, StoreCause::IdentityRefused);
        assert_eq!(refused.detail, format!("role arn:r at {url}: {words}"));
    }
    let url = server(vec![(404, " (AccessDeniedException): no\n association.".into())]).0;
    let refused = of_agent(&url).unwrap_err();
    assert_eq!(refused.cause, StoreCause::IdentityRefused);
    assert_eq!(refused.detail, format!("{url}: 404 Not Found: (AccessDeniedException): no association"));
    let busy = of_role(&server(vec![(503, String::new())]).0).unwrap_err();
    assert_eq!(busy.cause, StoreCause::IdentityUnreachable);
    let nobody = of_role("http://127.0.0.1:1").unwrap_err();
    assert_eq!(nobody.cause, StoreCause::IdentityUnreachable);
    assert!(nobody.detail.starts_with("role arn:r at http://127.0.0.1:1: "), "{}", nobody.detail);
    for failure in [refused, busy, nobody] {
        assert!(!failure.detail.contains("secret-token"), "{}", failure.detail);
    }
    std::fs::remove_file(&token).unwrap();
    let gone = of_role("http://127.0.0.1:1").unwrap_err();
    assert_eq!(gone.cause, StoreCause::IdentityMissing);
    assert!(gone.detail.starts_with(&file), "{}", gone.detail);
}

#[test]
fn tokens_are_exchanged_in_the_region_that_the_environment_names_or_the_buckets() {
    let asked = |more: &[(&str, &str)]| {
        let mut environment = HashMap::from([(ROLE, "arn:r"), (ROLE_TOKEN, "/t")]);
        environment.extend(more.iter().copied());
        let variable = |name: &str| environment.get(name).map(|value| (*value).to_owned());
        Identity::Environment.giver(&target(), &variable).unwrap().asked
    };
    assert_eq!(asked(&[]), "role arn:r at https://sts.eu-west-1.amazonaws.com");
    assert_eq!(asked(&[("AWS_REGION", "cn-north-1")]), "role arn:r at https://sts.cn-north-1.amazonaws.com.cn");
    assert_eq!(asked(&[("AWS_REGION", "x"), (STS, "https://sts.test")]), "role arn:r at https://sts.test");
}
