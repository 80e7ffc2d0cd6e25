//! Logical plans: what they read, and their functions.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::common::{Result, TableReference};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF};
use datafusion_proto::logical_plan::LogicalExtensionCodec;

use super::message::{self, NamedTable, Provider, ProviderKind, SystemTable};
use super::{BlueshiftCodec, carried, external, functions};
use crate::common::{Error, SqlState};
use crate::engine::Warehouse;
use crate::physical_plan::provider::BlueshiftTable;
use crate::system;

impl BlueshiftCodec {
    fn told_provider(&self, name: &TableReference, provider: &dyn TableProvider) -> crate::common::Result<Provider> {
        let kind = if let Some(table) = provider.downcast_ref::<BlueshiftTable>() {
            if let Some(version) = table.version() {
                let message =
                    format!("a logical plan that reads version {version} of \"{}\" cannot travel", table.def().name);
                return Err(Error::unsupported(message).with_hint("send the physical plan, or the statement's text"));
            }
            let uuid = table.warehouse().ok_or_else(|| unsupported(name))?;
            let alias = table.alias().map(str::to_string);
            ProviderKind::Table(NamedTable { table: Some(self.told(uuid, table.def())?), alias })
        } else if let Some(name) = system::name_of(provider) {
            self.system_home()?;
            ProviderKind::System(SystemTable { name: name.to_string() })
        } else {
            return Err(unsupported(name));
        };
        Ok(Provider { kind: Some(kind) })
    }

    /// Whose tables system tables tell of.
    fn system_home(&self) -> crate::common::Result<&Warehouse> {
        let mut all = self.warehouses.values();
        match (all.next(), all.next()) {
            (Some(warehouse), None) => Ok(warehouse),
            _ => Err(Error::unsupported("system tables travel where the codec is made of one warehouse")),
        }
    }

    fn provider(&self, told: &[u8]) -> crate::common::Result<Arc<dyn TableProvider>> {
        let provider: Provider = message::read(told, "table")?;
        match provider.kind {
            Some(ProviderKind::Table(NamedTable { table: Some(table), alias })) => {
                let warehouse = self.warehouse(&table)?;
                let provider = warehouse.provider_of(&*self.state(&table)?);
                Ok(match (alias, provider.downcast_ref::<BlueshiftTable>()) {
                    (Some(alias), Some(table)) => Arc::new(table.called(&alias)),
                    _ => provider,
                })
            }
            Some(ProviderKind::System(SystemTable { name })) => {
                self.system_home()?.system_table(&name).ok_or_else(|| {
                    Error::invalid(SqlState::UNDEFINED_TABLE, format!("system table \"{name}\" is not known here"))
                })
            }
            _ => Err(Error::corrupt(1, "a plan's table is of no kind")),
        }
    }
}

fn unsupported(name: &TableReference) -> Error {
    Error::unsupported(format!("table \"{name}\" cannot travel: it is no warehouse's"))
        .with_hint("copy it into the warehouse with CREATE TABLE … AS SELECT")
}

impl LogicalExtensionCodec for BlueshiftCodec {
    /// Blueshift has no logical operators of its own.
    fn try_decode(&self, _: &[u8], _: &[LogicalPlan], _: &TaskContext) -> Result<Extension> {
        Err(external(Error::unsupported("an operator of the logical plan is not known here")))
    }

    fn try_encode(&self, node: &Extension, _: &mut Vec<u8>) -> Result<()> {
        self.noted(Err(Error::unsupported(format!("operator {} cannot travel", node.node.name()))))
    }

    fn try_decode_table_provider(
        &self,
        told: &[u8],
        _: &TableReference,
        schema: SchemaRef,
        _: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        let provider = carried(self.provider(told))?;
        if provider.schema().fields() != schema.fields() {
            return Err(external(Error::corrupt(1, "the columns of a plan's table are others than it says")));
        }
        Ok(provider)
    }

    fn try_encode_table_provider(
        &self,
        name: &TableReference,
        provider: Arc<dyn TableProvider>,
        to: &mut Vec<u8>,
    ) -> Result<()> {
        let told = self.noted(self.told_provider(name, provider.as_ref()))?;
        message::write(&told, to);
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, told: &[u8]) -> Result<Arc<ScalarUDF>> {
        functions::read(name, told)
    }

    fn try_encode_udf(&self, function: &ScalarUDF, to: &mut Vec<u8>) -> Result<()> {
        functions::write(function, to);
        Ok(())
    }

    fn try_decode_udaf(&self, name: &str, told: &[u8]) -> Result<Arc<AggregateUDF>> {
        functions::read(name, told)
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, to: &mut Vec<u8>) -> Result<()> {
        functions::write(function, to);
        Ok(())
    }

    fn try_decode_udwf(&self, name: &str, told: &[u8]) -> Result<Arc<WindowUDF>> {
        functions::read(name, told)
    }

    fn try_encode_udwf(&self, function: &WindowUDF, to: &mut Vec<u8>) -> Result<()> {
        functions::write(function, to);
        Ok(())
    }
}
