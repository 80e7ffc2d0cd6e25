//! What functions such as `current_schema()` may tell of the session.

use std::any::Any;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::common::config_err;

use super::settings::Setting;

/// A session's names, in the options of each statement's session: `options.extensions.get::<SessionNames>()`. They are
/// those at the statement's beginning, and cannot be set there: SET search_path changes the session's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionNames {
    /// The session's own database.
    pub database: String,
    pub user: String,
    /// The schemas of the search path that exist: the first is the current one.
    pub schemas: Vec<String>,
    /// The search path as it was set.
    pub path: Vec<String>,
    /// Where unqualified names are looked up, the temporary schema and pg_catalog included.
    pub lookup: Vec<String>,
    /// The settings of the warehouse's runtime, which no statement changes.
    pub runtime: Arc<Vec<Setting>>,
    /// The number of the session's statement before this one; -1 where there is none.
    pub last_query: i64,
    /// The number of the session's last COPY, -1 where there is none, and how many rows it loaded.
    pub last_copy: (i64, i64),
    /// The number of the session's last UNLOAD, -1 where there is none, and how many rows it wrote.
    pub last_unload: (i64, i64),
}

impl ConfigExtension for SessionNames {
    const PREFIX: &'static str = "blueshift_session";
}

impl ExtensionOptions for SessionNames {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, _: &str) -> Result<()> {
        config_err!("blueshift_session.{key} cannot be set")
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        Vec::new()
    }
}
