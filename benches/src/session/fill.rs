//! How often to repeat what is measured so that it lasts as long as it shall.

use std::time::Duration;

use anyhow::Context;

use crate::report::summary::median;

/// How many repetitions fill `budget`: runs ever more, until they take long enough to tell. These
/// runs also warm up caches, pages and branch predictors.
pub(super) fn how_many_fill(
    budget: Duration,
    most: u64,
    run: &mut impl FnMut(u64) -> anyhow::Result<Duration>,
) -> anyhow::Result<u64> {
    let mut count = 8;
    loop {
        let took = run(count)?;
        if took * 16 >= budget || count == most {
            let fill = count as f64 * budget.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return Ok((fill as u64).clamp(8, most));
        }
        count = (count * 4).min(most);
    }
}

/// The mean of a repetition, of as many as fill `budget`: of their blocks the median.
pub(super) fn typical_of_fill(
    budget: Duration,
    mut run: impl FnMut(u32) -> anyhow::Result<f64>,
) -> anyhow::Result<f64> {
    const BLOCKS: u64 = 15;
    let count = how_many_fill(budget, u64::from(u32::MAX / 2), &mut |count| {
        Ok(Duration::from_nanos((run(count as u32)? * count as f64) as u64))
    })?;
    let block = (count / BLOCKS).max(8) as u32;
    let means: anyhow::Result<Vec<f64>> = (0..BLOCKS).map(|_| run(block)).collect();
    median(means?).context("there are some blocks")
}
