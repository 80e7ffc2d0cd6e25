//! What a session tells of itself and of its values' types (Redshift's manual, "System information functions").

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::kernel::{Args, Function, Param, invalid};
use super::{Functions, SessionNames, settings};
use crate::common::{EncodingName, SqlType};

/// Whoever runs a plan that no statement of ours began.
const USER: &str = "admin";

pub(super) fn additions(all: &mut Functions) {
    for (name, tells) in [
        ("current_database", Tells::Database),
        ("current_catalog", Tells::Database),
        ("current_schema", Tells::Schema),
        ("current_user", Tells::User),
        ("session_user", Tells::User),
        ("user", Tells::User),
        ("current_setting", Tells::Setting),
        ("pg_last_copy_count", Tells::LastCopyCount),
        ("pg_last_copy_id", Tells::LastCopy),
        ("pg_last_query_id", Tells::LastQuery),
        ("pg_last_unload_count", Tells::LastUnloadCount),
        ("pg_last_unload_id", Tells::LastUnload),
    ] {
        all.scalar.push(Told::udf(name, tells));
    }
    let format_encoding = Function {
        name: "format_encoding",
        aliases: &[],
        params: &[Param::Int],
        required: 1,
        returns: DataType::Utf8View,
        compute: format_encoding,
    };
    all.scalar.push(format_encoding.udf());
    all.scalar.push(Arc::new(PgTypeof { signature: Signature::any(1, Volatility::Immutable) }.into()));
}

pub(super) fn replacements(all: &mut Functions) {
    all.scalar.push(Told::udf("version", Tells::Version));
}

pub(super) fn of_session(all: &mut Functions, process: u32) {
    all.scalar.push(Told::udf("pg_backend_pid", Tells::Process(process)));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Tells {
    Database,
    Schema,
    User,
    /// The setting that the argument names.
    Setting,
    Version,
    Process(u32),
    /// The statement before.
    LastQuery,
    /// The last COPY, and how many rows it loaded.
    LastCopy,
    LastCopyCount,
    /// The last UNLOAD: its number, and its rows.
    LastUnload,
    LastUnloadCount,
}

fn number(number: i64) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Int64(Some(number)))
}

/// The same value for a whole statement, taken from the session that runs it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Told {
    name: &'static str,
    tells: Tells,
    signature: Signature,
}

impl Told {
    fn udf(name: &'static str, tells: Tells) -> Arc<ScalarUDF> {
        let arguments = match tells {
            Tells::Setting => TypeSignature::String(1),
            _ => TypeSignature::Nullary,
        };
        let signature = Signature::new(arguments, Volatility::Stable);
        Arc::new(ScalarUDF::from(Told { name, tells, signature }))
    }
}

impl ScalarUDFImpl for Told {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.tells {
            Tells::Process(_) => DataType::Int32,
            Tells::LastQuery | Tells::LastCopy | Tells::LastCopyCount | Tells::LastUnload | Tells::LastUnloadCount => {
                DataType::Int64
            }
            _ => DataType::Utf8View,
        })
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let catalog = &args.config_options.catalog;
        let names = args.config_options.extensions.get::<SessionNames>();
        let text = match self.tells {
            Tells::Database => Some(names.map_or_else(|| catalog.default_catalog.clone(), |n| n.database.clone())),
            Tells::Schema => match names {
                Some(names) => names.schemas.first().cloned(),
                None => Some(catalog.default_schema.clone()),
            },
            Tells::User => Some(names.map_or_else(|| USER.to_string(), |n| n.user.clone())),
            Tells::Version => Some(version()),
            Tells::Process(number) => {
                return Ok(ColumnarValue::Scalar(ScalarValue::Int32(i32::try_from(number).ok())));
            }
            Tells::LastQuery => return Ok(number(names.map_or(-1, |names| names.last_query))),
            Tells::LastCopy => return Ok(number(names.map_or(-1, |names| names.last_copy.0))),
            Tells::LastCopyCount => return Ok(number(names.map_or(0, |names| names.last_copy.1))),
            Tells::LastUnload => return Ok(number(names.map_or(-1, |names| names.last_unload.0))),
            Tells::LastUnloadCount => return Ok(number(names.map_or(0, |names| names.last_unload.1))),
            Tells::Setting => match args.args.as_slice() {
                [ColumnarValue::Scalar(name)] => match name.try_as_str().flatten() {
                    Some(name) => setting(&args, name)?,
                    None => None,
                },
                _ => return Err(invalid(self.name, "the name of a setting must be a literal")),
            },
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(text)))
    }
}

/// PostgreSQL's version first, which clients look for: Redshift says the same one.
fn version() -> String {
    format!("PostgreSQL 8.0.2 compatible, Blueshift {}", env!("CARGO_PKG_VERSION"))
}

/// As SHOW tells it.
fn setting(args: &ScalarFunctionArgs, name: &str) -> Result<Option<String>> {
    let found = settings::find(&args.config_options, name);
    Ok(found.map_err(|e| DataFusionError::External(Box::new(e.context("current_setting"))))?.value)
}

/// The encoding that `pg_attribute.attencodingtype` is a number of, as `pg_table_def` names it; NULL for another number.
fn format_encoding(args: &Args) -> Result<ArrayRef> {
    args.texts(|row| {
        let number = args.int(0, row);
        let name = EncodingName::ALL.into_iter().find(|name| Some(i64::from(name.number())) == number);
        Ok(name.map(|name| if name == EncodingName::Raw { "none" } else { name.as_str() }))
    })
}

/// The name of a value's type, as CREATE TABLE writes it; DataFusion's for a type that no column can have.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PgTypeof {
    signature: Signature,
}

impl ScalarUDFImpl for PgTypeof {
    fn name(&self) -> &str {
        "pg_typeof"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [_] => Ok(DataType::Utf8View),
            _ => plan_err!("pg_typeof takes one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [field] = args.arg_fields.as_slice() else { return exec_err!("pg_typeof takes one argument") };
        let told = field.metadata().contains_key(crate::common::sql_type::TYPE_METADATA);
        let name = match (SqlType::from_field(field), field.data_type()) {
            (_, DataType::Null) => "unknown".to_string(),
            (Some(SqlType::Varchar(_)), _) if !told => "character varying".to_string(),
            (Some(sql_type), _) => sql_type.to_string(),
            (None, DataType::Interval(IntervalUnit::YearMonth)) => "interval year to month".to_string(),
            (None, DataType::Interval(_)) => "interval".to_string(),
            (None, other) => other.to_string(),
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8View(Some(name))))
    }
}
