// SPDX-License-Identifier: Apache-2.0
//! The storage vendors of the interface, a row each: what a region's index means, and where its buckets answer. And those
//! that the document alone knows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a bucket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BucketKind {
    #[default]
    S3,
    GoogleCloudStorage,
    AzureBlobStorage,
}

impl BucketKind {
    /// Those that the interface has no number for.
    pub const BEYOND_THE_INTERFACE: [Self; 2] = [Self::GoogleCloudStorage, Self::AzureBlobStorage];

    /// What the document calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::GoogleCloudStorage => "GoogleCloudStorage",
            Self::AzureBlobStorage => "AzureBlobStorage",
        }
    }

    /// Of the document's `objects`, what no bucket of this kind has.
    #[must_use]
    pub fn lacking_object_options(self) -> &'static [&'static str] {
        match self {
            Self::S3 => &["kmsKeyName"],
            Self::GoogleCloudStorage => &["tags", "serverSideEncryption"],
            Self::AzureBlobStorage => &["serverSideEncryption", "kmsKeyName"],
        }
    }

    #[must_use]
    pub fn is_s3(&self) -> bool {
        *self == Self::S3
    }
}

/// A vendor as the document names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct NamedVendor {
    pub kind: BucketKind,
    /// The interface's; None for any other.
    pub vendor: Option<Vendor>,
}

impl NamedVendor {
    /// What the document calls them.
    fn names() -> impl Iterator<Item = &'static str> {
        let beyond = BucketKind::BEYOND_THE_INTERFACE.map(BucketKind::name);
        Vendor::names().chain([BucketKind::S3.name()]).chain(beyond)
    }
}

impl TryFrom<String> for NamedVendor {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if let Some(vendor) = Vendor::from_name(&name) {
            return Ok(Self { kind: BucketKind::S3, vendor: Some(vendor) });
        }
        let kinds = [BucketKind::S3].into_iter().chain(BucketKind::BEYOND_THE_INTERFACE);
        let unknown = || {
            let names: Vec<_> = Self::names().map(|name| format!("`{name}`")).collect();
            format!("unknown variant `{name}`, expected one of {}", names.join(", "))
        };
        let kind = kinds.into_iter().find(|kind| kind.name() == name).ok_or_else(unknown)?;
        Ok(Self { kind, vendor: None })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Qiniu,
    Aws,
    Aliyun,
}

/// What there is to know of a vendor.
struct VendorFacts {
    vendor: Vendor,
    /// What the document calls it.
    name: &'static str,
    /// What it calls its storage.
    title: &'static str,
    /// In the order of the interface's numbers.
    regions: &'static [RegionNames],
    /// Where buckets of the region answer that it calls so itself.
    endpoint: fn(&str) -> String,
    /// Of the document's `objects`, what its S3 API refuses, or takes and forgets.
    lacking: &'static [&'static str],
}

/// The vendors, in the order of the interface's numbers.
const VENDORS: [VendorFacts; 3] = [
    VendorFacts {
        vendor: Vendor::Qiniu,
        name: "Qiniu",
        title: "Qiniu",
        regions: QINIU,
        endpoint: |region| format!("https://s3.{region}.qiniucs.com"),
        lacking: &["tags", "serverSideEncryption"],
    },
    VendorFacts {
        vendor: Vendor::Aws,
        name: "AWS",
        title: "Amazon S3",
        regions: AWS,
        endpoint: |region| {
            let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
            format!("https://s3.{region}.{domain}")
        },
        lacking: &[],
    },
    VendorFacts {
        vendor: Vendor::Aliyun,
        name: "Aliyun",
        title: "Alibaba OSS",
        regions: ALIYUN,
        endpoint: |region| format!("https://s3.oss-{region}.aliyuncs.com"),
        lacking: &["tags", "storageClass", "serverSideEncryption"],
    },
];

/// Where a bucket answers, as far as vendor and region tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendorEndpoint {
    /// What requests are signed with.
    pub region: String,
    pub endpoint: String,
}

/// A region by the interface's name for it and by the vendor's own.
type RegionNames = (&'static str, &'static str);

const QINIU: &[RegionNames] = &[
    ("east-china", "cn-east-1"),
    ("north-china", "cn-north-1"),
    ("south-china", "cn-south-1"),
    ("north-america", "us-north-1"),
];

const AWS: &[RegionNames] = &[
    ("us-east-1", "us-east-1"),
    ("us-east-2", "us-east-2"),
    ("us-west-1", "us-west-1"),
    ("us-west-2", "us-west-2"),
    ("eu-west-1", "eu-west-1"),
    ("eu-west-2", "eu-west-2"),
    ("eu-west-3", "eu-west-3"),
    ("eu-central-1", "eu-central-1"),
    ("ap-southeast-1", "ap-southeast-1"),
    ("ap-southeast-2", "ap-southeast-2"),
    ("ap-northeast-1", "ap-northeast-1"),
    ("ap-northeast-2", "ap-northeast-2"),
    ("sa-east-1", "sa-east-1"),
    ("ca-central-1", "ca-central-1"),
    ("ap-south-1", "ap-south-1"),
    ("cn-north-1", "cn-north-1"),
    ("cn-northwest-1", "cn-northwest-1"),
    ("us-gov-west-1", "us-gov-west-1"),
];

const ALIYUN: &[RegionNames] = &[
    ("hangzhou", "cn-hangzhou"),
    ("shanghai", "cn-shanghai"),
    ("qingdao", "cn-qingdao"),
    ("beijing", "cn-beijing"),
    ("zhangjiakou", "cn-zhangjiakou"),
    ("huhehaote", "cn-huhehaote"),
    ("shenzhen", "cn-shenzhen"),
    ("hongkong", "cn-hongkong"),
    ("us-west-1", "us-west-1"),
    ("us-east-1", "us-east-1"),
    ("ap-southeast-1", "ap-southeast-1"),
    ("ap-southeast-2", "ap-southeast-2"),
    ("ap-southeast-3", "ap-southeast-3"),
    ("ap-southeast-5", "ap-southeast-5"),
    ("ap-northeast-1", "ap-northeast-1"),
    ("ap-south-1", "ap-south-1"),
    ("eu-central-1", "eu-central-1"),
    ("eu-west-1", "eu-west-1"),
    ("eu-east-1", "eu-east-1"),
];

impl Vendor {
    /// The vendor with this number of the interface; the error tells the largest number.
    pub fn from_number(number: i32) -> Result<Self, usize> {
        let row = usize::try_from(number).ok().and_then(|index| VENDORS.get(index));
        row.map(|row| row.vendor).ok_or(VENDORS.len() - 1)
    }

    /// The vendor that the document calls so.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        VENDORS.iter().find(|row| row.name == name).map(|row| row.vendor)
    }

    /// What the document calls them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        VENDORS.iter().map(|row| row.name)
    }

    /// The vendor's own name of the region with this index; the error tells the largest index.
    pub fn region(self, index: u32) -> Result<&'static str, usize> {
        let regions = self.facts().regions;
        usize::try_from(index).ok().and_then(|index| regions.get(index)).map(|(_, code)| *code).ok_or(regions.len() - 1)
    }

    /// Where buckets of the region answer; the region may be called by the interface's name or by the vendor's.
    #[must_use]
    pub fn endpoint(self, region: &str) -> VendorEndpoint {
        let facts = self.facts();
        let code = facts.regions.iter().find(|(name, _)| *name == region).map_or(region, |(_, code)| code);
        VendorEndpoint { region: code.to_owned(), endpoint: (facts.endpoint)(code) }
    }

    /// Whether it gives out keys to whoever has an identity; a server of the user's own, which goes by AWS' name, may.
    #[must_use]
    pub fn knows_identities(self) -> bool {
        self == Self::Aws
    }

    #[must_use]
    pub fn lacking_object_options(self) -> &'static [&'static str] {
        self.facts().lacking
    }

    fn facts(self) -> &'static VendorFacts {
        &VENDORS[self as usize]
    }
}

impl fmt::Display for Vendor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.facts().title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_of_the_interface_has_its_region() {
        for (vendor, last, code) in
            [(Vendor::Qiniu, 3, "us-north-1"), (Vendor::Aws, 17, "us-gov-west-1"), (Vendor::Aliyun, 18, "eu-east-1")]
        {
            assert_eq!(vendor.region(last), Ok(code));
            assert_eq!(vendor.region(last + 1), Err(last as usize));
        }
        assert_eq!(Vendor::Aws.region(7), Ok("eu-central-1"));
        assert_eq!(Vendor::Aliyun.region(13), Ok("ap-southeast-5"));
        assert_eq!(Vendor::from_number(3), Err(2));
        assert_eq!(Vendor::from_number(-1), Err(2));
    }

    #[test]
    fn every_vendor_has_its_row_number_and_name() {
        for (row, number) in VENDORS.iter().zip(0..) {
            assert_eq!(row.vendor.facts().name, row.name);
            assert_eq!(Vendor::from_number(number), Ok(row.vendor));
            assert_eq!(Vendor::from_name(row.name), Some(row.vendor));
        }
        assert_eq!(Vendor::from_name("S3"), None);
        for kind in BucketKind::BEYOND_THE_INTERFACE {
            assert_eq!(NamedVendor::try_from(kind.name().to_owned()), Ok(NamedVendor { kind, vendor: None }));
        }
    }

    #[test]
    fn regions_answer_where_their_vendor_says() {
        let endpoint = |vendor: Vendor, region| vendor.endpoint(region).endpoint;
        assert_eq!(endpoint(Vendor::Aws, "eu-west-1"), "https://s3.eu-west-1.amazonaws.com");
        assert_eq!(endpoint(Vendor::Aws, "cn-north-1"), "https://s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(endpoint(Vendor::Qiniu, "east-china"), "https://s3.cn-east-1.qiniucs.com");
        assert_eq!(endpoint(Vendor::Aliyun, "hangzhou"), "https://s3.oss-cn-hangzhou.aliyuncs.com");
        assert_eq!(endpoint(Vendor::Aliyun, "cn-hangzhou"), "https://s3.oss-cn-hangzhou.aliyuncs.com");
    }
}
