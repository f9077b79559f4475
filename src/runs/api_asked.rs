//! Which API a run asks.

use crate::evidence::RunHeader;

/// Which API a run asks: only runs of the same one can be compared.
#[derive(Debug, Clone, Copy)]
pub struct ApiAsked<'a> {
    /// Its address.
    pub base_url: &'a str,
    /// Whether it is the embedded simulated one, which listens on another port each time.
    pub demo: bool,
}

impl<'a> ApiAsked<'a> {
    /// That of a run.
    pub fn by(header: &'a RunHeader) -> Self {
        Self {
            base_url: &header.base_url,
            demo: header.demo,
        }
    }

    /// Whether it is the one that a run asked.
    pub fn is_that_of(self, header: &RunHeader) -> bool {
        self.is(&header.base_url, header.demo)
    }

    pub(super) fn is(self, base_url: &str, demo: bool) -> bool {
        demo == self.demo && (demo || base_url == self.base_url)
    }
}
