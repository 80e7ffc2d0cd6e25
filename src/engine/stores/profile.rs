//! AWS's files of profiles: `~/.aws/credentials` and `~/.aws/config`.
//!
//! (AWS SDKs and Tools Reference Guide, "Shared config and credentials files".)

use std::collections::HashMap;
use std::path::PathBuf;

use super::options::StoreOptions;
use crate::common::{Error, Result, SqlState};

/// What a profile says that a store is opened with.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Profile {
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    pub region: Option<String>,
    pub endpoint: Option<String>,
}

/// Ways to keys that are not offered.
const OTHER_WAYS: [&str; 6] =
    ["role_arn", "source_profile", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"];

/// The profile that a statement names, or that the environment does; `None` where neither names one and there is no profile
/// `default` with keys.
///
/// Errors: Invalid where there is no profile of the name that was given; Unsupported where its keys come in another way.
pub fn profile(named: Option<&str>, options: &StoreOptions) -> Result<Option<Profile>> {
    let wanted = named.map(str::to_string).or_else(|| options.get("AWS_PROFILE"));
    let name = wanted.as_deref().unwrap_or("default");
    let home = |file: &str| options.get("HOME").map(|home| PathBuf::from(home).join(".aws").join(file));
    let place = |variable: &str, file: &str| options.get(variable).map(PathBuf::from).or_else(|| home(file));
    let credentials = place("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    let config = place("AWS_CONFIG_FILE", "config");
    let mut values = HashMap::new();
    let mut found = false;
    // Keys of the file of credentials have precedence.
    for (path, heading) in [(&config, config_heading(name)), (&credentials, name.to_string())] {
        let Some(text) = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok()) else { continue };
        if let Some(section) = section(&text, &heading) {
            found = true;
            values.extend(section);
        }
    }
    if !found {
        return match wanted {
            None => Ok(None),
            Some(_) => {
                let places: Vec<String> =
                    [config, credentials].iter().flatten().map(|p| p.display().to_string()).collect();
                let message = format!("there is no profile \"{name}\" in {}", places.join(" or "));
                Err(Error::invalid(SqlState::INVALID_PARAMETER, message).with_hint(
                    "name a profile that is there; AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE name other files",
                ))
            }
        };
    }
    let mut take = |name: &str| values.remove(name);
    let profile = Profile {
        access_key_id: take("aws_access_key_id"),
        secret_access_key: take("aws_secret_access_key"),
        session_token: take("aws_session_token"),
        region: take("region"),
        endpoint: take("endpoint_url"),
    };
    let complete = profile.access_key_id.is_some() && profile.secret_access_key.is_some();
    match (&wanted, complete) {
        (_, true) => Ok(Some(profile)),
        // Whoever names no profile has keys from elsewhere.
        (None, false) => Ok(Some(Profile { region: profile.region, endpoint: profile.endpoint, ..Profile::default() })),
        (Some(_), false) => match OTHER_WAYS.iter().find(|way| values.contains_key(**way)) {
            Some(way) => Err(Error::unsupported(format!("profile \"{name}\" gets its keys by {way}"))
                .with_hint("name a profile with aws_access_key_id and aws_secret_access_key, or export such keys")),
            None => {
                let message = format!("profile \"{name}\" has no aws_access_key_id and aws_secret_access_key");
                Err(Error::invalid(SqlState::INVALID_PARAMETER, message).with_hint("add them, or name another profile"))
            }
        },
    }
}

/// The heading of a profile in the file of settings.
fn config_heading(name: &str) -> String {
    match name {
        "default" => name.to_string(),
        name => format!("profile {name}"),
    }
}

/// The values below `[heading]`; `None` where there is no such heading. Indented lines belong to a setting of several, of
/// which none is ours.
fn section(text: &str, heading: &str) -> Option<HashMap<String, String>> {
    let mut values: Option<HashMap<String, String>> = None;
    let mut within = false;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = plain.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default();
            within = name.split_whitespace().eq(heading.split_whitespace());
            if within {
                values.get_or_insert_default();
            }
            continue;
        }
        if let (true, false, Some((name, value))) = (within, line.starts_with([' ', '\t']), plain.split_once('=')) {
            // A remark stands behind a space: keys may hold the characters themselves.
            let value = value.split(" #").next().and_then(|value| value.split(" ;").next()).unwrap_or_default();
            let value = value.trim().to_string();
            values.get_or_insert_default().insert(name.trim().to_ascii_lowercase(), value);
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::ErrorKind;

    fn options(credentials: &str, config: &str) -> (tempfile::TempDir, StoreOptions) {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions::new()
            .with("HOME", dir.path().to_str().unwrap())
            .with("AWS_PROFILE", "")
            .with("AWS_SHARED_CREDENTIALS_FILE", "")
            .with("AWS_CONFIG_FILE", "");
        std::fs::create_dir(dir.path().join(".aws")).unwrap();
        std::fs::write(dir.path().join(".aws/credentials"), credentials).unwrap();
        std::fs::write(dir.path().join(".aws/config"), config).unwrap();
        (dir, options)
    }

    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=S=1#x # no part of it\n\n\
                               [ other ]\r\naws_access_key_id=B\r\naws_secret_access_key=T\r\naws_session_token=tok\r\n\
                               [half]\naws_access_key_id=C\n";
    const CONFIG: &str = "[default]\nregion = eu-west-1\n[profile other]\nregion=us-west-2\nendpoint_url = http://x\ns3 =\n  \
                          addressing_style = path\naws_secret_access_key=not this\n[profile role]\nrole_arn = arn:x\n\
                          [other]\nregion=wrong\n";

    #[test]
    fn profiles_are_of_two_files() {
        let (_dir, options) = options(CREDENTIALS, CONFIG);
        let default = profile(None, &options).unwrap().unwrap();
        let text = |value: &str| Some(value.to_string());
        assert_eq!((default.access_key_id, default.secret_access_key), (text("A"), text("S=1#x")));
        assert_eq!((default.session_token, default.region), (None, text("eu-west-1")));
        let expected = Profile {
            access_key_id: text("B"),
            secret_access_key: text("T"),
            session_token: text("tok"),
            region: text("us-west-2"),
            endpoint: text("http://x"),
        };
        assert!(profile(Some("other"), &options).unwrap().unwrap() == expected);
        assert!(profile(None, &options.clone().with("AWS_PROFILE", "other")).unwrap().unwrap() == expected);
    }

    #[test]
    fn what_a_profile_lacks_is_said() {
        let (dir, options) = options(CREDENTIALS, CONFIG);
        let kind = |name: &str| profile(Some(name), &options).err().map(|e| e.kind());
        assert_eq!(kind("none"), Some(ErrorKind::Invalid));
        assert_eq!(kind("half"), Some(ErrorKind::Invalid));
        assert_eq!(kind("role"), Some(ErrorKind::Unsupported));
        let e = profile(Some("none"), &options).err().unwrap();
        assert!(e.message().contains("\"none\"") && e.message().contains("credentials"), "{e:?}");
        let elsewhere = options.with("HOME", dir.path().join("nowhere").to_str().unwrap());
        assert!(profile(None, &elsewhere).unwrap().is_none());
        assert!(profile(Some("default"), &elsewhere).is_err());
    }
}
