//! Which proxy is between the program and the API. reqwest takes it from the system and does not say which; and
//! where a variable holds none that it can use, it goes without one, or fails obscurely.

use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// For `https`: the first that is set is taken.
const VARIABLES: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
/// Taken where the others name no proxy.
const FALLBACKS: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// The proxy on the way to an `https` address, without its user and password; `None` where there is none.
///
/// # Errors
/// What is named is no proxy that can be used. The value is not shown, because it may hold a password.
pub fn on_the_way_to(url: &Url) -> Result<Option<Arc<str>>, String> {
    let uri: Uri = url
        .as_str()
        .parse()
        .map_err(|error| format!("{url} is not a valid address: {error}"))?;
    let variable = [VARIABLES, FALLBACKS].into_iter().find_map(|names| {
        let set = |name| Some((name, std::env::var(name).ok()?));
        let (name, value): (&str, _) = names.into_iter().find_map(set)?;
        (!value.is_empty()).then_some((name, value))
    });
    let unusable = || {
        let name = variable.as_ref().map_or("the system", |(name, _)| name);
        format!(
            "{name} is not a usable proxy address: give one like http://proxy.example:3128, with http or https"
        )
    };
    if let Some((_, value)) = &variable {
        let proxy = Matcher::builder().all(value.as_str()).build();
        proxy.intercept(&uri).ok_or_else(unusable)?;
    }
    match Matcher::from_system().intercept(&uri) {
        None => Ok(None),
        Some(proxy) if !matches!(proxy.uri().scheme_str(), Some("http" | "https")) => {
            Err(unusable())
        }
        Some(proxy) => Ok(Some(proxy.uri().to_string().trim_end_matches('/').into())),
    }
}
