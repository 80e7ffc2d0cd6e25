//! Types in casts mean what they mean in CREATE TABLE.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{CharacterLength, DataType as AstType, ExactNumberInfo};

use crate::common::SqlType;
use crate::physical_plan::declared::cast_target;

/// Reads the types that DataFusion reads otherwise: DECIMAL without precision, and text with a length.
#[derive(Debug)]
pub(super) struct CastTypes;

impl TypePlanner for CastTypes {
    fn plan_type_field(&self, written: &AstType) -> Result<Option<FieldRef>> {
        let declared = match written {
            AstType::Decimal(ExactNumberInfo::None)
            | AstType::Numeric(ExactNumberInfo::None)
            | AstType::Dec(ExactNumberInfo::None) => {
                let plain = SqlType::Decimal { precision: 18, scale: 0 };
                return Ok(Some(Arc::new(Field::new("", plain.arrow_type(), true))));
            }
            AstType::Varchar(length)
            | AstType::CharVarying(length)
            | AstType::CharacterVarying(length)
            | AstType::Nvarchar(length) => match length {
                Some(length) => SqlType::varchar(bytes(length, SqlType::MAX_VARCHAR_BYTES)),
                // As long as the value.
                None => return Ok(Some(Arc::new(Field::new("", DataType::Utf8View, true)))),
            },
            AstType::Char(length) | AstType::Character(length) => match length {
                Some(length) => SqlType::char(bytes(length, SqlType::MAX_CHAR_BYTES)),
                None => Ok(SqlType::Char(SqlType::MAX_CHAR_BYTES)),
            },
            _ => return Ok(None),
        };
        declared.map(|declared| Some(cast_target(declared))).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

fn bytes(length: &CharacterLength, max: u32) -> u64 {
    match length {
        CharacterLength::IntegerLength { length, .. } => *length,
        CharacterLength::Max => u64::from(max),
    }
}
