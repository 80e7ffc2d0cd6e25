//! Filters on encoded data.

use super::check::{check, encodings};
use super::oracle::predicates;
use super::values::{Random, SHAPES, column};
use crate::format::Geometry;
use crate::format::encoding::hostile::TYPES;

#[test]
fn filters_agree_with_arrow_on_whole_vectors() {
    let geometry = Geometry::new(2048, 4096).unwrap();
    for (i, ty) in TYPES.into_iter().enumerate() {
        for (j, shape) in SHAPES.into_iter().enumerate() {
            let seed = (i * 31 + j) as u64;
            let column = column(ty, shape, 2500, [0, 2][j % 2], seed);
            let predicates = predicates(ty, &column, &mut Random(seed | 1));
            for name in encodings(ty) {
                check(ty, name, geometry, &column, &predicates, seed);
            }
        }
    }
}
