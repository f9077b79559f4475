//! The environments that Cloudflare runs the API in. Tokens and accounts of one are unknown to the other.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Where all customers are who are in no other, those of FedRAMP Moderate too.
    Public,
    /// FedRAMP High.
    FedrampHigh,
}

impl Region {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Public, Self::FedrampHigh];
    /// What [`Region::word`] says of an address that is none of theirs.
    pub const OTHER: &'static str = "other";

    /// Its name on the command line and in every file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::FedrampHigh => "fedramp-high",
        }
    }

    /// By its name, or as Cloudflare's own tools spell it, with an underscore.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.replace('_', "-");
        Self::ALL.into_iter().find(|region| region.as_str() == name)
    }

    /// Where its API is.
    pub fn base_url(self) -> &'static str {
        match self {
            Self::Public => "https://api.cloudflare.com/client/v4",
            Self::FedrampHigh => "https://api.fed.cloudflare.com/client/v4",
        }
    }

    /// The one whose API is at an address; `None` for a simulated API, a proxy or a gateway.
    pub fn at(base_url: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|region| region.base_url() == base_url)
    }

    /// The name of the one at an address, or [`Region::OTHER`].
    pub fn word(base_url: &str) -> &'static str {
        Self::at(base_url).map_or(Self::OTHER, Self::as_str)
    }

    /// Where the dashboard is; an account's stands below it, by its id.
    pub fn dashboard(self) -> &'static str {
        match self {
            Self::Public => "https://dash.cloudflare.com/",
            Self::FedrampHigh => "https://dash.fed.cloudflare.com/",
        }
    }

    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Public => "public region",
            Self::FedrampHigh => "FedRAMP High",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_names_and_its_address() {
        for region in Region::ALL {
            assert_eq!(Region::named(region.as_str()), Some(region));
            assert_eq!(Region::at(region.base_url()), Some(region));
        }
        assert_eq!(Region::named("fedramp_high"), Some(Region::FedrampHigh));
        assert_eq!(Region::named("FEDRAMP"), None);
        assert_eq!(Region::word("http://127.0.0.1:1/client/v4"), "other");
    }
}
