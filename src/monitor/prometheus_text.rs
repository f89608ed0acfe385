//! Parses our own `/metrics` text, so that the status page shows what Prometheus sees
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).

use std::collections::BTreeMap;

/// All samples of one rendering.
pub(super) struct ParsedMetrics<'a>(Vec<MetricSample<'a>>);

struct MetricSample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

/// A histogram of durations.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ParsedHistogram {
    pub(super) count: u64,
    /// Upper bounds in seconds with cumulative counts.
    buckets: Vec<(f64, f64)>,
}

impl<'a> ParsedMetrics<'a> {
    /// Parses samples; other lines are skipped.
    pub(super) fn parse(text: &'a str) -> Self {
        Self(text.lines().filter_map(parse_sample).collect())
    }

    /// The value of a metric without labels; 0 if it was never set.
    pub(super) fn value(&self, name: &str) -> f64 {
        let found = self.0.iter().find(|it| it.name == name);
        found.map_or(0.0, |it| it.value)
    }

    /// The histograms of a metric, by the value of `label`.
    pub(super) fn histograms(&self, name: &str, label: &str) -> BTreeMap<&'a str, ParsedHistogram> {
        let mut histograms: BTreeMap<&str, ParsedHistogram> = BTreeMap::new();
        for it in &self.0 {
            let Some(kind) = it.name.strip_prefix(name) else {
                continue;
            };
            let Some(value) = label_value(it.labels, label) else {
                continue;
            };
            match kind {
                "_count" => histograms.entry(value).or_default().count = it.value as u64,
                "_bucket" => {
                    let bound = label_value(it.labels, "le").and_then(|le| le.parse().ok());
                    let bound = bound.unwrap_or(f64::INFINITY);
                    let histogram = histograms.entry(value).or_default();
                    histogram.buckets.push((bound, it.value));
                }
                _ => {}
            }
        }
        histograms
    }
}

/// A summary of durations.
#[derive(Debug, PartialEq)]
pub(super) struct ParsedSummary {
    pub(super) count: u64,
    pub(super) median: Option<f64>,
    pub(super) p95: Option<f64>,
}

impl ParsedMetrics<'_> {
    /// A summary without labels. `None` if nothing was recorded.
    pub(super) fn summary(&self, name: &str) -> Option<ParsedSummary> {
        let quantile = |share: &str| {
            let matches = |it: &&MetricSample<'_>| {
                it.name == name && label_value(it.labels, "quantile") == Some(share)
            };
            self.0.iter().find(matches).map(|it| it.value)
        };
        let count = self.value(&format!("{name}_count")) as u64;
        (count > 0).then(|| ParsedSummary {
            count,
            median: quantile("0.5"),
            p95: quantile("0.95"),
        })
    }
}

impl ParsedHistogram {
    /// The quantile `share` (0 to 1) in seconds, interpolated linearly within its bucket as
    /// Prometheus does. `None` if nothing was recorded.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let rank = share * self.count as f64;
        let (mut lower, mut below) = (0.0, 0.0);
        for &(bound, within) in &self.buckets {
            if within >= rank && within > below {
                // The last bucket has no upper bound.
                if bound.is_infinite() {
                    return Some(lower);
                }
                return Some(lower + (bound - lower) * (rank - below) / (within - below));
            }
            (lower, below) = (bound, within);
        }
        None
    }
}

fn parse_sample(line: &str) -> Option<MetricSample<'_>> {
    let (place, value) = line.trim().rsplit_once(' ')?;
    let (name, labels) = match place.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}')?),
        None => (place, ""),
    };
    Some(MetricSample {
        name,
        labels,
        value: value.parse().ok()?,
    })
}

/// The value of a label. Our values contain neither quotes nor commas.
fn label_value<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    labels.split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == label).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRICS_TEXT: &str = r#"
# HELP queue_waiting Requests that wait
# TYPE queue_waiting gauge
queue_waiting 3

# TYPE stage_seconds histogram
stage_seconds_bucket{stage="hear",le="0.1"} 0
stage_seconds_bucket{stage="hear",le="0.5"} 2
stage_seconds_bucket{stage="hear",le="1"} 4
stage_seconds_bucket{stage="hear",le="+Inf"} 5
stage_seconds_sum{stage="hear"} 14.5
stage_seconds_count{stage="hear"} 5
line_seconds{quantile="0.5"} 0.7
line_seconds{quantile="0.95"} 1.2
line_seconds_sum 8
line_seconds_count 9
stage_seconds_bucket{stage="answer",le="+Inf"} 0
stage_seconds_count{stage="answer"} 0
nonsense
"#;

    #[test]
    fn values_are_read() {
        let numbers = ParsedMetrics::parse(METRICS_TEXT);
        assert!((numbers.value("queue_waiting") - 3.0).abs() < f64::EPSILON);
        assert!(numbers.value("nothing").abs() < f64::EPSILON);
    }

    #[test]
    fn summary_quantiles_are_read() {
        let numbers = ParsedMetrics::parse(METRICS_TEXT);
        let summary = ParsedSummary {
            count: 9,
            median: Some(0.7),
            p95: Some(1.2),
        };
        assert_eq!(numbers.summary("line_seconds"), Some(summary));
        assert_eq!(numbers.summary("nothing"), None);
    }

    #[test]
    fn histogram_quantiles_are_interpolated() {
        let numbers = ParsedMetrics::parse(METRICS_TEXT);
        let histograms = numbers.histograms("stage_seconds", "stage");
        let hear = &histograms["hear"];
        assert_eq!(hear.count, 5);
        // Two of five took up to 0.5 s, two more up to 1 s: the median is a quarter of the way between.
        let half = hear.quantile(0.5).expect("measured");
        assert!((half - 0.625).abs() < 1e-9, "{half}");
        let most = hear.quantile(1.0).expect("measured");
        assert!((most - 1.0).abs() < 1e-9, "{most}");
        assert_eq!(histograms["answer"].quantile(0.5), None);
    }
}
