//! The questions the store answers and the shapes of its answers.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use gander_probe::Snapshot;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::buckets::Bucket;
use crate::model::{AlertId, Event, EventKind, HostKey, Level, Metric, Secret, ServerId, Timestamp, Unit};

/// What to do with one stored secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Leave what is stored.
    #[default]
    Keep,
    /// Store this instead.
    Set(T),
    /// Remove what is stored.
    Clear,
}

/// What an update does to a server's secrets and its pinned key. `Default` changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CredentialChange {
    /// For password and keyboard-interactive.
    pub password: Change<Secret>,
    /// The private key.
    pub private_key: Change<Secret>,
    /// What opens the private key.
    pub passphrase: Change<Secret>,
    /// Pin this host key. `None` keeps the pinned one, unless address, port or jump host change:
    /// then it is forgotten, for it belonged to another machine.
    pub host_key: Option<HostKey>,
}

/// What one commit did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommitReceipt {
    /// Samples written.
    pub samples: u64,
    /// Values in them.
    pub values: u64,
    /// Samples that were already there: same server, same moment.
    pub duplicates: u64,
    /// Samples, states, pins and alerts of servers deleted meanwhile, dropped.
    pub orphans: u64,
    /// Values that were not kept, by server: a label over the limit, or more series than a server may have.
    pub dropped_values: HashMap<ServerId, u64>,
}

/// Which values of which server, over which time, in how many points at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// Whose.
    pub server_id: ServerId,
    /// Which metrics, every label of each.
    pub metrics: Vec<Metric>,
    /// First moment.
    pub from: Timestamp,
    /// First moment after the end.
    pub to: Timestamp,
    /// No more points than this (1 to 5,000).
    pub max_points: u32,
    /// The length of the buckets.
    pub step: Step,
}

/// How long the buckets of an answer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Step {
    /// The smallest round step that needs no more than the points allowed.
    #[default]
    Auto,
    /// So many milliseconds (whole seconds); longer only where that would be more buckets than
    /// are allowed, or where nothing so fine is kept any more.
    Fixed(i64),
}

/// Buckets of equal length, from `from` rounded down to a multiple of the step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesAnswer {
    /// As asked.
    pub from: Timestamp,
    /// As asked.
    pub to: Timestamp,
    /// Length of a bucket in milliseconds.
    pub step_ms: i64,
    /// Start of every bucket.
    pub times: Vec<Timestamp>,
    /// One entry a label, ordered by metric and label; each as long as `times`.
    pub series: Vec<SeriesPoints>,
    /// Stored rows that could not be read and are missing from the answer (a damaged file).
    pub unreadable_rows: u64,
    /// Blocks of samples or roll-ups that could not be read and are missing.
    pub unreadable_blocks: u64,
}

/// The buckets of one series, in the metric's unit. `None` is a gap: nobody measured then.
/// A bucket between two regular samples repeats the value before it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesPoints {
    /// Which metric.
    pub metric: Metric,
    /// Of which part: a mount point, a device, an interface, a core; empty for the whole server.
    pub label: String,
    /// Unit of the values.
    pub unit: Unit,
    /// The smallest value of each bucket.
    pub min: Vec<Option<i64>>,
    /// The mean of each bucket; two decimals below 1,000, none above.
    pub avg: Vec<Option<f64>>,
    /// The largest value of each bucket.
    pub max: Vec<Option<i64>>,
}

impl SeriesPoints {
    /// A series without a point.
    pub(super) fn gaps(metric: Metric, label: String) -> Self {
        Self {
            metric,
            label,
            unit: metric.unit(),
            min: Vec::new(),
            avg: Vec::new(),
            max: Vec::new(),
        }
    }

    /// Appends the points of these buckets.
    pub(super) fn fill(&mut self, buckets: &[Bucket]) {
        let filled = |bucket: &Bucket| bucket.count > 0;
        self.min
            .extend(buckets.iter().map(|bucket| filled(bucket).then_some(bucket.min)));
        self.avg
            .extend(buckets.iter().map(|bucket| filled(bucket).then(|| bucket.mean())));
        self.max
            .extend(buckets.iter().map(|bucket| filled(bucket).then_some(bucket.max)));
    }
}

/// One metric of many servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetQuery {
    /// Which metric.
    pub metric: Metric,
    /// Which label of it; `None`: of each server, in each step, the busiest.
    pub label: Option<String>,
    /// Which servers; `None`: all.
    pub servers: Option<Vec<ServerId>>,
    /// Only servers with this tag.
    pub tag: Option<String>,
    /// Only servers of this group.
    pub group: Option<String>,
    /// First moment.
    pub from: Timestamp,
    /// First moment after the end.
    pub to: Timestamp,
    /// No more points a line than this.
    pub max_points: u32,
    /// The length of the buckets.
    pub step: Step,
    /// Only the lines of so many servers, those with the highest mean; the groups count all.
    pub top: Option<u32>,
    /// Which groups to show beside the fleet as a whole.
    pub group_by: GroupBy,
}

/// How the servers of a fleet are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GroupBy {
    /// Only the whole.
    #[default]
    Nothing,
    /// By tag; a server counts in each of its tags.
    Tag,
    /// By group.
    Group,
}

/// One metric of many servers over one time.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetAnswer {
    /// As asked.
    pub from: Timestamp,
    /// As asked.
    pub to: Timestamp,
    /// Length of a bucket in milliseconds.
    pub step_ms: i64,
    /// Start of every bucket.
    pub times: Vec<Timestamp>,
    /// Unit of the values.
    pub unit: Unit,
    /// The fleet as a whole (without a name), then by name.
    pub groups: Vec<FleetGroup>,
    /// Servers that have something to say, the highest mean first.
    pub lines: Vec<FleetLine>,
    /// Stored rows that could not be read and are missing (a damaged file).
    pub unreadable_rows: u64,
    /// Blocks that could not be read and are missing.
    pub unreadable_blocks: u64,
}

impl Default for FleetAnswer {
    fn default() -> Self {
        Self {
            from: Timestamp::default(),
            to: Timestamp::default(),
            step_ms: 1_000,
            times: Vec::new(),
            unit: Unit::Count,
            groups: Vec::new(),
            lines: Vec::new(),
            unreadable_rows: 0,
            unreadable_blocks: 0,
        }
    }
}

/// One server's line.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetLine {
    /// Whose.
    pub server_id: ServerId,
    /// The mean over the whole time.
    pub mean: f64,
    /// The points.
    pub points: SeriesPoints,
}

/// Some servers together: of each step the least, mean and greatest of their means, and percentiles
/// (nearest rank). Each list is as long as the times.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FleetGroup {
    /// The tag or group; `None`: all servers.
    pub name: Option<String>,
    /// Servers in it that have a line.
    pub servers: u64,
    /// Servers with a value in each step.
    pub counted: Vec<u64>,
    /// The least.
    pub min: Vec<Option<f64>>,
    /// The mean.
    pub avg: Vec<Option<f64>>,
    /// The greatest.
    pub max: Vec<Option<f64>>,
    /// Half of the servers have no more.
    pub p50: Vec<Option<f64>>,
    /// 95 of 100 servers have no more.
    pub p95: Vec<Option<f64>>,
    /// 99 of 100 servers have no more.
    pub p99: Vec<Option<f64>>,
}

/// The newest values known of a server, for the time until it was read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Latest {
    /// The newest sample.
    pub taken_at: Timestamp,
    /// Its values, with those of slower sections laid under it. Texts (device names, the system) are absent.
    pub snapshot: Box<Snapshot>,
}

/// Rows of the original system, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsQuery {
    /// One server, or all.
    pub server_id: Option<ServerId>,
    /// First moment; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// First moment after the end; `None`: to the end.
    pub to: Option<Timestamp>,
    /// At most this many rows (1 to 100,000).
    pub limit: u32,
    /// Continue after this row.
    pub after: Option<Cursor>,
}

/// One page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetricsPage {
    /// Oldest first; of one moment, by server.
    pub rows: Vec<MetricRow>,
    /// Where the next page starts; `None` on the last one.
    pub next: Option<Cursor>,
    /// Stored rows that could not be read and are missing (a damaged file).
    pub unreadable_rows: u64,
    /// Blocks of samples that could not be read and are missing.
    pub unreadable_blocks: u64,
}

/// One sample in the original system's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricRow {
    /// Whose.
    pub server_id: ServerId,
    /// When.
    pub taken_at: Timestamp,
    /// CPU use in tenths of a percent.
    pub cpu_usage_permille: Option<i64>,
    /// Memory use in tenths of a percent.
    pub memory_usage_permille: Option<i64>,
    /// Use of the root filesystem in tenths of a percent; the last known of the 15 minutes before
    /// where this sample did not measure it.
    pub disk_usage_permille: Option<i64>,
    /// Load over one minute in hundredths.
    pub load_1_hundredths: Option<i64>,
    /// Number of processes.
    pub processes: Option<i64>,
}

/// A place in the rows of all servers, written `MILLISECONDS.SERVER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// The moment of the last row seen.
    pub taken_at: Timestamp,
    /// The server of the last row seen.
    pub server_id: ServerId,
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.taken_at.0, self.server_id.0)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('.').and_then(|(taken_at, server_id)| {
            Some(Self {
                taken_at: Timestamp(taken_at.parse().ok()?),
                server_id: ServerId(server_id.parse().ok()?),
            })
        });
        parsed.ok_or_else(|| {
            format!("\"{text}\" is not a cursor: take it from the Link header of the page before")
        })
    }
}

/// Samples to delete. All empty: every sample there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeleteRange {
    /// Of one server, or of all.
    pub server_id: Option<ServerId>,
    /// Taken before this moment, or at any time.
    pub before: Option<Timestamp>,
}

/// What the database holds and how much room it takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageStats {
    /// Size of the database file.
    pub database_bytes: u64,
    /// Of which free for reuse.
    pub free_bytes: u64,
    /// Size of the write-ahead log.
    pub wal_bytes: u64,
    /// Samples of all servers.
    pub samples: u64,
    /// The oldest sample.
    pub oldest: Option<Timestamp>,
    /// The newest sample.
    pub newest: Option<Timestamp>,
    /// Samples that are still rows, not in a block.
    pub unfolded: u64,
    /// Bytes of blocks that are deleted or merged and not yet given back.
    pub trash_bytes: u64,
    /// What the blocks of each tier take, samples first.
    pub tiers: Vec<TierStorage>,
    /// Ordered by server.
    pub per_server: Vec<ServerStorage>,
}

/// What the blocks of one tier take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TierStorage {
    /// Length of its buckets in milliseconds; 0: single samples.
    pub tier_ms: i64,
    /// Blocks.
    pub blocks: u64,
    /// Samples, or buckets of time, in them.
    pub samples: u64,
    /// Values, or buckets of every series, in them.
    pub values: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The oldest of them.
    pub oldest: Option<Timestamp>,
}

/// The size of the file to come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Forecast {
    /// Values that came in during the last day, or would have in a whole one.
    pub values_a_day: u64,
    /// Bytes a value takes in blocks of samples.
    pub bytes_a_value: f64,
    /// Size of the file a year from now, at that rate and with today's retention.
    pub bytes_in_a_year: u64,
}

/// What the database holds of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStorage {
    /// Whose.
    pub server_id: ServerId,
    /// Its samples.
    pub samples: u64,
    /// The oldest one.
    pub oldest: Option<Timestamp>,
    /// The newest one.
    pub newest: Option<Timestamp>,
    /// Series it has in the dictionary.
    pub series: u64,
    /// Values not kept since the hub started, for a label or the number of series was over its limit.
    pub dropped_values: u64,
    /// It has more series than a server may have ([`MAX_SERIES`](super::MAX_SERIES)), now.
    pub at_series_limit: bool,
}

/// Which alerts, newest first. Pending ones are never shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AlertQuery {
    /// Only resolved or only firing ones.
    pub resolved: Option<bool>,
    /// Of one server.
    pub server_id: Option<ServerId>,
    /// Of one level.
    pub level: Option<Level>,
    /// At most this many.
    pub limit: u32,
    /// Older than this one: ids fall as the list goes on.
    pub before: Option<AlertId>,
}

/// Which events, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Of one server.
    pub server_id: Option<ServerId>,
    /// Of one kind.
    pub kind: Option<EventKind>,
    /// At most this many.
    pub limit: u32,
    /// Older than the event with this id.
    pub before: Option<i64>,
}

/// An event with the id that pages go by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Row id.
    pub id: i64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// SHA-256 of a session or API token: all the hub keeps of it. The tokens are random
/// (see [`random_token`]), so a plain hash is as good as a slow one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub(super) [u8; 32]);

impl TokenHash {
    /// The hash of a token as its bearer sends it.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TokenHash(…)")
    }
}
