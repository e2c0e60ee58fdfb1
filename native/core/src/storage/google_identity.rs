// SPDX-License-Identifier: Apache-2.0
//! What opens a bucket of Google Cloud Storage without keys: a token that the metadata server gives to the pod that this
//! process is in (workload identity federation for GKE), or to the machine.
//!
//! Both are asked at one address. Where a node pool has GKE's metadata server, it answers for the pod; where it has none, the
//! machine's answers any pod, with the node's own service account. Which of them it was tells the e-mail of the account that
//! it gives tokens for. GKE's says the workload identity pool, `PROJECT.svc.id.goog`; of a `ServiceAccount` with the annotation
//! `iam.gke.io/return-principal-id-as-email` the whole principal; and of one with `iam.gke.io/gcp-service-account` the Google
//! service account that it acts as, which looks as a node's does, so that the configuration has to name it. Before each token
//! the e-mail is asked for, and no token is asked for whose account is another's.
//! (<https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity>,
//! <https://cloud.google.com/compute/docs/access/authenticate-workloads>)

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http::HeaderValue;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::gcp::{GcpCredential, GcpCredentialProvider};
use object_store::CredentialProvider;
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::storage::client;
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::identity::{variable, Identity, WhoGives};

/// The variable of Google's own client libraries.
const HOST: &str = "GCE_METADATA_HOST";
const USUAL_HOST: &str = "169.254.169.254";
const ACCOUNT: &str = "computeMetadata/v1/instance/service-accounts/default";
const POOL: &str = ".svc.id.goog";
const SERVICE_ACCOUNT: &str = ".gserviceaccount.com";
/// A token is renewed so long before it ends, as Google's own client libraries do: the metadata server keeps one until four
/// minutes before, and gives it out again till then.
const SPARE: Duration = Duration::from_secs(225);
/// As long as any of Google's tokens is good.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Who fails to give a new token is asked again after this, as long as the last one is good.
const PAUSE: Duration = Duration::from_secs(10);

/// Whose token opens the bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GoogleIdentity {
    /// The pod's own, or that of the Google service account that it acts as.
    Pod { acts_as: Option<String> },
    /// The machine's.
    Machine,
}

impl GoogleIdentity {
    #[must_use]
    pub fn new(identity: Identity, acts_as: Option<&str>) -> Self {
        match identity {
            Identity::Environment => Self::Pod { acts_as: acts_as.map(str::to_owned) },
            Identity::Instance => Self::Machine,
        }
    }

    /// The tokens for each request to a bucket.
    pub fn tokens(self) -> Result<GcpCredentialProvider, StoreError> {
        Ok(Arc::new(self.given_at(&variable(HOST).unwrap_or_else(|| USUAL_HOST.to_owned()))?))
    }

    fn given_at(self, host: &str) -> Result<GivenTokens, StoreError> {
        let client = client::connector_to_agent()?.client();
        let asked = format!("the metadata server at http://{host}");
        let giver = WhoGives { asked, token_file: None };
        Ok(GivenTokens { identity: self, host: host.to_owned(), client, giver, last: Mutex::default() })
    }

    /// Why the token of the account with this e-mail is not for the bucket.
    fn refusal(&self, email: &str) -> Option<String> {
        let given = format!("gives the identity {email:?}");
        match self {
            Self::Pod { acts_as: None } if is_of_pod(email) => None,
            Self::Pod { acts_as: None } => Some(format!(
                "{given}, which is the node's own or a Google service account that the configuration does not name"
            )),
            Self::Pod { acts_as: Some(account) } if email == account => None,
            Self::Pod { acts_as: Some(account) } => Some(format!("{given}, and not {account}")),
            Self::Machine if is_of_pod(email) => Some(format!("{given}, which is the pod's and not the node's")),
            Self::Machine => None,
        }
    }
}

/// Whether that is what GKE's metadata server calls a pod that acts as no Google service account.
fn is_of_pod(email: &str) -> bool {
    let is_principal = email.starts_with("principal://") && email.contains(&format!("{POOL}/subject/"));
    is_principal || (email.ends_with(POOL) && !email.contains('@'))
}

/// Whether a Google service account can be called so.
#[must_use]
pub fn is_service_account(email: &str) -> bool {
    let is_name =
        |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-.".contains(&c));
    email.ends_with(SERVICE_ACCOUNT)
        && email.split_once('@').is_some_and(|(name, domain)| is_name(name) && is_name(domain))
}

/// What was given out, anew whenever it is about to run out; one request is under way at a time.
struct GivenTokens {
    identity: GoogleIdentity,
    host: String,
    client: HttpClient,
    giver: WhoGives,
    last: Mutex<Option<Arc<GivenToken>>>,
}

#[derive(Clone)]
struct GivenToken {
    credential: Arc<GcpCredential>,
    renewed: Instant,
    ends: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

impl GivenToken {
    fn new(given: TokenAnswer, now: Instant) -> Self {
        let lasts = Duration::from_secs(given.expires_in).min(LONGEST);
        let ends = now + lasts;
        let credential = Arc::new(GcpCredential { bearer: given.access_token });
        Self { credential, renewed: now + lasts.saturating_sub(SPARE.min(lasts / 2)), ends }
    }
}

impl GivenTokens {
    async fn token(&self, now: Instant) -> Result<Arc<GcpCredential>, StoreError> {
        let mut last = self.last.lock().await;
        if let Some(token) = last.as_ref().filter(|token| now < token.renewed) {
            return Ok(token.credential.clone());
        }
        let sent = |token: &GivenToken| vec![token.credential.bearer.clone()];
        let given = self.giver.given(async { self.ask(now).await.map(Arc::new).map_err(in_store) }, sent).await;
        let token = match (given, last.take()) {
            (Ok(token), _) => token,
            (Err(_), Some(token)) if now < token.ends => {
                Arc::new(GivenToken { renewed: token.ends.min(now + PAUSE), ..(*token).clone() })
            }
            (Err(failure), _) => return Err(failure),
        };
        let credential = token.credential.clone();
        *last = Some(token);
        Ok(credential)
    }

    /// A new token, once it is known whose it would be.
    async fn ask(&self, now: Instant) -> Result<GivenToken, StoreError> {
        let email = self.answer("email").await?;
        if let Some(why) = self.identity.refusal(email.trim()) {
            return Err(StoreError::new(StoreCause::IdentityRefused, why));
        }
        let answer = self.answer("token").await?;
        let no_token = |_| StoreError::new(StoreCause::IdentityRefused, "answers with something else than a token");
        Ok(GivenToken::new(serde_json::from_str(&answer).map_err(no_token)?, now))
    }

    async fn answer(&self, field: &str) -> Result<String, StoreError> {
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        let uri = format!("http://{}/{ACCOUNT}/{field}", self.host).parse();
        *request.uri_mut() =
            uri.map_err(|error| StoreError::new(StoreCause::Setup, format!("{HOST} {:?}: {error}", self.host)))?;
        request.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
        let answer = self.client.execute(request).await.map_err(|error| StoreError::from_error(&error))?;
        let body = answer.into_body().bytes().await.map_err(|error| StoreError::from_error(&error))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

fn in_store(failure: StoreError) -> object_store::Error {
    object_store::Error::Generic { store: "GCS", source: Box::new(failure) }
}

#[async_trait]
impl CredentialProvider for GivenTokens {
    type Credential = GcpCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<GcpCredential>> {
        self.token(Instant::now()).await.map_err(in_store)
    }
}

/// Without the token.
impl fmt::Debug for GivenTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GivenTokens").field(&self.identity).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::server;

    const NODE: &str = "123456-compute@developer.gserviceaccount.com";
    const FILMS: &str = "films@example.iam.gserviceaccount.com";
    const POD: &str = "example.svc.id.goog";

    #[test]
    fn a_token_is_the_pods_or_of_whom_the_configuration_names() {
        let own = GoogleIdentity::new(Identity::Environment, None);
        let films = GoogleIdentity::new(Identity::Environment, Some(FILMS));
        let machine = GoogleIdentity::new(Identity::Instance, None);
        let pool = "projects/1/locations/global/workloadIdentityPools/example.svc.id.goog";
        let principal = format!("principal://iam.googleapis.com/{pool}/subject/ns/a/sa/recorder");
        for (identity, email, why) in [
            (&own, POD, None),
            (&own, &principal, None),
            (&own, NODE, Some("which is the node's own or a Google service account that the configuration")),
            (&own, FILMS, Some("which is the node's own or")),
            (&own, "eve@x.svc.id.goog", Some("which is the node's own or")),
            (&own, "", Some("which is the node's own or")),
            (&films, FILMS, None),
            (&films, NODE, Some("and not films@example.iam.gserviceaccount.com")),
            (&films, POD, Some("and not films@")),
            (&machine, NODE, None),
            (&machine, POD, Some("which is the pod's and not the node's")),
        ] {
            let refusal = identity.refusal(email);
            assert_eq!(refusal.is_some(), why.is_some(), "{identity:?} {email}");
            assert!(refusal.unwrap_or_default().contains(why.unwrap_or_default()), "{identity:?} {email}");
        }
    }

    fn given(token: &str) -> [(u16, String); 2] {
        [(200, POD.into()), (200, format!(r#"{{"access_token": "{token}", "expires_in": 3600}}"#))]
    }

    fn of_pod(answers: Vec<(u16, String)>) -> (GivenTokens, std::sync::mpsc::Receiver<String>) {
        let (url, heard) = server(answers);
        let own = GoogleIdentity::new(Identity::Environment, None);
        (own.given_at(url.strip_prefix("http://").unwrap()).unwrap(), heard)
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_used_to_its_end_where_no_other_is_given() {
        let busy = (503, "busy".to_owned());
        let answers = given("one").into_iter().chain([busy.clone()]).chain(given("two")).chain([busy]).collect();
        let (tokens, heard) = of_pod(answers);
        let begun = Instant::now();
        for (seconds, token, asked) in
            [(0, "one", 2), (3374, "one", 0), (3375, "one", 1), (3384, "one", 0), (3385, "two", 2)]
        {
            let now = begun + Duration::from_secs(seconds);
            let (one, other) = tokio::join!(tokens.token(now), tokens.token(now));
            assert_eq!((one.unwrap().bearer.as_str(), other.unwrap().bearer.as_str()), (token, token), "{seconds}");
            assert_eq!(heard.try_iter().count(), asked, "{seconds}");
        }
        let ended = tokens.token(begun + Duration::from_secs(2 * 3600)).await.unwrap_err();
        assert_eq!(ended.cause, StoreCause::IdentityUnreachable);
        assert!(ended.detail.ends_with("503 Service Unavailable: busy"), "{ended}");
    }

    #[tokio::test]
    async fn a_nodes_token_is_not_asked_for() {
        let (tokens, heard) = of_pod(vec![(200, format!("{NODE}\n")), (200, "never".into())]);
        let refused = tokens.token(Instant::now()).await.unwrap_err();
        assert_eq!(refused.cause, StoreCause::IdentityRefused);
        assert!(refused.detail.contains(NODE), "{refused}");
        let asked: Vec<_> = heard.try_iter().collect();
        assert_eq!(asked.len(), 1);
        assert!(asked[0].starts_with("GET /computeMetadata/v1/instance/service-accounts/default/email "), "{asked:?}");
        assert!(asked[0].contains("metadata-flavor: Google"), "{asked:?}");
    }

    #[tokio::test]
    async fn what_is_no_token_is_not_quoted() {
        for answer in [r#"{"access_token": 5}"#, "sesame", r#"{"access_token": "ses\u0007ame", "expires_in": 9}"#] {
            let (tokens, _heard) = of_pod(vec![(200, POD.into()), (200, answer.into())]);
            let refused = tokens.token(Instant::now()).await.unwrap_err();
            assert_eq!(refused.cause, StoreCause::IdentityRefused);
            assert!(!refused.detail.contains("ses"), "{refused}");
        }
    }

    #[test]
    fn a_token_is_renewed_before_it_ends_however_short_it_is_good() {
        let now = Instant::now();
        for (seconds, renewed) in [(3600, 3375), (450, 225), (4, 2), (0, 0), (u64::MAX, 42_975)] {
            let token = GivenToken::new(TokenAnswer { access_token: "t".into(), expires_in: seconds }, now);
            assert_eq!(token.renewed, now + Duration::from_secs(renewed));
            assert_eq!(token.ends, now + Duration::from_secs(seconds.min(43_200)));
        }
    }

    #[test]
    fn a_service_account_has_an_address_of_googles() {
        assert!(is_service_account(FILMS) && is_service_account(NODE));
        for other in ["films", "films@example.com", "@x.gserviceaccount.com", "a b@x.gserviceaccount.com", POD] {
            assert!(!is_service_account(other), "{other}");
        }
    }
}
