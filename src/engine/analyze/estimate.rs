//! From what sampled stretches take to what a table would take, and how far off that may be.

use crate::format::encoding::trial::ChunkCost;
use crate::format::stable::Geometry;

/// What the sampled stretches of one slice take, of one column.
#[derive(Debug, Clone)]
pub struct SliceCosts {
    /// Of the whole slice.
    pub live_rows: u64,
    /// Stretches that the whole slice makes.
    pub of: usize,
    pub stretches: Vec<StretchCosts>,
}

/// One stretch in every encoding tried.
#[derive(Debug, Clone)]
pub struct StretchCosts {
    pub rows: u64,
    /// It was encoded as the first chunk of a segment.
    pub first: bool,
    pub costs: Vec<ChunkCost>,
}

/// What a column would take in one encoding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub bytes: f64,
    /// Half of the interval that holds the share of RAW's bytes in 95 of 100 samples, in percent; 0 where everything
    /// was read, `None` where the sample does not tell.
    pub error_pct: Option<f64>,
}

/// The bytes of a slice's rows in the `encoding`-th, written anew: chunks are full, and each segment has a dictionary
/// for its first chunk and for as large a share of the others as of those sampled.
fn slice_bytes(slice: &SliceCosts, encoding: usize, geometry: Geometry) -> f64 {
    let rows: u64 = slice.stretches.iter().map(|s| s.rows).sum();
    if rows == 0 {
        return 0.0;
    }
    let pages: u64 = slice.stretches.iter().map(|s| s.costs[encoding].pages).sum();
    let dictionary = |first: bool| {
        let of: Vec<u64> =
            slice.stretches.iter().filter(|s| s.first == first).map(|s| s.costs[encoding].dictionary).collect();
        (!of.is_empty()).then(|| of.iter().sum::<u64>() as f64 / of.len() as f64)
    };
    let chunks = slice.live_rows.div_ceil(geometry.chunk_rows() as u64);
    let segments = chunks.div_ceil(u64::from(Geometry::CHUNKS_PER_SEGMENT));
    let first = dictionary(true).unwrap_or(0.0);
    let later = dictionary(false).unwrap_or(first);
    pages as f64 * slice.live_rows as f64 / rows as f64 + segments as f64 * first + (chunks - segments) as f64 * later
}

/// The estimate of the `encoding`-th among those tried, of which the first is RAW.
///
/// The error is that of a combined ratio estimate over strata, which are the slices, with Student's t (Cochran,
/// "Sampling Techniques", chapter 6). Stretches stand at equal distances and are taken for random ones, which makes the
/// error larger than it is where the data drifts along them.
pub fn estimate(slices: &[SliceCosts], encoding: usize, geometry: Geometry) -> Estimate {
    let total = |encoding| slices.iter().map(|slice| slice_bytes(slice, encoding, geometry)).sum::<f64>();
    let (bytes, raw) = (total(encoding), total(0));
    Estimate { bytes, error_pct: error_pct(slices, encoding, bytes / raw, raw) }
}

fn error_pct(slices: &[SliceCosts], encoding: usize, ratio: f64, raw: f64) -> Option<f64> {
    let (mut variance, mut freedom) = (0.0, 0);
    for slice in slices.iter().filter(|slice| slice.stretches.len() < slice.of) {
        let n = slice.stretches.len();
        if n < 2 {
            return None;
        }
        let off: Vec<f64> = slice
            .stretches
            .iter()
            .map(|stretch| {
                let cost = stretch.costs[encoding];
                let dictionary = if stretch.first { 0 } else { cost.dictionary };
                (cost.pages + dictionary) as f64 - ratio * stretch.costs[0].pages as f64
            })
            .collect();
        let mean = off.iter().sum::<f64>() / n as f64;
        let spread = off.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
        let (n, of) = (n as f64, slice.of as f64);
        variance += of * of * (1.0 - n / of) * spread / n;
        freedom += slice.stretches.len() - 1;
    }
    if freedom == 0 {
        return Some(0.0);
    }
    Some(100.0 * student_t(freedom) * variance.sqrt() / raw)
}

/// The 97.5 % quantile of Student's t.
fn student_t(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match freedom.checked_sub(1).and_then(|at| TABLE.get(at)) {
        Some(t) => *t,
        // Right to 0.003 from there on.
        None => 1.96 + 2.4 / freedom as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry::TINY;

    fn stretch(rows: u64, first: bool, raw: u64, pages: u64, dictionary: u64) -> StretchCosts {
        let costs = vec![ChunkCost { pages: raw, dictionary: 0 }, ChunkCost { pages, dictionary }];
        StretchCosts { rows, first, costs }
    }

    #[test]
    fn what_was_read_whole_is_known() {
        // 40 rows make chunks of 16, 16 and 8 rows in one segment.
        let stretches =
            vec![stretch(16, true, 160, 16, 30), stretch(16, false, 160, 16, 0), stretch(8, false, 80, 10, 12)];
        let slice = SliceCosts { live_rows: 40, of: 3, stretches };
        let known = Estimate { bytes: 42.0 + 42.0, error_pct: Some(0.0) };
        assert_eq!(estimate(std::slice::from_ref(&slice), 1, GEOMETRY), known);
        assert_eq!(estimate(&[slice], 0, GEOMETRY), Estimate { bytes: 400.0, error_pct: Some(0.0) });
        // A slice whose rows are all dead takes nothing.
        let dead = SliceCosts { live_rows: 0, of: 1, stretches: Vec::new() };
        assert_eq!(estimate(&[dead], 1, GEOMETRY).bytes, 0.0);
    }

    #[test]
    fn a_segment_has_one_dictionary_at_least() {
        // 16 * 32 rows: two segments; nothing but the first chunk's dictionary is new.
        let stretches = vec![stretch(16, true, 160, 16, 30), stretch(16, false, 160, 16, 0)];
        let slice = SliceCosts { live_rows: 512, of: 32, stretches };
        assert_eq!(estimate(&[slice], 1, GEOMETRY), Estimate { bytes: 512.0 + 60.0, error_pct: Some(0.0) });
        // Every chunk has one of its own.
        let stretches = vec![stretch(16, true, 160, 16, 30), stretch(16, false, 160, 16, 20)];
        let slice = SliceCosts { live_rows: 512, of: 32, stretches };
        assert_eq!(estimate(&[slice], 1, GEOMETRY).bytes, 512.0 + 2.0 * 30.0 + 30.0 * 20.0);
    }

    #[test]
    fn the_error_is_that_of_a_sample() {
        let of = |pages: [u64; 2]| {
            let stretches = pages.map(|p| stretch(16, true, 100, p, 0)).to_vec();
            SliceCosts { live_rows: 64, of: 4, stretches }
        };
        // Ratio 0.5; off by ±10: a variance of 200; 4² × (1 - 2/4) × 200 / 2 = 800; t of one degree; RAW is 400.
        let estimated = estimate(&[of([40, 60])], 1, GEOMETRY);
        assert_eq!(estimated.bytes, 200.0);
        let wanted = 100.0 * 12.706 * 800f64.sqrt() / 400.0;
        assert!((estimated.error_pct.unwrap() - wanted).abs() < 1e-9);
        // Two slices, each alike within, tell that nothing differs.
        assert_eq!(estimate(&[of([50, 50]), of([50, 50])], 1, GEOMETRY).error_pct, Some(0.0));
        // One stretch of several tells nothing.
        let one = SliceCosts { live_rows: 64, of: 4, stretches: vec![stretch(16, true, 100, 50, 0)] };
        assert_eq!(estimate(&[one], 1, GEOMETRY).error_pct, None);
    }

    #[test]
    fn quantiles_fall() {
        let all: Vec<f64> = (1..200).map(student_t).collect();
        assert!(all.windows(2).all(|w| w[0] > w[1]) && all[198] > 1.96);
        assert!((student_t(40) - 2.021).abs() < 0.003 && (student_t(120) - 1.980).abs() < 0.003);
    }
}
