//! Prometheus and VictoriaMetrics as Debian has them, each with a directory of its own, fed
//! through the door both have: Prometheus's remote write (protobuf, snappy).

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gander_e2e::measure::{bytes_beneath, cpu_of};
use gander_hub::model::Metric;
use gander_hub::model::metric::visit;
use prost::Message;
use serde_json::Value;

use crate::fleet::Fleet;
use crate::ours::Filled;

/// Samples of each server in one request.
const SLICE: usize = 60;
/// Values in one request; both advise some thousands.
const REQUEST: usize = 10_000;

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Point>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Point {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Prometheus,
    VictoriaMetrics,
}

/// One of them, running. Killed when dropped.
pub(crate) struct Rival {
    kind: Kind,
    child: Child,
    url: String,
    data: PathBuf,
    client: reqwest::Client,
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prometheus => "Prometheus",
            Self::VictoriaMetrics => "VictoriaMetrics",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::VictoriaMetrics => "victoria-metrics",
        }
    }

    /// Its name and Debian's version, or `None` where it is not installed.
    pub(crate) fn version(self) -> Option<String> {
        // VictoriaMetrics answers, but tells nothing.
        Command::new(self.program()).arg("--version").output().ok()?;
        let output = Command::new("dpkg-query")
            .args(["-W", "-f=${Version}", self.program()])
            .output();
        let version = output.map_or(String::new(), |output| {
            String::from_utf8_lossy(&output.stdout).into_owned()
        });
        Some(format!("{} {version}", self.name()))
    }

    /// Starts it with an empty directory and waits until it answers.
    pub(crate) async fn start(self, directory: &Path) -> Rival {
        let data = directory.join(self.program());
        std::fs::create_dir_all(&data).unwrap();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new(self.program());
        match self {
            Self::Prometheus => {
                let config = directory.join("prometheus.yml");
                std::fs::write(&config, "scrape_configs: []\n").unwrap();
                command
                    .arg(format!("--config.file={}", config.display()))
                    .arg(format!("--storage.tsdb.path={}", data.display()))
                    .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                    .args(["--web.enable-remote-write-receiver", "--web.enable-admin-api"])
                    .arg("--storage.tsdb.retention.time=100y");
            }
            Self::VictoriaMetrics => {
                command
                    .arg(format!("-storageDataPath={}", data.display()))
                    .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
                    .args([
                        "-retentionPeriod=100y",
                        "-search.latencyOffset=0s",
                        "-selfScrapeInterval=0",
                    ]);
            }
        }
        let log = std::fs::File::create(directory.join(format!("{}.log", self.program()))).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let rival = Rival {
            kind: self,
            child,
            url: format!("http://127.0.0.1:{port}"),
            data,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        };
        let ready = match self {
            Self::Prometheus => "/-/ready",
            Self::VictoriaMetrics => "/health",
        };
        gander_e2e::eventually("it answers", async || {
            let answer = rival.client.get(format!("{}{ready}", rival.url)).send().await;
            answer
                .is_ok_and(|answer| answer.status().is_success())
                .then_some(())
        })
        .await;
        rival
    }
}

impl Rival {
    /// Writes a fleet's samples in the order of time, then has everything written out and merged.
    /// The client's CPU is not counted, and its waiting for itself hardly matters: the next request
    /// is made while the one before is under way.
    pub(crate) async fn fill(&self, fleet: &Fleet) -> Filled {
        let pid = self.child.id().to_string();
        let (cpu, wall) = (cpu_of(&pid), Instant::now());
        let mut values = 0;
        let mut under_way = None;
        for first in (0..fleet.length).step_by(SLICE) {
            for server in 0..fleet.servers() {
                let last = (first + SLICE).min(fleet.length);
                for request in requests(fleet, server, first, last, &mut values) {
                    finish(under_way.take()).await;
                    under_way = Some(tokio::spawn(self.write(request)));
                }
            }
        }
        finish(under_way).await;
        let bytes = self.settle().await;
        Filled {
            values,
            cpu: cpu_of(&pid) - cpu,
            wall: wall.elapsed(),
            bytes,
        }
    }

    fn write(&self, request: Vec<u8>) -> impl Future<Output = ()> + use<> {
        let call = self
            .client
            .post(format!("{}/api/v1/write", self.url))
            .header("content-type", "application/x-protobuf")
            .header("content-encoding", "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(request);
        async move {
            let answer = call.send().await.unwrap();
            let status = answer.status();
            assert!(status.is_success(), "{status}: {}", answer.text().await.unwrap());
        }
    }

    /// Has it write out and merge what it holds; answers the bytes that are left then.
    async fn settle(&self) -> u64 {
        match self.kind {
            // A snapshot writes the newest two hours, too, as a block, and leaves the log out:
            // Prometheus at its smallest.
            Kind::Prometheus => {
                let call = self
                    .client
                    .post(format!("{}/api/v1/admin/tsdb/snapshot", self.url));
                let answer: Value = call.send().await.unwrap().json().await.unwrap();
                let name = answer["data"]["name"].as_str().expect("the snapshot's name");
                bytes_beneath(&self.data.join("snapshots").join(name))
            }
            Kind::VictoriaMetrics => {
                for path in ["/internal/force_flush", "/internal/force_merge"] {
                    self.get(path).await;
                }
                // It merges in the background; the size stands still when it is done.
                let (mut size, mut still) = (0, 0);
                while still < 20 {
                    let now = bytes_beneath(&self.data);
                    let is_merging = self
                        .get("/metrics")
                        .await
                        .lines()
                        .any(|line| line.starts_with("vm_active_merges") && !line.ends_with(" 0"));
                    still = if now == size && !is_merging { still + 1 } else { 0 };
                    size = now;
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                bytes_beneath(&self.data)
            }
        }
    }

    async fn get(&self, path: &str) -> String {
        let answer = self
            .client
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().await.unwrap()
    }

    /// The mean of a metric of the first server over the fleet's time in about 300 steps: the
    /// median of some tries, whole answers over HTTP.
    pub(crate) async fn query(&self, metric: Metric, from: i64, to: i64) -> Duration {
        let step = ((to - from) / 1_000 / 300).max(1);
        let query = format!(
            "avg_over_time({}%7Bserver=%22web-0%22%7D%5B{step}s%5D)",
            name(metric)
        );
        let mut times = Vec::new();
        for _ in 0..21 {
            let call = self.client.get(format!(
                "{}/api/v1/query_range?query={query}&start={}&end={}&step={step}s&nocache=1",
                self.url,
                from / 1_000,
                to / 1_000
            ));
            let started = Instant::now();
            let answer: Value = call.send().await.unwrap().json().await.unwrap();
            times.push(started.elapsed());
            let points = answer["data"]["result"][0]["values"]
                .as_array()
                .map_or(0, Vec::len);
            assert!(
                points > 100,
                "{} answered {points} points: {answer}",
                self.kind.name()
            );
        }
        gander_e2e::measure::percentile(&mut times, 50)
    }
}

async fn finish(call: Option<tokio::task::JoinHandle<()>>) {
    if let Some(call) = call {
        call.await.unwrap();
    }
}

/// `cpu.usage` as both want names to be.
fn name(metric: Metric) -> String {
    format!("gander_{}", metric.name().replace('.', "_"))
}

/// Samples `first..last` of a server, snappy over protobuf.
fn requests(fleet: &Fleet, server: usize, first: usize, last: usize, values: &mut u64) -> Vec<Vec<u8>> {
    let mut series: BTreeMap<(Metric, String), Vec<Point>> = BTreeMap::new();
    for number in first..last {
        let (taken_at, snapshot) = fleet.sample(server, number);
        visit(snapshot, |metric, label, value| {
            let points = series.entry((metric, label.to_owned())).or_default();
            points.push(Point {
                value: value as f64,
                timestamp: taken_at.0,
            });
            *values += 1;
        });
    }
    let mut requests = vec![WriteRequest::default()];
    let mut in_request = 0;
    for ((metric, label), samples) in series {
        if in_request >= REQUEST {
            requests.push(WriteRequest::default());
            in_request = 0;
        }
        in_request += samples.len();
        // Labels must be in the order of their names.
        let mut labels = vec![("__name__", name(metric))];
        if !label.is_empty() {
            labels.push(("label", label));
        }
        labels.push(("server", format!("web-{server}")));
        let labels = labels
            .into_iter()
            .map(|(name, value)| Label {
                name: name.to_owned(),
                value,
            })
            .collect();
        if let Some(request) = requests.last_mut() {
            request.timeseries.push(TimeSeries { labels, samples });
        }
    }
    let mut encoder = snap::raw::Encoder::new();
    requests
        .iter()
        .map(|request| encoder.compress_vec(&request.encode_to_vec()).unwrap())
        .collect()
}
