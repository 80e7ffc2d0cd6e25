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
                None => return Ok(Some(text())),
            },
            AstType::Text | AstType::String(_) => return Ok(Some(text())),
            AstType::Char(length) | AstType::Character(length) => match length {
                Some(length) => SqlType::char(bytes(length, SqlType::MAX_CHAR_BYTES)),
                None => Ok(SqlType::Char(SqlType::MAX_CHAR_BYTES)),
            },
            _ => return Ok(None),
        };
        declared.map(|declared| Some(cast_target(declared))).map_err(|e| DataFusionError::External(Box::new(e)))
    }
}

/// As long as the value. A field with a name drops what the source's metadata says of its length.
fn text() -> FieldRef {
    Arc::new(Field::new("text", DataType::Utf8View, true))
}

fn bytes(length: &CharacterLength, max: u32) -> u64 {
    match length {
        CharacterLength::IntegerLength { length, .. } => *length,
        CharacterLength::Max => u64::from(max),
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::Warehouse;

    #[tokio::test]
    async fn a_cast_with_a_length_names_its_column_as_one_without() {
        let session = Warehouse::open("memory://").await.unwrap().session();
        session.sql("create table t (v varchar(9))").await.unwrap();
        session.sql("insert into t values ('abc')").await.unwrap();
        let names = async |sql: &str| -> Vec<String> {
            let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
            batches[0].schema().fields().iter().map(|f| f.name().clone()).collect()
        };
        let cut = names(
            "select v::varchar(2), upper(v::char(2)), max(v::varchar(1)) from t group by v::varchar(2), upper(v::char(2))",
        );
        let plain = names(
            "select v::varchar, upper(v::varchar), max(v::varchar) from t group by v::varchar, upper(v::varchar)",
        );
        let (cut, plain) = (cut.await, plain.await);
        assert_eq!(cut, plain);
        assert_eq!(cut[0], "t.v");
    }
}
