//! `obj_description` and `col_description`: what COMMENT said of what has a number (PostgreSQL's manual, "Comment
//! Information Functions").

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::namespace::{Namespace, PlanPins};
use super::warehouse::Warehouse;
use crate::catalog::{CommentOn, Snapshot};
use crate::common::{ColumnId, SchemaId, TableId};
use crate::system::Home;

/// The functions of a session with `names`, or of another context.
pub(super) fn functions(warehouse: &Warehouse, names: Option<&Arc<Namespace>>) -> [Arc<ScalarUDF>; 2] {
    let integer = DataType::Int64;
    let of_object = vec![
        TypeSignature::Exact(vec![integer.clone()]),
        TypeSignature::Exact(vec![integer.clone(), DataType::Utf8View]),
    ];
    let of_column = vec![TypeSignature::Exact(vec![integer.clone(), integer])];
    [("obj_description", of_object), ("col_description", of_column)].map(|(name, signatures)| {
        Arc::new(ScalarUDF::from(Description {
            name,
            signature: Signature::one_of(signatures, Volatility::Stable),
            warehouse: warehouse.clone(),
            names: names.map(Arc::downgrade).unwrap_or_default(),
        }))
    })
}

/// It does not keep the session, which has it among its functions.
struct Description {
    name: &'static str,
    signature: Signature,
    warehouse: Warehouse,
    names: Weak<Namespace>,
}

impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Description").field(&self.name).finish()
    }
}

impl PartialEq for Description {
    fn eq(&self, other: &Self) -> bool {
        let same = Arc::ptr_eq(&self.warehouse.inner, &other.warehouse.inner);
        same && self.name == other.name && self.names.ptr_eq(&other.names)
    }
}

impl Eq for Description {}

impl Hash for Description {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Description {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let pins = args.config_options.extensions.get::<PlanPins>().cloned().unwrap_or_default();
        let own = match pins.known(&self.warehouse) {
            Some(pin) => Arc::clone(pin.snapshot()),
            None => self.warehouse.inner.catalog.snapshot(),
        };
        let names = self.names.upgrade();
        let temporary = names.as_ref().and_then(|names| Some(names.newest(names.temp()?)));
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let mut texts = StringViewBuilder::new();
        for row in 0..columns.first().map_or(0, |column| column.len()) {
            texts.append_option(self.text(&own, temporary.as_deref(), &columns, row));
        }
        Ok(ColumnarValue::Array(Arc::new(texts.finish())))
    }
}

impl Description {
    fn text<'a>(
        &self,
        own: &'a Snapshot,
        temporary: Option<&'a Snapshot>,
        columns: &[ArrayRef],
        row: usize,
    ) -> Option<&'a str> {
        if columns.iter().any(|column| column.is_null(row)) {
            return None;
        }
        let number = |at: usize| -> Option<i64> { Some(columns.get(at)?.as_primitive_opt::<Int64Type>()?.value(row)) };
        let (is_temporary, id) = Home::of_oid(i32::try_from(number(0)?).ok()?)?;
        let snapshot = if is_temporary { temporary? } else { own };
        if self.name == "col_description" {
            let place = usize::try_from(number(1)?).ok()?.checked_sub(1)?;
            let column = match snapshot.table(id) {
                Some(table) => table.def.columns.get(place)?.id,
                None => ColumnId(place as u32 + 1),
            };
            return snapshot.comment(CommentOn::Column(id, column));
        }
        let class = columns.get(1).and_then(|column| column.as_string_view_opt()).map(|classes| classes.value(row));
        let schema = || snapshot.comment(CommentOn::Schema(SchemaId(id.0)));
        match class {
            None => of_relation(snapshot, id).or_else(schema),
            Some("pg_class") => of_relation(snapshot, id),
            Some("pg_namespace") => schema(),
            Some("pg_database") => snapshot.comment(CommentOn::Database),
            Some(_) => None,
        }
    }
}

fn of_relation(snapshot: &Snapshot, id: TableId) -> Option<&str> {
    snapshot.comment(CommentOn::Relation(id))
}
