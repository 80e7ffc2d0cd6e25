//! Statements that are executed any number of times.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{ParamValues, ScalarValue};

use super::output::Output;
use super::parameters;
use super::session::Session;
use crate::common::Result;
use crate::sql::Statement;

/// A statement that was parsed and found to be right, to be executed any number of times, each time at the version that
/// is the newest then.
pub struct Prepared<'a> {
    pub(super) session: &'a Session,
    pub(super) text: String,
    pub(super) statement: Statement,
    pub(super) parameters: Vec<(String, Option<DataType>)>,
    pub(super) schema: SchemaRef,
}

impl Prepared<'_> {
    /// The parameters `$1`, `$2`, … and their types: for rows of an INSERT those of the columns, else those that the
    /// statement gives them by what they stand beside; `None` where it does not tell.
    pub fn parameters(&self) -> &[(String, Option<DataType>)] {
        &self.parameters
    }

    /// The columns of the result; none for a statement that returns no rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Executes it with values for its parameters, in their order.
    ///
    /// A value may be NULL, of a kindred type (as numbers are) or text that reads as the parameter's type. Errors: as
    /// [`Session::sql`]'s, and Invalid for a wrong number of values or a value of another kind.
    pub async fn execute(&self, values: Vec<ScalarValue>) -> Result<Output> {
        let values = parameters::check(&self.parameters, values)?;
        let values = (!values.is_empty()).then(|| ParamValues::from(values));
        self.session.boxed_execute(&self.text, self.statement.clone(), values).await
    }
}

impl fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("statement", &self.statement).finish_non_exhaustive()
    }
}
