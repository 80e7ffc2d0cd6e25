//! Settings and what they may be.

use datafusion::common::config::ConfigOptions;

use crate::functions::settings::{self, Setting};
use crate::physical_plan::config::BlueshiftOptions;

#[test]
fn numbers_of_ours_have_bounds() {
    let mut options = ConfigOptions::new();
    options.extensions.insert(BlueshiftOptions::default());
    let ours = settings::all(&options).into_iter().filter(|setting| setting.name.starts_with("blueshift."));
    let mut seen = 0;
    for Setting { name, value: now, .. } in ours {
        let now = now.unwrap_or_default();
        if now.parse::<f64>().is_err() {
            continue;
        }
        assert_eq!(settings::value(&options, &name, &now).unwrap(), now);
        for wrong in ["nan", "-inf", "-1", "x", ""] {
            let error = settings::value(&options, &name, wrong).unwrap_err();
            assert!(error.message().contains(&name), "{name}: {error}");
        }
        seen += 1;
    }
    assert!(seen > 14, "{seen}");
}
