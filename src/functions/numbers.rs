//! Numbers: what DataFusion lacks (Redshift's manual, "Math functions").

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type};
use datafusion::common::Result;
use datafusion::functions::math;

use super::Functions;
use super::kernel::{Args, Function, Param, Renamed};

pub(super) fn additions(all: &mut Functions) {
    all.scalar.extend([
        Function {
            name: "sign",
            aliases: &[],
            params: &[Param::Any],
            required: 1,
            returns: DataType::Int32,
            compute: sign,
        }
        .udf(),
        Renamed::udf("ceiling", math::ceil()),
        Renamed::udf("dexp", math::exp()),
        Renamed::udf("dlog1", math::ln()),
        Renamed::udf("dlog10", math::log10()),
        Renamed::udf("dpow", math::power()),
    ]);
}

/// -1, 0 or 1; NULL of NaN.
fn sign(args: &Args) -> Result<ArrayRef> {
    let column = args.column(0)?;
    if let DataType::Decimal128(..) = column.data_type() {
        let signs = column.as_primitive::<Decimal128Type>().iter().map(|x| x.map(|x| x.signum() as i32));
        return Ok(Arc::new(signs.collect::<Int32Array>()));
    }
    if column.data_type().is_temporal() {
        return Err(args.invalid(format!("a value of type {} has no sign", column.data_type())));
    }
    // The sign survives what the cast of a BIGINT rounds.
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let column = cast_with_options(column, &DataType::Float64, &strict)?;
    let sign = |x: f64| (!x.is_nan()).then(|| i32::from(x > 0.0) - i32::from(x < 0.0));
    Ok(Arc::new(column.as_primitive::<Float64Type>().iter().map(|x| x.and_then(sign)).collect::<Int32Array>()))
}
