//! A session's settings by name, as SHOW and `current_setting` tell them.
//!
//! They are `search_path` and `timezone`; Blueshift's, as `blueshift.pruning`, some of them by Redshift's names, too; DataFusion's, as
//! `datafusion.execution.batch_size`; and what PostgreSQL's clients ask for and nobody sets, as `server_version`.

use datafusion::common::config::ConfigOptions;
use datafusion::common::utils::datafusion_strsim::levenshtein;

use super::SessionNames;
use crate::common::{Error, Result, SqlState};

/// A setting with its value at present; NULL where it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub value: Option<String>,
    pub description: String,
}

/// DataFusion's name of `timezone`.
pub const TIME_ZONE: &str = "datafusion.execution.time_zone";

/// What PostgreSQL's clients ask for, in PostgreSQL's words.
const FIXED: [(&str, &str, &str); 7] = [
    ("client_encoding", "UTF8", "The encoding of what clients read and write"),
    ("datestyle", "ISO, MDY", "How dates are written, and read where their order is in doubt"),
    ("integer_datetimes", "on", "Times are integers"),
    ("max_identifier_length", "127", "Bytes of a name; longer ones are cut"),
    ("server_encoding", "UTF8", "The encoding of stored text"),
    ("server_version", "8.0.2", "The version of PostgreSQL that Redshift tells"),
    ("standard_conforming_strings", "on", "A backslash in a literal is itself"),
];

/// Redshift's settings (manual, "Configuration reference") that are not offered.
const NOT_OFFERED: [&str; 31] = [
    "activate_aqua",
    "application_name",
    "auto_analyze",
    "auto_mv",
    "cast_super_null_on_error",
    "client_min_messages",
    "default_geometry_encoding",
    "describe_field_name_in_uppercase",
    "downcase_delimited_identifier",
    "enable_case_sensitive_identifier",
    "enable_case_sensitive_super_attribute",
    "enable_numeric_rounding",
    "enable_result_cache_for_session",
    "enable_vacuum_boost",
    "extra_float_digits",
    "json_serialization_enable",
    "json_serialization_parse_nested_strings",
    "max_concurrency_scaling_clusters",
    "max_cursor_result_set_size",
    "mv_enable_aqmv_for_session",
    "navigate_super_null_on_error",
    "parse_super_null_on_error",
    "pg_federation_repeatable_read",
    "query_group",
    "require_ssl",
    "session_authorization",
    "spectrum_enable_pseudo_columns",
    "spectrum_query_maxerror",
    "statement_timeout",
    "stored_proc_log_min_messages",
    "wlm_query_slot_count",
];

/// Redshift's names of settings of ours.
const REDSHIFTS: [(&str, &str); 2] = [
    ("analyze_threshold_percent", "blueshift.analyze_threshold_percent"),
    ("error_on_nondeterministic_update", "blueshift.error_on_nondeterministic_update"),
];

/// All settings, by name.
pub fn all(options: &ConfigOptions) -> Vec<Setting> {
    let text = |name: &str, value: Option<String>, description: &str| Setting {
        name: name.to_string(),
        value,
        description: description.to_string(),
    };
    let mut found: Vec<Setting> =
        FIXED.iter().map(|(name, value, description)| text(name, Some(value.to_string()), description)).collect();
    let core = options.entries().into_iter().filter(|entry| entry.key.starts_with("datafusion."));
    found.extend(core.map(|entry| text(&entry.key, entry.value, entry.description)));
    // Of an extension, DataFusion leaves out what its settings' names begin with.
    for (prefix, extension) in options.extensions.iter() {
        let entries = extension.entries().into_iter();
        found.extend(entries.map(|entry| text(&format!("{prefix}.{}", entry.key), entry.value, entry.description)));
    }
    for (name, ours) in REDSHIFTS {
        let Some(setting) = found.iter().find(|setting| setting.name == ours).cloned() else { continue };
        let value = setting.value.map(|value| match value.as_str() {
            "true" => "on".to_string(),
            "false" => "off".to_string(),
            _ => value,
        });
        found.push(Setting { name: name.to_string(), value, ..setting });
    }
    let zone = options.execution.time_zone.clone();
    found.push(text("timezone", zone, "The time zone in which a TIMESTAMPTZ is read and shown"));
    if let Some(names) = options.extensions.get::<SessionNames>() {
        let path = names.path.join(", ");
        found.push(text("search_path", Some(path), "The schemas in which names without a schema are looked up"));
        found.extend(names.runtime.iter().cloned());
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

/// The setting of that name, in whatever case.
///
/// Errors: Unsupported for a setting of Redshift's that is not offered; Invalid, with the nearest name, for another.
pub fn find(options: &ConfigOptions, name: &str) -> Result<Setting> {
    let wanted = name.to_ascii_lowercase();
    let mut all = all(options);
    match all.iter().position(|setting| setting.name == wanted) {
        Some(at) => Ok(all.swap_remove(at)),
        None => Err(unknown(&wanted, &all)),
    }
}

/// Whether a statement may change the setting, which may go by DataFusion's name.
///
/// Errors: Unsupported for one that is known and stays as it is; as [`find`]'s for others that there are not.
pub fn check_set(options: &ConfigOptions, name: &str) -> Result<()> {
    let setting = find(options, name)?;
    let stays = |hint: &str| {
        let error = Error::unsupported(format!("the setting {} cannot be changed by a statement", setting.name));
        Err(error.with_state(SqlState::INVALID_PARAMETER).with_hint(hint))
    };
    if FIXED.iter().any(|(fixed, ..)| *fixed == setting.name) {
        return stays("it tells clients what they meet");
    }
    if setting.name.starts_with("datafusion.runtime.") {
        return stays("memory and temporary files are the warehouse's: WarehouseBuilder sets them, or --memory-limit");
    }
    if setting.name == "datafusion.catalog.information_schema" {
        return stays("information_schema is always there");
    }
    Ok(())
}

/// The value of a SET as DataFusion reads it: `on` and `off` are true and false, as in PostgreSQL.
///
/// Errors: Invalid, naming the setting, for a value that it cannot have.
pub fn value(options: &ConfigOptions, name: &str, written: &str) -> Result<String> {
    let setting = find(options, name)?;
    let switch = matches!(setting.value.as_deref(), Some("true" | "false"));
    let value = match written.trim().to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" | "t" | "1" if switch => "true".to_string(),
        "off" | "no" | "false" | "f" | "0" if switch => "false".to_string(),
        _ => written.to_string(),
    };
    let invalid = |hint: String| {
        let message = format!("invalid value for setting \"{}\": \"{written}\"", setting.name);
        Err(Error::invalid(SqlState::INVALID_PARAMETER, message).with_hint(hint))
    };
    if let Some((_, least, most)) = BOUNDS.iter().find(|(name, ..)| *name == setting.name)
        && !value.parse::<f64>().is_ok_and(|number| (*least..=*most).contains(&number))
    {
        let bounds = if most.is_finite() { format!("between {least} and {most}") } else { format!("from {least}") };
        return invalid(format!("give a number {bounds}"));
    }
    if let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == setting.name) {
        let word = value.to_ascii_lowercase();
        return if words.contains(&word.as_str()) { Ok(word) } else { invalid(format!("give {}", words.join(" or "))) };
    }
    match options.clone().set(name, &value) {
        Ok(()) => Ok(value),
        Err(_) if switch => invalid("give on or off".into()),
        Err(_) => match &setting.value {
            Some(now) => invalid(format!("it is {now} now: {}", setting.description)),
            None => invalid(setting.description.clone()),
        },
    }
}

/// The least and the most of numbers that have bounds. All orders of 14 relations take seconds.
const BOUNDS: [(&str, f64, f64); 14] = [
    ("blueshift.alert_deleted", 0.0, 1.0),
    ("blueshift.alert_selective", 0.0, 1.0),
    ("blueshift.analyze_threshold_percent", 0.0, 100.0),
    ("blueshift.cost_build", 0.0, MOST_COST),
    ("blueshift.cost_compare", 0.0, MOST_COST),
    ("blueshift.cost_moved_byte", 0.0, MOST_COST),
    ("blueshift.cost_moved_row", 0.0, MOST_COST),
    ("blueshift.cost_output", 0.0, MOST_COST),
    ("blueshift.exchange_cost", 0.0, f64::INFINITY),
    ("blueshift.hint_skew", 1.0, f64::INFINITY),
    ("blueshift.join_order_exhaustive", 2.0, 14.0),
    ("blueshift.join_order_worthwhile", 0.0, 1.0),
    ("blueshift.key_filters_worthwhile", 0.0, 1.0),
    ("blueshift.sides_worthwhile", 0.0, 1.0),
];
/// What settings may be that are words.
const WORDS: [(&str, &[&str]); 1] = [("blueshift.isolation", &["snapshot", "serializable"])];
/// Sums of what costs that much for any number of rows are still numbers.
const MOST_COST: f64 = 1e9;

fn unknown(name: &str, all: &[Setting]) -> Error {
    if NOT_OFFERED.contains(&name) {
        return Error::unsupported(format!("the setting {name} is not supported yet"))
            .with_hint("SHOW ALL lists the settings");
    }
    let error = Error::invalid(SqlState::UNDEFINED_OBJECT, format!("there is no setting \"{name}\""));
    // Nobody writes all of DataFusion's long names: the last parts are compared, too.
    let short = |known: &str| known.rsplit('.').next().unwrap_or(known).to_string();
    let distance = |known: &str| levenshtein(name, known).min(levenshtein(name, &short(known)) + 1);
    let nearest = all.iter().map(|setting| (distance(&setting.name), &setting.name)).min();
    match nearest {
        Some((distance, nearest)) if distance <= name.chars().count() / 3 + 1 => {
            error.with_hint(format!("did you mean {nearest}? SHOW ALL lists the settings"))
        }
        _ => error.with_hint("SHOW ALL lists the settings"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_or_the_nearest_is_named() {
        let options = ConfigOptions::new();
        assert_eq!(find(&options, "Server_Version").unwrap().value.as_deref(), Some("8.0.2"));
        assert_eq!(find(&options, "datafusion.execution.batch_size").unwrap().value.as_deref(), Some("8192"));
        for (wrong, nearest) in [
            ("timezon", "did you mean timezone?"),
            ("server_versoin", "did you mean server_version?"),
            ("batch_size", "did you mean datafusion.execution.batch_size?"),
            ("datafusion.execution.batchsize", "did you mean datafusion.execution.batch_size?"),
        ] {
            let error = find(&options, wrong).unwrap_err();
            assert!(error.hint().is_some_and(|hint| hint.starts_with(nearest)), "{wrong}: {error:?}");
        }
        assert_eq!(find(&options, "x").unwrap_err().hint(), Some("SHOW ALL lists the settings"));
        assert!(find(&options, "query_group").unwrap_err().message().contains("not supported yet"));
    }

    #[test]
    fn some_settings_stay() {
        let options = ConfigOptions::new();
        assert!(check_set(&options, "datafusion.execution.batch_size").is_ok());
        for stays in ["server_version", "datafusion.catalog.information_schema", "nothing"] {
            assert!(check_set(&options, stays).is_err(), "{stays}");
        }
    }
}
