//! Stores of files and of warehouses: directories, buckets and web servers, by their addresses.

mod options;
#[cfg(feature = "s3")]
mod profile;
mod steady;

use std::sync::Arc;

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use url::Url;

pub use options::StoreOptions;

use crate::catalog::refusal::reason;
use crate::common::{Error, ErrorKind, Result, SqlState};
use crate::sql::ast::Credentials;
use steady::Steady;

/// Who asks for files, and where.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub credentials: &'a Credentials,
    pub region: Option<&'a str>,
    pub options: &'a StoreOptions,
}

/// A store, and the name of a file or the beginning of names in it.
pub struct Place {
    pub store: Arc<dyn ObjectStore>,
    /// What addresses in the store begin with, such as `s3://bucket/`, without anything that is secret.
    pub base: Url,
    pub key: String,
    /// Whether the store can tell which files there are.
    pub lists: bool,
    /// The address as messages show it.
    pub shown: String,
}

/// Kinds of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    S3,
    Google,
    Azure,
}

impl Provider {
    /// The provider of addresses of a scheme.
    pub fn of(scheme: &str) -> Option<Provider> {
        match scheme {
            "s3" | "s3a" => Some(Provider::S3),
            "gs" => Some(Provider::Google),
            "az" | "azure" | "adl" | "abfs" | "abfss" => Some(Provider::Azure),
            _ => None,
        }
    }
}

/// A bucket's address, as `s3://bucket/` and what follows; `None` where it is none of a bucket.
///
/// Errors: Invalid where the bucket has no name.
pub fn bucket_address(text: &str) -> Result<Option<(Provider, String, &str)>> {
    let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
    let Some(provider) = Provider::of(scheme) else { return Ok(None) };
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        let message = format!("\"{text}\": the address of a bucket has the form {scheme}://bucket/prefix");
        return Err(Error::invalid(SqlState::INVALID_PARAMETER, message));
    }
    Ok(Some((provider, format!("{scheme}://{bucket}/"), key)))
}

/// The store of files that a statement reads.
///
/// A path, `file://`, an address of a bucket, or of a file on a web server. Of a file that is read, all bytes are of one
/// version.
pub fn open_files(from: &str, access: Access<'_>) -> Result<Place> {
    let bad_url =
        |shown: &str, e: url::ParseError| Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{shown}\": {e}"));
    if let Some((provider, base, key)) = bucket_address(from)? {
        let store = Arc::new(bucket(provider, &base, access)?.with_fixed_files());
        let base = Url::parse(&base).map_err(|e| bad_url(from, e))?;
        return Ok(Place { store, base, key: key.to_string(), lists: true, shown: from.to_string() });
    }
    match from.split_once("://") {
        Some(("http" | "https", _)) => {
            // What follows a question mark may be a signature.
            let shown = from.split('?').next().unwrap_or_default();
            let shown = match shown.rfind('@') {
                Some(_) => "the address",
                None => shown,
            };
            web_file(from, shown, access)
        }
        Some(("file", _)) | None => {
            let path = from.strip_prefix("file://").unwrap_or(from);
            let absolute = std::path::absolute(path)
                .map_err(|e| Error::invalid(SqlState::INVALID_PARAMETER, format!("\"{from}\": {e}")))?;
            let mut key = absolute.to_string_lossy().trim_start_matches('/').to_string();
            // A directory stands for the files in it.
            if from.ends_with('/') || absolute.is_dir() {
                key = format!("{}/", key.trim_end_matches('/'));
            }
            let base = Url::parse("file:///").map_err(|e| bad_url(from, e))?;
            Ok(Place { store: Arc::new(LocalFileSystem::new()), base, key, lists: true, shown: from.to_string() })
        }
        Some((scheme, _)) => Err(Error::unsupported(format!("files of \"{scheme}://\" are not supported"))
            .with_hint("use a path, file://, s3://, gs://, az://, abfs://, http:// or https://")),
    }
}

/// The store of a bucket, whose address is as `s3://bucket/`.
pub fn open_bucket(provider: Provider, base: &str, access: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    Ok(Arc::new(bucket(provider, base, access)?))
}

fn bucket(provider: Provider, base: &str, access: Access<'_>) -> Result<Steady> {
    check_credentials(provider, base, &access)?;
    let store = match provider {
        Provider::S3 => s3(base, access)?,
        Provider::Google => google(base, access)?,
        Provider::Azure => azure(base, access)?,
    };
    Ok(Steady::over(store, access.options.retry.clone()))
}

/// Credentials of one provider are no secret that another one is to be told.
fn check_credentials(provider: Provider, base: &str, access: &Access<'_>) -> Result<()> {
    let given = access.credentials;
    let of_s3 = given.access_key_id.is_some() || given.profile.is_some() || access.region.is_some();
    let (wrong, hint) = match provider {
        Provider::S3 => (!given.settings.is_empty(), "give keys of Amazon S3, a profile or a role"),
        Provider::Google => (
            of_s3 || given.settings.iter().any(|(name, _)| !name.starts_with("google_")),
            "set GOOGLE_SERVICE_ACCOUNT, or give CREDENTIALS 'google_service_account=file'",
        ),
        Provider::Azure => (
            of_s3 || given.settings.iter().any(|(name, _)| !name.starts_with("azure_")),
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or give CREDENTIALS \
             'azure_storage_account_name=…;azure_storage_account_key=…'",
        ),
    };
    match wrong {
        true => {
            let message = format!("the credentials or the region are not such as {base} takes");
            Err(Error::invalid(SqlState::INVALID_PARAMETER, message).with_hint(hint))
        }
        false => Ok(()),
    }
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
mod clients {
    use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, RetryConfig};

    use super::options::Retry;

    /// Tries as often as there is time for.
    pub fn retries(retry: &Retry) -> RetryConfig {
        RetryConfig {
            backoff: BackoffConfig { init_backoff: retry.first_pause, max_backoff: retry.longest_pause, base: 2.0 },
            max_retries: usize::MAX,
            retry_timeout: retry.give_up_after,
        }
    }

    /// The longest that a request takes, its body included. What is read goes on after it; a part of an upload must be
    /// through, over a line that others share.
    pub const TIMEOUT: &str = "120 seconds";

    /// For web servers.
    #[cfg(feature = "http")]
    pub fn plain() -> ClientOptions {
        ClientOptions::new().with_allow_http(true).with_config(ClientConfigKey::Timeout, TIMEOUT)
    }
}

/// Unsupported: such buckets are left out of the build.
#[cfg_attr(all(feature = "s3", feature = "gcs", feature = "azure", feature = "http"), expect(dead_code))]
fn left_out(what: &str, feature: &str) -> Error {
    Error::unsupported(format!("this build of Blueshift has no support of {what}"))
        .with_hint(format!("build it with the feature \"{feature}\""))
}

/// Invalid: a store cannot be made of what was given. `why` holds no value of a setting.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure", feature = "http"))]
fn unusable(base: &str, e: &object_store::Error, hint: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, format!("cannot use {base}: {}", reason(e))).with_hint(hint)
}

#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
fn no_such_setting(name: &str) -> Error {
    Error::invalid(SqlState::INVALID_PARAMETER, format!("there is no setting \"{name}\" of a store"))
        .with_hint("settings are called as the environment variables that object_store reads")
}

#[cfg(feature = "s3")]
fn s3(base: &str, access: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredential, S3ConditionalPut};
    use object_store::{ClientConfigKey, StaticCredentialProvider};

    /// Settings of profiles, which are ours to read.
    const OF_PROFILES: [&str; 3] = ["aws_profile", "aws_shared_credentials_file", "aws_config_file"];
    /// Where any is set, keys come from there.
    const WAYS: [&str; 5] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SKIP_SIGNATURE",
    ];

    let Access { credentials, region, options } = access;
    let mut builder = AmazonS3Builder::from_env();
    for (name, value) in options.of("aws_").filter(|(name, _)| !OF_PROFILES.contains(name)) {
        let key: AmazonS3ConfigKey = name.parse().map_err(|_| no_such_setting(name))?;
        builder = builder.with_config(key, value);
    }
    let keys = match (&credentials.access_key_id, &credentials.secret_access_key) {
        (Some(id), Some(secret)) => Some(profile::Profile {
            access_key_id: Some(id.clone()),
            secret_access_key: Some(secret.clone()),
            session_token: credentials.session_token.clone(),
            ..profile::Profile::default()
        }),
        _ if credentials.profile.is_some() => profile::profile(credentials.profile.as_deref(), options)?,
        _ if WAYS.iter().any(|way| options.get(way).is_some()) => None,
        _ => profile::profile(None, options)?,
    };
    if let Some(keys) = keys {
        let unset = |builder: &AmazonS3Builder, key: AmazonS3ConfigKey| builder.get_config_value(&key).is_none();
        if let (Some(region), true) = (keys.region, unset(&builder, AmazonS3ConfigKey::Region)) {
            builder = builder.with_region(region);
        }
        if let (Some(endpoint), true) = (keys.endpoint, unset(&builder, AmazonS3ConfigKey::Endpoint)) {
            builder = builder.with_endpoint(endpoint);
        }
        if let (Some(key_id), Some(secret_key)) = (keys.access_key_id, keys.secret_access_key) {
            // As a whole: a session token of the environment belongs to the environment's keys.
            let keys = AwsCredential { key_id, secret_key, token: keys.session_token };
            builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(keys)));
        }
    }
    if let Some(region) = region {
        builder = builder.with_region(region);
    }
    // Whoever names an endpoint by http:// wants no TLS.
    if builder.get_config_value(&AmazonS3ConfigKey::Endpoint).is_some_and(|e| e.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    if options.get("AWS_TIMEOUT").is_none() {
        builder = builder.with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), clients::TIMEOUT);
    }
    let (_, bucket) = base.split_once("://").unwrap_or_default();
    let builder = builder
        .with_bucket_name(bucket.trim_end_matches('/'))
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_retry(clients::retries(&options.retry));
    let store = builder.build().map_err(|e| {
        let hint = "set AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT for another provider";
        unusable(base, &e, hint)
    })?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "s3"))]
fn s3(_: &str, _: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    Err(left_out("Amazon S3", "s3"))
}

/// What of the environment goes with credentials that a statement gives: where the store is, not whose keys it takes.
#[cfg(any(feature = "gcs", feature = "azure"))]
const PLACES: [&str; 7] = [
    "google_base_url",
    "google_allow_http",
    "azure_storage_account_name",
    "azure_storage_endpoint",
    "azure_endpoint",
    "azure_storage_use_emulator",
    "azure_allow_http",
];

#[cfg(any(feature = "gcs", feature = "azure"))]
fn places<'a>(prefix: &'a str, options: &'a StoreOptions) -> impl Iterator<Item = (String, String)> + 'a {
    let names = PLACES.into_iter().filter(move |name| name.starts_with(prefix));
    names.filter_map(|name| Some((name.to_string(), options.get(&name.to_ascii_uppercase())?)))
}

#[cfg(feature = "gcs")]
fn google(base: &str, access: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    use object_store::ClientConfigKey;
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};

    let given = &access.credentials.settings;
    let owned = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
    let (mut builder, settings): (_, Vec<(String, String)>) = match given.is_empty() {
        true => (GoogleCloudStorageBuilder::from_env(), access.options.of("google_").map(owned).collect()),
        false => (GoogleCloudStorageBuilder::new(), places("google_", access.options).collect()),
    };
    for (name, value) in settings.iter().chain(given) {
        let key: GoogleConfigKey = name.parse().map_err(|_| no_such_setting(name))?;
        builder = builder.with_config(key, value);
    }
    if builder.get_config_value(&GoogleConfigKey::BaseUrl).is_some_and(|url| url.starts_with("http://")) {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
    }
    if access.options.get("GOOGLE_TIMEOUT").is_none() {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), clients::TIMEOUT);
    }
    let (_, bucket) = base.split_once("://").unwrap_or_default();
    let builder =
        builder.with_bucket_name(bucket.trim_end_matches('/')).with_retry(clients::retries(&access.options.retry));
    let store = builder.build().map_err(|e| unusable(base, &e, "set GOOGLE_SERVICE_ACCOUNT to a file of keys"))?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "gcs"))]
fn google(_: &str, _: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    Err(left_out("Google Cloud Storage", "gcs"))
}

#[cfg(feature = "azure")]
fn azure(base: &str, access: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    use object_store::ClientConfigKey;
    use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

    let given = &access.credentials.settings;
    let owned = |(name, value): (&str, &str)| (name.to_string(), value.to_string());
    let (mut builder, settings): (_, Vec<(String, String)>) = match given.is_empty() {
        true => (MicrosoftAzureBuilder::from_env(), access.options.of("azure_").map(owned).collect()),
        false => (MicrosoftAzureBuilder::new(), places("azure_", access.options).collect()),
    };
    for (name, value) in settings.iter().chain(given) {
        let key: AzureConfigKey = name.parse().map_err(|_| no_such_setting(name))?;
        builder = builder.with_config(key, value);
    }
    if builder.get_config_value(&AzureConfigKey::Endpoint).is_some_and(|url| url.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    if access.options.get("AZURE_TIMEOUT").is_none() {
        builder = builder.with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), clients::TIMEOUT);
    }
    let store = builder.with_url(base).with_retry(clients::retries(&access.options.retry)).build().map_err(|e| {
        unusable(
            base,
            &e,
            "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, and AZURE_ENDPOINT for another place",
        )
    })?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "azure"))]
fn azure(_: &str, _: Access<'_>) -> Result<Arc<dyn ObjectStore>> {
    Err(left_out("Azure Blob Storage", "azure"))
}

#[cfg(feature = "http")]
fn web_file(from: &str, shown: &str, access: Access<'_>) -> Result<Place> {
    use object_store::http::HttpBuilder;
    use object_store::path::Path;

    const HINT: &str = "name one file; a MANIFEST lists several";
    let wrong = |why: &str| Error::invalid(SqlState::INVALID_PARAMETER, format!("{shown}: {why}"));
    let mut url = Url::parse(from).map_err(|e| wrong(&e.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::unsupported("an address with a name and a password is not supported")
            .with_hint("use an address that is signed, or one that asks for neither"));
    }
    let given = access.credentials;
    if given.access_key_id.is_some() || given.profile.is_some() || !given.settings.is_empty() || access.region.is_some()
    {
        return Err(wrong("a web server takes no credentials of a bucket").with_hint("leave them out"));
    }
    if shown.contains(['*', '[']) {
        return Err(wrong("a web server cannot tell which files match a glob").with_hint(HINT));
    }
    if url.path().ends_with('/') {
        return Err(wrong("a web server cannot tell which files begin so").with_hint(HINT));
    }
    let path = Path::from_url_path(url.path()).map_err(|e| wrong(&e.to_string()))?;
    url.set_path("");
    url.set_fragment(None);
    let builder = HttpBuilder::new()
        .with_url(url.as_str())
        .with_client_options(clients::plain())
        .with_retry(clients::retries(&access.options.retry));
    let store = builder.build().map_err(|e| unusable(shown, &e, "check the address"))?;
    url.set_query(None);
    let store = Steady::over(Arc::new(store), access.options.retry.clone()).with_fixed_files().asking_by_reading();
    Ok(Place { store: Arc::new(store), base: url, key: path.to_string(), lists: false, shown: shown.to_string() })
}

#[cfg(not(feature = "http"))]
fn web_file(_: &str, _: &str, _: Access<'_>) -> Result<Place> {
    Err(left_out("web servers", "http"))
}

/// The error of a store that was asked to `what` (read, list, write, delete) a file, which `name` names.
pub fn store_error(what: &str, name: &str, e: object_store::Error) -> Error {
    use object_store::Error as E;
    let why = reason(&e);
    let (kind, message, hint) = match &e {
        // Where to write there may be no bucket.
        E::NotFound { .. } if what == "write" => {
            (ErrorKind::Invalid, format!("cannot write {name}: {why}"), "check the address")
        }
        E::NotFound { .. } => {
            let error = Error::invalid(SqlState::UNDEFINED_FILE, format!("there is no file \"{name}\""));
            return error.with_hint("check the address").with_source(e);
        }
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
            (ErrorKind::Invalid, format!("cannot {what} {name}: {why}"), "check the credentials, and what they allow")
        }
        E::NotSupported { .. } | E::NotImplemented { .. } => (
            ErrorKind::Unsupported,
            format!("cannot {what} {name}: {why}"),
            "copy the files to a bucket or a directory",
        ),
        E::Precondition { .. } if what == "read" => (
            ErrorKind::Unavailable,
            format!("{name} has changed while it was read"),
            "run the statement again once nobody writes the file",
        ),
        _ => (
            ErrorKind::Unavailable,
            format!("cannot {what} {name}: {why}"),
            "run the statement again when the store answers; it has changed nothing",
        ),
    };
    Error::new(kind, message).with_hint(hint).with_source(e)
}
