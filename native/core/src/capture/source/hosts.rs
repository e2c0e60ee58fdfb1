// SPDX-License-Identifier: Apache-2.0
//! Which hosts an administrator lets sources lead to: names, domains, addresses and ranges of addresses.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::Deserialize;

/// A host that is a name is matched by names alone and an address by addresses alone, whatever the name leads to: who
/// lists a name trusts those who say where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum HostPattern {
    /// `*`
    Any,
    Name(String),
    /// `*.example.com`: every host below a domain; kept with its dot.
    Below(String),
    /// `10.0.0.0/8`, or a single address.
    Range(IpNet),
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let range = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        if let Some(range) = range {
            return Ok(Self::Range(range));
        }
        let (name, domain) = text.strip_prefix('*').map_or((text, false), |domain| (domain, true));
        let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || domain != name.starts_with('.') || !name.chars().all(letter) {
            return Err("must be a host, \"*.\" and a domain, an address, a range such as 10.0.0.0/8, or \"*\"".into());
        }
        let name = name.to_ascii_lowercase();
        Ok(if domain { Self::Below(name) } else { Self::Name(name) })
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl HostPattern {
    /// Whether a URL's host, without port and brackets, is meant.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let name = || host.trim_end_matches('.').to_ascii_lowercase();
        match (self, address) {
            (Self::Any, _) => true,
            (Self::Range(range), Some(address)) => range.contains(&address),
            (Self::Name(listed), None) => name() == *listed,
            (Self::Below(domain), None) => name().ends_with(domain.as_str()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_matched_by_names_and_an_address_by_addresses() {
        let table = [
            ("*", "a.example.com", true),
            ("*", "10.1.2.3", true),
            ("a.example.com", "A.example.com.", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*.example.com", "a.example.com.evil.net", false),
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("fd00::/8", "fd00::1", true),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.0.0.0/8", "ten.example.com", false),
            ("*.2.3", "10.1.2.3", false),
        ];
        for (pattern, host, listed) in table {
            assert_eq!(pattern.parse::<HostPattern>().unwrap().matches(host), listed, "{pattern} {host}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for pattern in ["", "**", "*com", "s3.*.com", "10.0.0.0/33", "http://a", "a b", "a/b"] {
            assert!(pattern.parse::<HostPattern>().is_err(), "{pattern}");
        }
    }
}
