//! Buckets of equal length: minimum, mean and maximum of each, and what counts as a gap.
//! Pure; knows neither SQL nor metrics.

/// More points than a screen has.
pub(super) const MAX_POINTS: usize = 5_000;

/// Round steps, in seconds. Beyond them: whole days.
const LADDER: [i64; 19] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
];
const DAY_MS: i64 = 86_400_000;

/// The smallest round step, in milliseconds, that covers `[from, to)` with at most `points`
/// buckets and is no shorter than `spacing`, within a tenth (samples jitter).
pub(super) fn step_for(from: i64, to: i64, points: usize, spacing: i64) -> i64 {
    let points = i64::try_from(points.max(1)).unwrap_or(i64::MAX);
    let fits = |step: &i64| {
        let buckets = to.saturating_sub(1).div_euclid(*step) - from.div_euclid(*step) + 1;
        // A short time that lies across a boundary has two buckets, however long they are.
        buckets <= points.max(2) && step.saturating_mul(11) >= spacing.saturating_mul(10)
    };
    LADDER
        .iter()
        .map(|seconds| seconds * 1_000)
        .find(fits)
        .or_else(|| (3..=365 * 300).map(|days| days * DAY_MS).find(fits))
        .unwrap_or(i64::MAX / 4)
}

/// What is known of the values of one series in one step of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) sum: i128,
    pub(super) min: i64,
    pub(super) max: i64,
    /// The first moment with a value.
    pub(super) first: i64,
    /// The last moment with a value.
    pub(super) last: i64,
    pub(super) count: u32,
}

pub(super) const EMPTY: Bucket = Bucket {
    sum: 0,
    min: i64::MAX,
    max: i64::MIN,
    first: i64::MAX,
    last: i64::MIN,
    count: 0,
};

impl Bucket {
    /// Adds the value of one moment.
    pub(super) fn add(&mut self, taken_at: i64, value: i64) {
        self.sum += i128::from(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.first = self.first.min(taken_at);
        self.last = self.last.max(taken_at);
        self.count += 1;
    }

    /// Adds what another bucket of the same series knows.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.count = self.count.saturating_add(other.count);
    }

    pub(super) fn mean(&self) -> f64 {
        let mean = self.sum as f64 / f64::from(self.count);
        // Decimals of a large number are noise that costs bytes.
        if mean.abs() < 1_000.0 {
            (mean * 100.0).round() / 100.0
        } else {
            mean.round()
        }
    }
}

/// The buckets of some series over one time.
#[derive(Debug)]
pub(super) struct Buckets {
    start: i64,
    step: i64,
    /// Buckets a series.
    length: usize,
    /// One series after the other.
    buckets: Vec<Bucket>,
}

impl Buckets {
    pub(super) fn new(from: i64, to: i64, step: i64, series: usize) -> Self {
        let start = from.div_euclid(step) * step;
        let length = usize::try_from((to - 1).div_euclid(step) - from.div_euclid(step) + 1).unwrap_or(0);
        Self {
            start,
            step,
            length,
            buckets: vec![EMPTY; length * series],
        }
    }

    /// Start of every bucket.
    pub(super) fn times(&self) -> impl Iterator<Item = i64> {
        let (start, step) = (self.start, self.step);
        (0..self.length).map(move |index| start + step * index as i64)
    }

    /// The buckets of one series.
    fn of_mut(&mut self, series: usize) -> &mut [Bucket] {
        self.buckets
            .get_mut(series * self.length..(series + 1) * self.length)
            .unwrap_or_default()
    }

    /// How many there are, all series together.
    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// The moment of the newest value of a series.
    pub(super) fn newest(&self, series: usize) -> Option<i64> {
        let own = &self.buckets[series * self.length..(series + 1) * self.length];
        own.iter()
            .rev()
            .find(|bucket| bucket.count > 0)
            .map(|bucket| bucket.last)
    }

    /// Takes over what others of the same step know of a series, so far as the times overlap.
    pub(super) fn copy_from(&mut self, series: usize, other: &Self, theirs: usize) {
        let distance = (self.start - other.start) / self.step;
        let theirs = &other.buckets[theirs * other.length..(theirs + 1) * other.length];
        for (own, index) in self.of_mut(series).iter_mut().zip(distance..) {
            if let Some(bucket) = usize::try_from(index).ok().and_then(|index| theirs.get(index)) {
                *own = *bucket;
            }
        }
    }

    /// Adds values in order of time. Moments outside the time are ignored.
    pub(super) fn add_run(&mut self, series: usize, times: &[i64], values: &[i64]) {
        let (start, step) = (self.start, self.step);
        let buckets = self.of_mut(series);
        let mut at = times.partition_point(|time| *time < start);
        while at < times.len() {
            let Ok(index) = usize::try_from((times[at] - start) / step) else {
                return;
            };
            let Some(bucket) = buckets.get_mut(index) else {
                return;
            };
            let end = start + step * (index as i64 + 1);
            let next = at + times[at..].iter().take_while(|time| **time < end).count();
            let run = &values[at..next];
            bucket.sum += run.iter().map(|value| i128::from(*value)).sum::<i128>();
            bucket.min = run.iter().copied().fold(bucket.min, i64::min);
            bucket.max = run.iter().copied().fold(bucket.max, i64::max);
            bucket.first = bucket.first.min(times[at]);
            bucket.last = bucket.last.max(times[next - 1]);
            bucket.count += run.len() as u32;
            at = next;
        }
    }

    /// Adds a bucket of a roll-up that begins at `start`. One outside the time is ignored.
    pub(super) fn absorb(&mut self, series: usize, start: i64, part: &Bucket) {
        let Ok(index) = usize::try_from((start - self.start).div_euclid(self.step)) else {
            return;
        };
        if let Some(bucket) = self.of_mut(series).get_mut(index) {
            bucket.absorb(part);
        }
    }

    /// The buckets of one series, with those between regular samples filled.
    pub(super) fn bridged(&self, series: usize) -> Vec<Bucket> {
        let mut buckets = self.buckets[series * self.length..(series + 1) * self.length].to_vec();
        bridge(&mut buckets);
        buckets
    }

    /// First moment, and first moment after the end: whole buckets.
    pub(super) fn span(&self) -> (i64, i64) {
        (
            self.start,
            self.start
                .saturating_add(self.step.saturating_mul(self.length as i64)),
        )
    }
}

/// Fills empty buckets between two samples that are no further apart than regular ones: a
/// slow section among fast polls, or a time of slow polls before a time of fast ones, is no gap.
fn bridge(buckets: &mut [Bucket]) {
    let filled: Vec<usize> = (0..buckets.len())
        .filter(|index| buckets[*index].count > 0)
        .collect();
    // Distance of the samples within bucket `at`, or from there to the filled one next to it.
    let distance = |buckets: &[Bucket], at: usize, next: Option<usize>| {
        let here = buckets[filled[at]];
        if here.count > 1 {
            return Some((here.last - here.first) / i64::from(here.count - 1));
        }
        let there = buckets[filled[next?]];
        Some(if there.last < here.first {
            here.first - there.last
        } else {
            there.first - here.last
        })
    };
    for index in 1..filled.len() {
        let (left, right) = (filled[index - 1], filled[index]);
        if right == left + 1 {
            continue;
        }
        let gap = buckets[right].first - buckets[left].last;
        // Of two distances on each side the shorter, so that a single sample between two
        // outages does not make outages look regular.
        let before = [
            distance(buckets, index - 1, (index - 1).checked_sub(1)),
            index
                .checked_sub(2)
                .and_then(|at| distance(buckets, at, at.checked_sub(1))),
        ];
        let upper = |at: usize| (at < filled.len()).then_some(at);
        let after = [
            distance(buckets, index, upper(index + 1)),
            upper(index + 1).and_then(|at| distance(buckets, at, upper(at + 1))),
        ];
        let shortest = |side: [Option<i64>; 2]| side.into_iter().flatten().min();
        // One poll may fail without leaving a hole: two and a half times the usual distance.
        if let Some(usual) = shortest(before).max(shortest(after))
            && gap.saturating_mul(2) <= usual.saturating_mul(5)
        {
            let copy = buckets[left];
            buckets[left + 1..right].fill(copy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000;

    /// Minimum, mean and maximum of every bucket; `None` is a gap.
    fn points(buckets: &Buckets) -> [Vec<Option<f64>>; 3] {
        let buckets = buckets.bridged(0);
        let filled = |value: &dyn Fn(&Bucket) -> f64| {
            buckets
                .iter()
                .map(|bucket| (bucket.count > 0).then(|| value(bucket)))
                .collect()
        };
        [
            filled(&|bucket| bucket.min as f64),
            filled(&Bucket::mean),
            filled(&|bucket| bucket.max as f64),
        ]
    }

    fn average(from: i64, to: i64, step: i64, samples: impl IntoIterator<Item = i64>) -> Vec<Option<f64>> {
        let mut buckets = Buckets::new(from, to, step, 1);
        for taken_at in samples {
            buckets.add_run(0, &[taken_at], &[taken_at / SECOND]);
        }
        let [_, means, _] = points(&buckets);
        means
    }

    fn gaps(points: &[Option<f64>]) -> usize {
        points.iter().filter(|point| point.is_none()).count()
    }

    #[test]
    fn the_step_is_round_fits_the_points_and_the_samples() {
        let hour = 3_600 * SECOND;
        assert_eq!(step_for(0, hour, 1_000, 0), 5 * SECOND);
        assert_eq!(step_for(0, hour, 1_000, 30 * SECOND), 30 * SECOND);
        assert_eq!(step_for(0, hour, 1_000, 30 * SECOND + 400), 30 * SECOND);
        assert_eq!(step_for(0, 24 * hour, 300, 10 * SECOND), 300 * SECOND);
        assert_eq!(step_for(0, 30 * 24 * hour, 1_000, 10 * SECOND), hour);
        assert_eq!(step_for(0, SECOND, 1, 0), SECOND);
        assert_eq!(step_for(-1, 1, 1, 0), SECOND);
        assert_eq!(step_for(0, 3_650 * DAY_MS, 1_000, 0), 4 * DAY_MS);
        assert!(step_for(i64::MIN / 2, i64::MAX / 2, 10, 0) > 0);
    }

    #[test]
    fn jitter_and_a_slower_section_are_no_gaps() {
        let jittery =
            (0..20).map(|index| index * 30 * SECOND + [0, 900, -900, 300][index as usize % 4] + 1_000);
        assert_eq!(gaps(&average(0, 600 * SECOND, 30 * SECOND, jittery)), 0);
        let slow = (0..10).map(|index| index * 60 * SECOND);
        let points = average(0, 541 * SECOND, 10 * SECOND, slow);
        assert_eq!(gaps(&points), 0);
        assert_eq!(points[7], Some(60.0));
    }

    #[test]
    fn a_slow_time_before_a_fast_one_is_no_gap() {
        let samples = (0..5)
            .map(|index| index * 30 * SECOND)
            .chain((121..180).map(|second| second * SECOND));
        assert_eq!(gaps(&average(0, 180 * SECOND, SECOND, samples)), 0);
    }

    #[test]
    fn outages_stay_gaps() {
        let samples = (0..10).chain(20..30).map(|index| index * 30 * SECOND);
        let points = average(0, 900 * SECOND, 30 * SECOND, samples);
        assert_eq!(gaps(&points), 10);
        assert!(points[10..20].iter().all(Option::is_none));
        // A single sample between two outages.
        let samples = (0..10).chain([20]).chain(30..40).map(|index| index * 30 * SECOND);
        assert_eq!(gaps(&average(0, 1_200 * SECOND, 30 * SECOND, samples)), 19);
        // One missed poll is bridged, two are not.
        let samples = [0, 30, 60, 120, 150, 180].map(|second| second * SECOND);
        assert_eq!(gaps(&average(0, 210 * SECOND, 30 * SECOND, samples)), 0);
        let samples = [0, 30, 60, 150, 180, 210].map(|second| second * SECOND);
        assert_eq!(gaps(&average(0, 240 * SECOND, 30 * SECOND, samples)), 2);
    }

    #[test]
    fn nothing_is_made_up_before_the_first_and_after_the_last_sample() {
        let points = average(
            0,
            100 * SECOND,
            10 * SECOND,
            [30, 40, 50].map(|second| second * SECOND),
        );
        assert_eq!(
            points.iter().map(Option::is_some).collect::<Vec<_>>(),
            [false, false, false, true, true, true, false, false, false, false]
        );
        let two = average(
            0,
            100 * SECOND,
            10 * SECOND,
            [10, 90].map(|second| second * SECOND),
        );
        assert_eq!(gaps(&two), 8);
    }

    #[test]
    fn minimum_mean_and_maximum_survive_the_largest_values() {
        let mut buckets = Buckets::new(0, 10, 10, 1);
        buckets.add_run(0, &[5, 6], &[i64::MAX, i64::MAX - 2]);
        let bucket = buckets.bridged(0)[0];
        assert_eq!((bucket.min, bucket.max), (i64::MAX - 2, i64::MAX));
        assert!(bucket.mean() > 9.2e18);
        let mut buckets = Buckets::new(0, 10, 10, 1);
        buckets.add_run(0, &[-1, 5, 6, 7, 10], &[99, 1, 1, 2, 99]);
        assert_eq!(points(&buckets)[1], [Some(1.33)]);
    }
}
