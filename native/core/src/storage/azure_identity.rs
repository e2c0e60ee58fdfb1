// SPDX-License-Identifier: Apache-2.0
//! What opens a container of Azure Blob Storage without keys: a token that Microsoft Entra gives to whoever this process is,
//! as the environment names it in the variables of Azure's own client libraries (workload identity). It is fetched before
//! the last one runs out.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::azure::{AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder};
use object_store::CredentialProvider;

use crate::storage::bucket::{not_set_up, once};
use crate::storage::client::{self, Proxies};
use crate::storage::failure::{StoreCause, StoreError};
use crate::storage::identity::{variable, WhoGives};
use crate::storage::target::BucketTarget;

const CLIENT: &str = "AZURE_CLIENT_ID";
const TENANT: &str = "AZURE_TENANT_ID";
const TOKEN: &str = "AZURE_FEDERATED_TOKEN_FILE";
const AUTHORITY: &str = "AZURE_AUTHORITY_HOST";
const USUAL_AUTHORITY: &str = "https://login.microsoftonline.com";

/// The tokens for each request to this container.
pub fn tokens(target: &BucketTarget) -> Result<AzureCredentialProvider, StoreError> {
    given_by(target, &variable)
}

fn given_by(
    target: &BucketTarget,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<AzureCredentialProvider, StoreError> {
    let (Some(client), Some(tenant), Some(token_file)) = (variable(CLIENT), variable(TENANT), variable(TOKEN)) else {
        let missing = format!("the environment does not have all of {CLIENT}, {TENANT} and {TOKEN}");
        return Err(StoreError::new(StoreCause::IdentityMissing, missing));
    };
    let authority = variable(AUTHORITY).unwrap_or_else(|| USUAL_AUTHORITY.to_owned());
    let authority = authority.trim_end_matches('/');
    // The storage library gives its providers of tokens to nobody but a container of its own.
    let container = MicrosoftAzureBuilder::new()
        .with_account("-")
        .with_container_name("-")
        .with_client_id(&client)
        .with_tenant_id(&tenant)
        .with_federated_token_file(&token_file)
        .with_authority_host(authority)
        .with_credential_type("workload_identity")
        .with_retry(once())
        .with_http_connector(client::connector_to_giver(target, Proxies::OfTarget)?)
        .build()
        .map_err(not_set_up)?;
    let giver = WhoGives {
        asked: format!("client {client} of tenant {tenant} at {authority}"),
        token_file: Some(token_file.into()),
    };
    Ok(Arc::new(Tokens { provider: Arc::clone(container.credentials()), giver }))
}

#[derive(Debug)]
struct Tokens {
    provider: AzureCredentialProvider,
    giver: WhoGives,
}

#[async_trait]
impl CredentialProvider for Tokens {
    type Credential = AzureCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AzureCredential>> {
        let sent = |credential: &AzureCredential| match credential {
            AzureCredential::BearerToken(token) => vec![token.clone()],
            _ => Vec::new(),
        };
        let failed = |failure: StoreError| object_store::Error::Generic { store: "Azure", source: Box::new(failure) };
        self.giver.given(self.provider.get_credential(), sent).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::vendor::Vendor;
    use crate::test_support::Scratch;

    #[tokio::test]
    async fn who_has_no_identity_is_told_what_is_missing() {
        let scratch = Scratch::new();
        let token_file = scratch.path().join("token").display().to_string();
        let storage = r#"{"vendor": "AzureBlobStorage", "account": "films1"}"#;
        let target = BucketTarget::new(Vendor::Aws, "", "films", &serde_json::from_str(storage).unwrap());
        let named = |name: &str| {
            [(CLIENT, "c"), (TENANT, "t"), (TOKEN, &token_file)]
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        for left_out in [CLIENT, TENANT, TOKEN] {
            let variable = |name: &str| named(name).filter(|_| name != left_out);
            let missing = given_by(&target, &variable).unwrap_err();
            assert_eq!(missing.cause, StoreCause::IdentityMissing);
            assert!(missing.detail.contains(left_out), "{missing}");
        }
        let unread = given_by(&target, &named).unwrap().get_credential().await.unwrap_err();
        let unread = StoreError::from_error(&unread);
        assert_eq!(unread.cause, StoreCause::IdentityMissing);
        assert!(unread.detail.starts_with(&token_file), "{unread}");
    }
}
