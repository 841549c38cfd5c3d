//! One metric over many servers at once: a line each, the busiest first, and the fleet as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::buckets::{Bucket, Buckets, EMPTY, MAX_POINTS};
use super::plan::Plan;
use super::recall::{Answer, Question, Recall};
use super::source::Damage;
use super::words::from_json;
use super::{FleetAnswer, FleetGroup, FleetLine, FleetQuery, GroupBy, Result, SeriesPoints, Store};
use super::{query, source};
use crate::model::{ServerId, Timestamp};

/// Buckets held in memory for one answer, all series together (64 bytes each).
const MAX_BUCKETS: usize = 1_000_000;

struct Member {
    id: i64,
    tags: Vec<String>,
    group: Option<String>,
    slots: Vec<usize>,
}

impl Store {
    /// The wanted metric of every wanted server, in steps of equal length as in [`Store::query`]
    /// (automatic steps follow the points alone), and what the fleet does as a whole.
    ///
    /// Of a metric with labels and no label asked for, each step of a server shows the label with
    /// the highest mean in it.
    ///
    /// # Errors
    /// The database cannot be read. A row or block that is damaged is left out and counted instead.
    pub async fn fleet(&self, query: &FleetQuery) -> Result<FleetAnswer> {
        self.fleet_by(query, &self.inner.recall).await
    }

    /// [`Store::fleet`] with another memory of what was answered before.
    pub(super) async fn fleet_by(&self, query: &FleetQuery, recall: &Recall) -> Result<FleetAnswer> {
        let (from, to) = (query.from.0, query.to.0);
        let marks = self.marks();
        let mut connection = self.read().await?;
        let servers: Vec<(i64, String, Option<String>)> =
            sqlx::query_as("SELECT id, tags, group_name FROM server ORDER BY id")
                .fetch_all(&mut *connection)
                .await?;
        let mut members = Vec::with_capacity(servers.len());
        for (id, tags, group) in servers {
            let member = Member {
                id,
                tags: from_json(&tags)?,
                group,
                slots: Vec::new(),
            };
            if query.wants(&member) {
                members.push(member);
            }
        }
        if members.is_empty() || from >= to {
            return Ok(FleetAnswer {
                from: query.from,
                to: query.to,
                ..FleetAnswer::default()
            });
        }
        let ids: Vec<i64> = members.iter().map(|member| member.id).collect();
        let servers: Vec<ServerId> = ids.iter().map(|id| ServerId(*id)).collect();
        let label = query.label.as_deref();
        let plan = Plan::load_label(&mut connection, &servers, &[query.metric], label).await?;
        let affordable = (MAX_BUCKETS / plan.slots.len().max(1)).clamp(2, MAX_POINTS);
        let points = (query.max_points as usize).clamp(1, affordable);
        let finest = query::finest(&mut connection, &ids, from).await?;
        let step = query::step(query.step, (from, to), points, affordable, 0, finest);
        let mut buckets = Buckets::new(from, to, step, plan.slots.len());
        let question = Question {
            metric: query.metric,
            label: query.label.clone(),
            step,
        };
        let rest = recall.resume(&question, &marks, &plan.slots, &mut buckets);
        let (tier, to) = (query::tier_of(step), buckets.span().1);
        let mut damage = source::read(&mut connection, &plan, &rest.whole, tier, to, &mut buckets).await?;
        // What has come since is in no roll-up alone.
        damage += source::read(&mut connection, &plan, &rest.newer, 0, to, &mut buckets).await?;
        drop(connection);
        let known = Arc::new(Answer {
            question,
            slots: plan.slots,
            buckets,
            marks,
        });
        let (slots, buckets) = (&known.slots, &known.buckets);
        if damage == Damage::default() {
            recall.keep(Arc::clone(&known));
        }
        for (slot, found) in slots.iter().enumerate() {
            if let Ok(index) = members.binary_search_by_key(&found.server_id.0, |member| member.id) {
                members[index].slots.push(slot);
            }
        }
        let times: Vec<Timestamp> = buckets.times().map(Timestamp).collect();
        let mut lines: Vec<(usize, Vec<Bucket>)> = Vec::with_capacity(members.len());
        for (number, member) in members.iter().enumerate() {
            let line = busiest(member.slots.iter().map(|slot| buckets.bridged(*slot)));
            if let Some(line) = line.filter(|line| line.iter().any(|bucket| bucket.count > 0)) {
                lines.push((number, line));
            }
        }
        let mut answer = FleetAnswer {
            from: query.from,
            to: query.to,
            step_ms: step,
            times,
            unit: query.metric.unit(),
            groups: Vec::new(),
            lines: Vec::new(),
            unreadable_rows: damage.rows,
            unreadable_blocks: damage.blocks,
        };
        for (name, numbers) in groups(query.group_by, &members, &lines) {
            answer
                .groups
                .push(FleetGroup::of(name, &numbers, answer.times.len()));
        }
        let mut ranked: Vec<(f64, FleetLine)> = lines
            .iter()
            .map(|(number, line)| {
                let member = &members[*number];
                let label = match member.slots.as_slice() {
                    [slot] => slots[*slot].key.label.clone(),
                    _ => String::new(),
                };
                let whole = line.iter().fold(EMPTY, |mut all, bucket| {
                    all.absorb(bucket);
                    all
                });
                let mut points = SeriesPoints::gaps(query.metric, label);
                points.fill(line);
                (
                    whole.mean(),
                    FleetLine {
                        server_id: ServerId(member.id),
                        mean: whole.mean(),
                        points,
                    },
                )
            })
            .collect();
        ranked.sort_by(|(a, one), (b, two)| b.total_cmp(a).then(one.server_id.cmp(&two.server_id)));
        ranked.truncate(query.top.map_or(usize::MAX, |top| top as usize));
        answer.lines = ranked.into_iter().map(|(_, line)| line).collect();
        Ok(answer)
    }
}

impl FleetQuery {
    fn wants(&self, member: &Member) -> bool {
        self.servers
            .as_ref()
            .is_none_or(|servers| servers.contains(&ServerId(member.id)))
            && self.tag.as_ref().is_none_or(|tag| member.tags.contains(tag))
            && self
                .group
                .as_ref()
                .is_none_or(|group| member.group.as_ref() == Some(group))
    }
}

/// Of several series of one server, in each step the one with the highest mean.
fn busiest(mut series: impl Iterator<Item = Vec<Bucket>>) -> Option<Vec<Bucket>> {
    let mut line = series.next()?;
    for other in series {
        for (best, bucket) in line.iter_mut().zip(other) {
            if bucket.count > 0 && (best.count == 0 || bucket.mean() > best.mean()) {
                *best = bucket;
            }
        }
    }
    Some(line)
}

/// The lines of each group; the whole fleet has no name.
fn groups<'a>(
    by: GroupBy,
    members: &[Member],
    lines: &'a [(usize, Vec<Bucket>)],
) -> BTreeMap<Option<String>, Vec<&'a [Bucket]>> {
    let mut groups: BTreeMap<Option<String>, Vec<&[Bucket]>> = BTreeMap::new();
    for (number, line) in lines {
        groups.entry(None).or_default().push(line);
        let member = &members[*number];
        let names: &[String] = match by {
            GroupBy::Nothing => &[],
            GroupBy::Tag => &member.tags,
            GroupBy::Group => member.group.as_slice(),
        };
        for name in names {
            groups.entry(Some(name.clone())).or_default().push(line);
        }
    }
    groups
}

impl FleetGroup {
    fn of(name: Option<String>, lines: &[&[Bucket]], steps: usize) -> Self {
        let mut group = Self {
            name,
            servers: lines.len() as u64,
            ..Self::default()
        };
        let mut means = Vec::with_capacity(lines.len());
        for step in 0..steps {
            means.clear();
            let filled = lines
                .iter()
                .map(|line| line[step])
                .filter(|bucket| bucket.count > 0);
            means.extend(filled.map(|bucket| bucket.mean()));
            means.sort_unstable_by(f64::total_cmp);
            // The nearest rank: a value that was measured.
            let at = |percent: usize| {
                means
                    .get((means.len() * percent).div_ceil(100).max(1) - 1)
                    .copied()
            };
            group.counted.push(means.len() as u64);
            group.min.push(means.first().copied());
            group.max.push(means.last().copied());
            let sum: f64 = means.iter().sum();
            group
                .avg
                .push((!means.is_empty()).then(|| (sum / means.len() as f64 * 100.0).round() / 100.0));
            group.p50.push(at(50));
            group.p95.push(at(95));
            group.p99.push(at(99));
        }
        group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(value: i64) -> Bucket {
        let mut bucket = EMPTY;
        bucket.add(0, value);
        bucket
    }

    #[test]
    fn percentiles_are_the_nearest_rank_and_gaps_do_not_count() {
        let lines: Vec<Vec<Bucket>> = (1..=100).map(|value| vec![bucket(value), EMPTY]).collect();
        let lines: Vec<&[Bucket]> = lines.iter().map(Vec::as_slice).collect();
        let group = FleetGroup::of(None, &lines, 2);
        assert_eq!(
            (group.p50[0], group.p95[0], group.p99[0]),
            (Some(50.0), Some(95.0), Some(99.0))
        );
        assert_eq!(
            (group.min[0], group.avg[0], group.max[0]),
            (Some(1.0), Some(50.5), Some(100.0))
        );
        assert_eq!((group.counted[1], group.avg[1], group.p99[1]), (0, None, None));
        let one = FleetGroup::of(None, &lines[6..7], 1);
        assert_eq!((one.p50[0], one.p99[0]), (Some(7.0), Some(7.0)));
    }

    #[test]
    fn the_busiest_label_shows_in_each_step() {
        let series = vec![vec![bucket(1), bucket(9), EMPTY], vec![bucket(5), EMPTY, EMPTY]];
        let line = busiest(series.into_iter()).unwrap();
        assert_eq!((line[0].max, line[1].max, line[2].count), (5, 9, 0));
    }
}
