//! Reasoning efforts, and which one to use instead of one that a model rejects.

use std::collections::BTreeSet;

use net::RedactedText;

/// All known efforts, lowest first. A model supports some of them.
pub(super) const EFFORTS: [&str; 6] = ["none", "low", "medium", "high", "xhigh", "max"];

/// Phrases that introduce the list of supported values in a rejection.
const LIST_PHRASES: [&str; 9] = [
    "supported values",
    "one of",
    "must be",
    "should be",
    "expected",
    "choose from",
    "valid values",
    "allowed",
    "supported are",
];

/// Whether a rejection lists the supported values.
pub(super) fn lists_efforts(message: &RedactedText) -> bool {
    !message.words_after(&LIST_PHRASES, &EFFORTS).is_empty()
}

/// Efforts that the model is known to reject.
#[derive(Clone, Debug, Default)]
pub(super) struct RefusedEfforts(BTreeSet<String>);

impl RefusedEfforts {
    /// The effort to send for `wanted`: the next lower supported one, else the lowest above it.
    /// `None` only if the model supports none at all.
    pub(super) fn substitute_for(&self, wanted: &str) -> Option<String> {
        if !self.0.contains(wanted) {
            return Some(wanted.to_owned());
        }
        // `minimal`, which some models used to support, came right after `none`.
        let lower = match wanted {
            "minimal" => 1,
            _ => EFFORTS.iter().position(|it| *it == wanted).unwrap_or(0),
        };
        let (below, above) = EFFORTS.split_at(lower);
        let exists = |effort: &&&str| !self.0.contains(**effort);
        let found = below.iter().rev().find(exists);
        found
            .or_else(|| above.iter().find(exists))
            .map(|effort| (*effort).to_owned())
    }

    /// Records that `effort` is rejected, and any others that the message rules out. Returns true
    /// if that is new.
    pub(super) fn learn_refusal(&mut self, effort: &str, message: &RedactedText) -> bool {
        let is_new = !self.0.contains(effort);
        let listed = message.words_after(&LIST_PHRASES, &EFFORTS);
        if !listed.is_empty() && !listed.contains(&effort) {
            let others = EFFORTS.iter().filter(|it| !listed.contains(it));
            self.0.extend(others.map(|it| (*it).to_owned()));
        }
        self.0.insert(effort.to_owned());
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The efforts tried, in order, with a model that supports only `known`.
    fn efforts_tried(wanted: &str, known: &[&str], list: bool) -> Vec<String> {
        let mut refused = RefusedEfforts::default();
        let mut tried = Vec::new();
        while let Some(effort) = refused.substitute_for(wanted) {
            tried.push(effort.clone());
            if known.contains(&effort.as_str()) {
                break;
            }
            let list = if list {
                format!(" Supported values are: {}.", known.join(", "))
            } else {
                String::new()
            };
            let message = format!("'reasoning_effort' does not support '{effort}'.{list}");
            assert!(refused.learn_refusal(&effort, &RedactedText::new(&message)));
        }
        tried
    }

    #[test]
    fn a_refused_effort_falls_to_the_next_lower_that_exists() {
        let sol = ["low", "medium", "high", "xhigh", "max"];
        assert_eq!(efforts_tried("none", &sol, true), ["none", "low"]);
        assert_eq!(efforts_tried("none", &sol, false), ["none", "low"]);
        assert_eq!(efforts_tried("minimal", &sol, true), ["minimal", "low"]);
        assert_eq!(
            efforts_tried("minimal", &sol, false),
            ["minimal", "none", "low"]
        );
        let few = ["none", "low", "high"];
        assert_eq!(efforts_tried("max", &few, true), ["max", "high"]);
        assert_eq!(efforts_tried("max", &few, false), ["max", "xhigh", "high"]);
        assert_eq!(efforts_tried("medium", &few, true), ["medium", "low"]);
        assert_eq!(
            efforts_tried("low", &["medium", "high"], true),
            ["low", "medium"]
        );
        assert_eq!(efforts_tried("a lot", &few, true), ["a lot", "none"]);
        assert_eq!(efforts_tried("high", &[], false).len(), 6);
    }
}
