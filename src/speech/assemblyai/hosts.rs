//! AssemblyAI's hosts by region: every one of its addresses that the program knows.

use url::Url;

/// Where AssemblyAI may process and store data.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Region {
    /// No restriction: pre-recorded and LLM Gateway in the US, Sync and streaming in the nearest
    /// region.
    #[default]
    Unspecified,
    /// Only in the US.
    Us,
    /// Only in the EU.
    Eu,
}

/// The base URLs of one region.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hosts {
    /// The pre-recorded API.
    pub api: Url,
    /// The Sync API.
    pub sync: Url,
    /// The streaming API.
    pub streaming: Url,
    /// The LLM Gateway, which implements OpenAI's API.
    pub llm_gateway: Url,
}

impl Hosts {
    /// The base URLs for `region`.
    #[must_use]
    pub fn for_region(region: Region) -> Self {
        let (api, sync, streaming, llm_gateway) = match region {
            Region::Unspecified => (
                US_API,
                "sync.assemblyai.com",
                "streaming.assemblyai.com",
                US_LLM,
            ),
            Region::Us => (
                US_API,
                "sync.us.assemblyai.com",
                "streaming.us.assemblyai.com",
                US_LLM,
            ),
            Region::Eu => (
                "api.eu.assemblyai.com",
                "sync.eu.assemblyai.com",
                "streaming.eu.assemblyai.com",
                "llm-gateway.eu.assemblyai.com",
            ),
        };
        Self {
            api: base_url("https", api, ""),
            sync: base_url("https", sync, ""),
            streaming: base_url("wss", streaming, ""),
            llm_gateway: base_url("https", llm_gateway, "/v1"),
        }
    }
}

/// These two have no separate host name for the US: the plain name is located there.
const US_API: &str = "api.assemblyai.com";
const US_LLM: &str = "llm-gateway.assemblyai.com";

fn base_url(scheme: &str, host: &str, path: &str) -> Url {
    Url::parse(&format!("{scheme}://{host}{path}")).expect("a literal URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_region_has_its_own_hosts() {
        let urls = |region| {
            let hosts = Hosts::for_region(region);
            [hosts.api, hosts.sync, hosts.streaming, hosts.llm_gateway].map(|url| url.to_string())
        };
        assert_eq!(
            urls(Region::Unspecified),
            [
                "https://api.assemblyai.com/",
                "https://sync.assemblyai.com/",
                "wss://streaming.assemblyai.com/",
                "https://llm-gateway.assemblyai.com/v1",
            ]
        );
        assert_eq!(
            urls(Region::Us),
            [
                "https://api.assemblyai.com/",
                "https://sync.us.assemblyai.com/",
                "wss://streaming.us.assemblyai.com/",
                "https://llm-gateway.assemblyai.com/v1",
            ]
        );
        for url in urls(Region::Eu) {
            assert!(url.contains(".eu.assemblyai.com/"), "{url}");
        }
    }
}
