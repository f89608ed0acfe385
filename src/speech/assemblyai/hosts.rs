//! Where AssemblyAI is: every address of it that the program knows, by region.

use url::Url;

/// Where AssemblyAI may process and keep what it is given.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Region {
    /// Nobody has said: uploads and answers in the US, Sync and streaming wherever is nearest.
    #[default]
    Unspecified,
    /// In the US and nowhere else.
    Us,
    /// In the EU and nowhere else.
    Eu,
}

/// The base addresses of one region.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hosts {
    /// The pre-recorded API.
    pub api: Url,
    /// Sync.
    pub sync: Url,
    /// Streaming.
    pub streaming: Url,
    /// The LLM Gateway, which speaks OpenAI's API.
    pub llm_gateway: Url,
}

impl Hosts {
    /// The addresses of `region`.
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

/// These two have no other name in the US: what has no region in its name is there.
const US_API: &str = "api.assemblyai.com";
const US_LLM: &str = "llm-gateway.assemblyai.com";

fn base_url(scheme: &str, host: &str, path: &str) -> Url {
    Url::parse(&format!("{scheme}://{host}{path}")).expect("a literal that the tests parse")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_a_region_gets_its_hosts_and_no_other() {
        let shown = |region| {
            let hosts = Hosts::for_region(region);
            [hosts.api, hosts.sync, hosts.streaming, hosts.llm_gateway].map(|url| url.to_string())
        };
        assert_eq!(
            shown(Region::Unspecified),
            [
                "https://api.assemblyai.com/",
                "https://sync.assemblyai.com/",
                "wss://streaming.assemblyai.com/",
                "https://llm-gateway.assemblyai.com/v1",
            ]
        );
        assert_eq!(
            shown(Region::Us),
            [
                "https://api.assemblyai.com/",
                "https://sync.us.assemblyai.com/",
                "wss://streaming.us.assemblyai.com/",
                "https://llm-gateway.assemblyai.com/v1",
            ]
        );
        for address in shown(Region::Eu) {
            assert!(address.contains(".eu.assemblyai.com/"), "{address}");
        }
    }
}
