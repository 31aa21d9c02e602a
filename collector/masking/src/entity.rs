//! What is recognized, and how often it was.

use std::collections::BTreeMap;

/// A kind of personal data. The order is that of trust: where two overlap, the earlier names the replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// E-mail address.
    Email,
    /// International bank account number.
    Iban,
    /// Payment card number.
    Card,
    /// United States social security number.
    UsSsn,
    /// IP address, version 6.
    Ipv6,
    /// IP address, version 4.
    Ipv4,
    /// Telephone number.
    Phone,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Email, Self::Iban, Self::Card, Self::UsSsn, Self::Ipv6, Self::Ipv4, Self::Phone];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Iban => "iban",
            Self::Card => "card",
            Self::UsSsn => "us_ssn",
            Self::Ipv6 => "ipv6",
            Self::Ipv4 => "ipv4",
            Self::Phone => "phone",
        }
    }

    /// What stands in its place.
    #[must_use]
    pub const fn marker(self) -> &'static str {
        match self {
            Self::Email => "[EMAIL]",
            Self::Iban => "[IBAN]",
            Self::Card => "[CARD]",
            Self::UsSsn => "[US_SSN]",
            Self::Ipv6 => "[IPV6]",
            Self::Ipv4 => "[IPV4]",
            Self::Phone => "[PHONE]",
        }
    }
}

/// How often each entity was replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Replacements by entity; an entity that was not met is absent.
    pub by_entity: BTreeMap<Entity, u64>,
}

impl Hits {
    /// Notes one replacement.
    pub(crate) fn add(&mut self, entity: Entity) {
        *self.by_entity.entry(entity).or_default() += 1;
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        for (entity, count) in &other.by_entity {
            *self.by_entity.entry(*entity).or_default() += count;
        }
    }

    /// All replacements.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_entity.values().sum()
    }
}
