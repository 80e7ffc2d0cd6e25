//! Functions by their names.
//!
//! A name says which function is meant only where the session that made the plan and the one that reads it have the same
//! registry. Blueshift replaces some of DataFusion's functions in its own sessions alone, and has some that no registry
//! leads to: so a function says whose it is. One of the application's, and one that tells of its session, goes by its name.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::registry::MemoryFunctionRegistry;
use datafusion::logical_expr::{
    AggregateUDF, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, WindowUDF,
};

use super::message::{self, Function};
use super::{carried, external};
use crate::common::{Error, SqlState};
use crate::functions::{Functions, whole_numbers};
use crate::physical_plan::declared::Declared;

/// Functions of one kind.
pub(super) struct Known<F> {
    ours: HashMap<String, Arc<F>>,
    datafusions: HashMap<String, Arc<F>>,
}

/// A kind of function.
pub(super) trait Kind: PartialEq + Sized + 'static {
    fn known() -> &'static Known<Self>;
    fn named(&self) -> &str;

    /// Whether it is the other, whatever a session's settings made of either.
    fn alike(&self, other: &Self) -> bool {
        self == other
    }
}

static SCALAR: LazyLock<Known<ScalarUDF>> = LazyLock::new(|| {
    let mut all = Functions::additions().scalar;
    all.extend(Functions::replacements().scalar);
    all.extend(whole_numbers::functions());
    all.push(Arc::new(Declared::default().into()));
    let mut json = MemoryFunctionRegistry::new();
    // What it cannot take are operators; the functions come first.
    let _ = datafusion_functions_json::register_all(&mut json);
    all.extend(json.udfs().iter().filter_map(|name| json.udf(name).ok()));
    Known::of(all, SessionStateDefaults::default_scalar_functions())
});

static AGGREGATE: LazyLock<Known<AggregateUDF>> = LazyLock::new(|| {
    let mut all = Functions::additions().aggregate;
    all.extend(Functions::replacements().aggregate);
    Known::of(all, SessionStateDefaults::default_aggregate_functions())
});

static WINDOW: LazyLock<Known<WindowUDF>> = LazyLock::new(|| {
    let mut all = Functions::additions().window;
    all.extend(Functions::replacements().window);
    Known::of(all, SessionStateDefaults::default_window_functions())
});

impl Kind for ScalarUDF {
    fn known() -> &'static Known<Self> {
        &SCALAR
    }

    fn named(&self) -> &str {
        self.name()
    }

    fn alike(&self, other: &Self) -> bool {
        let of = |function: &Self| (function.inner().as_ref() as &dyn Any).type_id();
        self == other || of(self) == of(other)
    }
}

impl Kind for AggregateUDF {
    fn known() -> &'static Known<Self> {
        &AGGREGATE
    }

    fn named(&self) -> &str {
        self.name()
    }
}

impl Kind for WindowUDF {
    fn known() -> &'static Known<Self> {
        &WINDOW
    }

    fn named(&self) -> &str {
        self.name()
    }
}

impl<F: Kind> Known<F> {
    fn of(ours: Vec<Arc<F>>, datafusions: Vec<Arc<F>>) -> Self {
        let by_name = |all: Vec<Arc<F>>| all.into_iter().map(|f| (f.named().to_string(), f)).collect();
        Known { ours: by_name(ours), datafusions: by_name(datafusions) }
    }
}

/// What is to be said of a function beside its name; nothing where the name does.
pub(super) fn write<F: Kind>(function: &F, to: &mut Vec<u8>) {
    let (name, known) = (function.named(), F::known());
    let is = |all: &HashMap<String, Arc<F>>| all.get(name).is_some_and(|other| **other == *function);
    if is(&known.ours) {
        message::write(&Function { name: name.to_string(), datafusions: false }, to);
    } else if known.ours.contains_key(name) && known.datafusions.get(name).is_some_and(|other| function.alike(other)) {
        message::write(&Function { name: name.to_string(), datafusions: true }, to);
    }
}

/// The function that [`write`] told of, or that has no other than its name.
pub(super) fn read<F: Kind>(name: &str, told: &[u8]) -> Result<Arc<F>> {
    let (told, what) = match told {
        [] => (None, name.to_string()),
        told => {
            let told: Function = carried(message::read(told, "function"))?;
            let name = told.name.clone();
            (Some(told), name)
        }
    };
    let all = match &told {
        Some(Function { datafusions: true, .. }) => &F::known().datafusions,
        _ => &F::known().ours,
    };
    all.get(&what).cloned().ok_or_else(|| {
        external(
            Error::invalid(SqlState::UNDEFINED_FUNCTION, format!("function \"{what}\" of the plan is not known here"))
                .with_hint("register the application's functions in the session that the plan is decoded for"),
        )
    })
}

/// A function of ours in a plan that is being read. DataFusion's message leaves out what the result's field tells beyond
/// its type (the length of a CHAR, that a value is SUPER), which functions above it go by: our converter puts the function
/// itself in this one's place, with the field that it gives. Read without, the plan fails rather than be wrong.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Unsettled(pub Arc<ScalarUDF>);

impl ScalarUDFImpl for Unsettled {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the field tells more than its type")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.0.return_field_from_args(args)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        exec_err!(
            "{} was read without Blueshift's converter: decode the plan with BlueshiftCodec::decode_physical, or give \
             DataFusion's functions BlueshiftConverter",
            self.name()
        )
    }
}
