//! The controls of the frameworks that auditors ask for. A rule *supports* a control: it brings evidence for
//! it. No rule satisfies one.

use serde::Serialize;

/// One control of a framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Control {
    /// The framework with its version.
    pub framework: &'static str,
    /// The control's number in it.
    pub id: &'static str,
    /// What it is about, in our words.
    pub title: &'static str,
}

macro_rules! controls {
    ($($name:ident = $framework:literal, $id:literal, $title:literal;)*) => {
        $(
            #[doc = concat!($framework, " ", $id, ": ", $title)]
            pub const $name: Control = Control { framework: $framework, id: $id, title: $title };
        )*
        /// Every control that a rule may support, by framework.
        pub const CONTROLS: &[Control] = &[$($name),*];
    };
}

controls! {
    NIST_AC_2 = "NIST 800-53r5", "AC-2", "Account management";
    NIST_AC_8 = "NIST 800-53r5", "AC-8", "System use notification";
    NIST_CA_7 = "NIST 800-53r5", "CA-7", "Continuous monitoring";
    NIST_CM_6 = "NIST 800-53r5", "CM-6", "Configuration settings";
    NIST_IA_2 = "NIST 800-53r5", "IA-2", "Identification and authentication of users";
    ISO_A_5_16 = "ISO 27001:2022", "A.5.16", "Identity management";
    ISO_A_8_5 = "ISO 27001:2022", "A.8.5", "Secure authentication";
    ISO_A_8_9 = "ISO 27001:2022", "A.8.9", "Configuration management";
    SOC2_CC6_1 = "SOC 2", "CC6.1", "Logical access controls";
    SOC2_CC7_1 = "SOC 2", "CC7.1", "Detection of configuration changes";
    CIS_5_6 = "CIS v8.1", "5.6", "Centralise account management";
    CIS_6_7 = "CIS v8.1", "6.7", "Centralise access control";
}

impl Control {
    /// The control with its framework, as reports write it.
    pub fn label(&self) -> String {
        format!("{} {}", self.framework, self.id)
    }
}
