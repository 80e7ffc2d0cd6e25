//! Which decimal powers suit a page and a vector.

use super::Float;
use crate::format::bitpack;

/// Values of a page, evenly spread, by which its candidates are found; and of a vector, which takes one of them.
const PAGE_SAMPLE: usize = 64;
const VECTOR_SAMPLE: usize = 32;

/// As many as the paper's vectors choose among.
const CANDIDATES: usize = 5;

/// Up to [`CANDIDATES`] pairs of e and f, the best for the page first.
pub(super) fn best_factors<F: Float>(values: &[F]) -> Vec<(u8, u8)> {
    let sample = spread(values, PAGE_SAMPLE);
    let mut costs = Vec::new();
    for e in 0..=F::MAX_EXPONENT {
        for f in 0..=e {
            costs.push((cost(&sample, (e, f)), (e, f)));
        }
    }
    // Of equal costs the least powers, which come first.
    costs.sort_by_key(|(cost, _)| *cost);
    costs.truncate(CANDIDATES);
    costs.into_iter().map(|(_, factors)| factors).collect()
}

/// Bits per value of the page's sample.
pub(super) fn sampled_bits<F: Float>(values: &[F], factors: (u8, u8)) -> usize {
    let sample = spread(values, PAGE_SAMPLE);
    cost(&sample, factors) / sample.len().max(1)
}

/// The candidate that a vector's sample takes the least bits with.
pub(super) fn choose<F: Float>(values: &[F], candidates: &[(u8, u8)]) -> (u8, u8) {
    let sample = spread(values, VECTOR_SAMPLE);
    candidates.iter().copied().min_by_key(|factors| cost(&sample, *factors)).unwrap_or((0, 0))
}

pub(super) fn spread<F: Copy>(values: &[F], count: usize) -> Vec<F> {
    let count = count.min(values.len());
    (0..count).map(|i| values[i * values.len() / count]).collect()
}

/// Bits that the sample takes.
fn cost<F: Float>(sample: &[F], (e, f): (u8, u8)) -> usize {
    let (mut least, mut most, mut held) = (i64::MAX, i64::MIN, 0);
    for value in sample {
        if let Some(d) = value.to_integer(e, f) {
            (least, most, held) = (least.min(d), most.max(d), held + 1);
        }
    }
    let width = if held == 0 { 0 } else { usize::from(bitpack::width_of(most.abs_diff(least))) };
    sample.len() * width + (sample.len() - held) * (F::BYTES * 8 + 16)
}
