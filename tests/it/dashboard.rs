//! What is counted is described and shown, and nothing else is.

use std::collections::BTreeSet;
use std::path::Path;

use talkback::monitor::{METRICS, MetricKind};

use crate::support::repository;

/// The names of metrics in a text.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices("talkback_") {
        let rest = &text[at..];
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        names.insert(&rest[..end]);
    }
    names
}

fn described_metrics() -> BTreeSet<&'static str> {
    METRICS.iter().map(|metric| metric.name).collect()
}

/// A histogram is shown by its parts.
fn base_name(name: &str) -> &str {
    let histogram = METRICS.iter().find(|metric| {
        metric.kind == MetricKind::Histogram
            && name
                .strip_prefix(metric.name)
                .is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part))
    });
    histogram.map_or(name, |metric| metric.name)
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    let file = repository().join("packaging/grafana-dashboard.json");
    let text = std::fs::read_to_string(file).expect("the dashboard");
    let _: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let shown: BTreeSet<&str> = metric_names(&text).into_iter().map(base_name).collect();
    assert_eq!(shown, described_metrics());
}

/// Those that something is counted under in the source.
fn collect_metric_names(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect_metric_names(&path, found);
        } else if !path.ends_with("monitor/metrics.rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            for kind in ["counter!(", "gauge!(", "histogram!("] {
                for (at, _) in text.match_indices(kind) {
                    let rest = text[at + kind.len()..].trim_start();
                    let name = rest.strip_prefix('"').and_then(|it| it.split('"').next());
                    found.extend(name.map(ToOwned::to_owned));
                }
            }
        }
    }
}

#[test]
fn what_is_counted_is_described() {
    let mut found = BTreeSet::new();
    collect_metric_names(&repository().join("src"), &mut found);
    let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, described_metrics());
}
